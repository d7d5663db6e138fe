"""What came out: marks as CSV, their histogram, and the exercises that most got wrong."""

import csv
import io
import math
import statistics
from pathlib import Path

import matplotlib.pyplot as plt
from nbgrader.api import Gradebook
from tabulate import tabulate

from course_lib.atomic import write_whole
from course_lib.grading.autograde import read_record
from course_lib.grading.classroom import Classroom


def table(room: Classroom, name: str) -> list[dict]:
    """One row per graded submission: the points of each graded cell, the mark, and what happened."""
    rows, here = [], set(room.students(name))  # who has withdrawn, or was renamed, is still in the gradebook
    with Gradebook(room.db_url) as book:
        for submission in sorted(book.assignment_submissions(name), key=lambda s: s.student_id):
            record = read_record(room, name, submission.student_id)
            if not record or submission.student_id not in here:
                continue
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            penalty = submission.late_submission_penalty or 0.0
            rows.append({
                "student": submission.student_id,
                **{grade.name: grade.score for grade in sorted(grades, key=lambda grade: grade.cell.name)},
                "points": submission.score,
                "late_penalty": round(penalty, 2),
                "mark": round(max(0.0, submission.score - penalty), 2),
                "most": submission.max_score,
                "hours_late": round(submission.total_seconds_late / 3600, 1),
                "to_mark_by_hand": sum(grade.needs_manual_grade for grade in grades),
                "what_happened": "; ".join(record["notes"]),
                "worth_a_look": " ".join(record["look"]),
            })  # fmt: skip
    return rows


def hardest(room: Classroom, name: str) -> list[dict]:
    """Graded cells, the one that lost most first: mean share of its points, and how many got all and none. Without
    those of which some are still to be marked by hand."""
    shares: dict[str, list[float]] = {}
    here, waiting = set(room.students(name)), set()
    with Gradebook(room.db_url) as book:
        for submission in (s for s in book.assignment_submissions(name) if s.student_id in here):
            for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
                if grade.needs_manual_grade:
                    waiting.add(grade.name)
                if grade.max_score:
                    shares.setdefault(grade.name, []).append(grade.score / grade.max_score)
    shares = {exercise: found for exercise, found in shares.items() if exercise not in waiting}
    return [
        {
            "exercise": exercise,
            "mean": f"{statistics.mean(found):.0%}",
            "all points": sum(share >= 1 for share in found),
            "none": sum(share == 0 for share in found),
        }
        for exercise, found in sorted(shares.items(), key=lambda item: (statistics.mean(item[1]), item[0]))
    ]


def write(room: Classroom, name: str) -> tuple[Path, str]:
    """Write marks/<set>.csv and marks/<set>.png; returns the path of the first, and a summary to print."""
    rows, folder = table(room, name), room.folder / "marks"
    folder.mkdir(exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["student"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: safe(value) for key, value in row.items()} for row in rows)
    path = folder / f"{name}.csv"
    write_whole(path, text.getvalue().encode())
    if not rows:
        return path, "No submission is graded."
    marks, most = [row["mark"] for row in rows], rows[0]["most"]
    write_whole(folder / f"{name}.png", picture(name, marks, most))
    waiting = sum(bool(row["to_mark_by_hand"]) for row in rows)
    spread = f"{min(marks):g} to {max(marks):g} of {most:g} points, median {statistics.median(marks):g}"
    said = [f"{len(rows)} submissions, {spread}", bars(marks, most), tabulate(hardest(room, name), headers="keys")]
    if waiting:
        said.append(
            f"To be marked by hand: {waiting} submissions; until then such answers keep what they had, 0 at first."
        )
    return path, "\n\n".join(said)


def safe(value):
    """A cell of the CSV that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@" and value else value


def groups(marks: list[float], most: float) -> list[tuple[str, int]]:
    """About ten equal groups of whole points from 0 to `most`: (label, how many). The last includes `most`."""
    width = max(1, math.ceil(most / 10))
    counts = [0] * max(1, math.ceil(most / width))
    for mark in marks:
        counts[min(int(mark / width + 1e-9), len(counts) - 1)] += 1
    return [(f"{i * width}–{(i + 1) * width}", count) for i, count in enumerate(counts)]


def bars(marks: list[float], most: float) -> str:
    """The histogram as text."""
    found = groups(marks, most)
    scale = min(1, 50 / max(count for _, count in found))
    return "\n".join(f"{label:>12} {'█' * round(count * scale)} {count}" for label, count in found)


def picture(name: str, marks: list[float], most: float) -> bytes:
    """The histogram as a PNG."""
    labels, counts = zip(*groups(marks, most), strict=True)
    figure = plt.figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(labels, counts)
    axes.set(title=f"{name}: {len(marks)} submissions", xlabel="points", ylabel="submissions")
    axes.yaxis.get_major_locator().set_params(integer=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    plt.close(figure)
    return buffer.getvalue()
