"""Exercise 1: scaled dot-product attention."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps2_attention import check_attention

exercise = Exercise("attention", check_attention)
right, bug = exercise.right, exercise.bug


def scaled(query, key, by=None):
    return query @ key.transpose(-1, -2) / (by or math.sqrt(query.shape[-1]))


def hidden(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


@right("PyTorch, masked_fill and softmax")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), mask).softmax(-1)
    return weights @ value, weights


@right("einsum, an additive mask")
def _(query, key, value, mask=None):
    scores = torch.einsum("...td,...sd->...ts", query, key) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    weights = F.softmax(scores, dim=-1)
    return torch.einsum("...ts,...sv->...tv", weights, value), weights


@right("NumPy, its own softmax")
def _(query, key, value, mask=None):
    query, key, value = query.numpy(), key.numpy(), value.numpy()
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask.numpy(), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights @ value, weights


@right("loops over texts, queries and keys; a list")
def _(query, key, value, mask=None):
    rows, (T, d_k), (S, d_v) = query.shape[:-2], query.shape[-2:], value.shape[-2:]
    mask = torch.ones(*rows, T, S, dtype=torch.bool) if mask is None else mask.expand(*rows, T, S)
    outputs, weights = torch.zeros(*rows, T, d_v), torch.zeros(*rows, T, S)
    for row in np.ndindex(rows):
        for i in range(T):
            scores = [float(query[row][i] @ key[row][j]) / math.sqrt(d_k) for j in range(S)]
            top = max(score for j, score in enumerate(scores) if mask[row][i, j])
            shares = [math.exp(scores[j] - top) if mask[row][i, j] else 0.0 for j in range(S)]
            for j in range(S):
                weights[row][i, j] = shares[j] / sum(shares)
                outputs[row][i] += weights[row][i, j] * value[row][j]
    return [outputs, weights]


@right("the query scaled first, −1e9 for what is masked")
def _(query, key, value, mask=None):
    scores = (query * key.size(-1) ** -0.5) @ key.mT
    if mask is not None:
        scores = torch.where(mask, scores, torch.tensor(-1e9))
    weights = torch.softmax(scores, -1)
    return torch.matmul(weights, value), weights


@right("PyTorch's own attention, twice")
def _(query, key, value, mask=None):
    one_hot = torch.eye(key.shape[-2]).expand(*key.shape[:-1], key.shape[-2])
    attend = F.scaled_dot_product_attention
    return attend(query, key, value, mask), attend(query, key, one_hot, mask)


@right("query by query, logarithms")
def _(query, key, value, mask=None):
    weights = []
    for i in range(query.shape[-2]):
        scores = (key * query[..., i : i + 1, :]).sum(-1).double() / math.sqrt(key.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask[..., i, :], -math.inf)
        weights.append((scores - scores.logsumexp(-1, keepdim=True)).exp())
    weights = torch.stack(weights, -2)
    return weights.float() @ value, weights


@bug("no softmax", "softmax is missing")
def _(query, key, value, mask=None):
    weights = scaled(query, key)
    return weights @ value, weights


@bug("exp without the sum", "exp without its normaliser")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), mask).exp()
    return weights @ value, weights


@bug("not scaled", "The scores are not scaled")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key, 1), mask).softmax(-1)
    return weights @ value, weights


@bug("divided by d_k", "divide by its square root")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key, key.shape[-1]), mask).softmax(-1)
    return weights @ value, weights


@bug("divided by √d_v", "divided by √d_v")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key, math.sqrt(value.shape[-1])), mask).softmax(-1)
    return weights @ value, weights


@bug("divided by √S", "divided by √S")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key, math.sqrt(key.shape[-2])), mask).softmax(-1)
    return weights @ value, weights


@bug("multiplied by √d_k", "multiplied by √d_k")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key, 1 / math.sqrt(key.shape[-1])), mask).softmax(-1)
    return weights @ value, weights


@bug("scale outside the softmax", "1/√d_k belongs to the scores, inside the softmax")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key, 1), mask).softmax(-1) / math.sqrt(key.shape[-1])
    return weights @ value, weights


@bug("only the output scaled outside", "here it shrinks the output")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key, 1), mask).softmax(-1)
    return weights @ value / math.sqrt(key.shape[-1]), weights


@bug("softmax over the queries", "softmax runs over the wrong axis")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), mask).softmax(-2)
    return weights @ value, weights


@bug("softmax over axis 1", "the softmax still runs over the last")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), mask).softmax(1)
    return weights @ value, weights


@bug("softmax over everything", "each query has a softmax of its own")
def _(query, key, value, mask=None):
    scores = hidden(scaled(query, key), mask)
    weights = scores.flatten().softmax(0).reshape(scores.shape)
    return weights @ value, weights


@bug("mask forgotten", "The mask is not used")
def _(query, key, value, mask=None):
    weights = scaled(query, key).softmax(-1)
    return weights @ value, weights


@bug("mask the wrong way round", "True means that the query may look")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), None if mask is None else ~mask).softmax(-1)
    return weights @ value, weights


@bug("mask after the softmax", "The mask comes after the softmax")
def _(query, key, value, mask=None):
    weights = scaled(query, key).softmax(-1)
    if mask is not None:
        weights = weights * mask
    return weights @ value, weights


@bug(
    "mask after the softmax, made to add up to 1 again",
    "A masked score must not count",
)
def _(query, key, value, mask=None):
    weights = scaled(query, key).softmax(-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)
    return weights @ value, weights


@bug("masked scores become 0", "Masked scores became 0")
def _(query, key, value, mask=None):
    scores = scaled(query, key)
    weights = (scores if mask is None else scores * mask).softmax(-1)
    return weights @ value, weights


@bug("−10⁴ for masked scores", "not a large negative number")
def _(query, key, value, mask=None):
    scores = scaled(query, key)
    weights = (scores if mask is None else scores.masked_fill(~mask, -1e4)).softmax(-1)
    return weights @ value, weights


@bug("mask added as 0 and 1", "The mask is added as 0 and 1")
def _(query, key, value, mask=None):
    scores = scaled(query, key)
    weights = (scores if mask is None else scores + mask).softmax(-1)
    return weights @ value, weights


@bug("mask times −∞", "There is a nan")
def _(query, key, value, mask=None):
    scores = scaled(query, key)
    weights = (scores if mask is None else scores + ~mask * -math.inf).softmax(-1)
    return weights @ value, weights


@bug("output from the unmasked weights", "the output is made without the mask")
def _(query, key, value, mask=None):
    scores = scaled(query, key)
    return scores.softmax(-1) @ value, hidden(scores, mask).softmax(-1)


@bug("exp overflows", "exp(1000) overflows")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), mask).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ value, weights


@bug("one maximum for all queries", "own largest score")
def _(query, key, value, mask=None):
    scores = hidden(scaled(query, key), mask)
    weights = (scores - scores.max()).exp()
    weights = weights / weights.sum(-1, keepdim=True)
    return weights @ value, weights


@bug("the first mask for all texts", "each text has its own")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), mask if mask is None or mask.ndim < 3 else mask[:1]).softmax(-1)
    return weights @ value, weights


@bug("weights first", "Return the output (..., T, d_v) first")
def _(query, key, value, mask=None):
    weights = hidden(scaled(query, key), mask).softmax(-1)
    return weights, weights @ value


@bug("only the output", "end with `return output, weights`")
def _(query, key, value, mask=None):
    return hidden(scaled(query, key), mask).softmax(-1) @ value


@bug("all axes turned round", "stopped with")
def _(query, key, value, mask=None):
    weights = hidden(query @ key.permute(*reversed(range(key.ndim))) / math.sqrt(key.shape[-1]), mask).softmax(-1)
    return weights @ value, weights
