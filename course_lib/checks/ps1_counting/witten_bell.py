"""Exercise 2: Witten–Bell smoothing. Two cases worked by hand, then what must hold for any text."""

from collections.abc import Callable

import numpy as np

from course_lib.checks.case import Case, close, passed

NAME = "witten_bell"
ROWS = "Row h is the context, column w what follows; every one of the V tokens has both, also one that never occurs."


def check_witten_bell(answer: Callable) -> None:
    """The answer: ids, V → (V, V), row h: p(w | h)."""
    order_1(answer)
    order_2(answer)
    any_text(answer)
    passed(NAME)


def order_1(answer: Callable) -> None:
    """Context 0 was never seen, so its row is order 1 and nothing else: p_1 = (c(w) + 1/3) / (2 + 1)."""
    case = Case(answer, NAME, [1, 1], 3)
    table = case.numbers(3, 3, hint=ROWS)
    never = "Token 0 is a context that was never seen: its row is p_1, without 0/0 and without zeros."
    suspects = [
        (lambda _: close(table[:, 0], [1 / 9, 7 / 9, 1 / 9]), "Rows and columns are swapped. " + ROWS),
        (lambda row: np.isnan(row).any() or not row.any(), never),
        ([1 / 3, 1 / 3, 1 / 3], "A context that was never seen leaves everything to order 1, p_1, not to 1/V."),
        ([0, 1, 0], "Order 1 is smoothed, too: p_1(w) = (c(w) + N/V) / (T + N), so no token gets 0."),
        ([1 / 3, 1, 1 / 3], "1/V is one share for each token of the vocabulary, V = 3; you divide by the tokens seen."),
        (
            [1 / 6, 2 / 3, 1 / 6],
            "Either you take T for N, which should be the number of different tokens in the text, 1; or order 1 does "
            "not count all T tokens, the first and the last included.",
        ),
        (
            [1 / 5, 3 / 5, 1 / 5],
            "You take V for N, which should be the number of different tokens in the text, 1: not every token occurs.",
        ),
        ([1 / 6, 7 / 6, 1 / 6], "p_1 adds up to more than 1: what N/V adds on top, N must add below: T + N."),
    ]
    row = case.numbers(3, 3, hint=ROWS)[0]
    case.compare(
        row, [1 / 9, 7 / 9, 1 / 9], "Here p_1(w) = (c(w) + 1 · 1/3) / (2 + 1).", suspects, "row 0 (never seen)"
    )


def order_2(answer: Callable) -> None:
    """Context 0 was followed by 1, 1, 1 and 2 (c = 4, two different); it occurs 5 times, after 3 different tokens."""
    case = Case(answer, NAME, [0, 1, 0, 1, 3, 0, 1, 0, 2, 4, 0], 6)
    table, c = case.numbers(6, 6), np.array([0, 3, 1, 0, 0, 0])
    p_1 = np.array([35, 23, 11, 11, 11, 5]) / 96  # (c(w) + 5/6) / (11 + 5)
    both = "Tokens that were seen after h get both parts: (c(hw) + N₁₊(h •) p_1(w)) / (c(h) + N₁₊(h •))."
    suspects = [
        (lambda _: close(table[:, 0], (c + 2 * p_1) / 6), "Rows and columns are swapped. " + ROWS),
        ((c + 3 * p_1) / 7, "N₁₊(h •) counts the different tokens after h, here 2; you count those before h, here 3."),
        ((c + 4 * p_1) / 8, "N₁₊(h •) counts different tokens after h, here 2 (1 and 2); you count each occurrence."),
        ((c + 2 * p_1) / 7, "The last token has no follower: c(h) is how often h was followed by something, here 4."),
        ((c + 5 * p_1) / 9, "N₁₊(h •) belongs to one context; you take the different tokens of the whole text."),
        ((c + p_1) / 5, "N₁₊(h •) must be counted for each context, here 2; you take 1 for every one."),
        (np.where(c, c, 2 * p_1) / 6, both),
        (np.where(c, c / 4, 2 * p_1 / 6), both),
        ((c + 2 * p_1) / 4, "The row adds up to more than 1: divide by c(h) + N₁₊(h •), not by c(h)."),
        ((c + 2 / 6) / 6, "Order 2 hands down to order 1, p_1(w), not to 1/V."),
        (
            (c + 2 * np.array([5, 3, 1, 1, 1, 0]) / 11) / 6,
            "Order 2 hands down to the smoothed p_1(w), not to c(w) / T.",
        ),
        (c / 4, "This is not smoothed: N₁₊(h •) p_1(w) is missing."),
        ((c + p_1) / 6, "What context h hands down is N₁₊(h •) p_1(w): the factor N₁₊(h •) is missing."),
    ]
    otherwise = "Row 0 should be (c(0w) + 2 p_1(w)) / (4 + 2), with p_1(w) = (c(w) + 5/6) / (11 + 5)."
    case.compare(table[0], (c + 2 * p_1) / 6, otherwise, suspects, "row 0")
    case.compare(table[5], p_1, "Token 5 was never seen: its row is p_1.", part="row 5")


def any_text(answer: Callable) -> None:
    rng = np.random.default_rng(2)
    ids, new_name = rng.integers(0, 6, 150), rng.permutation(7)
    case = Case(answer, NAME, ids.tolist(), 7, shown=f"{NAME}(ids, 7) with 150 random ids")
    table = case.numbers(7, 7)
    case.compare(table.sum(1), np.ones(7), "Some row does not add up to 1: what is taken must be handed down exactly.")
    if not (table > 0).all():
        case.fail("No probability may be 0: every token gets a part of p_1.", table.min(), "more than 0", "smallest")
    renamed = Case(answer, NAME, new_name[ids].tolist(), 7, shown=case.text + ", renumbered").numbers(7, 7)
    otherwise = "The ids are only names: with other numbers for the same tokens the probabilities must stay."
    case.compare(renamed[np.ix_(new_name, new_name)], table, otherwise)
