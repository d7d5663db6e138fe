"""The class folder: where nbgrader, the formgrader page and `course grade` find everything of one class."""

import os
import sysconfig
import warnings
from dataclasses import dataclass
from pathlib import Path

from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from course_lib.atomic import write_whole
from course_lib.paths import NOTEBOOKS, ROOT

ASSIGNMENTS = NOTEBOOKS / "assignments"
warnings.filterwarnings("ignore", category=SAWarning, module="nbgrader")  # about how nbgrader makes a submission

# nbgrader's own commands and the formgrader page, started in the class folder, read this file.
NBGRADER_CONFIG = """\
# Written by `course release`: nbgrader's commands and the formgrader page work in this folder, and execute
# submissions in the sandbox. To mark a class use `course grade`: it also mends and checks submissions.
from pathlib import Path

from course_lib.grading.classroom import configure

configure(get_config(), Path(__file__).parent)  # noqa: F821
"""


class GradingError(ValueError):
    """Something that the teacher asked for cannot be done: one sentence that says what to do."""


@dataclass(frozen=True)
class Classroom:
    """A class folder: source/ (own sets, if any), release/, submitted/<student>/<set>/, autograded/, feedback/,
    records/ (what was graded, and how it went), marks/, gradebook.db, dates.yaml, secret."""

    folder: Path

    @property
    def db_url(self) -> str:
        return f"sqlite:///{self.folder / 'gradebook.db'}"

    def open(self) -> None:
        """Make the folder, if there is none. Raises GradingError where that is not possible."""
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)  # marks are nobody else's business
            (self.folder / "submitted").mkdir(exist_ok=True)
            if not (self.folder / "nbgrader_config.py").exists():
                write_whole(self.folder / "nbgrader_config.py", NBGRADER_CONFIG.encode())
        except OSError as error:
            raise GradingError(f"{self.folder}: cannot write there ({error.strerror}); name another folder") from error
        # nbgrader makes a gradebook with the command `alembic`, which stands beside Python.
        os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])

    def source(self, name: str) -> Path:
        """The folder of a problem set: the class's own source/<name>, or the course's. Raises GradingError."""
        places = [self.folder / "source", ASSIGNMENTS]
        for place in places:
            if name and (place / name).is_dir() and list((place / name).glob("*.ipynb")):
                return place / name
        sets = sorted({path.parent.name for place in places for path in place.glob("*/*.ipynb")})
        known = f"there is {', '.join(sets)}" if sets else f"there is none in {ASSIGNMENTS}"
        raise GradingError(f"no problem set {name!r}; {known}")

    def students(self, name: str) -> list[str]:
        """Who handed in the problem set, by the name of their folder."""
        return sorted(path.parent.name for path in (self.folder / "submitted").glob(f"*/{name}") if path.is_dir())

    def course_directory(self, name: str, **more) -> CourseDirectory:
        """nbgrader's description of this folder, for one problem set."""
        config = configure(Config(), self.folder)
        config.CourseDirectory.source_directory = str(self.source(name).parent)
        return CourseDirectory(config=config, assignment_id=name, **more)


def classroom(folder: Path | None) -> Classroom:
    """The class folder `folder`, or `classroom/` in the repository, which git ignores."""
    return Classroom((folder or ROOT / "classroom").expanduser().resolve())


def configure(config: Config, folder: Path) -> Config:
    """Set what nbgrader needs to know about the class in `folder`; returns `config`."""
    folder = Path(folder).resolve()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = f"sqlite:///{folder / 'gradebook.db'}"
    config.CourseDirectory.source_directory = str(folder / "source" if (folder / "source").is_dir() else ASSIGNMENTS)
    config.AssignLatePenalties.plugin_class = "course_lib.grading.late.LateRule"
    config.Autograde.autograde_preprocessors = [
        "course_lib.grading.sandboxed.Sandboxed",  # in place of nbgrader's Execute
        "nbconvert.preprocessors.ClearMetadataPreprocessor",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    config.OverwriteCells.add_missing_cells = True
    return config
