"""Exercise 5: drawing with a floor. A sampler is judged by what it draws often, never by single draws."""

from collections.abc import Callable

import numpy as np

from course_lib.checks.case import Case, passed

NAME = "draw_min_p"
N = 4000
rng = np.random.default_rng


def check_draw_min_p(answer: Callable) -> None:
    """The answer: p (V,), m, n, rng → n ids, drawn from the tokens with p ≥ m · max p, rescaled."""
    some_kept(answer)
    on_the_floor(answer)
    all_or_one_kept(answer)
    draws_are_independent(answer)
    passed(NAME)


def draw(answer: Callable, p: list[float], m: float, n: int = N) -> tuple[Case, np.ndarray, np.ndarray]:
    """The case, the ids drawn, and the share of each token."""
    case = Case(answer, NAME, np.array(p), m, n, rng(5))
    got = case.numbers(n, hint="Expected one id for each draw.")
    if not np.isin(got, range(len(p))).all():
        wrong = got[~np.isin(got, range(len(p)))][0]
        case.fail("A draw is an id, a whole number from 0 to V − 1.", wrong, f"one of 0 … {len(p) - 1}")
    return case, got, np.bincount(got.astype(int), minlength=len(p)) / n


def agree(shares: np.ndarray, p: list[float]) -> bool:
    """Within five standard deviations of what n independent draws give."""
    p = np.array(p)
    return bool((np.abs(shares - p) <= 5 * np.sqrt(p * (1 - p) / N)).all())


def judge(case: Case, shares: np.ndarray, expected: list[float], otherwise: str, suspects: list) -> None:
    if not agree(shares, expected):
        says = (
            sentence for wrong, sentence in suspects if (wrong(shares) if callable(wrong) else agree(shares, wrong))
        )
        case.fail(next(says, otherwise), shares, np.array(expected), "share of each token")


def some_kept(answer: Callable) -> None:
    """The floor is 0.3 · 0.4 = 0.12: token 2 is dropped."""
    p = [0.32, 0.4, 0.08, 0.2]
    case, _, shares = draw(answer, p, 0.3)
    places = "These are places in a list of the kept tokens: turn them back into ids."
    rest = "What the dropped token had falls to {}: rescale the kept ones to sum to 1."
    suspects = [
        ([0, 1, 0, 0], "Only the most probable token is ever drawn: draw at random, in proportion to p."),
        ([0, 0, 1, 0], "The tokens above the floor are thrown away and the others kept: turn the comparison round."),
        (lambda s: s.max() == 1, "All n draws are the same token: draw n times, not once."),
        (p, "m is not used: tokens below m · max p must never be drawn."),
        ([4 / 9, 5 / 9, 0, 0], "The floor is m times the largest p, 0.3 · 0.4 = 0.12; you compare with m itself."),
        ([1 / 4] * 4, "Every token is drawn equally often: drop those below the floor, draw in proportion to p."),
        ([1 / 3, 1 / 3, 0, 1 / 3], "The kept tokens are drawn equally often: they keep the proportions they had in p."),
        ([0.4, 0.4, 0, 0.2], rest.format("token 0")),
        ([0.32, 0.4, 0, 0.28], rest.format("the last token")),
        ([32 / 92, 40 / 92, 20 / 92, 0], places),
        ([40 / 92, 32 / 92, 20 / 92, 0], places),
        ([0.1024 / 0.3024, 0.16 / 0.3024, 0, 0.04 / 0.3024], "The kept tokens are weighed by p twice."),
        (lambda s: s[2] > 0, "A token below the floor, 0.3 · 0.4 = 0.12, was drawn."),
    ]
    otherwise = "Tokens 0, 1 and 3 are kept, as 0.32 to 0.4 to 0.2."
    judge(case, shares, [32 / 92, 40 / 92, 0, 20 / 92], otherwise, suspects)


def on_the_floor(answer: Callable) -> None:
    case, _, shares = draw(answer, [0.25, 0.5, 0.25], 0.5)
    suspects = [([0, 1, 0], "A token exactly on the floor is kept: compare with ≥, not with >.")]
    judge(case, shares, [0.25, 0.5, 0.25], "All three are kept: 0.25 ≥ 0.5 · 0.5.", suspects)


def all_or_one_kept(answer: Callable) -> None:
    case, _, shares = draw(answer, [0.2, 0.5, 0.3], 0.0)
    judge(case, shares, [0.2, 0.5, 0.3], "With m = 0 every token is kept and drawn with its own p.", [])
    case, _, shares = draw(answer, [0.2, 0.5, 0.3], 1.0)
    judge(case, shares, [0, 1, 0], "With m = 1 only the most probable token is kept.", [])


def draws_are_independent(answer: Callable) -> None:
    case, got, shares = draw(answer, [0.5, 0.5], 0.5)
    repeats = (got[1:] == got[:-1]).mean()  # independent draws repeat the one before half of the time
    if abs(repeats - 0.5) > 5 * 0.5 / np.sqrt(N):
        expected = "0.5 ± 0.04"
        case.fail("The draws depend on each other: each must be drawn anew.", repeats, expected, "repeated in a row")

    def two_calls(p: np.ndarray, *rest) -> list:
        return [answer(p.copy(), *rest) for _ in range(2)]

    twice = Case(two_calls, NAME, np.array([0.5, 0.5]), 0.5, 64, rng(6))
    first, second = twice.numbers(2, 64)
    if (first == second).all():
        mistake = "Two calls give the same draws: use `rng` as given, do not make or seed one inside the function."
        twice.fail(mistake, np.stack([first[:8], second[:8]]).astype(int), "two different rows", "called twice")
