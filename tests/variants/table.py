"""What the checks say about every variant and every bug, as a table: `cd tests && python -m ps1_variants`."""

import contextlib
import io
from collections.abc import Callable, Iterator

from tabulate import tabulate

from course_lib.checks import CheckFailed
from variants.problem_set import ProblemSet
from variants.registry import Exercise


def said(check: Callable, answer: Callable) -> str:
    """The first line of the message, or "" if the answer passes."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check(answer)
    except CheckFailed as failure:
        return str(failure).split("\n")[0]
    return ""


def hidden(problem_set: ProblemSet, exercise: Exercise, answer: Callable) -> str:
    if exercise not in problem_set.graded:
        return "–"
    try:
        problem_set.run_hidden_test(exercise.name, answer)
    except Exception:
        return "refused"
    return "accepted"


def rows(problem_set: ProblemSet) -> Iterator[tuple[str, str, str, str, str]]:
    for exercise in problem_set.exercises:
        for what, answer in exercise.correct.items():
            message = said(exercise.check, answer)
            yield exercise.name, "right", what, hidden(problem_set, exercise, answer), message or "passed"
        for what, (answer, phrase) in exercise.bugs.items():
            message = said(exercise.check, answer)
            fits = "" if phrase in message else "WRONG MESSAGE "
            yield exercise.name, "bug", what, hidden(problem_set, exercise, answer), fits + (message or "passed")


def table(problem_set: ProblemSet) -> str:
    widths = [None, None, 40, None, 110]
    return tabulate(
        rows(problem_set), ["exercise", "", "variant", "hidden test", "the check says"], maxcolwidths=widths
    )
