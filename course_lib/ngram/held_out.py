"""Interpolation weights learned on held-out text, by expectation–maximisation."""

from collections.abc import Sequence

import numpy as np

from course_lib.ngram.counts import Counts, contexts_of
from course_lib.ngram.smoothing import maximum_likelihood
from course_lib.vocab import Vocabulary


def fit_interpolation(
    counts: Counts,
    vocab: Vocabulary,
    held_out: str | Sequence[str],
    order: int | None = None,
    steps: int = 100,
) -> np.ndarray:
    """The weights λ_1 … λ_n for `interpolation` that make the held-out text most probable (Jelinek and Mercer 1980).

    Think of each token as drawn by one order: start at the highest; with probability λ_k use order k, else go down.
    E-step: how likely it is that order k drew this token. M-step: λ_k = how often k drew / how often k was asked.
    The held-out text must not be the counted one, or the highest order would take all the weight.
    Raises ValueError for a held-out text without a token to predict, and an order that was not counted.
    """
    order = counts.order if order is None else order
    if not 1 <= order <= counts.order:
        raise ValueError(f"order is {order}: these counts serve orders 1 to {counts.order}")
    sequences = [ids for ids in vocab.encode_each(held_out) if len(ids) > 1]
    if not sequences:
        raise ValueError("the held-out text has no token to predict: pass a longer one")
    pairs = [(contexts_of(ids[None, :-1], order), ids[1:]) for ids in sequences]
    grams, contexts = counts.lookup(*map(np.concatenate, zip(*pairs, strict=True)))
    tables = maximum_likelihood(counts, order)
    share = np.stack([np.append(s, 0.0)[g] for (s, _), g in zip(tables, grams, strict=True)])  # (n, N)
    asked = np.stack([np.append(b, 1.0)[c] == 0 for (_, b), c in zip(tables, contexts, strict=True)])
    weights = np.full(order, 0.5)
    for _ in range(steps):
        used = np.where(asked, weights[:, None], 0.0)
        passed_on = np.cumprod(np.vstack([np.ones_like(share[:1]), 1 - used[:0:-1]]), axis=0)[::-1]
        drew = passed_on * used * share
        by_uniform = passed_on[0] * (1 - used[0]) / (counts.vocab_size - (counts.begin_id is not None))
        total = drew.sum(0) + by_uniform
        drew, by_uniform = drew / total, by_uniform / total
        offered = np.where(asked, np.cumsum(drew, axis=0) + by_uniform, 0.0).sum(1)
        np.divide(drew.sum(1), offered, out=weights, where=offered > 0)  # an order never asked keeps its weight
    return weights.clip(0, 1)  # rounding may reach beyond
