"""Feedback: one HTML page per submission, made anew when its marks or comments changed."""

import hashlib
import json

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
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
    made = 0
    for student in students:
        stamp = room.folder / "feedback" / student / name / ".marks"
        state = hashlib.sha256(f"{fingerprints[student]}{marks[student]}".encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == state:
            continue
        directory = room.course_directory(name, student_id=student)
        converter = GenerateFeedback(coursedir=directory, config=directory.config, exporter_class=HTMLExporter)
        converter.preprocessors = [hide, ClearHiddenTests, GetGrades]
        converter.force = True
        converter.start()
        write_whole(stamp, state.encode())
        made += 1
    return made


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
         sorted((grade.name, grade.score) for grade in notebook.grades),
         sorted((comment.name, comment.comment) for comment in notebook.comments)]
        for notebook in submission.notebooks
    ])  # fmt: skip
