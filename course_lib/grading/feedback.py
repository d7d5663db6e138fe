"""Feedback: one HTML page per submission, made anew when its marks or comments changed."""

import hashlib
import json
from functools import partial

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import ClearHiddenTests, GetGrades

from course_lib.atomic import write_whole
from course_lib.grading.classroom import Classroom


def write_feedback(room: Classroom, name: str, students: list[str], fingerprints: dict[str, str]) -> int:
    """Write feedback/<student>/<set>/ for those of `students` whose page is missing or old; how many were.

    `fingerprints` tells one submission from the next of the same student. Hidden tests are left out of the pages.
    """
    with Gradebook(room.db_url) as book:
        marks = {student: _marks(book, name, student) for student in students}
        waiting = {student: _waiting(book, name, student) for student in students}
    made = 0
    for student in students:
        stamp = room.folder / "feedback" / student / name / ".marks"
        state = hashlib.sha256(f"{fingerprints[student]}{marks[student]}".encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == state:
            continue
        directory = room.course_directory(name, student_id=student)
        converter = GenerateFeedback(coursedir=directory, config=directory.config, exporter_class=HTMLExporter)
        converter.preprocessors = [partial(say_what_waits, waiting=waiting[student]), hide, ClearHiddenTests, GetGrades]
        converter.force = True
        converter.start()
        write_whole(stamp, state.encode())
        made += 1
    return made


def say_what_waits(nb: NotebookNode, resources: dict, waiting: float) -> tuple[NotebookNode, dict]:
    """Tell the reader that `waiting` points are still to be given by hand."""
    if waiting:
        text = f"**Not marked yet:** answers in words, {waiting:g} points. They count 0 until they are."
        nb.cells.insert(0, new_markdown_cell(text))
    return nb, resources


def hide(nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
    """Of an error in a cell with hidden tests only the last line stays, as the others quote the tests."""
    for cell in nb.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and "BEGIN HIDDEN TESTS" in cell.source:
                output.traceback = [f"{output.ename}: {output.evalue}"]
    return nb, resources


def _marks(book: Gradebook, name: str, student: str) -> str:
    """Everything of a submission that its page shows and a teacher can change."""
    submission = book.find_submission(name, student)
    return json.dumps([
        [notebook.late_submission_penalty,
         sorted((grade.name, grade.score, grade.needs_manual_grade) for grade in notebook.grades),
         sorted((comment.name, comment.comment) for comment in notebook.comments)]
        for notebook in submission.notebooks
    ])  # fmt: skip


def _waiting(book: Gradebook, name: str, student: str) -> float:
    """Points of a submission that nobody has given or refused yet."""
    notebooks = book.find_submission(name, student).notebooks
    return sum(grade.max_score for notebook in notebooks for grade in notebook.grades if grade.needs_manual_grade)
