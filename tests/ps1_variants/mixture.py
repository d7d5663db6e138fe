"""Exercise 3: the perplexity of a mixture."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps1_counting import check_mixture_perplexity

exercise = Exercise("mixture_perplexity", check_mixture_perplexity)
right, bug = exercise.right, exercise.bug


@right("a loop with math.log")
def _(p, q, weight):
    total = 0.0
    for a, b in zip(p, q, strict=True):
        total -= math.log(weight * a + (1 - weight) * b)
    return math.exp(total / len(p))


@right("bits and a power of 2, a NumPy number")
def _(p, q, weight):
    return 2 ** -np.log2(weight * p + (1 - weight) * q).mean()


@right("PyTorch float32, a tensor of one number")
def _(p, q, weight):
    p, q = torch.tensor(p, dtype=torch.float32), torch.tensor(q, dtype=torch.float32)
    return torch.lerp(q, p, weight).log().mean().neg().exp()


@right("logarithms of the models, logaddexp, with warnings")
def _(p, q, weight):
    mixed = np.logaddexp(np.log(p) + np.log(weight), np.log(q) + np.log(1 - weight))
    return np.exp(-mixed.sum() / len(mixed))


@right("in place on its inputs")
def _(p, q, weight):
    p *= weight
    q *= 1 - weight
    p += q
    np.log(p, out=p)
    return math.exp(-p.mean())


@right("a product of roots: the geometric mean")
def _(p, q, weight):
    return 1 / np.prod((weight * p + (1 - weight) * q) ** (1 / len(p)))


def mean_surprise(p):
    return -np.log(p).mean()


def mixed(p, q, weight):
    return weight * p + (1 - weight) * q


@bug("nats, not the perplexity", "cross-entropy in nats")
def _(p, q, weight):
    return mean_surprise(mixed(p, q, weight))


@bug("bits, not the perplexity", "cross-entropy in bits")
def _(p, q, weight):
    return mean_surprise(mixed(p, q, weight)) / math.log(2)


@bug("sign lost", "The sign is wrong")
def _(p, q, weight):
    return np.exp(-mean_surprise(mixed(p, q, weight)))


@bug("exp of bits", "The bases do not fit")
def _(p, q, weight):
    return np.exp(mean_surprise(mixed(p, q, weight)) / math.log(2))


@bug("2 to the power of nats", "The bases do not fit")
def _(p, q, weight):
    return 2 ** mean_surprise(mixed(p, q, weight))


@bug("weight given to q", "you have them the other way round")
def _(p, q, weight):
    return np.exp(mean_surprise(mixed(q, p, weight)))


@bug("sum of the surprises", "not their sum")
def _(p, q, weight):
    return np.exp(mean_surprise(mixed(p, q, weight)) * len(p))


@bug("divided by T − 1", "not by T − 1")
def _(p, q, weight):
    return np.exp(mean_surprise(mixed(p, q, weight)) * len(p) / max(len(p) - 1, 1))


@bug("mean of 1/p", "You average 1/p")
def _(p, q, weight):
    return (1 / mixed(p, q, weight)).mean()


@bug("1 / mean of p", "You average the probabilities")
def _(p, q, weight):
    return 1 / mixed(p, q, weight).mean()


@bug("the two perplexities mixed", "You mix the two perplexities")
def _(p, q, weight):
    return mixed(np.exp(mean_surprise(p)), np.exp(mean_surprise(q)), weight)


@bug("the logarithms mixed", "You mix the logarithms")
def _(p, q, weight):
    return np.exp(mixed(mean_surprise(p), mean_surprise(q), weight))


@bug("the plain average of the models", "The weight is not used")
def _(p, q, weight):
    return np.exp(mean_surprise((p + q) / 2))


@bug("the product of all probabilities", "too small for a computer's numbers")
def _(p, q, weight):
    return np.prod(mixed(p, q, weight)) ** (-1 / len(p))
