"""README, CONTRIBUTING and data cards say what is true of the repository they stand in."""

import re
from pathlib import Path

import pytest

from course_lib import data
from course_lib.batch.plan import find_profile
from course_lib.outputs import FIGURES, figures
from course_lib.paths import NOTEBOOKS, ROOT, RUNS, lessons

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md", ROOT / "docs" / "teaching.md"]
LESSONS = lessons()
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@every_document
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert links and not missing


@every_document
def test_make_targets_that_are_named_exist(document):
    named = set(
        re.findall(
            r"`?make ([a-z][a-z-]*)",
            " ".join(re.findall(r"`[^`]*`|^make .*$", document.read_text(encoding="utf-8"), re.M)),
        )
    )
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert named and named <= targets


def test_the_map_of_lessons_has_every_lesson():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = (NOTEBOOKS / "00_start_here.ipynb").read_text(encoding="utf-8")
    for lesson in LESSONS:
        assert f"(notebooks/{lesson.name})" in readme
        here = re.search(r"class ([L\d,]+) lesson", start).group(1).split(",")
        assert f"L{lesson.stem[:2]}" in here


def test_pictures_are_those_of_the_lessons():
    """`make outputs` writes them; nothing else is there."""
    expected = {f"{name}.png": png for lesson in LESSONS for name, png in figures(lesson).items()}
    assert {path.name: path.read_bytes() for path in FIGURES.glob("*")} == expected
    shown = re.findall(r"docs/figures/([\w-]+\.png)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown and set(shown) <= set(expected)


def test_every_data_set_has_a_card():
    cards = re.findall(r"^### (.*)$", (ROOT / "data" / "README.md").read_text(encoding="utf-8"), re.M)
    assert {name for card in cards for name in card.split(", ")} >= {s.name for s in data.datasets()}


@pytest.mark.parametrize("profile", ["smoke", "gpu"])
def test_profiles_are_there(profile):
    known = {path.stem for path in (*LESSONS, *(NOTEBOOKS / RUNS).glob("*.ipynb"))}
    assert find_profile(profile, known) == (NOTEBOOKS / "profiles" / profile).resolve()


def test_python_files_stay_small():
    """A reader should be able to keep a library file in the head."""
    long = {path.name: n for path in Path(ROOT / "course_lib").rglob("*.py")
            if (n := len(path.read_text(encoding="utf-8").splitlines())) > 250}  # fmt: skip
    assert not long
