"""The whole of `course grade`: grade, apply the dates, write marks and feedback."""

import os
from collections.abc import Callable

from course_lib.grading import marks
from course_lib.grading.autograde import Grading, read_record
from course_lib.grading.classroom import Classroom
from course_lib.grading.feedback import write_feedback
from course_lib.grading.late import apply_dates, read_rule
from course_lib.grading.sandbox import Limits


def grade(
    room: Classroom,
    name: str,
    limits: Limits | None = None,
    unsafe: bool = False,
    jobs: int | None = None,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Grade problem set `name` in the class folder; returns whose submissions could not be graded.

    Raises GradingError, before any work, for what cannot be done.
    """
    rule = read_rule(room.folder, name)
    if (room.folder / "dates.yaml").exists():
        say(f"{name} is due {rule.due:%Y-%m-%d %H:%M} UTC" if rule.due else f"dates.yaml has no due date for {name}")
        if strangers := sorted(set(rule.extra_days) - set(room.students(name))):
            say(f"dates.yaml gives extra days to nobody who handed in: {', '.join(strangers)}")
    if unsafe:
        say("Without a sandbox: submissions can read and change what you can, and reach the network.")
    failed = Grading(room, name, limits or Limits(), unsafe).run(jobs or cores(), say)
    apply_dates(room, name)
    records = {student: read_record(room, name, student) for student in room.students(name)}
    graded = {student: record["fingerprint"] for student, record in records.items() if record}
    pages = write_feedback(room, name, list(graded), graded)
    path, summary = marks.write(room, name)
    say(f"\n{summary}\n")
    say(f"Marks: {path} and {path.with_suffix('.png').name} · feedback: {room.folder / 'feedback'} ({pages} new)")
    if failed:
        say(f"Not graded: {', '.join(failed)}")
    return failed


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
