"""Exercise 2: Witten–Bell smoothing."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps1_counting import check_witten_bell

exercise = Exercise("witten_bell", check_witten_bell)
right, bug = exercise.right, exercise.bug


@right("loops over fractions")
def _(ids, V):
    T, N = len(ids), len(set(ids))
    p_1 = [(ids.count(w) + Fraction(N, V)) / (T + N) for w in range(V)]
    table = []
    for h in range(V):
        after = [w for g, w in pairwise(ids) if g == h]
        n = len(set(after))
        table.append([(after.count(w) + n * p_1[w]) / (len(after) + n) if after else p_1[w] for w in range(V)])
    return table


@right("dictionaries of counts")
def _(ids, V):
    pairs, contexts, follow = Counter(pairwise(ids)), Counter(ids[:-1]), Counter(h for h, _ in set(pairwise(ids)))
    c, N = Counter(ids), len(set(ids))
    p_1 = {w: (c[w] + N / V) / (len(ids) + N) for w in range(V)}
    p = {h: dict(p_1) for h in range(V)}
    for h in contexts:
        p[h] = {w: (pairs[h, w] + follow[h] * p_1[w]) / (contexts[h] + follow[h]) for w in range(V)}
    return p


def parts(ids, V):
    """Counts of pairs (V, V), different followers (V,) and p_1 (V,)."""
    counts = np.zeros((V, V))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts, (counts > 0).sum(1), order_1(ids, V)


def order_1(ids, V):
    N = len(set(ids))
    return (np.bincount(ids, minlength=V) + N / V) / (len(ids) + N)


def smoothed(counts, n, p_1, c=None):
    """(counts + n p_1) / (c + n); the rows of contexts that were never seen are p_1."""
    c = counts.sum(1) if c is None else c
    seen = counts.sum(1) > 0
    table = np.tile(p_1, (len(p_1), 1))
    table[seen] = (counts[seen] + n[seen, None] * p_1) / (c + n)[seen, None]
    return table


@right("NumPy, whole tables at once")
def _(ids, V):
    return smoothed(*parts(ids, V))


@right("NumPy float32, 0/0 replaced afterwards, with warnings")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    table = (counts + np.outer(n, p_1)) / (counts.sum(1) + n)[:, None]
    return np.where(np.isnan(table), p_1, table).astype(np.float32)


@right("PyTorch, in place, with one_hot")
def _(ids, V):
    x = torch.nn.functional.one_hot(torch.tensor(ids), V).float()
    counts, c, N = x[:-1].T @ x[1:], x.sum(0), (x.sum(0) > 0).sum()
    p_1 = c.add_(N / V).div_(len(ids) + N)
    n = (counts > 0).sum(1, keepdim=True)
    total = counts.sum(1, keepdim=True) + n
    counts.add_(n * p_1).div_(total.clamp(min=1))
    counts[total[:, 0] == 0] = p_1
    return counts


@right("as interpolation: λ(h) = c(h) / (c(h) + N(h))")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    c = counts.sum(1)
    weight = np.divide(c, c + n, out=np.zeros(V), where=c > 0)[:, None]
    return weight * counts / np.maximum(c, 1)[:, None] + (1 - weight) * p_1


@bug("a context never seen left at zero", "never seen: its row is p_1, without 0/0")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    return (counts + np.outer(n, p_1)) / np.maximum(counts.sum(1) + n, 1)[:, None]


@bug("0/0 for a context never seen", "without 0/0")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    return (counts + np.outer(n, p_1)) / (counts.sum(1) + n)[:, None]


@bug("a context never seen gets 1/V", "leaves everything to order 1, p_1, not to 1/V")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    table = smoothed(counts, n, p_1)
    table[counts.sum(1) == 0] = 1 / V
    return table


@bug("order 1 not smoothed", "Order 1 is smoothed, too")
def _(ids, V):
    counts, n, _ = parts(ids, V)
    return smoothed(counts, n, np.bincount(ids, minlength=V) / len(ids))


@bug("1 divided by the tokens seen, not by V", "1/V is one share for each token of the vocabulary")
def _(ids, V):
    counts, n, _ = parts(ids, V)
    N = len(set(ids))
    return smoothed(counts, n, (np.bincount(ids, minlength=V) + 1) / (len(ids) + N))


def with_n(ids, V, N):
    counts, n, _ = parts(ids, V)
    return smoothed(counts, n, (np.bincount(ids, minlength=V) + N / V) / (len(ids) + N))


@bug("V taken for N", "You take V for N")
def _(ids, V):
    return with_n(ids, V, V)


@bug("T taken for N", "Either you take T for N")
def _(ids, V):
    return with_n(ids, V, len(ids))


@bug("order 1 without the first token", "does not count all T tokens")
def _(ids, V):
    counts, n, _ = parts(ids, V)
    return smoothed(counts, n, order_1(ids[1:], V))


@bug("tokens before h counted, not after", "you count those before h")
def _(ids, V):
    counts, _, p_1 = parts(ids, V)
    return smoothed(counts, (counts > 0).sum(0), p_1)


@bug("every occurrence after h counted as different", "you count each occurrence")
def _(ids, V):
    counts, _, p_1 = parts(ids, V)
    return smoothed(counts, counts.sum(1), p_1)


@bug("the last token counted as a context", "The last token has no follower")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    return smoothed(counts, n, p_1, np.bincount(ids, minlength=V))


@bug("different tokens of the whole text", "different tokens of the whole text")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    return smoothed(counts, np.full(V, len(set(ids))), p_1)


@bug("one for every context", "you take 1 for every one")
def _(ids, V):
    counts, _, p_1 = parts(ids, V)
    return smoothed(counts, np.ones(V), p_1)


@bug("back-off without giving seen tokens their second part", "get both parts")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    table = smoothed(counts, n, p_1)
    return np.where(counts > 0, counts / np.maximum(counts.sum(1) + n, 1)[:, None], table)


@bug("nothing added below the line", "divide by c(h) + N₁₊(h •), not by c(h)")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    return smoothed(counts, n, p_1, counts.sum(1) - n)


@bug("straight down to 1/V", "Order 2 hands down to order 1")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    table = smoothed(counts, n, np.full(V, 1 / V))
    table[counts.sum(1) == 0] = p_1
    return table


@bug("rows and columns swapped", "Rows and columns are swapped")
def _(ids, V):
    counts, n, p_1 = parts(ids, V)
    return smoothed(counts, n, p_1).T


@bug("imported from the library", "stopped with")
def _(ids, V):
    from course_lib.ngram import modified_kneser_ney

    return modified_kneser_ney(ids, V)
