"""The folder of a sweep: what is finished is on disk at once, whole, and found again by the next call."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout

from course_lib.atomic import write_whole
from course_lib.batch.parameters import RunError
from course_lib.batch.plan import Job
from course_lib.batch.provenance import library_digest
from course_lib.paths import ROOT
from course_lib.results import encode


class Store:
    """`with Store(folder, jobs) as store:` holds a sweep's folder; made if need be, for one driver at a time.

    notebooks/<job>.ipynb are the executed notebooks, rows/<job>.json what came of them; a row is written last, so that
    a run with a row is finished. Runs made by other code (of the notebook or course_lib) never mix: RunError then, and
    where another driver is at work or nothing can be written.
    """

    def __init__(self, folder: Path, jobs: Sequence[Job]):
        self.folder, self.code = folder, code_of(jobs)
        self._lock = FileLock(folder / ".lock", timeout=0)

    def __enter__(self) -> "Store":
        try:
            for part in ("notebooks", "rows"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._claim()
        except Timeout:
            raise RunError(
                f"{self.folder}: another sweep is at work there; wait for it, or name another --output"
            ) from None
        except OSError as error:
            raise RunError(f"{self.folder}: cannot write there ({error.strerror}); name another --output") from error
        return self

    def __exit__(self, *exception) -> None:
        self._lock.release()

    def finished(self, job: Job) -> bool:
        """Whether this run is done, and well."""
        path = self._row(job)
        return path.exists() and json.loads(path.read_text(encoding="utf-8"))["status"] == "ok"

    def keep(self, job: Job, row: dict, notebook: bytes) -> None:
        """Write what came of a run; its row last. May raise OSError: then the run does not count as finished."""
        if notebook:
            write_whole(self.folder / row["notebook"], notebook)
        write_whole(self._row(job), (json.dumps(encode(row), indent=1, allow_nan=False) + "\n").encode())

    def rows(self) -> list[dict]:
        """What came of all runs so far, in the order of their parameters."""
        return _rows(self.folder)

    def _row(self, job: Job) -> Path:
        return self.folder / "rows" / f"{job.name}.json"

    def _claim(self) -> None:
        """Note the code that runs here; refuse a folder whose runs were made by other code, or that is no sweep's."""
        made_by = self.folder / "sweep.json"
        if not made_by.exists():
            strangers = {path.name for path in self.folder.iterdir()} - {"notebooks", "rows", ".lock"}
            if strangers:
                raise RunError(f"{self.folder}: holds other files already ({min(strangers)}); name a new --output")
            write_whole(made_by, json.dumps({"code": self.code}).encode())
        elif json.loads(made_by.read_text(encoding="utf-8"))["code"] != self.code:
            raise RunError(
                f"{self.folder}: its runs were made by another version of the notebook or course_lib; "
                "name a new --output, or delete it"
            )


def read_rows(folder: Path) -> list[dict]:
    """The rows that `course sweep` or `course run` left in a folder; RunError where there are none."""
    rows = _rows(folder)
    if not rows and (folder / "results.json").is_file():
        rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    if not rows:
        raise RunError(f"{folder}: holds no runs; name the folder that `course sweep` or `course run` wrote")
    return rows


def own_folder(jobs: Sequence[Job], grid: Mapping[str, str]) -> Path:
    """Where the same command finds its runs again: in runs/, named by lesson, profile, grid and code."""
    (lesson,), (profile,) = {job.lesson for job in jobs}, {job.profile for job in jobs}
    digest = hashlib.sha256(json.dumps([profile, sorted(grid.items()), code_of(jobs)]).encode()).hexdigest()[:8]
    return ROOT / "runs" / f"{lesson}-{profile}-{digest}"


def code_of(jobs: Sequence[Job]) -> str:
    """A digest of the code that these jobs run: their notebooks' code cells, and course_lib."""
    digest = hashlib.sha256(library_digest().encode())
    for notebook in sorted({job.notebook for job in jobs}):
        for cell in nbformat.read(notebook, as_version=4).cells:
            if cell.cell_type == "code":
                digest.update(cell.source.encode())
    return digest.hexdigest()


def _rows(folder: Path) -> list[dict]:
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in (folder / "rows").glob("*.json")]
    return sorted(rows, key=lambda row: (row["lesson"], [_sortable(value) for value in row["parameters"].values()]))


def _sortable(value: object) -> tuple:
    """Numbers by size, everything else by its text."""
    return (0, value) if isinstance(value, int | float) else (1, str(value))
