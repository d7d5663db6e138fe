"""Set up the course: make `.venv` beside this file and install the course into it, with all it needs.

`make` calls this before every command. A finished set-up returns at once. An unfinished one (interrupted,
failed, made elsewhere) is made again from the start; pip's cache keeps what was already downloaded.

Environment, each optional and remembered once used:
    PYTHON       the Python to use, as in `make course PYTHON=python3.12`
    TORCH_INDEX  a further package index to take PyTorch from, for a smaller build than Linux's default, which
                 has CUDA, as in `make course TORCH_INDEX=https://download.pytorch.org/whl/cpu`

Standard library only, in syntax that Python 3.8 can read: an old Python must be able to say that it is too old.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "set-up.json"  # written last: says what the finished set-up was made from
LOG = VENV / "pip.log"

OLDEST = (3, 11)
PIP = "pip==26.3"  # reports its progress and resumes broken downloads; the pip inside Python 3.11 does neither
GB_CUDA, GB_CPU = 10, 3  # free disk a set-up takes: .venv and the downloads on their way into it
GB_CACHE = 3  # free disk beyond that from which on pip's cache may keep the downloads


def main() -> None:
    """Make `.venv` ready, or end with one line that says what is wrong and what to do."""
    if is_ready():
        return
    check_python()
    with only_one_at_a_time():
        if is_ready():  # the set-up we waited for did it
            return
        start = time.monotonic()
        only_inputs_changed = is_ready(whatever_the_inputs=True)
        torch_index, cache = os.environ.get("TORCH_INDEX", ""), True
        if only_inputs_changed:
            torch_index = torch_index or read_stamp()["torch_index"]
            print("Bringing .venv up to date.", flush=True)
            STAMP.unlink()
        else:
            cache = check_disk(torch_index)
            print(f"Setting up .venv with Python {version(sys.version_info)}: minutes, but once.", flush=True)
            STAMP.unlink(missing_ok=True)
            make_venv()
        for command in pip_commands(torch_index, cache):
            run_pip(command)
        write_stamp(torch_index)
        print(f"Set-up done in {time.monotonic() - start:.0f} s.", flush=True)


# What a finished set-up was made from


def wanted() -> dict[str, str]:
    """What the stamp of a fitting set-up says; a choice that nobody made this time is not in it."""
    names = "pyproject.toml", "constraints.txt", "bootstrap.py"
    inputs = b"\0".join((ROOT / name).read_bytes() for name in names)
    want = {"folder": str(ROOT), "inputs": hashlib.sha256(inputs).hexdigest()}
    if os.environ.get("PYTHON"):
        want["python"] = version(sys.version_info)
    if os.environ.get("TORCH_INDEX"):
        want["torch_index"] = os.environ["TORCH_INDEX"]
    return want


def is_ready(whatever_the_inputs: bool = False) -> bool:
    """Whether `.venv` is finished, was made for this folder and these choices, and its Python still runs."""
    want, stamp = wanted(), read_stamp()
    if whatever_the_inputs:
        del want["inputs"]
    return want.items() <= stamp.items() and stamp["python"] == venv_version()


def read_stamp() -> dict[str, str]:
    """The stamp, or `{}` when no set-up was finished."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_stamp(torch_index: str) -> None:
    """Say that the set-up is finished and what it was made from."""
    stamp = {**wanted(), "python": venv_version(), "torch_index": torch_index}
    unfinished = STAMP.with_suffix(".tmp")
    unfinished.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    os.replace(unfinished, STAMP)


def version(info: tuple) -> str:
    """Major and minor version as text: what decides whether installed packages fit."""
    return "{}.{}".format(*info)


def venv_version() -> str | None:
    """The version of `.venv`'s Python, or None when it does not run."""
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        return subprocess.check_output([VENV_PYTHON, "-ISc", ask], stderr=subprocess.DEVNULL, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


# What must hold before anything is written


def fail(message: str) -> None:
    """End with one line on stderr and exit code 1."""
    sys.exit(f"Set-up stopped: {message}")


def check_python() -> None:
    """This Python is new enough and can make virtual environments."""
    found = f"Python {version(sys.version_info)} at {sys.executable}"
    if sys.version_info[:2] < OLDEST:
        newer = [name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name)]
        install = "" if newer else "install a newer one and "
        example = f"`make course PYTHON={newer[0] if newer else 'python3.13'}`"
        fail(f"found {found}, but {version(OLDEST)} or newer is needed; {install}repeat as in {example}.")
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        package = f"python{version(sys.version_info)}-venv"
        fail(f"{found} comes without venv or ensurepip; on Debian `sudo apt install {package}`, then repeat.")


def check_disk(torch_index: str) -> bool:
    """There is room for `.venv`; what an old one holds counts as free, as it is cleared first.

    Returns whether there is also room for pip's cache to keep the downloads.
    """
    cuda = sys.platform == "linux" and not torch_index.rstrip("/").endswith("cpu")
    need = GB_CUDA if cuda else GB_CPU
    old = sum(path.lstat().st_size for path in VENV.rglob("*"))
    free = (shutil.disk_usage(VENV if VENV.is_dir() else ROOT).free + old) / 1e9
    if free < need:
        smaller = ", or take PyTorch's small CPU build (TORCH_INDEX, see README.md)," if cuda else ""
        fail(f"{need} GB of free disk are needed at {ROOT}, found {free:.1f}; make room{smaller} and repeat.")
    return free >= need + GB_CACHE


@contextlib.contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Wait for another set-up of this folder, even for the pip of a killed one: it inherits the lock."""
    if fcntl is None:
        yield
        return
    with open(__file__, "rb+") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up of this folder to end.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# The work


def make_venv() -> None:
    """An empty virtual environment in place of whatever `.venv` was."""
    # The base interpreter, as `.venv` may be active: then sys.executable is about to be cleared.
    python = getattr(sys, "_base_executable", None) or sys.executable
    command = [python, "-m", "venv", "--clear", str(VENV)]
    # close_fds=False passes the lock on, here and below.
    made = subprocess.run(command, capture_output=True, text=True, close_fds=False)
    if made.returncode:
        said = (made.stderr or made.stdout).strip().splitlines() or ["no reason"]
        fail(f"`{' '.join(command)}` says: {said[-1]}")


def pip_commands(torch_index: str, cache: bool) -> list[list[str]]:
    """The pip calls of a set-up, in order: pip itself, then the course with its pinned dependencies."""
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    pip += [] if cache else ["--no-cache-dir"]
    index = ["--extra-index-url", torch_index] if torch_index else []
    return [
        [*pip, PIP],
        [*pip, "--progress-bar=raw", *index, "-c", "constraints.txt", "-e", ".[test]"],
    ]


def run_pip(command: list[str]) -> None:
    """Run one pip call and show its big downloads as they come in; all it says goes to `.venv/pip.log`."""
    # Downloads pass through `.venv` itself: a small /tmp, or one in memory, would not hold them.
    passing = VENV / "tmp"
    passing.mkdir(exist_ok=True)
    pip = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(passing), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        close_fds=False,
    )
    show, error = Progress(), ""
    with pip, open(LOG, "a", encoding="utf-8") as log:
        for line in pip.stdout:
            show(line)
            if not line.startswith("Progress "):
                log.write(line)
            if line.startswith("ERROR:"):
                error = line[len("ERROR:") :].strip()
    if pip.returncode:
        fail(f"pip says: {error or f'exit code {pip.returncode}'} (more in {LOG}). Repeat once this is mended.")
    shutil.rmtree(passing)


class Progress:
    """Turns pip's lines into one line for each big download, counting up where somebody watches."""

    def __init__(self) -> None:
        self.download = ""  # the big one under way

    def __call__(self, line: str) -> None:
        """Show what this line of pip's says, if it is worth a reader's time."""
        started = re.match(r"\s*Downloading (?:\S*/)?([^/\s-]+-[^-\s]+)\S* \((\d+)[\d.]* ([MG]B)\)", line)
        step = re.match(r"Progress (\d+) of (\d+)", line)
        if started:
            name, size, unit = started.groups()
            self.download = name if unit == "GB" or int(size) >= 20 else ""
            if self.download:
                print(f"  downloading {name}, {size} {unit}", flush=True)
        elif step and self.download and sys.stdout.isatty():
            done, total = (int(number) // 1_000_000 for number in step.groups())
            print(f"  {done:5} of {total} MB", end="\r", flush=True)
        elif line.startswith("Installing collected packages:") and line.count(","):
            print(f"  unpacking {line.count(',') + 1} packages", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Set-up interrupted; repeat the command to take it up again.")
    except OSError as error:  # a full disk, no right to write
        fail(f"{error}. Repeat once this is mended.")
