"""Locally typical sampling. Probabilities are powers of 1/2, so that each surprisal is a multiple of ln 2."""

from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, Suspect, close, passed

NAME = "typical_probabilities"
COUNTS = [1.0, 4, 1, 8, 1, 1]  # of 16: surprisals of 4, 2, 4, 1, 4, 4 ln 2, and H = 2 ln 2


def check_typical_probabilities(answer: Callable) -> None:
    """The answer: logits (B, V), temperature, mass → p (B, V).

    Meister et al. 2023, "Locally Typical Sampling".
    """
    nearest_first(answer)
    cut(answer)
    equals(answer)
    temperature(answer)
    rows(answer)
    zeros(answer)
    large_logits(answer)
    any_logits(answer)
    passed(NAME)


def probabilities(answer: Callable, counts: list, temperature: float, mass: float) -> tuple[Case, np.ndarray]:
    """Rows of p for logits ln counts."""
    counts = np.array(counts, float)
    text = "; ".join(", ".join(f"{count:g}" for count in row) for row in counts)
    shown = f"{NAME}(logits {counts.shape}, temperature={temperature}, mass={mass}), logits = ln of ({text})"
    case = Case(answer, NAME, torch.tensor(counts, dtype=torch.float32).log(), temperature, mass, shown=shown)
    return case, case.numbers(*counts.shape, hint="A probability for each token in each row: (B, V).")


def share(*counts: float) -> list[list[float]]:
    return [[count / sum(counts) for count in counts]]


def softmax(x: list) -> list[list[float]]:
    return share(*np.exp(x))


def nearest_first(answer: Callable) -> None:
    """The distances from H are 2, 0, 2, 1, 2, 2 ln 2: token 1 holds 1/4, token 3 brings the sum to 3/4."""
    case, got = probabilities(answer, [COUNTS], 1.0, 0.4)
    suspects: list[Suspect] = [
        (lambda got: np.isnan(got).any() or not got.any(), "No token is left: the first one always stays."),
        (lambda got: (got < 0).any(), "Return probabilities, not logits or logarithms of p."),
        (share(*COUNTS), "Nothing is removed: stop as soon as the sum of the tokens nearest to H is at least mass."),
        ([[0, 1 / 4, 0, 1 / 2, 0, 0]], "What is left must add up to 1 again: divide by its sum."),
        (share(0, 0, 0, 1, 0, 0),
         "The most probable token comes first: is H = 2 ln 2 here, and is |−ln p − H| absolute, both terms in nats?"),
        (share(0, 1, 0, 0, 0, 0),
         "Add up p until the sum is at least mass; the token that brings it there is kept, too: 1/4 is less than 0.4."),
        (share(1, 4, 0, 8, 0, 0), "One token too many: 1/4 + 1/2 is at least 0.4 already."),
        (share(1, 4, 1, 0, 1, 0), "The entropy is in bits, the surprisal in nats: use ln for both, H = 2 ln 2."),
        (share(1, 0, 1, 8, 1, 1), "The tokens farthest from H come first: the smallest distance comes first."),
        (share(1, 4, 1, 0, 1, 1),
         "The least probable tokens come first: is H = −Σ p ln p = 2 ln 2 here, and is |−ln p − H| absolute?"),
        (share(4, 8, 0, 0, 0, 0), "p stands in sorted order; put each number back to its token."),
        (lambda got: close(got, share(1, 4, 0, 0, 0, 0)) or close(got, share(1, 0, 1, 0, 0, 0)),
         "These are ranks, not ids: after sorting, go back to the id that stood there (`scatter`)."),
        (share(0, 1, 0, 1, 0, 0), "The kept tokens keep their proportions; you make them equally probable."),
        (softmax([0, 1 / 4, 0, 1 / 2, 0, 0]), "p is no logit: rescale it by its sum, not by a softmax."),
        (softmax([-np.inf, 1 / 4, -np.inf, 1 / 2, -np.inf, -np.inf]),
         "p is no logit: rescale it by its sum, not by a softmax."),
        (lambda got: got.max() - got[got > 0].min() < 1e-6,
         "The softmax runs over the rows of the batch; it belongs over the tokens of one row (dim=-1)."),
    ]  # fmt: skip
    otherwise = "H = 2 ln 2; −ln p is 2 ln 2 for token 1 and ln 2 for token 3: these two come first, and hold 3/4."
    case.compare(got, share(0, 4, 0, 8, 0, 0), otherwise, suspects)


def cut(answer: Callable) -> None:
    case, got = probabilities(answer, [COUNTS], 1.0, 0.2)
    suspects: list[Suspect] = [
        (lambda got: not np.isfinite(got).all() or not got.any(), "No token is left: the first one always stays."),
        (share(0, 4, 0, 8, 0, 0), "The most probable token is not always kept: token 1, nearest to H, is enough."),
    ]
    case.compare(got, share(0, 1, 0, 0, 0, 0), "Token 1 is nearest to H and holds 1/4: it stays alone.", suspects)
    case, got = probabilities(answer, [COUNTS], 1.0, 1.0)
    suspects = [(lambda got: (got == 0).any(), "With mass = 1 every token is needed: none is removed.")]
    case.compare(got, share(*COUNTS), "With mass = 1 nothing changes.", suspects)


def equals(answer: Callable) -> None:
    """Four tokens at the same distance, of which one is needed; then five, of which three are."""
    lower = "Of equal distances the lower id comes first: sort with `stable=True`."
    exactly = "Tokens at the same distance are not kept together: stop as soon as the sum is at least mass."
    case, got = probabilities(answer, [COUNTS], 1.0, 0.8)
    suspects: list[Suspect] = [
        (share(0, 4, 0, 8, 0, 0), "1/4 + 1/2 is less than 0.8: one more token is needed."),
        (share(*COUNTS), exactly),
        (lambda got: (got > 0).sum() == 3, lower),
    ]
    otherwise = "Tokens 1 and 3 hold 3/4; of the four that come next, at one distance, the lowest id is needed."
    case.compare(got, share(1, 4, 0, 8, 0, 0), otherwise, suspects)
    case, got = probabilities(answer, [[3, 3, 3, 3, 3]], 1.0, 0.5)
    suspects = [(share(1, 1, 1, 1, 1), exactly), (lambda got: (got > 0).sum() == 3, lower)]
    otherwise = "All five tokens are as far from H: ids 0, 1 and 2 hold 0.6, at least 0.5."
    case.compare(got, share(1, 1, 1, 0, 0), otherwise, suspects)


def temperature(answer: Callable) -> None:
    """T = 2 takes roots, which leaves 1, 4, 1, 8, 1, 1 of 16."""
    squares = np.square(COUNTS)
    case, got = probabilities(answer, [squares], 2.0, 0.8)
    suspects: list[Suspect] = [
        (share(0, 16, 0, 64, 0, 0), "The temperature has no effect: it divides the logits, before the softmax."),
        (share(0, 0, 0, 1, 0, 0), "You multiply the logits by the temperature; divide."),
        (share(0, 4, 0, 8, 0, 0), "The temperature comes first: the order and the sum look at the p that it leaves."),
        (share(1, 16, 0, 64, 0, 0), "The tokens are found with the temperature, but keep the p that they had before."),
    ]
    otherwise = "T = 2 takes roots: p is as 1 : 4 : 1 : 8 : 1 : 1, and tokens 1, 3 and 0 hold 13/16."
    case.compare(got, share(1, 4, 0, 8, 0, 0), otherwise, suspects)
    case, got = probabilities(answer, [squares], 2.0, 0.4)
    suspects = [(share(0, 0, 0, 1, 0, 0), "H is the entropy after the temperature, as the surprisals are.")]
    otherwise = "T = 2 takes roots: p is as 1 : 4 : 1 : 8 : 1 : 1, and tokens 1 and 3 hold 3/4."
    case.compare(got, share(0, 4, 0, 8, 0, 0), otherwise, suspects)


def rows(answer: Callable) -> None:
    """H is 1.39 in row 0, and 0.91 in row 1, where the most probable token is nearest."""
    case, got = probabilities(answer, [COUNTS, [1, 4, 1, 24, 1, 1]], 1.0, 0.4)
    suspects: list[Suspect] = [
        (lambda got: abs(got.sum() - 1) < 1e-4, "Each row adds up to 1 by itself; you divide by the sum of the batch."),
    ]
    own = "Each row has an entropy, an order and a sum of its own: H is 1.386 in row 0 and 0.909 in row 1."
    case.compare(got, share(0, 4, 0, 8, 0, 0) + share(0, 0, 0, 1, 0, 0), own, suspects)


def zeros(answer: Callable) -> None:
    """Tokens with p = 0: a logit of −∞, or one so low that p is rounded to 0."""
    nothing = "A token with p = 0 adds 0 to the entropy and comes last; in floating point, 0 · ln 0 = 0 · (−∞) is nan."
    case, got = probabilities(answer, [[0, *COUNTS, 0]], 1.0, 0.4)
    case.compare(got, share(0, 0, 4, 0, 8, 0, 0, 0), nothing)
    for low in (-1000.0, -100000.0):
        case = Case(answer, NAME, torch.tensor([[low, 0, np.log(4), 0, np.log(8), 0, 0, low]]), 1.0, 0.4)
        rounded = f"e^{low:g} is rounded to 0: " + nothing[0].lower() + nothing[1:]
        case.compare(case.numbers(1, 8), share(0, 0, 4, 0, 8, 0, 0, 0), rounded)


def large_logits(answer: Callable) -> None:
    """Halves and quarters, so that float32 divides them without rounding."""
    kept = 1 / (1 + np.exp(-2))
    for logits in ([1000.0, 999.5, 0.0], [-1000.0, -1000.5, -2000.0]):
        case = Case(answer, NAME, torch.tensor([logits]), 0.25, 0.95)
        got = case.numbers(1, 3)
        otherwise = "exp overflows, or all of it is 0: subtract the largest logit of the row, or use PyTorch's softmax."
        suspects: list[Suspect] = [(share(1, 0, 0), "Tokens 0 and 1 are needed: token 0 holds 0.881, less than 0.95.")]
        case.compare(got, [[kept, 1 - kept, 0]], otherwise, suspects)


def any_logits(answer: Callable) -> None:
    logits = 2 * torch.randn(4, 30, generator=torch.Generator().manual_seed(5))
    shown = f"{NAME}(logits, temperature=1.5, mass=0.6), random logits (4, 30)"
    case = Case(answer, NAME, logits, 1.5, 0.6, shown=shown)
    got = case.numbers(4, 30)
    case.compare(got.sum(1), np.ones(4), "Each row adds up to 1.", part="sums of the rows")
    shifted = Case(answer, NAME, logits + 7, 1.5, 0.6, shown=shown + " + 7").numbers(4, 30)
    otherwise = "The same number added to all logits changes no p; surprisal is −ln p, not −logit."
    case.compare(shifted.max(1), got.max(1), otherwise, part="with 7 added to all logits: the largest p of each row")
    order = torch.randperm(30, generator=torch.Generator().manual_seed(6))
    moved = Case(answer, NAME, logits[:, order], 1.5, 0.6, shown=shown + ", columns moved")
    otherwise = "If tokens change places, their probabilities go with them; yours depend on the place."
    moved.compare(moved.numbers(4, 30)[0], got[0][order], otherwise, part="row 0")
    doubled = Case(answer, NAME, 2 * logits, 3.0, 0.6, shown=f"{NAME}(2 · logits, temperature=3.0, mass=0.6)")
    otherwise = "Twice the logits at twice the temperature give the same p: the temperature divides the logits."
    doubled.compare(doubled.numbers(4, 30)[0], got[0], otherwise, part="row 0")
