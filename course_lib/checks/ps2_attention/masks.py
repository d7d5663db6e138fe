"""Exercise 2: which query may look at which key. Tables small enough to be read at a glance, then any sizes."""

from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, passed

NAME = "causal_padding_mask"
SHAPE = "One table for each text of the batch, with T rows (queries) and S columns (keys)."


def check_causal_padding_mask(answer: Callable) -> None:
    """The answer: T, S, lengths (B,) → (B, T, S), True where the query may look at the key."""
    whole_text(answer)
    newest_queries(answer)
    padded(answer)
    batch(answer)
    any_sizes(answer)
    passed(NAME)


def table(answer: Callable, T: int, S: int, lengths: list[int]) -> tuple[Case, np.ndarray]:
    case = Case(answer, NAME, T, S, torch.tensor(lengths))
    got = case.numbers(len(lengths), T, S, hint=SHAPE)
    if np.isinf(got).any() or (got < 0).any():
        case.fail("This mask is made to be added to scores; asked for is True where a query may look.", got)
    return case, got


def whole_text(answer: Callable) -> None:
    case, got = table(answer, 3, 3, [3])
    lower = np.tril(np.ones((1, 3, 3)))
    suspects = [
        (1 - lower, "The mask is the wrong way round: True means that the query may look."),
        (np.tril(lower, -1), "A query may look at its own place, too: the diagonal is True."),
        (np.tril(np.ones((1, 3, 3)), 1), "Each query sees one place too many, its next token: shifted by one."),
        (lower.transpose(0, 2, 1), "Rows and columns are swapped: row i is the query, column j the key."),
        (np.ones((1, 3, 3)), "Every query sees the whole text: a causal mask hides later places."),
    ]
    case.compare(got, lower, "Query i may look at the keys 0 … i.", suspects)


def newest_queries(answer: Callable) -> None:
    case, got = table(answer, 1, 3, [3])
    early = "The T queries are the last of the S places, not the first: query i stands at place S − T + i."
    suspects = [
        ([[[1, 0, 0]]], early),
        ([[[1, 1, 0]]], "The newest query stands at the last place, S − 1, and sees itself: shifted by one."),
    ]
    case.compare(got, [[[1, 1, 1]]], "The only query stands at the last place and sees every key.", suspects)
    case, got = table(answer, 2, 4, [4])
    suspects = [
        ([[[1, 0, 0, 0], [1, 1, 0, 0]]], early),
        ([[[1, 1, 1, 1]] * 2], "Query 0 stands at place 2 and must not see place 3: shifted by one, or not causal."),
        ([[[1, 1, 0, 0], [1, 1, 1, 0]]], "Shifted by one: query 0 stands at place S − T = 2 and sees itself."),
        ([[[0, 0, 1, 0], [0, 0, 1, 1]]], "The older keys are hidden, though every query may look at them."),
    ]
    case.compare(got, [[[1, 1, 1, 0], [1, 1, 1, 1]]], "Query i stands at place S − T + i.", suspects)


def padded(answer: Callable) -> None:
    """Of four places the last two are padding."""
    case, got = table(answer, 4, 4, [2])
    causal = np.tril(np.ones((1, 4, 4)))
    keys = np.array([1, 1, 0, 0])
    suspects = [
        (causal, "`lengths` is not used: the places from lengths[b] on are padding, which no query may look at."),
        (causal * [1, 1, 1, 0], "One padded key is still seen: of length 2 only the keys 0 and 1 are real."),
        (causal * [1, 0, 0, 0], "One real key is hidden: of length 2 the keys 0 and 1 are both real."),
        (causal * [0, 0, 1, 1], "The padding stands at the end of a text, not at its beginning."),
        (
            causal * keys[:, None],
            "The rows of padded queries are empty, and softmax makes 0/0 of them: hide padded keys (columns) only.",
        ),
        (np.maximum(causal, keys), "Both must hold: causal AND not padding; you join them with OR."),
        (np.broadcast_to(keys, (1, 4, 4)), "Padding alone: the mask must be causal, too."),
    ]
    expected = [[[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]]
    case.compare(
        got, expected, "A query may look at key j if j is not later than itself and is < lengths[b].", suspects
    )


def batch(answer: Callable) -> None:
    """T = 2, S = 4, and three texts."""
    case, got = table(answer, 2, 4, [4, 1, 3])
    causal = np.array([[1, 1, 1, 0], [1, 1, 1, 1]])
    keys = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]])
    j, own_end = np.arange(4), np.array([4, 1, 3])[:, None] - 2 + np.arange(2)
    suspects = [
        (np.broadcast_to(causal, (3, 2, 4)), "Each text has a length of its own; the first is used for all of them."),
        (causal * keys[1], "Each text has a length of its own; the shortest is used for all of them."),
        (causal * keys[2], "Each text has a length of its own; the last is used for all of them."),
        (causal * keys[[1, 2, 0]][:, None], "The lengths are in another order: table b belongs to lengths[b]."),
        (
            (j <= own_end[..., None]) * keys[:, None],
            "The queries are the last T of all S places, padding included: query i stands at S − T + i in every text.",
        ),
    ]
    otherwise = "Table b hides the places from lengths[b] on, and what is later than the query."
    case.compare(got, causal * keys[:, None], otherwise, suspects)


def any_sizes(answer: Callable) -> None:
    rng = np.random.default_rng(2)
    for B, T, S in ((5, 3, 7), (2, 6, 6), (1, 1, 9)):
        lengths = rng.integers(1, S + 1, B).tolist()
        case, got = table(answer, T, S, lengths)
        expected = [[[j <= S - T + i and j < n for j in range(S)] for i in range(T)] for n in lengths]
        case.compare(got, expected, "Some place is off in larger tables, though the small ones are right.")
