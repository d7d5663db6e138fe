"""Exercise 4: sliding-window attention with sinks."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps2_attention import check_sliding_window_attention

exercise = Exercise("sliding_window_attention", check_sliding_window_attention)
right, bug = exercise.right, exercise.bug


@right("loops over queries and keys, lists")
def _(query, key, value, window, n_sinks=0):
    if query.ndim > 2:
        return [exercise.correct["loops over queries and keys, lists"](*each, window, n_sinks)
                for each in zip(query, key, value, strict=True)]  # fmt: skip
    rows = []
    for i, q in enumerate(query.tolist()):
        seen = sorted({*range(min(n_sinks, i + 1)), *range(max(0, i - window + 1), i + 1)})
        scores = [sum(a * b for a, b in zip(q, key[j].tolist(), strict=True)) / math.sqrt(len(q)) for j in seen]
        weights = [math.exp(score - max(scores)) for score in scores]
        rows.append([sum(w * value[j, d].item() for w, j in zip(weights, seen, strict=True)) / sum(weights)
                     for d in range(value.shape[-1])])  # fmt: skip
    return rows


@right("one query at a time, its keys picked")
def _(query, key, value, window, n_sinks=0):
    rows = []
    for i in range(query.shape[-2]):
        near = max(0, i - window + 1)
        seen = [*range(min(n_sinks, near)), *range(near, i + 1)]
        q, k, v = query[..., i : i + 1, :], key[..., seen, :], value[..., seen, :]
        rows.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v)
    return torch.cat(rows, -2)


@right("F.scaled_dot_product_attention with a boolean mask")
def _(query, key, value, window, n_sinks=0):
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen_by(query, window, n_sinks))


@right("triu and tril, additive mask, einsum")
def _(query, key, value, window, n_sinks=0):
    ones = torch.ones(query.shape[-2], query.shape[-2])
    seen = ones.tril() * ones.triu(1 - window)
    seen[:, :n_sinks] = ones.tril()[:, :n_sinks]
    scores = torch.einsum("...id,...jd->...ij", query, key) / query.shape[-1] ** 0.5
    return torch.einsum("...ij,...jd->...id", (scores + seen.log()).softmax(-1), value)


@right("NumPy float64, −1e30 for hidden scores")
def _(query, key, value, window, n_sinks=0):
    query, key, value = (each.double().numpy() for each in (query, key, value))
    i, j = np.indices((query.shape[-2],) * 2)
    seen = (j <= i) & ((i - j < window) | (j < n_sinks))
    scores = np.where(seen, query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]), -1e30)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ value


@right("in chunks of two queries, masked_fill in place")
def _(query, key, value, window, n_sinks=0):
    seen, chunks = seen_by(query, window, n_sinks), []
    for q, s in zip(query.split(2, -2), seen.split(2), strict=True):
        scores = (q @ key.transpose(-1, -2)).div_(math.sqrt(q.shape[-1])).masked_fill_(~s, -torch.inf)
        chunks.append(scores.softmax(-1).matmul(value))
    return torch.cat(chunks, -2)


def seen_by(query, window, n_sinks):
    """(T, T): may query i see key j?"""
    place = torch.arange(query.shape[-2])
    back = place[:, None] - place
    return (back >= 0) & ((back < window) | (place < n_sinks))


def attend(query, key, value, seen, scale=None, hidden=-torch.inf):
    scores = query @ key.mT / math.sqrt(query.shape[-1]) if scale is None else query @ key.mT * scale
    return scores.masked_fill(~seen, hidden).softmax(-1) @ value


def places(query):
    i = torch.arange(query.shape[-2])
    return i[:, None], i


@bug("no mask", "there is no mask")
def _(query, key, value, window, n_sinks=0):
    return F.scaled_dot_product_attention(query, key, value)


@bug("hidden scores set to 0", "hidden scores became 0")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), hidden=0)


@bug("−100 for hidden scores", "not a large negative number")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), hidden=-100)


@bug("−10⁴ for hidden scores", "not a large negative number")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), hidden=-1e4)


@bug("sinks up to n_sinks itself", "j < n_sinks, not j ≤ n_sinks")
def _(query, key, value, window, n_sinks=0):
    i, j = places(query)
    return attend(query, key, value, (j <= i) & ((i - j < window) | (j <= n_sinks)))


@bug("masked after the softmax", "You mask after the softmax")
def _(query, key, value, window, n_sinks=0):
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return (weights * seen_by(query, window, n_sinks)) @ value


@bug("masked after the softmax, then made to add up to 1", "mask before the softmax")
def _(query, key, value, window, n_sinks=0):
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) * seen_by(query, window, n_sinks)
    return weights / weights.sum(-1, keepdim=True) @ value


@bug("the mask the wrong way round", "the wrong way round")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, ~seen_by(query, window, n_sinks), hidden=-1e9)


@bug("the window looks ahead", "Query 0 sees a token after it")
def _(query, key, value, window, n_sinks=0):
    i, j = places(query)
    return attend(query, key, value, (j >= i) & ((j - i < window) | (j < n_sinks)))


@bug("the window on both sides", "Query 0 sees a token after it")
def _(query, key, value, window, n_sinks=0):
    i, j = places(query)
    return attend(query, key, value, ((i - j).abs() < window) | ((j < n_sinks) & (j <= i)))


@bug("the window one too long", "window − 1 before it")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window + 1, n_sinks))


@bug("the window one too short", "too short by one")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, max(window - 1, 1), n_sinks))


@bug("the query's own token left out", "A query sees itself")
def _(query, key, value, window, n_sinks=0):
    i, j = places(query)
    return attend(query, key, value, (j < i) & ((i - j <= window) | (j < n_sinks)))


@bug("the window not used", "The window is not used")
def _(query, key, value, window, n_sinks=0):
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


@bug("blocks", "You cut into blocks")
def _(query, key, value, window, n_sinks=0):
    i, j = places(query)
    return attend(query, key, value, (j <= i) & ((i // window == j // window) | (j < n_sinks)))


@bug("zeros before the first token", "take no share")
def _(query, key, value, window, n_sinks=0):
    key, value = (F.pad(each, (0, 0, window - 1, 0)).unfold(-2, window, 1) for each in (key, value))
    scores = torch.einsum("...id,...idw->...iw", query, key) / math.sqrt(query.shape[-1])
    return torch.einsum("...iw,...idw->...id", scores.softmax(-1), value)


@bug("no softmax", "The softmax is missing")
def _(query, key, value, window, n_sinks=0):
    return (query @ key.mT / math.sqrt(query.shape[-1]) * seen_by(query, window, n_sinks)) @ value


@bug("softmax over the queries", "The softmax runs over the queries")
def _(query, key, value, window, n_sinks=0):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    return scores.masked_fill(~seen_by(query, window, n_sinks), -torch.inf).softmax(-2) @ value


@bug("sinks ignored", "The sinks are not used")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, 0))


@bug("sinks seen before they come", "later queries only")
def _(query, key, value, window, n_sinks=0):
    i, j = places(query)
    return attend(query, key, value, ((j <= i) & (i - j < window)) | (j < n_sinks))


@bug("one sink, whatever n_sinks is", "you take only one")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, min(n_sinks, 1)))


@bug("one sink too many", "you take one more")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks + (n_sinks > 0)))


@bug("sinks taken out of the window", "The window stays as it is")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, max(window - n_sinks, 1), n_sinks))


@bug("sinks in the window counted twice", "counts once")
def _(query, key, value, window, n_sinks=0):
    i, j = places(query)
    sinks = ((j < n_sinks) & (j <= i))[:, :n_sinks]
    seen = torch.cat([sinks, (j <= i) & (i - j < window)], 1)
    key, value = (torch.cat([each[..., :n_sinks, :], each], -2) for each in (key, value))
    return attend(query, key, value, seen)


@bug("scores not scaled", "The scores are not scaled")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), scale=1)


@bug("scores multiplied by √d_k", "multiplied by √d_k")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), scale=math.sqrt(query.shape[-1]))


@bug("scaled by d_k", "divided by d_k")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), scale=1 / query.shape[-1])


@bug("scaled by the width of the values", "divided by √d_v")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), scale=value.shape[-1] ** -0.5)


@bug("the scale outside of the softmax", "inside the softmax")
def _(query, key, value, window, n_sinks=0):
    return attend(query, key, value, seen_by(query, window, n_sinks), scale=1) / math.sqrt(query.shape[-1])


@bug("queries and keys swapped", "Queries and keys are swapped")
def _(query, key, value, window, n_sinks=0):
    return attend(key, query, value, seen_by(query, window, n_sinks))


@bug("exp overflows", "exp overflows")
def _(query, key, value, window, n_sinks=0):
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).exp() * seen_by(query, window, n_sinks)
    return weights / weights.sum(-1, keepdim=True) @ value


@bug("one batch axis only", "stopped with")
def _(query, key, value, window, n_sinks=0):
    B, T, d_k = query.shape
    return torch.stack([attend(query[b], key[b], value[b], seen_by(query, window, n_sinks)) for b in range(B)])
