"""What to run: names of lessons and a profile become jobs, all checked before the first kernel starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.batch.parameters import Parameters, RunError, near, read_profile
from course_lib.paths import NOTEBOOKS, RUNS
from course_lib.paths import lessons as lessons_in


@dataclass(frozen=True)
class Job:
    """One notebook to run: `given` are the values to inject, `parameters` all it will run with."""

    notebook: Path
    profile: str
    given: dict[str, object]
    parameters: dict[str, object]

    @property
    def lesson(self) -> str:
        return self.notebook.stem


def plan(
    lessons: Sequence[str] = (),
    profile: str = "cpu",
    texts: Mapping[str, str] | None = None,
    notebooks: Path = NOTEBOOKS,
) -> list[Job]:
    """The jobs for `lessons` (all, in order, where none is named) under `profile`.

    A lesson is a number (`01`), a name (`01_ngram_models`; run notebooks go by name, too: `train_lm`) or the path of an
    .ipynb. A profile is the name of
    a folder in <notebooks>/profiles, or a path: a flat <lesson>.yaml in it overrides the notebook's defaults,
    which are the profile "cpu". `texts` (name → value as text) override both; every lesson must know each.
    Raises RunError.
    """
    files = find_lessons(lessons, notebooks)
    known = {file.stem for file in (*lessons_in(notebooks), *_runs_in(notebooks), *files)}
    folder = find_profile(profile, known, notebooks)
    jobs = []
    for file in files:
        declared = Parameters(file)
        values = folder / f"{file.stem}.yaml" if folder else None
        given = declared.check(read_profile(values), str(values)) if values and values.is_file() else {}
        given |= declared.parse(texts or {}, "-p")
        defaults = {name: default for name, (_, default) in declared.items()}
        jobs.append(Job(file, Path(profile).resolve().name, given, defaults | given))
    return jobs


def find_lessons(lessons: Sequence[str], notebooks: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks that `lessons` name, each once, in that order; every notebook where none is named."""
    every = {file.stem: file.resolve() for file in lessons_in(notebooks)}
    if not every and not lessons:
        raise RunError(f"no lessons in {notebooks}")
    by_name = every | {file.stem: file.resolve() for file in _runs_in(notebooks)}
    found = [_find_lesson(lesson, by_name) for lesson in lessons] or list(every.values())
    found = list(dict.fromkeys(found))
    stems = [file.stem for file in found]
    for stem in stems:
        if stems.count(stem) > 1:
            raise RunError(f"two notebooks are named {stem}; run one of them, or rename it")
    return found


def find_profile(profile: str, known: set[str], notebooks: Path = NOTEBOOKS) -> Path | None:
    """The folder of `profile`; None for "cpu" without one. Each .yaml in it must name a `known` lesson."""
    profiles = notebooks / "profiles"
    folder = next((path for path in (profiles / profile, Path(profile)) if path.is_dir()), None)
    if folder is None:
        if profile == "cpu":
            return None
        names = {path.name for path in profiles.glob("*") if path.is_dir()} | {"cpu"}
        raise RunError(f"no profile {profile!r}; {near(profile, sorted(names))} (a folder's path will do, too)")
    files = sorted(folder.glob("*.y*ml"))
    if not profile or not files:
        raise RunError(f"profile {profile!r}: {folder} holds no .yaml file; name a folder with <lesson>.yaml in it")
    for file in files:
        if file.stem not in known:
            raise RunError(f"{file}: there is no lesson {file.stem!r}; {near(file.stem, sorted(known))}")
        if file.suffix != ".yaml":
            raise RunError(f"{file}: profiles end in .yaml; rename it")
    return folder.resolve()


def _runs_in(notebooks: Path) -> list[Path]:
    return sorted((notebooks / RUNS).glob("*.ipynb"))


def _find_lesson(lesson: str, every: dict[str, Path]) -> Path:
    if lesson.endswith(".ipynb"):
        file = Path(lesson).resolve()
        if not file.is_file():
            beside = [path.stem for path in file.parent.glob("*.ipynb")]
            raise RunError(f"no notebook {lesson}; {near(file.stem, beside)}")
        return file
    found = [file for stem, file in every.items() if lesson == stem or stem.startswith(f"{lesson}_")]
    if len(found) != 1:
        raise RunError(f"no lesson {lesson!r}; {near(lesson, every)}")
    return found[0]
