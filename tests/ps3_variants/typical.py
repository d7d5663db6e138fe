"""Locally typical sampling."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_typical_probabilities

exercise = Exercise("typical_probabilities", check_typical_probabilities)
right, bug = exercise.right, exercise.bug


@right("log-softmax, nansum, logits of the others −∞")
def _(logits, temperature, mass):
    z = logits / temperature
    log_p = z.log_softmax(-1)
    entropy = -(log_p.exp() * log_p).nansum(-1, keepdim=True)
    order = (-log_p - entropy).abs().argsort(dim=-1, stable=True)
    before = log_p.exp().gather(-1, order).cumsum(-1).roll(1, -1)
    before[:, 0] = 0
    out = torch.zeros_like(z, dtype=torch.bool).scatter(-1, order, before >= mass)
    return z.masked_fill(out, -math.inf).softmax(-1)


@right("loops over rows and tokens, lists")
def _(logits, temperature, mass):
    result = []
    for row in logits.tolist():
        weights = [math.exp((z - max(row)) / temperature) for z in row]
        p = [w / sum(weights) for w in weights]
        entropy = sum(-each * math.log(each) for each in p if each > 0)
        distance = [abs(-math.log(each) - entropy) if each > 0 else math.inf for each in p]
        kept, total = [0.0] * len(p), 0.0
        for i in sorted(range(len(p)), key=lambda i: distance[i]):
            if total >= mass:
                break
            kept[i] = p[i]
            total += p[i]
        result.append([each / total for each in kept])
    return result


@right("NumPy float64, how many are needed")
def _(logits, temperature, mass):
    z = logits.double().numpy() / temperature
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    surprisal = -np.log(np.maximum(p, 1e-300))
    order = np.argsort(np.abs(surprisal - (p * surprisal).sum(1, keepdims=True)), axis=1, kind="stable")
    n = (np.take_along_axis(p, order, 1).cumsum(1) < mass).sum(1, keepdims=True) + 1
    p[np.argsort(order, axis=1) >= n] = 0  # the rank of each token
    return p / p.sum(1, keepdims=True)


@right("all in bits, a small number beneath the logarithm")
def _(logits, temperature, mass):
    p = (logits / temperature).softmax(-1)
    bits = -(p + 1e-12).log2()
    distance, order = (bits - (p * bits).sum(-1, keepdim=True)).abs().sort(dim=-1, stable=True)
    ranked = p.gather(-1, order)
    ranked = ranked.where(ranked.cumsum(-1) - ranked < mass, 0)
    return torch.zeros_like(p).scatter(-1, order, ranked / ranked.sum(-1, keepdim=True))


@right("row by row, the nearest taken out again and again")
def _(logits, temperature, mass):
    p = (logits.double() / temperature).softmax(-1)
    result = torch.zeros_like(p)
    for row, kept in zip(p, result, strict=True):
        distance = (-row.log() - torch.special.entr(row).sum()).abs()
        while kept.sum() < mass and distance.min() < math.inf:
            i = distance.argmin()
            kept[i], distance[i] = row[i], math.inf
    return result / result.sum(-1, keepdim=True)


@right("only the kept tokens' softmax")
def _(logits, temperature, mass):
    result = torch.zeros_like(logits)
    for row, z in zip(result, logits / temperature, strict=True):
        p = torch.softmax(z, 0)
        entropy = torch.distributions.Categorical(logits=z).entropy()
        order = torch.sort((z.log_softmax(0) + entropy).abs(), stable=True).indices
        kept = order[: 1 + int((p[order].cumsum(0) < mass).sum())]
        row[kept] = torch.softmax(z[kept], 0)
    return result


def softmax(logits, temperature=1.0):
    return (logits / temperature).softmax(-1)


def surprisal(p):
    return -p.log()


def entropy(p):
    return torch.special.entr(p).sum(-1, keepdim=True)


def distances(p):
    return (surprisal(p) - entropy(p)).abs()


def first(p, distance, mass, needed=lambda ranked, mass: ranked.cumsum(-1) - ranked < mass):
    """p of the tokens that are needed, in the order of the distance; 0 for the others."""
    order = distance.sort(dim=-1, stable=True).indices
    ranked = p.gather(-1, order)
    return torch.zeros_like(p).scatter(-1, order, ranked.where(needed(ranked, mass), 0))


def rescaled(p):
    return p / p.sum(-1, keepdim=True)


@bug("nothing removed", "Nothing is removed")
def _(logits, temperature, mass):
    return softmax(logits, temperature)


@bug("not rescaled", "must add up to 1 again")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return first(p, distances(p), mass)


@bug("the most probable first", "The most probable token comes first")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, -p, mass))


@bug("a signed distance", "is |−ln p − H| absolute")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, surprisal(p) - entropy(p), mass))


@bug("a signed distance, the other way", "least probable tokens come first")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, entropy(p) - surprisal(p), mass))


@bug("the entropy with a wrong sign", "is H = 2 ln 2 here")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (surprisal(p) + entropy(p)).abs(), mass))


@bug("the distance of p from the entropy", "is H = 2 ln 2 here")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (p - entropy(p)).abs(), mass))


@bug("the entropy in bits, the surprisal in nats", "The entropy is in bits")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (surprisal(p) - entropy(p) / math.log(2)).abs(), mass))


@bug("the surprisal in bits, the entropy in nats", "both terms in nats")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (surprisal(p) / math.log(2) - entropy(p)).abs(), mass))


@bug("surprisals averaged without weights", "H = −Σ p ln p")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (surprisal(p) - surprisal(p).mean(-1, keepdim=True)).abs(), mass))


@bug("the farthest first", "The tokens farthest from H come first")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, -distances(p), mass))


@bug("the token that reaches the mass dropped, but for the first", "is kept, too")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, distances(p), mass, lambda r, m: (r.cumsum(-1) < m) | (torch.arange(r.size(-1)) == 0)))


@bug("the token that reaches the mass dropped, even the first", "is kept, too")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, distances(p), mass, lambda ranked, mass: ranked.cumsum(-1) < mass))


@bug("one token too many", "One token too many")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, distances(p), mass, lambda r, m: r.cumsum(-1) - r - r.roll(1, -1) < m))


@bug("a share of the number of tokens", "One token too many")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    n = math.ceil(mass * p.size(-1))
    return rescaled(first(p, distances(p), mass, lambda ranked, mass: torch.arange(ranked.size(-1)) < n))


@bug("the mass as a limit of the distance", "is kept, too")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(p.where(distances(p) <= mass, 0))


@bug("the most probable token always kept", "is not always kept")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    kept = first(p, distances(p), mass).scatter(-1, p.argmax(-1, keepdim=True), p.max(-1, keepdim=True).values)
    return rescaled(kept)


@bug("all tokens at the last distance kept", "stop as soon as")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    kept = first(p, distances(p), mass)
    last = distances(p).where(kept > 0, -math.inf).amax(-1, keepdim=True)
    return rescaled(p.where(distances(p) <= last, 0))


@bug("of equals the higher id", "the lower id comes first")
def _(logits, temperature, mass):
    p = softmax(logits, temperature).flip(-1)
    return rescaled(first(p, distances(p), mass)).flip(-1)


@bug("in sorted order", "in sorted order")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    order = distances(p).argsort(dim=-1, stable=True)
    ranked = p.gather(-1, order)
    return rescaled(ranked.where(ranked.cumsum(-1) - ranked < mass, 0))


@bug("the mask of the ranks used for ids", "These are ranks, not ids")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    ranked = p.gather(-1, distances(p).argsort(dim=-1, stable=True))
    return rescaled(p.where(ranked.cumsum(-1) - ranked < mass, 0))


@bug("gather to go back", "These are ranks, not ids")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    order = distances(p).argsort(dim=-1, stable=True)
    ranked = p.gather(-1, order)
    return rescaled(p.where((ranked.cumsum(-1) - ranked < mass).gather(-1, order), 0))


@bug("kept tokens made equally probable", "you make them equally probable")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled((first(p, distances(p), mass) > 0).float())


@bug("a softmax of the kept probabilities", "p is no logit")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return first(p, distances(p), mass).softmax(-1)


@bug("softmax over the rows", "softmax runs over the rows")
def _(logits, temperature, mass):
    p = (logits / temperature).softmax(0)
    return rescaled(first(p, distances(p), mass))


@bug("logarithms returned", "Return probabilities")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, distances(p), mass)).log()


@bug("the temperature not used", "The temperature has no effect")
def _(logits, temperature, mass):
    p = softmax(logits)
    return rescaled(first(p, distances(p), mass))


@bug("the temperature divides p", "The temperature has no effect")
def _(logits, temperature, mass):
    p = rescaled(softmax(logits) / temperature)
    return rescaled(first(p, distances(p), mass))


@bug("multiplied by the temperature", "divide")
def _(logits, temperature, mass):
    p = softmax(logits, 1 / temperature)
    return rescaled(first(p, distances(p), mass))


@bug("the temperature after the choice", "The temperature comes first")
def _(logits, temperature, mass):
    p = softmax(logits)
    return softmax(first(p, distances(p), mass).log(), temperature)


@bug("the sum before the temperature", "The temperature comes first")
def _(logits, temperature, mass):
    kept = first(softmax(logits), distances(softmax(logits, temperature)), mass)
    return rescaled(softmax(logits, temperature).where(kept > 0, 0))


@bug("the p before the temperature", "keep the p that they had before")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(softmax(logits).where(first(p, distances(p), mass) > 0, 0))


@bug("the entropy before the temperature", "the entropy after the temperature")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (surprisal(p) - entropy(softmax(logits))).abs(), mass))


@bug("the entropy of the whole batch", "Each row has an entropy")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (surprisal(p) - entropy(p).sum()).abs(), mass))


@bug("the order of row 0 for all", "Each row has an entropy")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, distances(p)[:1].expand_as(p), mass))


@bug("divided by the sum of the batch", "Each row adds up to 1 by itself")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    kept = first(p, distances(p), mass)
    return kept / kept.sum()


@bug("0 · ln 0 in the entropy", "is nan")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (surprisal(p) - (p * surprisal(p)).sum(-1, keepdim=True)).abs(), mass))


@bug("logits of −∞ left out, but not p rounded to 0", "is rounded to 0")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    h = (p * surprisal(p)).where(logits > -math.inf, 0).sum(-1, keepdim=True)
    return rescaled(first(p, (surprisal(p) - h).abs(), mass))


@bug("exp overflows", "exp overflows")
def _(logits, temperature, mass):
    p = rescaled((logits / temperature).exp())
    return rescaled(first(p, distances(p), mass))


@bug("the logit taken for the surprisal", "The least probable tokens come first")
def _(logits, temperature, mass):
    p = softmax(logits, temperature)
    return rescaled(first(p, (-logits / temperature - entropy(p)).abs(), mass))
