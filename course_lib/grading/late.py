"""Due dates and late rules: dates.yaml of the class folder, applied by nbgrader's own mechanism.

ps1_counting:
  due: 2026-10-15 23:59 +0200
  lose_per_day: 10      # per cent of the mark for each day begun; 0 if left out
  lose_at_most: 50      # per cent; 100 if left out
  extra_days: {maria: 3}
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yaml
from nbformat.v4 import new_notebook
from nbgrader.api import Gradebook
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties

from course_lib.grading.classroom import Classroom, GradingError


@dataclass(frozen=True)
class Rule:
    """When a set is due (UTC, without a zone, as nbgrader keeps it) and what lateness costs."""

    due: datetime | None = None
    lose_per_day: float = 0
    lose_at_most: float = 100
    extra_days: dict[str, float] = field(default_factory=dict)

    def penalty(self, score: float, seconds_late: float) -> float:
        """What a mark of `score` loses."""
        days = math.ceil(seconds_late / 86400)
        return score * min(days * self.lose_per_day, self.lose_at_most) / 100


def read_rule(folder: Path, name: str) -> Rule:
    """The rule for problem set `name` in dates.yaml; none costs nothing. Raises GradingError for what is no rule."""
    path = folder / "dates.yaml"
    try:
        dates = _mapping(yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}, "the file")
        entry = _mapping(dates.get(name), name)
        unknown = set(entry) - set(Rule.__dataclass_fields__)
        if unknown:
            raise ValueError(f"{min(unknown)!r} is unknown; expected {', '.join(Rule.__dataclass_fields__)}")
        extra = _mapping(entry.get("extra_days"), "extra_days")
        return Rule(
            _utc(entry.get("due")),
            _number(entry.get("lose_per_day", 0), "lose_per_day", 100),
            _number(entry.get("lose_at_most", 100), "lose_at_most", 100),
            {str(student): _number(days, f"extra_days of {student}", 1000) for student, days in extra.items()},
        )
    except (yaml.YAMLError, ValueError) as error:
        raise GradingError(f"{path}: {name}: {' '.join(str(error).split())}") from error


def _mapping(value, what: str) -> dict:
    if not isinstance(value or {}, dict):
        raise ValueError(f"{what} is {value!r}: expected lines of `name: value`, as in docs/teaching.md")
    return value or {}


def _number(value, what: str, most: float) -> float:
    """`value` as a number from 0 to `most`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= most:
        raise ValueError(f"{what} is {value!r}: expected a number from 0 to {most:g}")
    return number


def _utc(due: str | datetime | None) -> datetime | None:
    if due is None:
        return None
    try:
        time = datetime.fromisoformat(str(due).replace(" +", "+").replace(" -", "-"))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"due is {due}: expected a time with its zone, like 2026-10-15 23:59 +0200")
    return time.astimezone(UTC).replace(tzinfo=None)


class LateRule(LateSubmissionPlugin):
    """nbgrader's hook: the penalty of one notebook, by dates.yaml beside the gradebook."""

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float:
        folder = Path(self.parent.db_url.removeprefix("sqlite:///")).parent
        return read_rule(folder, self.parent.assignment_id).penalty(score, total_seconds_late)


def apply_dates(room: Classroom, name: str) -> None:
    """Write due date, extensions and penalties of all who handed in `name`, as dates.yaml says today."""
    rule = read_rule(room.folder, name)
    with Gradebook(room.db_url) as book:
        book.update_or_create_assignment(name, duedate=rule.due)
        handed_in = [(s.student_id, [n.name for n in s.notebooks]) for s in book.assignment_submissions(name)]
        for student, _ in handed_in:
            book.grant_extension(name, student, days=rule.extra_days.get(student, 0))
    penalties = AssignLatePenalties(plugin_class=LateRule)
    for student, notebooks in handed_in:
        for notebook in notebooks:
            where = {"student": student, "assignment": name, "notebook": notebook, "db_url": room.db_url}
            penalties.preprocess(new_notebook(), {"nbgrader": where})
