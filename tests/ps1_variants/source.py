"""What is in the source notebook of problem set 1."""

import re
from collections.abc import Callable

import nbformat

from course_lib.paths import NOTEBOOKS

NAME = "ps1_counting"
SOURCE = NOTEBOOKS / "assignments" / NAME / f"{NAME}.ipynb"


def notebook() -> nbformat.NotebookNode:
    return nbformat.read(SOURCE, as_version=4)


def cell(grade_id: str) -> nbformat.NotebookNode:
    (found,) = [each for each in notebook().cells if each.metadata.get("nbgrader", {}).get("grade_id") == grade_id]
    return found


def region(kind: str, text: str) -> str:
    """The lines between ### BEGIN `kind` and ### END `kind`, all such regions together."""
    return "\n".join(re.findall(rf"### BEGIN {kind}\n(.*?)\n *### END {kind}", text, re.DOTALL))


def run_hidden_test(name: str, answer: Callable) -> None:
    """The hidden test of exercise `name` on an answer, without the visible check; raises what the test raises."""
    exec(region("HIDDEN TESTS", cell(f"check_{name}").source), {name: answer})
