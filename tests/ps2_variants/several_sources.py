"""Exercise 7: attention to several sources at once."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps2_attention import check_multi_source_attention

exercise = Exercise("multi_source_attention", check_multi_source_attention)
right, bug = exercise.right, exercise.bug


def keys_values(sources, W_k, W_v):
    keys = [source @ W for source, W in zip(sources, W_k, strict=True)]
    return keys, [source @ W for source, W in zip(sources, W_v, strict=True)]


def real(sources, lengths):
    """For each source (B, 1, S_n): which vectors are no padding."""
    return [torch.arange(x.shape[1]) < n[:, None, None] for x, n in zip(sources, lengths, strict=True)]


def attend(query, keys, values, seen, scale=None, hidden=-torch.inf):
    scores = query @ torch.cat(keys, 1).mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    return scores.masked_fill(~torch.cat(seen, -1), hidden).softmax(-1) @ torch.cat(values, 1)


@right("F.scaled_dot_product_attention on everything in a row")
def _(query, sources, lengths, W_k, W_v):
    keys, values = (torch.cat(each, 1) for each in keys_values(sources, W_k, W_v))
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=torch.cat(real(sources, lengths), -1))


@right("each entry by itself, its padding cut off")
def _(query, sources, lengths, W_k, W_v):
    output = []
    for b in range(len(query)):
        keys = torch.cat([x[b, :n] @ W for x, n, W in zip(sources, lengths[:, b], W_k, strict=True)])
        values = torch.cat([x[b, :n] @ W for x, n, W in zip(sources, lengths[:, b], W_v, strict=True)])
        output.append((query[b] @ keys.T / math.sqrt(query.shape[-1])).softmax(-1) @ values)
    return output


@right("a softmax for each source, joined by their log-sums")
def _(query, sources, lengths, W_k, W_v):
    keys, values = keys_values(sources, W_k, W_v)
    outputs, totals = [], []
    for k, v, seen in zip(keys, values, real(sources, lengths), strict=True):
        scores = (query @ k.mT / math.sqrt(query.shape[-1])).masked_fill(~seen, -1e30)
        outputs.append(scores.softmax(-1) @ v)
        totals.append(scores.logsumexp(-1))
    shares = torch.stack(totals, -1).softmax(-1)
    return (torch.stack(outputs, -1) * shares[..., None, :]).sum(-1)


@right("loops and NumPy float64")
def _(query, sources, lengths, W_k, W_v):
    B, T, d_k = query.shape
    output = np.zeros((B, T, W_v[0].shape[1]))
    for b in range(B):
        vectors = [(x[b, s].double().numpy(), n) for n, x in enumerate(sources) for s in range(int(lengths[n, b]))]
        for t in range(T):
            q = query[b, t].double().numpy()
            scores = np.array([q @ (x @ W_k[n].double().numpy()) for x, n in vectors]) / np.sqrt(d_k)
            weights = np.exp(scores - scores.max())
            for weight, (x, n) in zip(weights / weights.sum(), vectors, strict=True):
                output[b, t] += weight * (x @ W_v[n].double().numpy())
    return output


@right("additive mask, the query projected back to each source")
def _(query, sources, lengths, W_k, W_v):
    scores = [torch.einsum("btd,wd,bsw->bts", query, W, x) for x, W in zip(sources, W_k, strict=True)]
    scores = [s + seen.float().log() for s, seen in zip(scores, real(sources, lengths), strict=True)]
    weights = (torch.cat(scores, -1) / math.sqrt(query.shape[-1])).softmax(-1)
    weights = weights.split([x.shape[1] for x in sources], -1)
    return sum(a @ x @ W for a, x, W in zip(weights, sources, W_v, strict=True))


def one_by_one(query, sources, lengths, W_k, W_v):
    """A softmax for each source: what each alone would give."""
    keys, values = keys_values(sources, W_k, W_v)
    each = zip(keys, values, real(sources, lengths), strict=True)
    return [attend(query, [k], [v], [seen]) for k, v, seen in each]


@bug("a softmax for each source, added up", "you take one for each source and add up")
def _(query, sources, lengths, W_k, W_v):
    return sum(one_by_one(query, sources, lengths, W_k, W_v))


@bug("a softmax for each source, averaged", "the mean of the results")
def _(query, sources, lengths, W_k, W_v):
    return sum(one_by_one(query, sources, lengths, W_k, W_v)) / len(sources)


@bug("the results side by side", "has shape")
def _(query, sources, lengths, W_k, W_v):
    return torch.cat(one_by_one(query, sources, lengths, W_k, W_v), -1)


@bug("the first source only", "Only the first source is used")
def _(query, sources, lengths, W_k, W_v):
    return one_by_one(query, sources, lengths, W_k, W_v)[0]


@bug("the last source only", "Only the last source is used")
def _(query, sources, lengths, W_k, W_v):
    return one_by_one(query, sources, lengths, W_k, W_v)[-1]


@bug("softmax over the queries", "The softmax runs over the queries")
def _(query, sources, lengths, W_k, W_v):
    keys, values = (torch.cat(each, 1) for each in keys_values(sources, W_k, W_v))
    return (query @ keys.mT / math.sqrt(query.shape[-1])).softmax(-2) @ values


@bug("softmax over the batch", "over the wrong axis")
def _(query, sources, lengths, W_k, W_v):
    keys, values = (torch.cat(each, 1) for each in keys_values(sources, W_k, W_v))
    return (query @ keys.mT / math.sqrt(query.shape[-1])).softmax(0) @ values


@bug("padding not masked", "Padding keeps its weight")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), [torch.ones_like(s) for s in real(sources, lengths)])


@bug("padding's scores set to 0", "−∞ was needed")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), hidden=0)


@bug("padding set to 0 in the sources, for keys only", "its scores became 0")
def _(query, sources, lengths, W_k, W_v):
    cleared = [x * seen.mT for x, seen in zip(sources, real(sources, lengths), strict=True)]
    keys, _ = keys_values(cleared, W_k, W_v)
    return attend(query, keys, keys_values(sources, W_k, W_v)[1], [torch.ones_like(s) for s in real(sources, lengths)])


@bug("masked after the softmax", "You mask after the softmax")
def _(query, sources, lengths, W_k, W_v):
    keys, values = (torch.cat(each, 1) for each in keys_values(sources, W_k, W_v))
    weights = (query @ keys.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return (weights * torch.cat(real(sources, lengths), -1)) @ values


@bug("one mask from the sum of the lengths", "made for all sources together")
def _(query, sources, lengths, W_k, W_v):
    keys, values = keys_values(sources, W_k, W_v)
    seen = torch.arange(sum(x.shape[1] for x in sources)) < lengths.sum(0)[:, None, None]
    return attend(query, keys, values, [seen])


@bug("the lengths of the other source", "do not go with their sources")
def _(query, sources, lengths, W_k, W_v):
    seen = [s.expand(len(query), -1, -1) for s in real(sources, lengths.flip(0))]
    return attend(query, *keys_values(sources, W_k, W_v), seen)


@bug("the lengths of source 0 for all", "Source 1 is cut where source 0 is")
def _(query, sources, lengths, W_k, W_v):
    shared = torch.minimum(lengths[:1], torch.tensor([[x.shape[1]] for x in sources]))
    shared = shared if len(query) > 1 else lengths
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, shared))


@bug("the lengths of entry 0 for all", "Entry 1 is cut where entry 0 is")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths[:, :1].expand_as(lengths)))


@bug("the mask the wrong way round", "is hidden")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), [~s for s in real(sources, lengths)])


@bug("the mask the wrong way round, −10⁹ for hidden scores", "the wrong way round")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), [~s for s in real(sources, lengths)], hidden=-1e9)


@bug("padding in front", "Padding stands at the end")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), [s.flip(-1) for s in real(sources, lengths)])


@bug("one vector too many", "One vector too many")
def _(query, sources, lengths, W_k, W_v):
    sizes = torch.tensor([[x.shape[1]] for x in sources])
    longer = torch.minimum(lengths + 1, sizes)
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, longer))


@bug("one vector too few", "One vector too few")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths - 1), hidden=-1e9)


@bug("empty sources give nan", "A softmax over nothing is 0/0")
def _(query, sources, lengths, W_k, W_v):
    keys, values = keys_values(sources, W_k, W_v)
    outputs, totals = [], []
    for k, v, seen in zip(keys, values, real(sources, lengths), strict=True):
        scores = (query @ k.mT / math.sqrt(query.shape[-1])).masked_fill(~seen, -torch.inf)
        outputs.append(scores.softmax(-1) @ v)
        totals.append(scores.logsumexp(-1))
    shares = torch.stack(totals, -1).softmax(-1)
    return (torch.stack(outputs, -1) * shares[..., None, :]).sum(-1)


@bug("empty sources counted as full", "A source may be empty")
def _(query, sources, lengths, W_k, W_v):
    sizes = torch.tensor([[x.shape[1]] for x in sources])
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths + (lengths == 0) * sizes))


@bug("sums of exp(score), the largest not subtracted", "subtract the largest score before exp")
def _(query, sources, lengths, W_k, W_v):
    above, below = 0, 0
    for x, n, to_key, to_value in zip(sources, lengths, W_k, W_v, strict=True):
        weights = (query @ (x @ to_key).mT / math.sqrt(query.shape[-1])).exp()
        weights = weights.masked_fill(torch.arange(x.shape[1]) >= n[:, None, None], 0)
        above, below = above + weights @ (x @ to_value), below + weights.sum(-1, keepdim=True)
    return above / below


@bug("−100 for the padding's scores", "not a large negative number")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), hidden=-100)


@bug("−10⁴ for the padding's scores", "not a large negative number")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), hidden=-1e4)


@bug("padding set to 0 in the sources, for keys and values", "Padding is set to zeros")
def _(query, sources, lengths, W_k, W_v):
    cleared = [x * seen.mT for x, seen in zip(sources, real(sources, lengths), strict=True)]
    return attend(query, *keys_values(cleared, W_k, W_v), [torch.ones_like(s) for s in real(sources, lengths)])


@bug("each source divided by the root of its own width", "divided by √d_n")
def _(query, sources, lengths, W_k, W_v):
    keys, values = keys_values(sources, W_k, W_v)
    keys = [k / math.sqrt(x.shape[-1]) for k, x in zip(keys, sources, strict=True)]
    return attend(query, keys, values, real(sources, lengths), scale=1)


@bug("each source divided by its own width", "divided by √d_n or d_n")
def _(query, sources, lengths, W_k, W_v):
    keys, values = keys_values(sources, W_k, W_v)
    keys = [k / x.shape[-1] for k, x in zip(keys, sources, strict=True)]
    return attend(query, keys, values, real(sources, lengths), scale=1)


@bug("scores not scaled", "The scores are not scaled")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), scale=1)


@bug("scores multiplied by √d_k", "multiplied by √d_k")
def _(query, sources, lengths, W_k, W_v):
    scale = math.sqrt(query.shape[-1])
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), scale=scale)


@bug("scaled by d_k", "divided by d_k")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), scale=1 / query.shape[-1])


@bug("scaled by the width of the values", "divided by √d_v")
def _(query, sources, lengths, W_k, W_v):
    scale = W_v[0].shape[1] ** -0.5
    return attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), scale=scale)


@bug("the scale outside of the softmax", "inside the softmax")
def _(query, sources, lengths, W_k, W_v):
    output = attend(query, *keys_values(sources, W_k, W_v), real(sources, lengths), scale=1)
    return output / math.sqrt(query.shape[-1])


def same_if_it_fits(W):
    return [W[0] if each.shape == W[0].shape else each for each in W]


@bug("keys of all sources by the first matrix", "Both keys are the same")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, same_if_it_fits(W_k), W_v), real(sources, lengths))


@bug("no softmax", "The softmax is missing")
def _(query, sources, lengths, W_k, W_v):
    keys, values = (torch.cat(each, 1) for each in keys_values(sources, W_k, W_v))
    return query @ keys.mT / math.sqrt(query.shape[-1]) @ values


@bug("values of all sources by the first matrix", "Both values are the same")
def _(query, sources, lengths, W_k, W_v):
    return attend(query, *keys_values(sources, W_k, same_if_it_fits(W_v)), real(sources, lengths))


@bug("values not projected", "has shape")
def _(query, sources, lengths, W_k, W_v):
    keys, _ = keys_values(sources, W_k, W_v)
    return attend(query, keys, sources, real(sources, lengths))


@bug("values in another order", "into the same order")
def _(query, sources, lengths, W_k, W_v):
    keys, values = keys_values(sources, W_k, W_v)
    return attend(query, keys, values[::-1], real(sources, lengths))
