"""Exercise 6: a bias for each distance."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps2_attention import check_relative_bias_attention

exercise = Exercise("relative_bias_attention", check_relative_bias_attention)
right, bug = exercise.right, exercise.bug


@right("F.scaled_dot_product_attention with the bias as its mask")
def _(query, key, value, bias):
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias[:, columns(query, key, bias)])


@right("loops over heads, queries and keys, lists")
def _(query, key, value, bias):
    if query.ndim > 3:
        again = exercise.correct["loops over heads, queries and keys, lists"]
        return [again(*each, bias) for each in zip(query, key, value, strict=True)]
    k, output = bias.shape[1] // 2, []
    (H, T, d_k), S = query.shape, key.shape[1]
    for h in range(H):
        rows = []
        for i in range(S - T, S):
            scores = []
            for j in range(S):
                distance = min(max(j - i, -k), k)
                score = sum(a * b for a, b in zip(query[h, i - S + T].tolist(), key[h, j].tolist(), strict=True))
                scores.append(score / math.sqrt(d_k) + bias[h, distance + k].item())
            weights = [math.exp(score - max(scores)) for score in scores]
            rows.append([sum(w * x for w, x in zip(weights, column, strict=True)) / sum(weights)
                         for column in value[h].T.tolist()])  # fmt: skip
        output.append(rows)
    return output


@right("NumPy float64, einsum")
def _(query, key, value, bias):
    query, key, value, bias = (each.double().numpy() for each in (query, key, value, bias))
    T, S, k = query.shape[-2], key.shape[-2], bias.shape[1] // 2
    column = np.clip(np.subtract.outer(np.arange(S), np.arange(S - T, S)).T, -k, k) + k
    scores = np.einsum("...id,...jd->...ij", query, key) / np.sqrt(query.shape[-1]) + bias[:, column]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("...ij,...jd->...id", weights / weights.sum(-1, keepdims=True), value)


@right("one query at a time, from the last one back")
def _(query, key, value, bias):
    S, k, rows = key.shape[-2], bias.shape[1] // 2, []
    for back in range(query.shape[-2]):
        places = (torch.arange(S) - (S - 1 - back)).clamp(-k, k) + k
        scores = (key @ query[..., -1 - back, :, None])[..., 0] / query.shape[-1] ** 0.5 + bias[:, places]
        rows.insert(0, (scores.softmax(-1)[..., None, :] @ value)[..., 0, :])
    return torch.stack(rows, -2)


@right("one diagonal at a time, bias added in place")
def _(query, key, value, bias):
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    T, S, k = query.shape[-2], key.shape[-2], bias.shape[1] // 2
    for distance in range(1 - S, T):
        diagonal = scores.diagonal(distance + S - T, -2, -1)
        diagonal += bias[:, max(-k, min(k, distance)) + k, None]
    return scores.softmax(-1) @ value


@right("exp of bias as a factor, one-hot distances")
def _(query, key, value, bias):
    one_hot = F.one_hot(columns(query, key, bias), bias.shape[1]).float()
    factor = torch.einsum("hc,ijc->hij", bias.exp(), one_hot)
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = (scores - scores.amax(-1, keepdim=True)).exp() * factor
    return (weights / weights.sum(-1, keepdim=True)) @ value


def distances(query, key, start=None):
    """(T, S): j − i, where query 0 stands at `start`, or S − T."""
    T, S = query.shape[-2], key.shape[-2]
    i = torch.arange(T) + (S - T if start is None else start)
    return torch.arange(S) - i[:, None]


def columns(query, key, bias):
    k = bias.shape[1] // 2
    return distances(query, key).clamp(-k, k) + k


def attend(query, key, value, added, scale=None):
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    return (scores + added).softmax(-1) @ value


def clipped(query, key, bias, start=None):
    k = bias.shape[1] // 2
    return distances(query, key, start).clamp(-k, k) + k


@bug("bias forgotten", "The bias is not used")
def _(query, key, value, bias):
    return attend(query, key, value, 0)


@bug("i − j", "The sign is wrong")
def _(query, key, value, bias):
    return attend(query, key, value, bias.flip(1)[:, columns(query, key, bias)])


@bug("|j − i|", "The distance has a sign")
def _(query, key, value, bias):
    k = bias.shape[1] // 2
    return attend(query, key, value, bias[:, distances(query, key).abs().clamp(max=k) + k])


@bug("bias added after the softmax", "added after the softmax")
def _(query, key, value, bias):
    weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    return (weights + bias[:, columns(query, key, bias)]) @ value


@bug("bias subtracted", "The bias is subtracted")
def _(query, key, value, bias):
    return attend(query, key, value, -bias[:, columns(query, key, bias)])


@bug("softmax over the heads", "The softmax runs over the wrong axis")
def _(query, key, value, bias):
    scores = query @ key.mT / query.shape[-1] ** 0.5 + bias[:, columns(query, key, bias)]
    return scores.softmax(-3) @ value


@bug("exp overflows", "subtract the largest score")
def _(query, key, value, bias):
    weights = (query @ key.mT / query.shape[-1] ** 0.5 + bias[:, columns(query, key, bias)]).exp()
    return weights / weights.sum(-1, keepdim=True) @ value


@bug("bias multiplies the scores", "The bias multiplies the scores")
def _(query, key, value, bias):
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return (scores * bias[:, columns(query, key, bias)]).softmax(-1) @ value


@bug("bias multiplies the weights", "The bias multiplies the weights")
def _(query, key, value, bias):
    weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    return (weights * bias[:, columns(query, key, bias)]) @ value


@bug("bias in place of the scores", "q · k is missing")
def _(query, key, value, bias):
    return attend(query * 0, key, value, bias[:, columns(query, key, bias)])


@bug("bias scaled, too", "The bias is divided by √d_k")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, columns(query, key, bias)] / math.sqrt(query.shape[-1]))


@bug("m not added to the distance", "add m to the distance")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, columns(query, key, bias) - bias.shape[1] // 2])


@bug("distances not cut", "stopped with IndexError")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, distances(query, key) + bias.shape[1] // 2])


@bug("cut above only", "cut it to −m")
def _(query, key, value, bias):
    k = bias.shape[1] // 2
    places = distances(query, key).clamp(max=k) + k
    return attend(query, key, value, bias[:, places % bias.shape[1]])


@bug("distances wrapped around", "wraps around")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, (distances(query, key) + bias.shape[1] // 2) % bias.shape[1]])


@bug("far keys hidden", "is hidden")
def _(query, key, value, bias):
    far = distances(query, key).abs() > bias.shape[1] // 2
    return attend(query, key, value, bias[:, columns(query, key, bias)].masked_fill(far, -torch.inf))


@bug("far keys without bias", "has no bias")
def _(query, key, value, bias):
    far = distances(query, key).abs() > bias.shape[1] // 2
    return attend(query, key, value, bias[:, columns(query, key, bias)].masked_fill(far, 0))


@bug("cut at m − 1", "every distance is cut to 0")
def _(query, key, value, bias):
    k = bias.shape[1] // 2
    return attend(query, key, value, bias[:, distances(query, key).clamp(min(1 - k, 0), max(k - 1, 0)) + k])


@bug("bias by the key's place", "by the key's place")
def _(query, key, value, bias):
    places = torch.arange(key.shape[-2]).clamp(max=bias.shape[1] - 1)
    return attend(query, key, value, bias[:, None, places])


@bug("causal mask", "there is no mask in this exercise")
def _(query, key, value, bias):
    added = bias[:, columns(query, key, bias)].masked_fill(distances(query, key) > 0, -torch.inf)
    return attend(query, key, value, added)


@bug("one head's bias for all", "Head 1 uses the row of head 0")
def _(query, key, value, bias):
    return attend(query, key, value, bias[0, columns(query, key, bias)])


@bug("the last head's bias for all", "Head 0 uses the row of head 1")
def _(query, key, value, bias):
    return attend(query, key, value, bias[-1, columns(query, key, bias)])


@bug("heads in reverse", "rows are swapped")
def _(query, key, value, bias):
    return attend(query, key, value, bias.flip(0)[:, columns(query, key, bias)])


@bug("biases of the heads added up", "biases are added up")
def _(query, key, value, bias):
    return attend(query, key, value, bias.sum(0)[columns(query, key, bias)])


@bug("queries are the first T tokens", "not at 0")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, clipped(query, key, bias, start=0)])


@bug("queries come after the keys", "not at S")
def _(query, key, value, bias):
    start = key.shape[-2] - query.shape[-2] + (key.shape[-2] > query.shape[-2])
    return attend(query, key, value, bias[:, clipped(query, key, bias, start=start)])


@bug("queries one place too early", "not one before")
def _(query, key, value, bias):
    start = key.shape[-2] - query.shape[-2] - (key.shape[-2] > query.shape[-2])
    return attend(query, key, value, bias[:, clipped(query, key, bias, start=start)])


@bug("every query at the last place", "has a place of its own")
def _(query, key, value, bias):
    last = columns(query[..., -1:, :], key, bias) if query.shape[-2] < key.shape[-2] else columns(query, key, bias)
    return attend(query, key, value, bias[:, last])


@bug("places of the queries backwards", "places go up")
def _(query, key, value, bias):
    places = columns(query, key, bias)
    return attend(query, key, value, bias[:, places.flip(0) if query.shape[-2] < key.shape[-2] else places])


@bug("scores not scaled", "The scores are not scaled")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, columns(query, key, bias)], scale=1)


@bug("scores multiplied by √d_k", "multiplied by √d_k")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, columns(query, key, bias)], scale=math.sqrt(query.shape[-1]))


@bug("scaled by d_k", "divided by d_k")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, columns(query, key, bias)], scale=1 / query.shape[-1])


@bug("scaled by the width of the values", "divided by √d_v")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, columns(query, key, bias)], scale=value.shape[-1] ** -0.5)


@bug("the scale outside of the softmax", "inside the softmax")
def _(query, key, value, bias):
    return attend(query, key, value, bias[:, columns(query, key, bias)], scale=1) / math.sqrt(query.shape[-1])


@bug("softmax over the queries", "The softmax runs over the wrong axis")
def _(query, key, value, bias):
    scores = query @ key.mT / query.shape[-1] ** 0.5 + bias[:, columns(query, key, bias)]
    return scores.softmax(-2) @ value


@bug("no softmax", "The softmax is missing")
def _(query, key, value, bias):
    return (query @ key.mT / query.shape[-1] ** 0.5 + bias[:, columns(query, key, bias)]) @ value


@bug("queries and keys swapped", "Queries and keys are swapped")
def _(query, key, value, bias):
    return attend(key, query, value, bias[:, columns(query, key, bias)])
