"""Exercise 1: shares of the counted pairs."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from course_lib.checks.case import Case, passed

NAME = "bigram_probabilities"
ROWS = "Row h holds the followers of h, column w is the follower, and every one of the V tokens has both."


def check_bigram_probabilities(answer: Callable) -> None:
    """The answer: ids, V → (V, V), row h: p(w | h); zeros for a context that nothing follows."""
    one_pair(answer)
    last_token(answer)
    counts_and_shares(answer)
    overlapping(answer)
    any_text(answer)
    passed(NAME)


def one_pair(answer: Callable) -> None:
    case = Case(answer, NAME, [0, 1], 3)
    suspects = [
        ([[0, 0, 0], [1, 0, 0], [0, 0, 0]], "Rows and columns are swapped. " + ROWS),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], "The last token has nothing after it: do not pair it with the first one."),
        (lambda got: np.isnan(got).any(), "A context that nothing follows gives 0/0: leave zeros in its row."),
        ([[0, 1, 0], [1 / 3] * 3, [1 / 3] * 3], "A context that nothing follows keeps a row of zeros."),
    ]
    got = case.numbers(3, 3, hint=ROWS)
    case.compare(got, [[0, 1, 0], [0, 0, 0], [0, 0, 0]], "The only pair is (0, 1): p(1 | 0) = 1.", suspects)


def last_token(answer: Callable) -> None:
    case = Case(answer, NAME, [0, 1, 0], 2)
    suspects = [
        ([[0, 1 / 2], [1, 0]], "The last token is no context, as nothing follows it: c(h) counts followers of h."),
        ([[0, 1 / 2], [1 / 2, 0]], "Divide by c(h), the followers of h, not by the number of all pairs."),
        ([[0, 1 / 3], [1 / 3, 0]], "Divide by c(h), the followers of h, not by the length of the text."),
        ([[0, 1], [0, 0]], "Pairs overlap: (0, 1) and (1, 0) are both in the text, so go on by one token, not by two."),
    ]
    case.compare(case.numbers(2, 2), [[0, 1], [1, 0]], "The pairs are (0, 1) and (1, 0), once each.", suspects)


def counts_and_shares(answer: Callable) -> None:
    case = Case(answer, NAME, [0, 1, 0, 1, 0, 2], 3)
    repeated = (
        "The pair (0, 1) occurs twice and was counted once (`c[h, w] += 1` with arrays does that; see `np.add.at`)."
    )
    suspects = [
        ([[0, 1 / 2, 1 / 2], [1, 0, 0], [0, 0, 0]], repeated),
        ([[0, 1, 1], [1, 0, 0], [0, 0, 0]], "The columns add up to 1; the rows should: divide by the sum of the row."),
        ([[0, 2, 1], [2, 0, 0], [0, 0, 0]], "These are counts: divide each row by its sum."),
        ([[0, 0, 0], [1, 0, 0], [0, 0, 0]], "Shares below 1 became 0: use `/`, and a table of floats."),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], "Shares were rounded to whole numbers: use a table of floats."),
    ]
    expected = [[0, 2 / 3, 1 / 3], [1, 0, 0], [0, 0, 0]]
    case.compare(case.numbers(3, 3), expected, "After 0 came 1, 1 and 2: shares 2/3 and 1/3.", suspects)


def overlapping(answer: Callable) -> None:
    case = Case(answer, NAME, [0, 0, 0, 1], 2)
    suspects = [
        ([[1 / 2, 1 / 2], [0, 0]], "Pairs may overlap: (0, 0) is twice in 0, 0, 0, though `str.count` finds one.")
    ]
    case.compare(case.numbers(2, 2), [[2 / 3, 1 / 3], [0, 0]], "After 0 came 0, 0 and 1.", suspects)


def any_text(answer: Callable) -> None:
    ids = np.random.default_rng(1).integers(0, 6, 200).tolist()
    pairs, contexts = Counter(pairwise(ids)), Counter(ids[:-1])
    case = Case(answer, NAME, ids, 7, shown=f"{NAME}(ids, 7) with 200 random ids")
    expected = [[pairs[h, w] / contexts[h] if contexts[h] else 0 for w in range(7)] for h in range(7)]
    case.compare(case.numbers(7, 7), expected, "Some share is off in a longer text, though the small cases are right.")
