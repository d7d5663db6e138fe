"""One call of attention over a rolling cache, read and measured part by part."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_lib.checks.case import Case

NAME = "rolling_attention"


class Call:
    """One call: the cases and numbers of the output and of the three parts of the cache."""

    def __init__(self, answer: Callable, query: Any, key: Any, value: Any, slope: float, cache: tuple, about: str):
        query, key, value = (torch.as_tensor(each, dtype=torch.float32) for each in (query, key, value))
        shown = f"{NAME}(query, key, value, slope={slope:.4g}, cache), w = {len(cache[0])}, n = {cache[2]}, {about}"
        case = Case(answer, NAME, query, key, value, slope, cache, shown=shown)
        if isinstance(case.value, list | tuple) and len(case.value) == 4:
            case.fail("The cache is one thing: end with `return output, (keys, values, n)`.", case.value)
        self.case, after = case.parts("output", "cache")
        if not isinstance(after.value, list | tuple) or len(after.value) != 3:
            after.fail("The cache cannot be read: it is a triple, (keys, values, n).", after.value)
        self.output = self.case.numbers(*value.shape, hint="One row for each query, as wide as the values: (T, d_v).")
        fixed = "The buffers keep their w places, however many tokens come."
        self.cases = dict(zip(("keys", "values", "n"), after.parts("keys", "values", "n"), strict=True))
        self.keys = self.cases["keys"].numbers(*cache[0].shape, hint=fixed)
        self.values = self.cases["values"].numbers(*cache[1].shape, hint=fixed)
        self.n = self.cases["n"].numbers(hint="n is one number, how many tokens were read.")

    def cache(self) -> tuple[torch.Tensor, torch.Tensor, int]:
        keys, values = (torch.tensor(each, dtype=torch.float32) for each in (self.keys, self.values))
        return keys, values, int(self.n)


def empty(window: int, d_k: int, d_v: int, fill: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, int]:
    return torch.full((window, d_k), fill), torch.full((window, d_v), fill), 0


def first(case: Case, got: Any, expected: Any, otherwise: str) -> None:
    """As `case.compare`, but only the first row that differs is shown."""
    for number, (one, right) in enumerate(zip(np.asarray(got, float), np.asarray(expected, float), strict=True)):
        case.compare(one, right, otherwise, part=f"row {number}")
