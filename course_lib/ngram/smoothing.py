"""From counts to probabilities: six estimators in one form.

Each estimator turns counts c(hw) of a context h and a next token w into two tables per order k,

    p_k(w | h) = share(hw) + backoff(h) · p_{k−1}(w | h without its first token),    p_0 = uniform,

where `share` is what the counts give to w and `backoff` the probability mass left for the shorter context.
A context that was never seen leaves everything to the shorter one: backoff 1.

An estimator is called with (counts, order) and returns a list of `order` pairs (share, backoff): `share` (m_k,)
for the k-grams, `backoff` (m_{k−1},) for their contexts. Names and equations follow Chen and Goodman (1999).
"""

from collections.abc import Callable

import numpy as np

from course_lib.ngram.counts import Counts

Tables = list[tuple[np.ndarray, np.ndarray]]


def maximum_likelihood(counts: Counts, order: int) -> Tables:
    """share = c(hw) / c(h), and nothing is left: what was never seen is impossible."""
    return interpolation(counts, order, np.ones(order))


def additive(counts: Counts, order: int, k: float = 1.0) -> Tables:
    """Add k to every count: (c(hw) + k) / (c(h) + kV). The mass of the k's goes straight to the uniform p_0."""
    if not k > 0:
        raise ValueError(f"k is {k}: add-k smoothing needs k > 0 (k = 0 is maximum_likelihood)")
    skip = [(np.zeros(len(level.raw)), np.ones(_n_contexts(counts, i))) for i, level in enumerate(counts.levels)]
    level, n_contexts = counts.levels[order - 1], _n_contexts(counts, order - 1)
    n_outcomes = counts.vocab_size - (counts.begin_id is not None)
    total = np.bincount(level.context, level.raw, n_contexts) + k * n_outcomes
    return skip[: order - 1] + [(level.raw / total[level.context], k * n_outcomes / total)]


def interpolation(counts: Counts, order: int, weights: np.ndarray) -> Tables:
    """Linear interpolation (Jelinek–Mercer): weight λ_k for c(hw) / c(h), 1 − λ_k for the shorter context."""
    weights = np.asarray(weights, float)
    if weights.shape != (order,) or not ((weights >= 0) & (weights <= 1)).all():
        raise ValueError(f"weights are {weights}: expected {order} numbers between 0 and 1, one per order")
    tables = []
    for i, level in enumerate(counts.levels[:order]):
        total = np.bincount(level.context, level.raw, _n_contexts(counts, i))
        share = _divide(level.raw, total[level.context], 0.0)
        tables.append((weights[i] * share, np.where(total > 0, 1 - weights[i], 1.0)))
    return tables


def absolute_discounting(counts: Counts, order: int) -> Tables:
    """Take the same D from every count and hand the sum to the shorter context (Ney et al. 1994)."""
    return discounting(counts, order, one_discount, continuation=False)


def kneser_ney(counts: Counts, order: int) -> Tables:
    """Interpolated Kneser–Ney: below the highest order, count after how many tokens w is new (Kneser and Ney 1995)."""
    return discounting(counts, order, one_discount, continuation=True)


def modified_kneser_ney(counts: Counts, order: int) -> Tables:
    """Kneser–Ney with three discounts per order: for counts of 1, of 2, and of 3 or more (Chen and Goodman 1999)."""
    return discounting(counts, order, three_discounts, continuation=True)


def discounting(
    counts: Counts, order: int, discounts: Callable[[np.ndarray], np.ndarray], continuation: bool
) -> Tables:
    """share = (c(hw) − D) / c(h), backoff = the sum of what was taken from all c(hw) / c(h).

    discounts:    gives [0, D1, D2, D3+] from the counts (m_k,) of an order.
    continuation: whether orders below the highest use continuation counts for c.
    """
    tables = []
    for i, level in enumerate(counts.levels[:order]):
        c = level.continuation if continuation and i < order - 1 else level.raw
        n_contexts = _n_contexts(counts, i)
        taken = discounts(c)[np.minimum(c, 3)]
        total = np.bincount(level.context, c, n_contexts)
        all_taken = np.bincount(level.context, taken, n_contexts)
        tables.append((_divide(c - taken, total[level.context], 0.0), _divide(all_taken, total, 1.0)))
    return tables


def one_discount(c: np.ndarray) -> np.ndarray:
    """D = n1 / (n1 + 2 n2), n_i = how many n-grams have count i. Returns [0, D, D, D]; D = 0.5 if n1 or n2 is 0."""
    n1, n2 = ((c == i).sum() for i in (1, 2))
    return np.array([0.0, 1, 1, 1]) * (n1 / (n1 + 2 * n2) if n1 and n2 else 0.5)


def three_discounts(c: np.ndarray) -> np.ndarray:
    """[0, D1, D2, D3+] with D_i = i − (i + 1) D n_{i+1} / n_i (Chen and Goodman 1999, equation 17).

    Where the formula has no value between 0 and i (too little text), (0.5, 1, 1.5) is used for all three.
    """
    n = np.array([(c == i).sum() for i in (1, 2, 3, 4)], float)
    if (n > 0).all():
        d = np.array([i - (i + 1) * one_discount(c)[1] * n[i] / n[i - 1] for i in (1, 2, 3)])
        if (d >= 0).all():
            return np.array([0.0, *d])
    return np.array([0.0, 0.5, 1.0, 1.5])


def _n_contexts(counts: Counts, i: int) -> int:
    return len(counts.levels[i - 1].raw) if i else 1


def _divide(a: np.ndarray, b: np.ndarray, if_zero: float) -> np.ndarray:
    return np.divide(a, b, out=np.full(len(b), if_zero), where=b > 0)
