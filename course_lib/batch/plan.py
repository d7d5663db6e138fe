"""What to run: names of lessons and a profile become jobs, all checked before the first kernel starts."""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.batch.parameters import Parameters, RunError, near, read_profile
from course_lib.paths import NOTEBOOKS, RUNS
from course_lib.paths import lessons as lessons_in


@dataclass(frozen=True)
class Job:
    """One notebook to run: `given` are the values to inject, `parameters` all it will run with; `name` tells it from
    the others of its run, and names its files."""

    notebook: Path
    profile: str
    given: dict[str, object]
    parameters: dict[str, object]
    name: str

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
    .ipynb. A profile is the name of a folder in <notebooks>/profiles, or a path: a flat <lesson>.yaml in it overrides
    the notebook's defaults, which are the profile "cpu". `texts` (name → value as text) override both; every lesson
    must know each. Raises RunError.
    """
    files = find_lessons(lessons, notebooks)
    folder = _folder(profile, files, notebooks)
    jobs = []
    for file in files:
        declared = Parameters(file)
        given = _values(declared, folder) | declared.parse(texts or {}, "-p")
        jobs.append(Job(file, Path(profile).resolve().name, given, declared.defaults | given, file.stem))
    return jobs


def plan_sweep(lesson: str, grid: Mapping[str, str], profile: str = "cpu", notebooks: Path = NOTEBOOKS) -> list[Job]:
    """As `plan`, for one lesson: a job for each combination of the values in `grid` (name → values as text, like
    "1e-3,3e-3" or "0..4"; `Parameters.parse_many`), the last name's changing fastest. Raises RunError."""
    (file,) = find_lessons([lesson], notebooks)
    declared = Parameters(file)
    always = _values(declared, _folder(profile, [file], notebooks))
    values = {name: declared.parse_many(name, text, "-p") for name, text in grid.items()}
    jobs = []
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        given = always | chosen
        varied = {name: value for name, value in chosen.items() if len(values[name]) > 1}
        name = _file_name(file.stem, varied, given)
        jobs.append(Job(file, Path(profile).resolve().name, given, declared.defaults | given, name))
    return jobs


def _file_name(stem: str, varied: Mapping[str, object], given: Mapping[str, object]) -> str:
    """What tells a run from others, for a reader, and a digest of all its values, for certain."""
    digest = hashlib.sha256(json.dumps(dict(sorted(given.items()))).encode()).hexdigest()[:8]
    readable = ",".join(f"{name}={value}" for name, value in varied.items())
    return "-".join(filter(None, (stem, re.sub(r"[^\w=.,+-]", "_", readable)[:100], digest)))


def _folder(profile: str, files: Sequence[Path], notebooks: Path) -> Path | None:
    known = {file.stem for file in (*lessons_in(notebooks), *_runs_in(notebooks), *files)}
    return find_profile(profile, known, notebooks)


def _values(declared: Parameters, folder: Path | None) -> dict[str, object]:
    """What a profile says of a lesson."""
    file = folder / f"{declared.notebook.stem}.yaml" if folder else None
    return declared.check(read_profile(file), str(file)) if file and file.is_file() else {}


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
