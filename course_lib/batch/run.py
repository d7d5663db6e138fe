"""Run lessons with papermill, one kernel each, and keep what came of it: notebooks, results, errors."""

import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from course_lib.batch import report
from course_lib.batch.execute import execute
from course_lib.batch.parameters import RunError
from course_lib.batch.plan import Job
from course_lib.batch.provenance import provenance
from course_lib.paths import ROOT


def new_folder(output: Path | None, profile: str) -> Path:
    """A new folder for one run: `output`, or runs/<profile>-<time> in the repository.

    Raises RunError where it cannot be written to, or holds files of an earlier run.
    """
    folder = output or ROOT / "runs" / f"{Path(profile).resolve().name}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        if output is None:
            folder = _claim(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RunError(f"{folder}: holds files already; each run needs a new folder")
        tempfile.TemporaryFile(dir=folder).close()  # says now what a first result would say after minutes
    except OSError as error:
        raise RunError(f"{folder}: cannot write there ({error.strerror}); name another folder") from error
    return folder.resolve()


def _claim(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3, … that did not exist: runs may start in the same second."""
    for n in itertools.count(1):
        try:
            path = folder if n == 1 else folder.with_name(f"{folder.name}-{n}")
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue


def run(jobs: Sequence[Job], folder: Path, say: Callable[[str], None] = print, progress: bool = True) -> list[dict]:
    """Run `jobs` one after the other, each kernel working in `folder`, and return one row per lesson.

    A row holds lesson, status ("ok", "failed" or "interrupted"), seconds, peak_mb (the most memory that the
    kernel and its children held, in 10^6 bytes), profile, parameters, results, error, the executed notebook,
    versions and machine. The notebooks in `folder` are saved after every cell, and every second while one prints;
    the rows so far are in results.json and results.csv. A failed lesson does not stop the others; Ctrl-C does.
    Not for two threads at once: it sets the environment variable COURSE_RESULTS, which kernels inherit.
    """
    rows = []
    for number, job in enumerate(jobs, start=1):
        notebook = folder / f"{job.lesson}.ipynb"
        bar = {"desc": f"[{number}/{len(jobs)}] {job.lesson}"} if progress else False
        with _environment(COURSE_RESULTS=str(folder / "results")):
            outcome = execute(job.notebook, notebook, job.given, bar)
        rows.append(report.row(job, outcome, str(notebook), provenance()))
        try:
            report.save(rows, folder)
        except OSError as problem:  # a full disk, or results.csv open in another program
            say(f"cannot write the results to {folder}: {problem.strerror or problem}; they are still in the notebooks")
        if outcome.error:
            say(f"{job.lesson} {outcome.status}: {outcome.error}\n  {notebook}")
        if outcome.status == "interrupted":
            break
    return rows


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Environment variables as given inside the `with`, as before after it; kernels inherit them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
