"""Min-p sampling from logits."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_min_p_probabilities

exercise = Exercise("min_p_probabilities", check_min_p_probabilities)
right, bug = exercise.right, exercise.bug


@right("probabilities below the floor become 0")
def _(logits, temperature, min_p):
    p = (logits / temperature).softmax(-1)
    p[p < min_p * p.max(-1, keepdim=True).values] = 0
    return p / p.sum(-1, keepdim=True)


@right("logits below the floor become −∞")
def _(logits, temperature, min_p):
    z = logits.double() / temperature
    log_floor = math.log(min_p) if min_p else -math.inf
    return z.masked_fill(z < z.amax(-1, keepdim=True) + log_floor, -math.inf).softmax(-1)


@right("loops over rows and tokens, lists")
def _(logits, temperature, min_p):
    result = []
    for row in logits.tolist():
        top = max(row)
        weights = [math.exp((z - top) / temperature) for z in row]
        weights = [w if w >= min_p else 0.0 for w in weights]
        result.append([w / sum(weights) for w in weights])
    return result


@right("NumPy float64, the largest logit subtracted")
def _(logits, temperature, min_p):
    z = logits.double().numpy() / temperature
    p = np.exp(z - z.max(1, keepdims=True))
    p = np.where(p >= min_p, p, 0)
    return p / p.sum(1, keepdims=True)


@right("sorted, cut where the floor lies, and put back")
def _(logits, temperature, min_p):
    ranked, order = (logits / temperature).softmax(-1).sort(dim=-1, descending=True)
    ranked = ranked.where(ranked >= min_p * ranked[:, :1], 0)
    return torch.zeros_like(ranked).scatter(-1, order, ranked / ranked.sum(-1, keepdim=True))


@right("one row at a time, only the kept tokens' softmax")
def _(logits, temperature, min_p):
    result = torch.zeros_like(logits)
    for row, z in zip(result, logits, strict=True):
        p = torch.softmax(z / temperature, 0)
        kept = (p >= min_p * p.max()).nonzero()[:, 0]
        row[kept] = torch.softmax(z[kept] / temperature, 0)
    return result


def kept(p, floor):
    p = torch.where(p >= floor, p, 0)
    return p / p.sum(-1, keepdim=True)


def softmax(logits, temperature=1.0):
    return (logits / temperature).softmax(-1)


def largest(p):
    return p.max(-1, keepdim=True).values


@bug("the floor not used", "Nothing is removed")
def _(logits, temperature, min_p):
    return softmax(logits, temperature)


@bug("logits compared with a share of the largest logit", "Nothing is removed")
def _(logits, temperature, min_p):
    z = logits / temperature
    return z.masked_fill(z < min_p * largest(z), -torch.inf).softmax(-1)


@bug("not rescaled", "must add up to 1 again")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return torch.where(p >= min_p * largest(p), p, 0)


@bug("min_p itself as the floor", "it is not min_p itself")
def _(logits, temperature, min_p):
    return kept(softmax(logits, temperature), min_p)


@bug("the comparison turned round", "turn the comparison round")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    p = torch.where(p < min_p * largest(p), p, 0)
    return p / p.sum(-1, keepdim=True)


@bug("logits of removed tokens set to 0", "becomes −∞, not 0")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return (logits / temperature).masked_fill(p < min_p * largest(p), 0).softmax(-1)


@bug("kept tokens made equally probable", "you make them equally probable")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    p = (p >= min_p * largest(p)).float()
    return p / p.sum(-1, keepdim=True)


@bug("a softmax of the kept probabilities", "p is no logit")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return p.masked_fill(p < min_p * largest(p), -torch.inf).softmax(-1)


@bug("a softmax of the kept probabilities and zeros", "p is no logit")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return torch.where(p >= min_p * largest(p), p, 0).softmax(-1)


@bug("in sorted order", "in sorted order")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return kept(p, min_p * largest(p)).sort(dim=-1, descending=True).values


@bug("top-p in place of min-p", "Only the most probable token is left")
def _(logits, temperature, min_p):
    ranked, order = softmax(logits, temperature).sort(dim=-1, descending=True)
    ranked[ranked.cumsum(-1) - ranked >= min_p] = 0
    return torch.zeros_like(ranked).scatter(-1, order, ranked / ranked.sum(-1, keepdim=True))


@bug("softmax over the rows", "softmax runs over the rows")
def _(logits, temperature, min_p):
    p = (logits / temperature).softmax(0)
    return kept(p, min_p * largest(p))


@bug("logarithms returned", "Return probabilities")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return kept(p, min_p * largest(p)).log()


@bug("the temperature not used", "The temperature has no effect")
def _(logits, temperature, min_p):
    p = softmax(logits)
    return kept(p, min_p * largest(p))


@bug("the temperature divides p", "The temperature has no effect")
def _(logits, temperature, min_p):
    p = softmax(logits) / temperature
    return kept(p, min_p * largest(p))


@bug("multiplied by the temperature", "divide")
def _(logits, temperature, min_p):
    p = softmax(logits, 1 / temperature)
    return kept(p, min_p * largest(p))


@bug("the floor before the temperature", "The temperature comes first")
def _(logits, temperature, min_p):
    p = softmax(logits)
    return kept(p, min_p * largest(p)).log().div(temperature).softmax(-1)


@bug("the floor before the temperature where that is above 1", "The temperature comes first")
def _(logits, temperature, min_p):
    p = softmax(logits, min(temperature, 1))
    return kept(p, min_p * largest(p)).log().div(max(temperature, 1)).softmax(-1)


@bug("the largest p of the whole batch", "Each row has a floor of its own")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return kept(p, min_p * p.max())


@bug("the floor of row 0 for all", "Each row has a floor of its own")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    return kept(p, min_p * p[0].max())


@bug("divided by the sum of the batch", "Each row adds up to 1 by itself")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    p = torch.where(p >= min_p * largest(p), p, 0)
    return p / p.sum()


@bug("above the floor only", "A token on the floor stays")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    p = torch.where(p > min_p * largest(p), p, 0)
    return p / p.sum(-1, keepdim=True)


@bug("above the floor, and the first maximum", "both stay")
def _(logits, temperature, min_p):
    p = softmax(logits, temperature)
    stays = (p > min_p * largest(p)).scatter(-1, p.argmax(-1, keepdim=True), True)
    p = torch.where(stays, p, 0)
    return p / p.sum(-1, keepdim=True)


@bug("the smallest logit subtracted", "A logit of −∞")
def _(logits, temperature, min_p):
    p = ((logits - logits.min(-1, keepdim=True).values) / temperature).exp()
    return kept(p, min_p * largest(p))


@bug("the logarithm of 0", "stopped with ValueError")
def _(logits, temperature, min_p):
    z = logits / temperature
    return z.masked_fill(z < largest(z) + math.log(min_p), -torch.inf).softmax(-1)


@bug("exp overflows", "subtract the largest logit")
def _(logits, temperature, min_p):
    p = (logits / temperature).exp()
    return kept(p, min_p * largest(p))


@bug("the largest absolute value subtracted", "subtract the largest logit")
def _(logits, temperature, min_p):
    z = logits / temperature
    p = (z - z[z.isfinite()].abs().max()).exp()
    return kept(p, min_p * largest(p))
