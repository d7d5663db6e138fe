"""One process tree with nothing to reach and little to use up: bubblewrap around `runner`."""

import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from course_lib.paths import ROOT, data_folder

OWN = 300_000_000  # bytes, for `runner` itself
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"]
SETTINGS = ["/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime"]
_cores: queue.SimpleQueue = queue.SimpleQueue()  # those without a sandbox
for _core in sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []:
    _cores.put(_core)
_live: set[subprocess.Popen] = set()
stopping = threading.Event()  # the teacher wants no more


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    seconds: float = 60  # for one cell
    gigabytes: float = 2  # of memory, all its processes together
    processes: int = 64  # threads count, a kernel has a dozen
    keep: int = 200_000  # characters of output, a cell

    @property
    def whole(self) -> float:
        """Seconds for all cells together."""
        return 10 * self.seconds


@dataclass
class Answer:
    """What came out of a sandbox: one entry per executed cell, and why there are no more, if so."""

    cells: dict[int, dict]
    ended: str = ""


def run(cells: list[dict], limits: Limits, hidden: Path, unsafe: bool = False) -> Answer:
    """Execute `cells` ({"source", "test"}) in a new sandbox that cannot see the folder `hidden`, and wait.

    `unsafe`: a plain process instead, which can see and do what the teacher can.
    """
    with tempfile.TemporaryDirectory(prefix="course-grade-") as scratch:
        command = python() if unsafe else [*bubblewrap(hidden), *python()]
        core = None if unsafe or _cores.empty() else _cores.get()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
            env=environment(scratch if unsafe else "/tmp"),
            start_new_session=True,  # Ctrl-C is for `course grade`, not for the submissions
        )
        _live.add(process)
        try:
            answer = Answer({}) if stopping.is_set() else _talk(process, job(cells, limits, core, unsafe), limits)
            if stopping.is_set():
                raise InterruptedError("stopped by hand")
            return answer
        finally:
            _end(process)
            _live.discard(process)
            if core is not None:
                _cores.put(core)


def stop_all() -> None:
    """End every sandbox that is running; none of their answers counts."""
    stopping.set()
    for process in list(_live):
        _end(process)


def job(cells: list[dict], limits: Limits, core: int | None, unsafe: bool) -> bytes:
    """What `runner` reads."""
    size = int(limits.gigabytes * 1e9)
    resources = {"DATA": size, "NPROC": limits.processes, "FSIZE": size // 8, "CORE": 0}
    as_root = hasattr(os, "getuid") and os.getuid() == 0
    return json.dumps({
        "cells": cells,
        "seconds": limits.seconds,
        "keep": limits.keep,
        "limits": {} if unsafe else resources,
        "user": 10**6 + secrets.randbelow(10**9) if as_root and not unsafe else 0,  # who owns nothing else
        "core": core,
    }).encode()  # fmt: skip


def python() -> list[str]:
    return [sys.executable, "-m", "course_lib.grading.runner"]


def environment(home: str) -> dict[str, str]:
    """The environment variables of a submission: none of the teacher's."""
    windows = {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    here = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]), "PYTHONPATH": str(ROOT)}
    place = {"HOME": home, "USER": "student", "LANG": "C.UTF-8", "COURSE_DATA": str(data_folder())}
    return {**windows, **threads, **here, **place, "NBGRADER_EXECUTION": "autograde", "PYTHONDONTWRITEBYTECODE": "1"}


def bubblewrap(hidden: Path) -> list[str]:
    """The command that makes the sandbox: it starts out empty, and gets what Python and the course need, to read."""
    root = os.getuid() == 0  # then bwrap needs no user namespace, and `runner` changes the user
    spaces = ["ipc", "pid", "net", "uts", "cgroup-try"] + ([] if root else ["user"])
    command = ["bwrap", *(f"--unshare-{space}" for space in spaces), "--die-with-parent", "--new-session", "--as-pid-1"]
    command += ["--cap-drop", "ALL", *(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else [])]
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    wanted = [*SYSTEM, *SETTINGS, sys.prefix, sys.base_prefix, *packages, sysconfig.get_path("stdlib")]
    places = {Path(path): "--ro-bind-try" for path in wanted}
    places |= {ROOT: "--tmpfs", hidden: "--tmpfs", Path("/tmp"): "--tmpfs"}
    places |= dict.fromkeys([ROOT / "course_lib", ROOT / "data", data_folder()], "--ro-bind-try")
    for path, how in sorted(places.items(), key=lambda place: len(place[0].parts)):  # a folder before what is in it
        for parent in reversed(path.parents[:-1]):  # of the teacher's home folder, say, which may be closed to others
            command += ["--perms", "0755", "--dir", str(parent)]
        if how == "--tmpfs":
            size = ["--size", str(256 << 20), "--perms", "1777"] if str(path) == "/tmp" else []
            command += [*size, "--tmpfs", str(path)]
        else:
            command += [how, str(path), str(path)]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(64 << 20), "--perms", "1777", "--tmpfs", "/dev/shm"]
    closed = [ROOT, hidden, Path("/dev"), Path("/")]
    return [*command, *(x for path in closed for x in ("--remount-ro", str(path))), "--chdir", "/tmp", "--"]


@cache
def why_not() -> str:
    """Why there can be no sandbox on this machine; empty if there can."""
    if not sys.platform.startswith("linux"):
        return "bubblewrap exists for Linux only"
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (on Debian and Ubuntu: sudo apt install bubblewrap)"
    answer = run([{"source": "6 * 7", "test": None}], Limits(), ROOT / "classroom")
    if answer.cells.get(0, {}).get("ok"):
        return ""
    tried = subprocess.run([*bubblewrap(ROOT / "classroom"), sys.executable, "-c", "import course_lib.grading.runner"],
                           capture_output=True, text=True, env=environment("/tmp"))  # fmt: skip
    said = tried.stderr.strip().splitlines() or [answer.ended or "no kernel starts in it"]
    return f"bubblewrap does not work here: {said[-1]}"


def _talk(process: subprocess.Popen, job: bytes, limits: Limits) -> Answer:
    """Hand over the job, gather the answer line by line, and watch over time, memory and size."""
    answer, done = Answer({}), threading.Event()
    room = 20 * limits.keep + 20_000_000

    def gather() -> None:
        try:
            size = 0
            while (line := process.stdout.readline(room)) and (size := size + len(line)) < room:
                entry = json.loads(line)
                if entry["cell"] is None:
                    return
                answer.cells[entry["cell"]] = entry
            answer.ended = answer.ended or "its sandbox came to an early end"
        except ValueError:  # half a line
            answer.ended = "its sandbox came to an early end"
        finally:
            done.set()

    reader = threading.Thread(target=gather, daemon=True)
    reader.start()
    try:
        process.stdin.write(job)
        process.stdin.close()
    except OSError:
        pass  # it has ended already; there will be no answer
    deadline = time.monotonic() + limits.whole
    while not done.wait(0.1):
        if time.monotonic() > deadline:
            answer.ended = f"all cells together took longer than {limits.whole:.0f} s"
        elif memory(process.pid) > limits.gigabytes * 1e9 + OWN:
            answer.ended = f"its processes took more than {limits.gigabytes:g} GB of memory together"
        if answer.ended:
            break
    _end(process)
    reader.join(5)
    return answer


def memory(pid: int) -> int:
    """Bytes that a process and all that it started hold; what they share counts once."""
    total = 0
    try:
        family = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0
    for process in family:
        try:
            total += getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
        except psutil.Error:  # it has just ended, or may not be looked into
            continue
    return total


def _end(process: subprocess.Popen) -> None:
    """End a sandbox, and a plain process with all that it started."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.Error:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.Error:
            continue
    process.wait()
