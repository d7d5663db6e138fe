"""Min-p sampling from logits. Logits are logarithms of whole numbers, so that p is known without a softmax."""

from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, Suspect, close

NAME = "min_p_probabilities"
COUNTS = np.array([4.0, 2, 16, 8, 2])  # p = 1/8, 1/16, 1/2, 1/4, 1/16


def check_min_p_probabilities(answer: Callable) -> None:
    """The answer: logits (B, V), temperature, min_p → p (B, V).

    Nguyen et al. 2024, section 3.
    """
    floor(answer)
    temperature(answer)
    rows(answer)
    ends(answer)
    large_logits(answer)
    any_logits(answer)
    print(f"{NAME}: all checks passed")


def probabilities(answer: Callable, counts: list, temperature: float, min_p: float) -> tuple[Case, np.ndarray]:
    """Rows of p for logits ln counts."""
    counts = np.array(counts, float)
    text = "; ".join(", ".join(f"{count:g}" for count in row) for row in counts)
    shown = f"{NAME}(logits, temperature={temperature}, min_p={min_p}), logits = ln of ({text})"
    case = Case(answer, NAME, torch.tensor(counts, dtype=torch.float32).log(), temperature, min_p, shown=shown)
    return case, case.numbers(*counts.shape, hint="A probability for each token in each row: (B, V).")


def share(*counts: float) -> list[list[float]]:
    return [[count / sum(counts) for count in counts]]


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


def floor(answer: Callable) -> None:
    """The largest p is 1/2, the floor 0.2 · 1/2 = 0.1: 1/8 stays, 1/16 goes."""
    case, got = probabilities(answer, [COUNTS], 1.0, 0.2)
    p = COUNTS / 32
    suspects: list[Suspect] = [
        (lambda got: np.isnan(got).any(), "0/0: no token is left. The most probable token of a row always stays."),
        (lambda got: (got < 0).any(), "Return probabilities, not logits or logarithms of p."),
        ([p], "Nothing is removed: the floor is min_p times the largest p of the row, here 0.2 · 1/2 = 0.1."),
        ([[1 / 8, 0, 1 / 2, 1 / 4, 0]], "What is left must add up to 1 again: divide by its sum."),
        (share(0, 0, 2, 1, 0), "The floor is min_p times the largest p, here 0.2 · 1/2; it is not min_p itself."),
        (share(0, 1, 0, 0, 1), "You keep what is below the floor: turn the comparison round."),
        (share(4, 1, 16, 8, 1), "The logit of a removed token becomes −∞, not 0: e⁰ = 1 still counts."),
        (share(1, 0, 1, 1, 0), "The kept tokens keep their proportions; you make them equally probable."),
        ([softmax(np.array([1 / 8, 0, 1 / 2, 1 / 4, 0]))], "p is no logit: rescale it by its sum, not by a softmax."),
        ([softmax(np.array([1 / 8, -np.inf, 1 / 2, 1 / 4, -np.inf]))],
         "p is no logit: rescale it by its sum, not by a softmax."),
        (share(16, 8, 4, 0, 0), "p stands in sorted order; put each number back to the place of its token."),
        (share(0, 0, 1, 0, 0), "Only the most probable token is left: every token with p ≥ 0.2 · 1/2 stays."),
        (lambda got: close(got, [[1 / 5] * 5]) or close(got, [[1] * 5]),
         "The softmax runs over the rows of the batch; it belongs over the tokens of one row (dim=-1)."),
    ]  # fmt: skip
    case.compare(got, share(4, 0, 16, 8, 0), "p is 1/8, 1/16, 1/2, 1/4, 1/16; the floor is 0.2 · 1/2 = 0.1.", suspects)


def temperature(answer: Callable) -> None:
    """T = 1/2 squares the numbers, T = 2 takes their roots."""
    case, got = probabilities(answer, [COUNTS], 0.5, 0.2)
    roots = np.sqrt(COUNTS)
    suspects = [
        (share(4, 0, 16, 8, 0), "The temperature has no effect: it divides the logits, before the softmax."),
        ([roots / roots.sum()], "You multiply the logits by the temperature; divide."),
        (share(16, 0, 256, 64, 0), "The temperature comes first: the floor looks at the p that it leaves."),
        ([COUNTS**2 / 344], "The floor gets lost: it is min_p times the largest p after the temperature."),
        ([[16 / 344, 0, 256 / 344, 64 / 344, 0]], "What is left must add up to 1 again: divide by its sum."),
    ]
    otherwise = "T = 1/2 squares: p is as 16 : 4 : 256 : 64 : 4, and the floor as 0.2 · 256 = 51.2."
    case.compare(got, share(0, 0, 4, 1, 0), otherwise, suspects)
    case, got = probabilities(answer, [COUNTS], 2.0, 0.2)
    suspects = [
        (share(2, 0, 4, roots[3], 0), "The temperature comes first: the floor looks at the p that it leaves."),
    ]
    otherwise = "T = 2 takes roots: the largest is 4, the floor as 0.2 · 4 = 0.8, and no token lies below."
    case.compare(got, [roots / roots.sum()], otherwise, suspects)


def rows(answer: Callable) -> None:
    """The largest p is 1/2 in row 0 and 1/4 in row 1."""
    case, got = probabilities(answer, [COUNTS, [3, 4, 5, 4, 4]], 1.0, 0.7)
    own = "Each row has a floor of its own: take the largest p of each row, not that of the whole batch."
    suspects: list[Suspect] = [
        (lambda got: np.isnan(got[1]).any() or not got[1].any(), own),
        (lambda got: abs(got.sum() - 1) < 1e-4, "Each row adds up to 1 by itself; you divide by the sum of the batch."),
        (lambda got: close(got[1], [0.15, 0.2, 0.25, 0.2, 0.2]), own),
        (lambda got: close(got[0], share(0, 0, 2, 1, 0)[0]), own),
    ]
    expected = share(0, 0, 1, 0, 0) + share(0, 4, 5, 4, 4)
    case.compare(got, expected, "The floors are 0.7 · 1/2 = 0.35 in row 0 and 0.7 · 1/4 = 0.175 in row 1.", suspects)


def ends(answer: Callable) -> None:
    """min_p = 0 removes nothing; min_p = 1 leaves the largest p alone, all of them if there are several."""
    case, got = probabilities(answer, [[1, 2, 5, 0]], 1.0, 0.0)
    suspects: list[Suspect] = [
        (lambda got: np.isnan(got).any(), "A logit of −∞ is a probability of 0; something made ∞ − ∞ or 0 · ∞ of it."),
    ]
    case.compare(got, share(1, 2, 5, 0), "With min_p = 0 nothing is removed, and a logit of −∞ gives 0.", suspects)
    case, got = probabilities(answer, [[1, 5, 5, 2]], 0.5, 1.0)
    suspects = [
        (lambda got: not np.isfinite(got).all() or not got.any(), "A token on the floor stays: p ≥ floor, not >."),
        (share(0, 1, 0, 0), "Two tokens share the largest p: both stay, p ≥ floor."),
    ]
    case.compare(got, share(0, 1, 1, 0), "With min_p = 1 only the tokens of the largest p stay.", suspects)


def large_logits(answer: Callable) -> None:
    """Halves and quarters, so that float32 divides them without rounding."""
    kept = 1 / (1 + np.exp(-2))
    for logits in ([1000.0, 999.5, 0.0], [-1000.0, -1000.5, -2000.0]):
        case = Case(answer, NAME, torch.tensor([logits]), 0.25, 0.1)
        got = case.numbers(1, 3)
        nan: Suspect = (
            lambda got: not np.isfinite(got).all() or not got.any(),
            "exp overflows, or all of it is 0: subtract the largest logit of the row first, or use PyTorch's softmax.",
        )
        case.compare(got, [[kept, 1 - kept, 0]], "Divided by 0.25, the first two logits differ by 2.", [nan])


def any_logits(answer: Callable) -> None:
    logits = 3 * torch.randn(4, 30, generator=torch.Generator().manual_seed(5))
    shown = f"{NAME}(logits, temperature=1.5, min_p=0.15), random logits (4, 30)"
    case = Case(answer, NAME, logits, 1.5, 0.15, shown=shown)
    got = case.numbers(4, 30)
    case.compare(got.sum(1), np.ones(4), "Each row adds up to 1.", part="sums of the rows")
    shifted = Case(answer, NAME, logits + 7, 1.5, 0.15, shown=shown + " + 7").numbers(4, 30)
    otherwise = "The same number added to all logits changes no p: the floor is compared with p, not with logits."
    case.compare(shifted.max(1), got.max(1), otherwise, part="with 7 added to all logits: the largest p of each row")
    order = torch.randperm(30, generator=torch.Generator().manual_seed(6))
    moved = Case(answer, NAME, logits[:, order], 1.5, 0.15, shown=shown + ", columns moved")
    otherwise = "If tokens change places, their probabilities go with them; yours depend on the place."
    moved.compare(moved.numbers(4, 30)[0], got[0][order], otherwise, part="row 0")
    doubled = Case(answer, NAME, 2 * logits, 3.0, 0.15, shown=f"{NAME}(2 · logits, temperature=3.0, min_p=0.15)")
    otherwise = "Twice the logits at twice the temperature give the same p: the temperature divides the logits."
    doubled.compare(doubled.numbers(4, 30)[0], got[0], otherwise, part="row 0")
