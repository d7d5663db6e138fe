"""Exercise 6: softmax and cross-entropy."""

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, passed

NAME = "mean_cross_entropy"
LN3, LN4 = math.log(3), math.log(4)


def check_mean_cross_entropy(answer: Callable) -> None:
    """The answer: logits (B, V), targets (B,) → mean over the batch of −ln softmax(logits)[target]."""
    one_row(answer)
    batch(answer)
    large_logits(answer)
    any_logits(answer)
    passed(NAME)


def cost(answer: Callable, logits: list, targets: list[int]) -> tuple[Case, float]:
    logits, targets = torch.tensor(logits, dtype=torch.float32), torch.tensor(targets)
    case = Case(answer, NAME, logits, targets)
    return case, float(case.numbers(hint="One number is asked for, the mean over the batch."))


def one_row(answer: Callable) -> None:
    """exp of the logits is as 1 to 3, so p = (1/4, 3/4)."""
    case, got = cost(answer, [[2.0, 2 + LN3]], [0])
    suspects = [
        (-LN4, "The sign is wrong: a surprise is −ln p."),
        (2, "This is in bits: use the natural logarithm."),
        (1 / 4, "This is the probability of the target; the cost is its surprise, −ln p."),
        (-1 / 4, "The logarithm is missing: the cost is −ln p."),
        (-2, "This is the logit itself: apply softmax before the logarithm."),
        (-math.log(2), "This is the logarithm of the logit: apply softmax first."),
        (0, "softmax runs over the wrong axis: it belongs over the columns of a row (dim=1 or dim=-1)."),
        (LN4 - LN3, "This is the cost of the other token: pick the column of the target."),
        (LN4 / 2, "Divide by the batch size B = 1 only, not by the vocabulary size."),
        (LN4 + math.log(4 / 3), "Only the target's column counts: the surprises of the other tokens are not added."),
        (math.log(math.exp(0.25) + math.exp(0.75)) - 0.25, "softmax is applied twice."),
    ]
    case.compare(got, LN4, "softmax(2, 2 + ln 3) = (1/4, 3/4): the target 0 costs ln 4.", suspects)


def batch(answer: Callable) -> None:
    """B = 3 rows, V = 2 columns, so that a softmax over the wrong axis shows."""
    case, got = cost(answer, [[0.0, LN3], [0.0, LN3], [0.0, LN3]], [0, 1, 0])
    total = 2 * LN4 + math.log(4 / 3)
    suspects = [
        (total, "Take the mean over the batch, not the sum."),
        (total / 6, "Divide by the batch size B only, not by B · V."),
        (total / 2, "Divide by the batch size B = 3, not by the vocabulary size V = 2."),
        (LN3, "softmax runs over the wrong axis: each row must add up to 1 (dim=1 or dim=-1)."),
        (LN4, "Only one row, or one target for all rows, is used: each row has a target of its own."),
    ]
    case.compare(got, total / 3, "The rows cost ln 4, ln 4/3 and ln 4: the mean is asked for.", suspects)


def large_logits(answer: Callable) -> None:
    lost = "exp overflows, or p becomes 0: subtract the largest logit, then use ln p = logit − ln Σ exp(logits)."
    for logits, targets, expected in (
        ([[0.0, 1000.0]], [1], 0.0),
        ([[0.0, 1000.0]], [0], 1000.0),
        ([[0.0, 0.0], [1000.0, 1000.0]], [0, 0], math.log(2)),
    ):
        case, got = cost(answer, logits, targets)
        own = " Subtract each row's own largest logit, not that of all rows." if len(logits) == 2 else ""
        case.compare(got, expected, lost + own)


def any_logits(answer: Callable) -> None:
    rng = np.random.default_rng(3)
    logits, targets = 3 * rng.normal(size=(5, 7)), rng.integers(0, 7, 5)
    expected = np.mean([math.log(sum(np.exp(row))) - row[t] for row, t in zip(logits, targets, strict=True)])
    case, got = cost(answer, logits.tolist(), targets.tolist())
    case.compare(got, expected, "The cost is off for random logits, though the small cases are right.")
