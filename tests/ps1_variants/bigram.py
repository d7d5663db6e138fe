"""Exercise 1: shares of the counted pairs."""

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps1_counting import check_bigram_probabilities

exercise = Exercise("bigram_probabilities", check_bigram_probabilities)
right, bug = exercise.right, exercise.bug


def counted(ids, V):
    counts = np.zeros((V, V))
    for h, w in pairwise(ids):
        counts[h, w] += 1
    return counts


def shares(counts):
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


@right("loops over lists")
def _(ids, V):
    table = [[0] * V for _ in range(V)]
    for i in range(len(ids) - 1):
        table[ids[i]][ids[i + 1]] += 1
    return [[n / sum(row) if sum(row) else 0 for n in row] for row in table]


@right("a dictionary of pairs, exact fractions")
def _(ids, V):
    pairs, contexts = Counter(pairwise(ids)), Counter(ids[:-1])
    return {(h, w): Fraction(n, contexts[h]) for (h, w), n in pairs.items()}


@right("a dictionary in a dictionary")
def _(ids, V):
    after = defaultdict(Counter)
    for h, w in pairwise(ids):
        after[h][w] += 1
    return {h: {w: n / sum(row.values()) for w, n in row.items()} for h, row in after.items()}


@right("NumPy, 0/0 with a warning and mended")
def _(ids, V):
    counts = np.bincount(np.array(ids[:-1]) * V + ids[1:], minlength=V * V).reshape(V, V)
    return np.nan_to_num(counts / counts.sum(1)[:, None])


@right("PyTorch, float32, in place")
def _(ids, V):
    ids = torch.tensor(ids)
    table = torch.zeros(V, V).index_put_((ids[:-1], ids[1:]), torch.tensor(1.0), accumulate=True)
    return table.div_(table.sum(1, keepdim=True).clamp_(min=1))


@right("one-hot matrices multiplied")
def _(ids, V):
    one_hot = np.eye(V)[ids]
    return shares(one_hot[:-1].T @ one_hot[1:])


@bug("rows and columns swapped", "Rows and columns are swapped")
def _(ids, V):
    return shares(counted(ids, V)).T


@bug("0/0 left in the table", "gives 0/0")
def _(ids, V):
    counts = counted(ids, V)
    return counts / counts.sum(1, keepdims=True)


@bug("the last token paired with the first", "nothing after it")
def _(ids, V):
    return shares(counted(ids + ids[:1], V))


@bug("the last token counted as a context", "The last token is no context")
def _(ids, V):
    contexts = np.bincount(ids, minlength=V)
    return counted(ids, V) / np.maximum(contexts, 1)[:, None]


@bug("shares of all pairs, not of one context's", "not by the number of all pairs")
def _(ids, V):
    return counted(ids, V) / (len(ids) - 1)


@bug("columns divided by their sums", "The columns add up to 1")
def _(ids, V):
    counts = counted(ids, V)
    return counts / np.maximum(counts.sum(0), 1)


@bug("a repeated pair counted once by fancy indexing", "occurs twice and was counted once")
def _(ids, V):
    counts = np.zeros((V, V))
    counts[ids[:-1], ids[1:]] += 1
    return shares(counts)


@bug("every second pair left out", "Pairs overlap")
def _(ids, V):
    counts = np.zeros((V, V))
    for i in range(0, len(ids) - 1, 2):
        counts[ids[i], ids[i + 1]] += 1
    return shares(counts)


@bug("overlapping pairs missed by str.count", "Pairs may overlap")
def _(ids, V):
    text = "".join(map(str, ids))
    return shares(np.array([[text.count(f"{h}{w}") for w in range(V)] for h in range(V)], float))


@bug("counts, not shares", "These are counts")
def _(ids, V):
    return counted(ids, V)


@bug("whole-number division", "Shares below 1 became 0")
def _(ids, V):
    return counted(ids, V) // np.maximum(counted(ids, V).sum(1, keepdims=True), 1)


@bug("tokens outside the text left out of the table", "has shape")
def _(ids, V):
    return shares(counted(ids, max(ids) + 1))
