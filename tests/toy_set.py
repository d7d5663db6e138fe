"""A small problem set, and what students may make of it."""

import copy
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

KERNEL = {"name": "python3", "language": "python", "display_name": "Python 3"}
SET, NOTEBOOK = "toy", "toy.ipynb"

SOLUTIONS = {
    "double": "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION",
    "total": "def total(xs):\n    ### BEGIN SOLUTION\n    return sum(xs)\n    ### END SOLUTION",
}
RIGHT = {"double": "def double(x):\n    return x + x", "total": "def total(xs):\n    return sum(xs)"}
TESTS = {
    "test_double": """\
assert double(1) == 2
### BEGIN HIDDEN TESTS
import random
from course_lib.grading.secret import class_seed
x = random.Random(class_seed()).randrange(10, 10**6)
assert double(x) == x + x, f"double({x})"
### END HIDDEN TESTS""",
    "test_total": """\
assert total([1, 2]) == 3
### BEGIN HIDDEN TESTS
from course_lib.grading.secret import class_seed
assert all(total(range(n)) == n * (n - 1) // 2 for n in (0, 1, 5 + class_seed() % 20))
### END HIDDEN TESTS""",
}
POINTS = {"test_double": 3, "test_total": 4, "why": 2}


def cell(new, source: str, name: str, *, grade=False, solution=False) -> NotebookNode:
    """A cell with nbgrader's metadata."""
    nbgrader = {"grade_id": name, "grade": grade, "solution": solution, "locked": grade and not solution}
    nbgrader |= {"schema_version": 3, "task": False} | ({"points": POINTS[name]} if grade else {})
    made = new(source, metadata={"nbgrader": nbgrader})
    made.id = name
    return made


def write_source(folder: Path) -> Path:
    """<folder>/toy/toy.ipynb: two exercises of 3 and 4 points, and a free-text answer of 2."""
    cells = [v4.new_markdown_cell("# Toy")]
    for exercise, source in SOLUTIONS.items():
        test = f"test_{exercise}"
        cells.append(cell(v4.new_code_cell, source, exercise, solution=True))
        cells.append(cell(v4.new_code_cell, TESTS[test], test, grade=True))
    answer = "=== BEGIN MARK SCHEME ===\nanything\n=== END MARK SCHEME ==="
    cells.append(cell(v4.new_markdown_cell, answer, "why", grade=True, solution=True))
    path = folder / SET / NOTEBOOK
    path.parent.mkdir(parents=True)
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return path


class Student:
    """Hands in: starts from the student copy, and changes it."""

    def __init__(self, room: Path, name: str):
        self.folder = room / "submitted" / name / SET
        self.nb = nbformat.read(room / "release" / SET / NOTEBOOK, as_version=4)

    def __getitem__(self, name: str) -> NotebookNode:
        return next(c for c in self.nb.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)

    def answer(self, **sources: str) -> "Student":
        """Write `sources` into the cells of these names."""
        for name, source in sources.items():
            self[name].source = source
        return self

    def insert(self, source: str, before: str) -> "Student":
        """Add a code cell of one's own before the cell of this name."""
        self.nb.cells.insert(self.nb.cells.index(self[before]), v4.new_code_cell(source))
        return self

    def copy(self, name: str) -> "Student":
        """Copy a cell below itself, metadata and all, as JupyterLab does."""
        twin = copy.deepcopy(self[name])
        twin.id = f"{name}-2"
        self.nb.cells.insert(self.nb.cells.index(self[name]) + 1, twin)
        return self

    def hand_in(self, time: str = "") -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / NOTEBOOK).write_text(json.dumps(self.nb), encoding="utf-8")
        if time:
            (self.folder / "timestamp.txt").write_text(time)
