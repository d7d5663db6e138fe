"""Problem set 1 through nbgrader: cut the student copy, hand in, grade. In folders of its own."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from ps1_variants import EXERCISES
from ps1_variants.source import NAME, SOURCE, cell, notebook, region
from ps1_variants.table import GRADED
from traitlets.config import Config

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")]

IMPORTS = """
from course_lib.checks import *
from course_lib.checks.ps1_counting import *
from course_lib.lm import *
from course_lib.ngram import *
from course_lib.ngram.smoothing import *
"""
MANUAL = "question_choosing"


class Round:
    """A class in a folder: `hand_in` a notebook, `marks` of it after grading."""

    def __init__(self, folder):
        self.folder, config = folder, Config()
        config.CourseDirectory.root = str(folder)
        config.CourseDirectory.source_directory = str(SOURCE.parent.parent)
        config.CourseDirectory.course_id = "test"
        self.api = NbGraderAPI(config=config)
        made = self.api.generate_assignment(NAME)
        assert made["success"], made["log"]
        self.release = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", as_version=4)

    def marks(self, student, submission):
        """{grade_id: marks} of the tests that nbgrader grades itself."""
        path = self.folder / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(submission, path)
        graded = self.api.autograde(NAME, student)
        assert graded["success"], graded["log"]
        with Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}") as book:
            (of_set,) = book.find_submission(NAME, student).notebooks
            return {grade.name: grade.auto_score for grade in of_set.grades if grade.name != MANUAL}

    def executed(self, student):
        return nbformat.read(self.folder / "autograded" / student / NAME / f"{NAME}.ipynb", as_version=4)

    def with_answers(self, answers):
        """The student copy with the code of some answers: {function name: whole cell}."""
        submission = nbformat.from_dict(self.release)
        for each in submission.cells:
            each.source = answers.get(each.metadata.get("nbgrader", {}).get("grade_id"), each.source)
        return submission


@pytest.fixture(scope="module")
def grading(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        beside_python = str(Path(sys.executable).parent)  # nbgrader calls `alembic` by its name
        patch.setenv("PATH", beside_python + os.pathsep + os.environ["PATH"])
        yield Round(tmp_path_factory.mktemp("class"))


@pytest.fixture(scope="module")
def full(grading):
    return grading.marks("full", notebook())


@pytest.fixture(scope="module")
def untouched(grading):
    return grading.marks("untouched", grading.release)


def points():
    cells = [each.metadata.get("nbgrader", {}) for each in notebook().cells]
    return {each["grade_id"]: each["points"] for each in cells if each.get("grade") and each["grade_id"] != MANUAL}


def test_source_as_submission_gets_full_marks(full):
    assert full == points() and sum(full.values()) == 17


def test_untouched_release_gets_nothing(untouched):
    assert untouched == dict.fromkeys(points(), 0)


NOISY = """
def mixture_perplexity(p, q, weight):
    import sys, warnings

    warnings.warn("mixing")
    print("mixing", file=sys.stderr)
    return np.exp(-np.log(weight * p + (1 - weight) * q).mean())
"""


def test_each_wrong_answer_loses_its_own_marks_and_noise_costs_none(grading):
    wrong = {
        "mixture_perplexity": NOISY,
        "witten_bell": "def witten_bell(ids, V):\n    return np.full((V, V), 1 / V)",
        "smoothed_gradient": "def smoothed_gradient(logits, targets, u, epsilon):\n    return 0 * logits",
    }
    answers = {name: cell(name).source for name in (*GRADED, "bigram_probabilities", "mean_cross_entropy")}
    marks = grading.marks("wrong", grading.with_answers(answers | wrong))
    assert marks == points() | {"check_witten_bell": 0, "check_smoothed_gradient": 0}


def test_importing_an_answer_scores_0(grading):
    imported = {name: f"{IMPORTS}\nfrom course_lib.ngram import {name}" for name in GRADED}
    assert set(grading.marks("importer", grading.with_answers(imported)).values()) == {0}
    renamed = {
        "witten_bell": "from course_lib.ngram import modified_kneser_ney as witten_bell",
        "mixture_perplexity": "from course_lib.lm import evaluate as mixture_perplexity",
        "draw_min_p": "from course_lib.lm import next_token_probabilities as draw_min_p",
        "smoothed_gradient": "from course_lib.checks.ps1_counting import check_smoothed_gradient as smoothed_gradient",
        "line_search": "from course_lib.checks.ps1_counting import check_line_search as line_search",
    }
    assert set(grading.marks("renamer", grading.with_answers(renamed)).values()) == {0}


def test_answers_to_the_visible_cases_only_score_0(grading):
    """Written down from the check's messages: right there, and nothing else."""
    known = "import numpy as np\n\n\ndef mixture_perplexity(p, q, weight):\n"
    known += "    return {1: 8, 2: 4 if q[0] == 0 else 8, 3: 8, 3000: 100}.get(len(p), 1)"
    marks = grading.marks("parrot", grading.with_answers({"mixture_perplexity": known}))
    assert set(marks.values()) == {0}
    outputs = [
        o for each in grading.executed("parrot").cells if each.id == "check-mixture-perplexity" for o in each.outputs
    ]
    assert "all checks passed" in outputs[0].text, "the visible check alone would have passed"


# The student copy


def test_the_release_holds_nothing_that_only_the_teacher_should_see(grading):
    text = nbformat.writes(grading.release)
    for word in ("BEGIN", "END SOLUTION", "HIDDEN", "hidden_test", "class_seed", "One mark for each part"):
        assert word not in text
    visible = {line.strip() for each in grading.release.cells for line in each.source.split("\n")}
    secret = [region(kind, each.source) for each in notebook().cells for kind in ("SOLUTION", "HIDDEN TESTS")]
    lines = {line.strip() for part in secret for line in part.split("\n")}
    outside = {line.strip() for each in notebook().cells for line in
               re.sub(r"### BEGIN.*?### END", "", each.source, flags=re.DOTALL).split("\n")}  # fmt: skip
    assert len(lines) > 100
    assert not {line for line in lines & visible - outside if len(line) > 6}
    for each in grading.release.cells:
        assert not each.get("outputs") and not each.get("execution_count")
        assert set(each.metadata) <= {"nbgrader", "deletable", "editable"}


def test_the_release_is_ready_to_work_in(grading):
    ids = {each.id for each in notebook().cells}
    assert {each.id for each in grading.release.cells} == ids, "no cell got lost"
    stubs = [each for each in grading.release.cells if each.metadata.get("nbgrader", {}).get("solution")]
    assert len(stubs) == len(EXERCISES) + 1
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
            assert all(output.get("name") == "stdout" for output in each.outputs), each.outputs
            seen[each.id[-1]] = "".join(output.text for output in each.outputs)
    shown = {each.id[-1]: re.search(r"```\n(.*?)```", each.source, re.DOTALL).group(1)
             for each in notebook().cells if each.id.startswith("see-")}  # fmt: skip
    assert seen == shown and len(shown) == len(EXERCISES)


def test_a_failing_check_is_short_to_read(grading, untouched):
    checks = [each for each in grading.executed("untouched").cells if each.id.startswith("check-")]
    for each in checks:
        (error,) = [output for output in each.outputs if output.output_type == "error"]
        assert error.ename == "CheckFailed" and len(error.traceback) == 1
        assert "There is no answer yet" in error.traceback[0] and error.traceback[0].count("\n") <= 2
