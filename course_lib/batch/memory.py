"""The most memory that processes started inside a `with` block held together."""

import threading

import psutil


class PeakMemory:
    """`with PeakMemory() as memory: ...` watches what this process starts in the block, grandchildren too.

    `memory.peak` is the largest sum of resident memory seen, in bytes, looking ten times a second, and for new
    processes once a second, which costs more; memory that forked processes share counts once for each of them.
    """

    def __enter__(self) -> "PeakMemory":
        self.peak = 0
        self._before = set(psutil.Process().children())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        looks = 0
        while not self._done.wait(0.1):
            if looks % 10 == 0:
                started = started_since(self._before)
            self.peak = max(self.peak, sum(map(_resident, started)))
            looks += 1


def started_since(before: set[psutil.Process]) -> list[psutil.Process]:
    """The children of this process that are not among those of `before`, and all theirs."""
    mine = [child for child in psutil.Process().children() if child not in before]
    return mine + [process for child in mine for process in _descendants(child)]


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:  # it has just ended
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
