"""What the checks say about every variant and every bug, as a table: `cd tests && python -m ps1_variants`."""

import contextlib
import io
from collections.abc import Callable, Iterator

from tabulate import tabulate

from course_lib.checks import CheckFailed
from ps1_variants import EXERCISES
from ps1_variants.source import run_hidden_test

GRADED = ("witten_bell", "mixture_perplexity", "draw_min_p", "smoothed_gradient", "line_search")


def said(check: Callable, answer: Callable) -> str:
    """The first line of the message, or "" if the answer passes."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check(answer)
    except CheckFailed as failure:
        return str(failure).split("\n")[0]
    return ""


def hidden(name: str, answer: Callable) -> str:
    if name not in GRADED:
        return "–"
    try:
        run_hidden_test(name, answer)
    except Exception:
        return "refused"
    return "accepted"


def rows() -> Iterator[tuple[str, str, str, str, str]]:
    for exercise in EXERCISES:
        for what, answer in exercise.correct.items():
            message = said(exercise.check, answer)
            yield exercise.name, "right", what, hidden(exercise.name, answer), message or "passed"
        for what, (answer, phrase) in exercise.bugs.items():
            message = said(exercise.check, answer)
            fits = "" if phrase in message else "WRONG MESSAGE "
            yield exercise.name, "bug", what, hidden(exercise.name, answer), fits + (message or "passed")


def table() -> str:
    widths = [None, None, 40, None, 110]
    return tabulate(rows(), ["exercise", "", "variant", "hidden test", "the check says"], maxcolwidths=widths)
