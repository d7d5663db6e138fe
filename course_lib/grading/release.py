"""`course release`: nbgrader cuts the student copy of a problem set from its source."""

import hashlib
import logging
import threading
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import GenerateAssignment

from course_lib.atomic import write_whole
from course_lib.grading.classroom import Classroom, GradingError


def release(room: Classroom, name: str) -> Path:
    """Cut the student copy of problem set `name` into the class folder's release/ and note its tests in the gradebook.

    Returns the folder of the copy. Raises GradingError where nbgrader finds the source at fault.
    """
    source = room.source(name)
    room.open()
    directory = room.course_directory(name)
    converter = GenerateAssignment(coursedir=directory, config=directory.config, force=True)
    with Errors() as errors:
        try:
            converter.start()
        except Exception as error:
            reason = errors.last or str(error)
            raise GradingError(f"{source}: nbgrader cannot cut the student copy: {reason}") from error
    stamp = _stamp(room, name)
    stamp.parent.mkdir(exist_ok=True)
    write_whole(stamp, digest(source).encode())
    return room.folder / "release" / name


def ensure_released(room: Classroom, name: str) -> bool:
    """Release `name` unless its copy was cut from the source as it is now; returns whether it had to be."""
    stamp = _stamp(room, name)
    if stamp.exists() and stamp.read_text() == digest(room.source(name)) and _known(room, name):
        return False
    release(room, name)
    return True


def digest(folder: Path) -> str:
    """What the files in `folder` hold, as one number; any change changes it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and ".ipynb_checkpoints" not in path.parts)
    content = b"".join(str(path.relative_to(folder)).encode() + hashlib.sha256(path.read_bytes()).digest()
                       for path in paths)  # fmt: skip
    return hashlib.sha256(content).hexdigest()


def _stamp(room: Classroom, name: str) -> Path:
    """Where it is noted from which source the student copy was cut."""
    return room.folder / "records" / f"{name}.source"


def _known(room: Classroom, name: str) -> bool:
    with Gradebook(room.db_url) as book:
        try:
            return bool(book.find_assignment(name).notebooks)
        except MissingEntry:
            return False


class Errors(logging.Handler):
    """`with Errors() as errors:` keeps the errors that nbgrader logs in this thread; `errors.last` is the last line."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.lines += [line for line in record.getMessage().splitlines() if line.strip()]

    @property
    def last(self) -> str:
        errors = [line for line in self.lines if "Error" in line.split(":")[0]]
        return (errors or self.lines or [""])[-1].strip()

    def __enter__(self) -> "Errors":
        logging.getLogger("traitlets").addHandler(self)
        return self

    def __exit__(self, *exception) -> None:
        logging.getLogger("traitlets").removeHandler(self)
