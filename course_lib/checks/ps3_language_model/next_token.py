"""Exercise 2: drawing from logits. A grid of u shows the distribution that an answer draws from, and the order."""

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, passed

NAME = "next_token"
N = 200
GRID = [(i + 0.5) / N for i in range(N)]
ONE_ID = "Return one id, a whole number from 0 to V − 1."


def check_next_token(answer: Callable) -> None:
    """The answer: logits (V,), temperature, top_k or None, u in [0, 1) → the id drawn.

    The inverse of the distribution function: the first id whose share, added to those of all ids before it, is above u.
    """
    plain(answer)
    temperature(answer)
    greedy(answer)
    top_k(answer)
    both(answer)
    ends(answer)
    extreme_logits(answer)
    passed(NAME)


def once(answer: Callable, logits: list[float], temperature: float, k: int | None, u: float) -> tuple[Case, np.ndarray]:
    logits = torch.tensor(logits)
    case = Case(answer, NAME, logits, temperature, k, u)
    return case, case.numbers(hint=ONE_ID)


def drawn(answer: Callable, odds: list[float], temperature: float, k: int | None) -> tuple[Case, np.ndarray, list]:
    """The case of one call for each u of the grid, the share of each token, and the ids in the order of u."""
    logits = torch.tensor(odds).log()

    def grid(*settings) -> list | None:
        ids = [answer(logits.clone(), *settings, u) for u in GRID]
        return None if ids[0] is None else ids

    shown = f"{NAME}(logits, {temperature:g}, {k}, u), u = {GRID[0]}, …, {GRID[-1]}; e^logits = {odds}"
    case = Case(grid, NAME, temperature, k, shown=shown)
    got = case.numbers(N, hint=ONE_ID)
    if not np.isin(got, range(len(odds))).all():
        wrong = got[~np.isin(got, range(len(odds)))][0]
        case.fail("What is drawn is an id, a whole number from 0 to V − 1.", wrong, f"one of 0 … {len(odds) - 1}")
    return case, np.bincount(got.astype(int), minlength=len(odds)) / N, got.tolist()


def agree(shares: np.ndarray, p: list[float]) -> bool:
    """Up to the step of the grid: a share may gain or lose one u at either end."""
    return bool((np.abs(shares - np.array(p)) <= 1.5 / N).all())


def judge(case: Case, shares: np.ndarray, p: list[float], otherwise: str, suspects: list) -> None:
    if not agree(shares, p):
        says = (text for wrong, text in suspects if (wrong(shares) if callable(wrong) else agree(shares, wrong)))
        case.fail(next(says, otherwise), shares, np.array(p), "share of the u that give each id")


def plain(answer: Callable) -> None:
    case, shares, ids = drawn(answer, [2.0, 5.0, 3.0], 1.0, None)
    p = np.array([0.2, 0.5, 0.3])
    log_p, e = np.log(p), np.exp(p)
    suspects = [
        ([0, 1, 0], "The most probable token is taken, whatever u is: only temperature 0 is greedy."),
        ([0, 0, 1], "One token is drawn, whatever u is."),
        ([1, 0, 0], "One token is drawn, whatever u is: u must be compared with the sums p_0, p_0 + p_1, … ."),
        ([1 / 3] * 3, "Every token is drawn equally often: softmax of the logits gives their shares."),
        (e / e.sum(), "softmax is done twice."),
        (log_p / log_p.sum(), "These are shares of the logits themselves: softmax makes probabilities of them."),
        ([0.5, 0.3, 0.2], "These are ranks, not ids: after sorting, go back to the id that stood there."),
        ([0.3, 0.5, 0.2], "The shares are those of other ids: take them in the order of the ids, 0 first."),
        ([0, 0.2, 0.8], "Too far by one: p_0 + … + p_i is the sum up to and including i."),
        ([0.7, 0.3, 0], "One too early: the sum p_0 + … + p_i must be above u."),
    ]
    if np.count_nonzero(np.diff(ids)) > 20:
        case.fail("The id jumps to and fro as u grows: u is the random number, do not draw another one.", shares, p)
    judge(case, shares, p, "Ids 0, 1 and 2 have the shares 0.2, 0.5 and 0.3.", suspects)
    if ids != sorted(ids):
        mistake = "The order is another one: small u give id 0, then come 1, 2, … , not the most probable first."
        case.fail(mistake, f"{ids[0]:g} for u = {GRID[0]}, {ids[-1]:g} for u = {GRID[-1]}", "0 and 2")


def temperature(answer: Callable) -> None:
    case, shares, _ = drawn(answer, [1.0, 2.0, 1.0], 0.5, None)
    fixed = "p_i is proportional to e^(logit / temperature): below 1 the large ones gain, 1 : 4 : 1."
    root = math.sqrt(2)
    suspects = [
        ([1 / 4, 1 / 2, 1 / 4], "The temperature is not used, or it divides p and falls out: divide the logits by it."),
        (np.array([1, root, 1]) / (2 + root), "The logits are multiplied by the temperature: divide."),
        ([1 / 2, 1 / 2, 0], "The temperature divides p, after the softmax, so that u never gets to the last ids."),
        ([1 / 16, 1 / 4, 11 / 16], "p^(1/temperature) must be renormalised: it adds up to less than 1."),
        ([11 / 16, 1 / 4, 1 / 16], "p^(1/temperature) must be renormalised: it adds up to less than 1."),
        (lambda s: s[0] == 1 / 16 or s[1] == 1 / 4, "p^(1/temperature) must be renormalised to add up to 1."),
        ([0, 1, 0], "The most probable token is taken: only temperature 0 is greedy."),
    ]
    judge(case, shares, [1 / 6, 4 / 6, 1 / 6], fixed, suspects)
    case, shares, _ = drawn(answer, [16.0, 1.0], 2.0, None)
    suspects = [
        ([16 / 17, 1 / 17], "A temperature above 1 is not used: e^(logit / 2) is 4 to 1."),
        ([256 / 257, 1 / 257], "The logits are multiplied by the temperature: divide."),
    ]
    judge(case, shares, [4 / 5, 1 / 5], "Above 1 the distribution gets flatter: 4 to 1.", suspects)


def greedy(answer: Callable) -> None:
    for u in (0.0, 0.99):
        case, got = once(answer, [1.0, 3.0, 2.0], 0.0, None, u)
        otherwise = "Temperature 0 takes the token with the largest logit, whatever u is; dividing by 0 gives nan or ∞."
        case.compare(got, 1, otherwise, [(2, otherwise), (0, otherwise)])
    case, got = once(answer, [1.0, 3.0, 3.0, 2.0], 0, 2, 0.9)
    case.compare(got, 1, "Of several largest logits, greedy takes the first, whatever u is.")


def top_k(answer: Callable) -> None:
    """Half of the tokens have logits below 0, so that a hidden logit of 0 would show."""
    p = [0.4, 0.08, 0.32, 0.2]
    case, shares, ids = drawn(answer, p, 1.0, 2)
    rest = "What the dropped tokens had falls to {}: renormalise the shares of the kept ones."
    kept = np.array([0.4, 0, 0.32, 0])
    suspects = [
        (p, "top_k is not used: only the k tokens with the largest logits may be drawn."),
        ([0, 0.08 / 0.28, 0, 0.2 / 0.28], "The k smallest logits are kept: keep the largest."),
        ([0.4 / 0.48, 0.08 / 0.48, 0, 0], "The first k ids are kept: keep those with the k largest logits."),
        ([0.4 / 0.92, 0, 0.32 / 0.92, 0.2 / 0.92], "k + 1 tokens are kept: shifted by one, or > where ≥ was needed."),
        ([1, 0, 0, 0], "Only one token is kept: k = 2."),
        ([0.4 / 0.72, 0.32 / 0.72, 0, 0], "These are ranks, not ids: go back to the ids, and draw in their order."),
        ([0.5, 0, 0.5, 0], "The kept tokens are drawn equally often: they keep the proportions that they had."),
        ([0.4, 0, 0.32, 0.28], rest.format("the last token")),
        ([0.4, 0, 0.6, 0], rest.format("the last of the kept ones")),
        ([0.68, 0, 0.32, 0], rest.format("the first token")),
        (kept**2 / (kept**2).sum(), "The kept tokens are weighed by p twice."),
        (
            np.array([0.4, 1, 0.32, 1]) / 2.72,
            "Dropped logits became 0, which is a logit like any other: use −∞ (`-math.inf`).",
        ),
        (np.exp(kept) / np.exp(kept).sum(), "Dropped tokens are 0 before a second softmax: that is not −∞."),
        (lambda s: s[1] > 0 or s[3] > 0, "A token that is not among the two most probable was drawn."),
    ]
    judge(case, shares, [0.4 / 0.72, 0, 0.32 / 0.72, 0], "Ids 0 and 2 are kept, as 0.4 to 0.32.", suspects)
    if ids != sorted(ids):
        case.fail("The kept tokens are drawn in another order: id 0 first, then 2.", ids[0], 0)
    case, shares, ids = drawn(answer, [1.0, 2.0, 1.0, 4.0], 1.0, 2)
    suspects = [
        ([0, 4 / 6, 0, 2 / 6], "The shares are those of the other id: sort the ids with their shares."),
    ]
    judge(case, shares, [0, 2 / 6, 0, 4 / 6], "Ids 1 and 3 are kept, as 2 to 4.", suspects)
    if ids != sorted(ids):
        mistake = "The kept tokens are drawn by rank: small u give the lowest id that is kept, not the most probable."
        case.fail(mistake, ids[0], 1)
    case, shares, _ = drawn(answer, [1.0, 2.0, 1.0, 1.0], 1.0, 2)
    suspects = [
        (
            [1 / 5, 2 / 5, 1 / 5, 1 / 5],
            "Equal logits are all kept: exactly k are, of equals the lower ids.",
        ),
        ([0, 2 / 3, 0, 1 / 3], "Of equal logits the higher id is kept: keep the lower."),
        ([0, 2 / 3, 1 / 3, 0], "Of equal logits the higher id is kept: keep the lower."),
        ([0, 1, 0, 0], "One token is kept: exactly k are, of equals the lower ids."),
    ]
    judge(case, shares, [1 / 3, 2 / 3, 0, 0], "Ids 1 and 0 are kept: of equal logits the lower id.", suspects)
    case, shares, _ = drawn(answer, [1.0, 2.0, 1.0], 1.0, 7)
    judge(case, shares, [1 / 4, 1 / 2, 1 / 4], "A top_k of V or more keeps every token.", [])


def both(answer: Callable) -> None:
    case, shares, _ = drawn(answer, [1.0, 2.0, 3.0], 0.5, 2)
    suspects = [
        ([0, 2 / 5, 3 / 5], "With top_k, the temperature is not used any more."),
        ([1 / 14, 4 / 14, 9 / 14], "With a temperature, top_k is not used any more."),
    ]
    judge(case, shares, [0, 4 / 13, 9 / 13], "Ids 1 and 2 are kept, as 2² to 3².", suspects)


def ends(answer: Callable) -> None:
    case, got = once(answer, [-math.inf, 0.0, 0.0, -math.inf], 1.0, None, 0.0)
    first = "u = 0 gives the first token with p > 0: the sum must be above u, not equal to it."
    case.compare(got, 1, first)
    case, got = once(answer, [-math.inf, 0.0, 0.0, -math.inf], 1.0, None, 1 - 1e-12)
    last = "u just below 1 gives the last token with p > 0; where rounding leaves the whole sum below u, that one too."
    case.compare(got, 2, last)
    case, got = once(answer, [0.1 * (i % 7) for i in range(50)], 1.0, None, 1 - 1e-12)
    case.compare(got, 49, last)


def extreme_logits(answer: Callable) -> None:
    otherwise = "exp overflows: subtract the largest logit before exp, or use softmax."
    for logits, temperature, u, expected in (
        ([1e5, 0.0, 1e5], 1.0, 0.7, 2),
        ([-1e5, -1e5, -2e5], 1.0, 0.7, 1),
        ([1.0, 2.0, 1.5], 1e-4, 0.01, 1),
    ):
        case, got = once(answer, logits, temperature, None, u)
        case.compare(got, expected, otherwise)
