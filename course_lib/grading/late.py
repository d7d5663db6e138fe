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
        entry = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get(name) or {} if path.exists() else {}
        unknown = set(entry) - set(Rule.__dataclass_fields__)
        if unknown:
            raise ValueError(f"{min(unknown)!r} is unknown; expected {', '.join(Rule.__dataclass_fields__)}")
        for key in "lose_per_day", "lose_at_most":
            if not 0 <= float(entry.get(key, 0)) <= 100:
                raise ValueError(f"{key} is {entry[key]}: expected a percentage, 0 to 100")
        extra = {str(student): float(days) for student, days in (entry.get("extra_days") or {}).items()}
        return Rule(**{**entry, "due": _utc(entry.get("due")), "extra_days": extra})
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        raise GradingError(f"{path}: {name}: {' '.join(str(error).split())}") from error


def _utc(due: str | datetime | None) -> datetime | None:
    if due is None:
        return None
    time = datetime.fromisoformat(str(due).replace(" +", "+").replace(" -", "-"))
    if time.tzinfo is None:
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
