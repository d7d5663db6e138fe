"""Problem sets through nbgrader: cut the student copy, hand in, grade. In folders of their own."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config
from variants.problem_set import region
from variants.sets import SETS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")]


class Round:
    """A class in a folder that works on one problem set."""

    def __init__(self, problem_set, folder):
        self.set, self.name, self.folder, config = problem_set, problem_set.name, folder, Config()
        config.CourseDirectory.root = str(folder)
        config.CourseDirectory.source_directory = str(problem_set.source.parent.parent)
        config.CourseDirectory.course_id = "test"
        self.api = NbGraderAPI(config=config)
        made = self.api.generate_assignment(self.name)
        assert made["success"], made["log"]
        self.release = nbformat.read(folder / "release" / self.name / f"{self.name}.ipynb", as_version=4)

    def marks(self, student, submission):
        """{grade_id: marks} of the tests that nbgrader grades itself."""
        path = self.folder / "submitted" / student / self.name / f"{self.name}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(submission, path)
        graded = self.api.autograde(self.name, student)
        assert graded["success"], graded["log"]
        with Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}") as book:
            (of_set,) = book.find_submission(self.name, student).notebooks
            return {grade.name: grade.auto_score for grade in of_set.grades if grade.name in self.set.points}

    def executed(self, student):
        return nbformat.read(self.folder / "autograded" / student / self.name / f"{self.name}.ipynb", as_version=4)

    def with_answers(self, answers):
        """The student copy with the code of some answers: {function name: whole cell}."""
        submission = nbformat.from_dict(self.release)
        for each in submission.cells:
            each.source = answers.get(each.metadata.get("nbgrader", {}).get("grade_id"), each.source)
        return submission


@pytest.fixture(scope="module", params=SETS, ids=lambda each: each.name)
def grading(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        beside_python = str(Path(sys.executable).parent)  # nbgrader calls `alembic` by its name
        patch.setenv("PATH", beside_python + os.pathsep + os.environ["PATH"])
        yield Round(request.param, tmp_path_factory.mktemp("class"))


@pytest.fixture(scope="module")
def full(grading):
    return grading.marks("full", grading.set.notebook)


@pytest.fixture(scope="module")
def untouched(grading):
    return grading.marks("untouched", grading.release)


def test_source_as_submission_gets_full_marks(grading, full):
    assert full == grading.set.points
    assert sum(full.values()) == 20 - grading.set.question.metadata.nbgrader.points


def test_untouched_release_gets_nothing(grading, untouched):
    assert untouched == dict.fromkeys(grading.set.points, 0)


def test_each_wrong_answer_loses_its_own_marks_and_noise_costs_none(grading):
    ps = grading.set
    answers = {each.name: ps.cell(each.name).source for each in ps.exercises}
    marks = grading.marks("wrong", grading.with_answers(answers | ps.noisy | ps.wrong))
    assert len(ps.noisy) >= 1 and len(ps.wrong) >= 2
    assert marks == ps.points | {f"check_{name}": 0 for name in ps.wrong}


def test_imported_and_memorised_answers_score_0(grading):
    ps, tried = grading.set, set()
    for student, answers in ps.cheats.items():
        assert set(grading.marks(student, grading.with_answers(answers)).values()) == {0}, student
        tried |= answers.keys()
    assert tried == {each.name for each in ps.graded}
    for student, name in ps.parrots.items():
        cells = [each for each in grading.executed(student).cells if each.id == f"check-{name}".replace("_", "-")]
        outputs = [output for each in cells for output in each.outputs]
        assert "all checks passed" in outputs[0].text, "the visible check alone would have passed"


# The student copy


def test_the_release_holds_nothing_that_only_the_teacher_should_see(grading):
    text = nbformat.writes(grading.release)
    scheme = region("SOLUTION", grading.set.question.source).split("\n")[0]
    for word in ("BEGIN", "END SOLUTION", "HIDDEN", "hidden_test", "class_seed", scheme):
        assert word not in text
    visible = {line.strip() for each in grading.release.cells for line in each.source.split("\n")}
    secret = [region(kind, each.source) for each in grading.set.notebook.cells for kind in ("SOLUTION", "HIDDEN TESTS")]
    lines = {line.strip() for part in secret for line in part.split("\n")}
    outside = {line.strip() for each in grading.set.notebook.cells for line in
               re.sub(r"### BEGIN.*?### END", "", each.source, flags=re.DOTALL).split("\n")}  # fmt: skip
    assert len(lines) > 100
    assert not {line for line in lines & visible - outside if len(line) > 6}
    for each in grading.release.cells:
        assert not each.get("outputs") and not each.get("execution_count")
        assert set(each.metadata) <= {"nbgrader", "deletable", "editable"}


def test_the_release_is_ready_to_work_in(grading):
    ids = {each.id for each in grading.set.notebook.cells}
    assert {each.id for each in grading.release.cells} == ids, "no cell got lost"
    stubs = [each for each in grading.release.cells if each.metadata.get("nbgrader", {}).get("solution")]
    assert len(stubs) == len(grading.set.exercises) + 1
    for each in stubs:
        if each.cell_type == "markdown":
            assert each.source == "YOUR ANSWER HERE"
        else:
            assert each.source.startswith(f"def {each.metadata.nbgrader.grade_id}(")
            assert each.source.endswith("raise NotImplementedError()")
    for each in grading.release.cells:
        if each.cell_type == "code":
            assert sum(map(bool, each.source.split("\n"))) <= 15, each.source
            compile(each.source, each.id, "exec")


def test_what_you_should_see_is_what_the_answers_print(grading, full):
    seen = {}
    for each in grading.executed("full").cells:
        if each.id.startswith("look-"):
            # A slow machine shows a progress bar, too, which is no stream.
            written = [output for output in each.outputs if output.output_type == "stream"]
            assert all(output.name == "stdout" for output in written), each.outputs
            seen[each.id[-1]] = "".join(output.text for output in written)
    shown = {each.id[-1]: re.search(r"```\n(.*?)```", each.source, re.DOTALL).group(1)
             for each in grading.set.notebook.cells if each.id.startswith("see-")}  # fmt: skip
    assert seen == shown and len(shown) == len(grading.set.exercises)


def test_a_failing_check_is_short_to_read(grading, untouched):
    checks = [each for each in grading.executed("untouched").cells if each.id.startswith("check-")]
    for each in checks:
        (error,) = [output for output in each.outputs if output.output_type == "error"]
        assert error.ename == "CheckFailed" and len(error.traceback) == 1
        assert "There is no answer yet" in error.traceback[0] and error.traceback[0].count("\n") <= 2
