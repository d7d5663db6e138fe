"""Exercise 7: the gradient of a smoothed cross-entropy. Logits are 0 at first, so that p is known without a softmax."""

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, passed

NAME = "smoothed_gradient"


def check_smoothed_gradient(answer: Callable) -> None:
    """The answer: logits (B, V), targets (B,), u (V,), epsilon → gradient of the loss in each logit (B, V)."""
    not_smoothed(answer)
    smoothed(answer)
    batch(answer)
    other_logits(answer)
    large_logits(answer)
    any_logits(answer)
    passed(NAME)


def gradient(answer: Callable, logits: list, targets: list[int], u: list, epsilon: float) -> tuple[Case, np.ndarray]:
    tensors = torch.tensor(logits), torch.tensor(targets), torch.tensor(u)
    case = Case(answer, NAME, *tensors, epsilon)
    return case, case.numbers(*tensors[0].shape, hint="One number for each logit.")


def not_smoothed(answer: Callable) -> None:
    case, got = gradient(answer, [[0.0, 0.0]], [0], [0.9, 0.1], 0.0)
    suspects = [
        ([[0.5, -0.5]], "The sign is wrong: the gradient points to where the loss grows, p − t."),
        ([[0.5, 0.5]], "This is p alone: subtract the target distribution t."),
        ([[-0.5, 0]], "Every logit has a gradient, not only the target's: p − t in every column."),
        ([[-2, 0]], "This is the gradient with respect to p; go on to the logits by the chain rule: p − t."),
        ([[0, 1]], "softmax runs over the wrong axis: it belongs over the columns of a row (dim=1 or dim=-1)."),
        ([[-1, 0]], "p is missing: the gradient is p − t."),
        ([[-0.4, 0.4]], "(1 − ε) belongs to the target and ε to u; you have them swapped."),
        ([[-0.25, 0.25]], "Divide by the batch size B = 1 only, not by the vocabulary size."),
        ([[-1.4, 0.4]], "u must be weighed with ε: t = (1 − ε) · one-hot + ε u."),
    ]  # fmt: skip
    case.compare(got, [[-0.5, 0.5]], "Without smoothing t = (1, 0), and p = (1/2, 1/2): p − t.", suspects)


def smoothed(answer: Callable) -> None:
    """t = 0.6 · (1, 0) + 0.4 · (0.9, 0.1) = (0.96, 0.04)."""
    case, got = gradient(answer, [[0.0, 0.0]], [0], [0.9, 0.1], 0.4)
    suspects = [
        ([[-0.5, 0.5]], "ε is not used: t = (1 − ε) · one-hot + ε u."),
        ([[-0.44, 0.44]], "(1 − ε) belongs to the target and ε to u; you have them swapped."),
        ([[-0.3, 0.3]], "What is taken goes to the tokens in proportion to u, not equally."),
        ([[-0.86, 0.46]], "t adds up to more than 1: the target keeps only 1 − ε."),
        ([[-1, 0.4]], "t adds up to more than 1: u must be weighed with ε."),
        ([[0.14, 0.46]], "The target's own part, 1 − ε, is missing in t."),
        ([[-0.1, 0.1]], "u gives to every token, the target included: t = (1 − ε) · one-hot + ε u."),
        ([[-0.3, 0.5]], "The smoothing is missing in the other columns: t = (1 − ε) · one-hot + ε u."),
    ]
    case.compare(got, [[-0.46, 0.46]], "t = 0.6 · (1, 0) + 0.4 · (0.9, 0.1) = (0.96, 0.04): p − t.", suspects)


def batch(answer: Callable) -> None:
    """B = 3 and V = 2: an average over the wrong one shows."""
    case, got = gradient(answer, [[0.0, 0.0]] * 3, [0, 1, 1], [0.9, 0.1], 0.0)
    p_minus_t = np.array([[-0.5, 0.5], [0.5, -0.5], [0.5, -0.5]])
    suspects = [
        (p_minus_t, "The loss is a mean over the batch: divide by B."),
        (p_minus_t / 2, "The loss is a mean over the batch: divide by B = 3, not by V = 2."),
        (p_minus_t / 6, "The loss is a mean over the batch: divide by B, not by B · V."),
        (p_minus_t / 3 - 1 / 18, "softmax runs over the wrong axis: each row of p must add up to 1."),
    ]
    case.compare(got, p_minus_t / 3, "Each row is p − t, divided by B = 3.", suspects)


def other_logits(answer: Callable) -> None:
    """softmax(0, ln 3) = (1/4, 3/4)."""
    case, got = gradient(answer, [[0.0, math.log(3)]], [0], [0.9, 0.1], 0.0)
    suspects = [
        ([[-1, math.log(3)]], "These are logits minus t: p is the softmax of the logits."),
        ([[math.log(1 / 4) - 1, math.log(3 / 4)]], "This is ln p − t: the gradient is p − t."),
        ([[-0.5, 0.75]], "p is the softmax of the row, not the sigmoid of each logit."),
        ([[-0.5, 0.5]], "p does not depend on your logits: it is the softmax of the row."),
    ]
    case.compare(got, [[-0.75, 0.75]], "p = (1/4, 3/4) and t = (1, 0): p − t.", suspects)


def large_logits(answer: Callable) -> None:
    case, got = gradient(answer, [[1000.0, 0.0]], [1], [0.5, 0.5], 0.0)
    case.compare(got, [[1, -1]], "exp(1000) overflows: subtract the row's largest logit before exp.")
    case, got = gradient(answer, [[0.0, 0.0], [1000.0, 1000.0]], [0, 0], [0.5, 0.5], 0.0)
    own = "exp(−1000) is 0 in every column of row 0: subtract each row's own largest logit, not that of all rows."
    case.compare(got, [[-0.25, 0.25]] * 2, own)


def any_logits(answer: Callable) -> None:
    """What must hold for any logits: adding a number to a row changes nothing, and a row adds up to 0."""
    rng = np.random.default_rng(4)
    logits, u = rng.normal(size=(4, 6)).astype(np.float32), rng.dirichlet(np.ones(6)).astype(np.float32)
    case, got = gradient(answer, logits.tolist(), [5, 0, 2, 2], u.tolist(), 0.3)
    case.compare(got.sum(1), np.zeros(4), "Each row must add up to 0, since p and t both add up to 1.", part="row sums")
    _, moved = gradient(answer, (logits + 5).tolist(), [5, 0, 2, 2], u.tolist(), 0.3)
    case.compare(moved, got, "The same number added to all logits of a row must change nothing.")
    _, alone = gradient(answer, logits[:1].tolist(), [5], u.tolist(), 0.3)
    case.compare(got[:1] * 4, alone, "A row must not depend on the other rows of the batch, but for the factor 1/B.")
