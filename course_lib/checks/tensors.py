"""Comparing whole tensors of random numbers, which nobody wants to read in full."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from course_lib.checks.case import Case, Suspect, close


def compare_tensors(
    case: Case, got: Any, expected: Any, otherwise: str, suspects: Iterable[Suspect] = (), part: str = ""
) -> None:
    """As `case.compare`, for got and expected of one shape, but only the first number that differs is shown."""
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    if not close(got, expected):
        says = (sentence for wrong, sentence in suspects if close(got, wrong))
        place = next(each for each in np.ndindex(got.shape) if not close(got[each], expected[each]))
        where = f"the first number that differs, at [{', '.join(map(str, place))}]"
        case.fail(next(says, otherwise), got[place], expected[place], f"{part}{part and ', '}{where}")
