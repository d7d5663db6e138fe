"""What a learner has passed is kept on this computer, by checks that ran in a notebook, and by nothing else."""

import datetime

import pytest
from command import course
from variants.sets import SETS

from course_lib import progress
from course_lib.checks import CheckFailed, case
from course_lib.checks.catalog import checks_by_set
from course_lib.paths import NOTEBOOKS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.setattr(case, "get_ipython", lambda: "a notebook")
    return tmp_path / "progress"


@pytest.mark.parametrize("exercise", [e for ps in SETS for e in ps.exercises], ids=lambda exercise: exercise.name)
def test_a_right_answer_is_remembered_and_a_wrong_one_is_not(folder, exercise):
    wrong, _ = next(iter(exercise.bugs.values()))
    with pytest.raises(CheckFailed):
        exercise.check(wrong)
    assert not folder.exists()
    exercise.check(next(iter(exercise.correct.values())))
    assert [path.name for path in folder.iterdir()] == [exercise.name]
    assert progress.day_passed(exercise.name) == str(datetime.date.today())


def test_course_progress_shows_every_check_and_what_is_passed(folder):
    case.passed("witten_bell")
    said = course("progress").stdout
    for name, checks in checks_by_set().items():
        assert f"{name}: {int(name == 'ps1_counting')} of {len(checks)}" in said
        assert all(check in said for check in checks)
    assert f"✓ witten_bell                 {datetime.date.today()}" in said
    assert said.count("✓") == 1 and str(folder) in said


def test_the_checks_of_every_problem_set_are_known():
    sets = checks_by_set()
    assert set(sets) == {path.name for path in (NOTEBOOKS / "assignments").iterdir() if path.is_dir()}
    names = [name for checks in sets.values() for name in checks]
    assert len(set(names)) == len(names) >= 28


def test_outside_of_a_notebook_nothing_is_kept(folder, monkeypatch):
    monkeypatch.setattr(case, "get_ipython", lambda: None)
    case.passed("witten_bell")
    assert not folder.exists()


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", "")
    monkeypatch.setattr(case, "get_ipython", lambda: "a notebook")
    case.passed("witten_bell")
    assert progress.progress_folder() is None and progress.day_passed("witten_bell") is None
    assert "COURSE_PROGRESS is empty" in course("progress").stdout


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "progress"))
    monkeypatch.setattr(case, "get_ipython", lambda: "a notebook")
    case.passed("witten_bell")
    assert capsys.readouterr().out == "witten_bell: all checks passed\n"
