"""`course grade`: every new or changed submission through nbgrader, sandboxes in parallel, the database in turn."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException

from course_lib.atomic import write_whole
from course_lib.grading import sandbox
from course_lib.grading.classroom import Classroom, GradingError
from course_lib.grading.release import Errors, digest, ensure_released
from course_lib.grading.sandboxed import Sandboxed
from course_lib.grading.secret import class_secret
from course_lib.grading.submissions import MOST, stage
from course_lib.paths import ROOT

_turn = threading.Lock()  # nbgrader's converters write to one database: one at a time


@dataclass(frozen=True)
class Grading:
    """One call of `course grade`: what is graded, and how."""

    room: Classroom
    name: str
    limits: sandbox.Limits = sandbox.Limits()
    unsafe: bool = False

    def run(self, jobs: int, say: Callable[[str], None] = print) -> list[str]:
        """Grade who handed in and is not graded yet, or has changed; returns whose submissions could not be graded.

        Each is recorded as soon as its mark is in the gradebook, so that an interrupted call can be repeated.
        Raises GradingError before any work where there is no sandbox, no problem set or no submission.
        """
        self.check()
        students = self.room.students(self.name)
        if ensure_released(self.room, self.name):
            say(f"{self.name}: the source is new or changed, so the student copy was cut again")
        prints = {student: self.fingerprint(student) for student in students}
        todo = [s for s in students if read_record(self.room, self.name, s).get("fingerprint") != prints[s]]
        if len(todo) < len(students):
            say(f"{len(students) - len(todo)} of {len(students)} submissions are graded already and have not changed")
        failed, here = [], os.getcwd()
        pool = ThreadPoolExecutor(jobs)
        try:
            tasks = {pool.submit(self.one, student, prints[student]): student for student in todo}
            for done, task in enumerate(as_completed(tasks), start=1):
                if problem := task.exception():
                    failed.append(tasks[task])
                line = f"could not be graded: {problem}" if problem else task.result()
                say(f"[{done}/{len(todo)}] {tasks[task]}: {line}")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            sandbox.stop_all()  # after Ctrl-C some are still running
            pool.shutdown()
            sandbox.stopping.clear()
            os.chdir(here)  # nbgrader changes it, and
            os.environ.pop("NBGRADER_EXECUTION", None)
        return failed

    def check(self) -> None:
        """Raise GradingError if this cannot work."""
        self.room.source(self.name)
        students = self.room.students(self.name)
        if not students:
            place = f"{self.room.folder}/submitted/<student>/{self.name}/<notebook>.ipynb"
            raise GradingError(f"nobody has handed in {self.name}: expected {place} (docs/teaching.md)")
        strange = [student for student in students if not re.fullmatch(r"[\w.@-]+", student)]
        if strange:
            raise GradingError(
                f"submitted/{strange[0]}: expected letters, digits and any of . _ - @; rename the folder"
            )
        if not self.unsafe and sandbox.why_not():
            raise GradingError(
                f"no sandbox for submissions: {sandbox.why_not()}. With --unsafe they run without one: "
                "they can then read and change what you can, and reach the network"
            )

    def one(self, student: str, fingerprint: str) -> str:
        """Grade one submission and record it; returns a line about it. Raises GradingError, and records nothing."""
        start = time.monotonic()
        sandboxed = Sandboxed(self.limits, self.unsafe, waiting=_others_turn)
        with tempfile.TemporaryDirectory(prefix="course-grade-") as folder:
            released, into = self.room.folder / "release" / self.name, Path(folder) / student / self.name
            staged = stage(self.submitted(student), released, into)
            sandboxed.notes += staged.notes  # the student reads them, too
            directory = self.room.course_directory(self.name, student_id=student, submitted_directory=folder)
            converter = Autograde(coursedir=directory, config=directory.config, force=True)
            converter.autograde_preprocessors = [sandboxed, *converter.autograde_preprocessors[1:]]
            with _turn, Errors() as errors:
                try:
                    converter.start()
                except NbGraderException as error:
                    raise GradingError(errors.last or str(error)) from error
        notes = sandboxed.notes
        record = {
            "fingerprint": fingerprint,
            "notes": notes,
            "look": sorted(staged.look),
            "seconds": round(time.monotonic() - start, 1),
            "sandbox": not self.unsafe,
        }
        path = record_path(self.room, self.name, student)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(record, indent=1).encode())
        return " · ".join([f"graded in {record['seconds']} s", *notes])

    def submitted(self, student: str) -> Path:
        return self.room.folder / "submitted" / student / self.name

    def fingerprint(self, student: str) -> str:
        """All that the mark depends on, as one number."""
        known = [class_secret(self.room.folder).hex(), digest(self.room.source(self.name)), self.checkers]
        known += [*(f"{limit:g}" for limit in asdict(self.limits).values()), str(self.unsafe)]
        handed_in = [*self.submitted(student).glob("*.ipynb"), self.submitted(student) / "timestamp.txt"]
        for path in sorted(path for path in handed_in if path.is_file()):
            with path.open("rb") as file:
                known += [path.name, hashlib.sha256(file.read(MOST + 1)).hexdigest()]
        return hashlib.sha256("\n".join(known).encode()).hexdigest()

    @property
    def checkers(self) -> str:
        folder = ROOT / "course_lib" / "checks"
        return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()


@contextlib.contextmanager
def _others_turn() -> Iterator[None]:
    """Inside it, other submissions may use the database."""
    _turn.release()
    try:
        yield
    finally:
        _turn.acquire()
        os.environ["NBGRADER_EXECUTION"] = "autograde"  # nbgrader had set it, and takes it away again


def record_path(room: Classroom, name: str, student: str) -> Path:
    return room.folder / "records" / name / f"{student}.json"


def read_record(room: Classroom, name: str, student: str) -> dict:
    """What is known of a graded submission; empty if it is not graded."""
    try:
        return json.loads(record_path(room, name, student).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
