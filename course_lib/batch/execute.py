"""One run of one notebook: papermill, a kernel of its own, and what came of it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import psutil
from nbclient.exceptions import DeadKernelError

from course_lib.batch.memory import PeakMemory, started_since
from course_lib.batch.parameters import for_papermill
from course_lib.results import Value, read


@dataclass(frozen=True)
class Outcome:
    """status: "ok", "failed" or "interrupted". peak_mb: the most memory that the kernel and its children held, in
    10^6 bytes."""

    status: str
    seconds: float
    peak_mb: int
    results: dict[str, Value]
    error: str = ""


def execute(
    source: Path,
    notebook: Path,
    given: Mapping[str, object],
    bar: dict | bool = False,
    limit: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run `source` with the values `given` into `notebook`, whose folder is the kernel's; whatever happens is told.

    `notebook` is saved after every cell, and every second while one prints. After `limit` seconds, or as soon as
    stop() says so (asked once a second), the kernel is killed. Not for two threads of one process at a time: memory,
    limit and stop concern all that the process starts meanwhile.
    """
    start = time.perf_counter()
    with PeakMemory() as memory, _killing(limit, stop) as killed:
        status, results, error = _papermill(source, notebook, given, bar)
    if killed:
        status, results, error = "failed", {}, f"{killed[0]} ({_last_cell(notebook)})"
    return Outcome(status, round(time.perf_counter() - start, 2), round(memory.peak / 1e6), results, error)


def _papermill(source: Path, notebook: Path, given: Mapping[str, object], bar: dict | bool) -> tuple[str, dict, str]:
    """Status, results and error."""
    try:
        papermill.execute_notebook(
            for_papermill(source),
            for_papermill(notebook),
            dict(given),
            kernel_name="python3",
            cwd=notebook.parent,
            progress_bar=bar,
            autosave_cell_every=1,
            extra_arguments=["--IPKernelApp.log_level=50"],  # else every start and stop is logged
        )
        return "ok", read(notebook), ""
    except papermill.PapermillExecutionError as error:
        where = f"cell [{error.exec_count}]: {error.source.strip().splitlines()[0]}"
        return "failed", {}, f"{error.ename}: {error.evalue} ({where})"
    except DeadKernelError:
        return "failed", {}, f"the kernel died, perhaps of too little memory ({_last_cell(notebook)})"
    except KeyboardInterrupt:
        return "interrupted", {}, f"stopped by hand ({_last_cell(notebook)})"
    except Exception as error:  # whatever it is, the other runs go on
        return "failed", {}, f"{type(error).__name__}: {error}"


def _last_cell(notebook: Path) -> str:
    """The last code cell that was started, for a message."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError):  # never written, or a disk that is full
        return "before the first cell"
    started = [c for c in cells if c.cell_type == "code" and c.metadata.get("papermill", {}).get("start_time")]
    return f"cell: {started[-1].source.strip().splitlines()[0]}" if started else "before the first cell"


@contextlib.contextmanager
def _killing(limit: float | None, stop: Callable[[], bool]) -> Iterator[list[str]]:
    """Kill what this process starts inside the `with` after `limit` seconds, or when stop() says so. Gives a list that
    then holds the reason."""
    before, done, reasons = set(psutil.Process().children()), threading.Event(), []
    end = time.monotonic() + (limit or float("inf"))

    def watch() -> None:
        while not done.wait(min(1.0, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                reasons.append(f"took longer than the limit of {limit:g} s")
            elif stop():
                reasons.append("stopped: nobody waits for it any more")
            if reasons:
                for process in started_since(before):
                    with contextlib.suppress(psutil.Error):  # it has just ended
                        process.kill()
                done.wait(1.0)  # a kernel that starts just now is killed, too

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield reasons
    finally:
        done.set()
        thread.join()
