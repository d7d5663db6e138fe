"""A problem set: its source notebook, its exercises, and submissions that must not get marks."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import nbformat

from course_lib.paths import NOTEBOOKS
from variants.registry import Exercise


def region(kind: str, text: str) -> str:
    """The lines between ### BEGIN `kind` and ### END `kind`, all such regions together."""
    return "\n".join(re.findall(rf"### BEGIN {kind}\n(.*?)\n *### END {kind}", text, re.DOTALL))


@dataclass
class ProblemSet:
    """The exercises with code in the order of the notebook; submissions are {function name: whole cell}.

    noisy: right answers that warn and write. wrong: answers that must lose their own marks and no others.
    cheats: {student: submission} that get nothing; parrots: which of their answers pass the visible check.
    """

    name: str
    exercises: list[Exercise]
    noisy: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    cheats: dict[str, dict[str, str]] = field(default_factory=dict)
    parrots: dict[str, str] = field(default_factory=dict)  # {student: function name}

    @property
    def source(self):
        return NOTEBOOKS / "assignments" / self.name / f"{self.name}.ipynb"

    @cached_property
    def notebook(self) -> nbformat.NotebookNode:
        return nbformat.read(self.source, as_version=4)

    def cell(self, grade_id: str) -> nbformat.NotebookNode:
        (found,) = [c for c in self.notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id]
        return found

    @cached_property
    def points(self) -> dict[str, int]:
        """{grade_id: points} of the tests that nbgrader grades itself."""
        cells = [each.metadata.get("nbgrader", {}) for each in self.notebook.cells]
        return {each["grade_id"]: each["points"] for each in cells if each.get("grade") and not each["solution"]}

    @cached_property
    def question(self) -> nbformat.NotebookNode:
        """The cell of the question that is answered in words."""
        (found,) = [c for c in self.notebook.cells if c.cell_type == "markdown" and "nbgrader" in c.metadata]
        return found

    @cached_property
    def graded(self) -> list[Exercise]:
        return [each for each in self.exercises if f"check_{each.name}" in self.points]

    def run_hidden_test(self, name: str, answer: Callable) -> None:
        """The hidden test of exercise `name` on an answer, without the visible check; raises what the test raises."""
        exec(region("HIDDEN TESTS", self.cell(f"check_{name}").source), {name: answer})
