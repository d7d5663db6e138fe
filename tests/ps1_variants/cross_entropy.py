"""Exercise 6: softmax and cross-entropy."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps1_counting import check_mean_cross_entropy

exercise = Exercise("mean_cross_entropy", check_mean_cross_entropy)
right, bug = exercise.right, exercise.bug


@right("loops over Python floats")
def _(logits, targets):
    total = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        top = max(row)
        total += top + math.log(sum(math.exp(z - top) for z in row)) - row[target]
    return total / len(targets)


@right("NumPy float64")
def _(logits, targets):
    z = logits.double().numpy()
    z = z - z.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -log_p[np.arange(len(z)), targets].mean()


@right("torch.logsumexp and gather")
def _(logits, targets):
    return (logits.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]).mean()


@right("log_softmax and a one-hot mask, a list of one number's tensor")
def _(logits, targets):
    return -(F.one_hot(targets, logits.shape[1]) * logits.log_softmax(-1)).sum() / len(logits)


@right("in place")
def _(logits, targets):
    logits.sub_(logits.amax(1, keepdim=True))
    picked = logits[torch.arange(len(targets)), targets].clone()
    return logits.exp_().sum(1).log_().sub_(picked).mean().item()


@right("PyTorch's own")
def _(logits, targets):
    return F.cross_entropy(logits.requires_grad_(), targets)


def nll(log_p, targets):
    return -log_p[torch.arange(len(targets)), targets]


@bug("sign lost", "The sign is wrong")
def _(logits, targets):
    return -nll(logits.log_softmax(1), targets).mean()


@bug("bits", "This is in bits")
def _(logits, targets):
    return nll(logits.log_softmax(1), targets).mean() / math.log(2)


@bug("no logarithm", "The logarithm is missing")
def _(logits, targets):
    return nll(logits.softmax(1), targets).mean()


@bug("no softmax", "apply softmax")
def _(logits, targets):
    return nll(logits, targets).mean()


@bug("softmax twice", "softmax is applied twice")
def _(logits, targets):
    return F.cross_entropy(logits.softmax(1), targets)


@bug("all columns added", "Only the target's column counts")
def _(logits, targets):
    return -logits.log_softmax(1).sum(1).mean()


@bug("sum over the batch", "not the sum")
def _(logits, targets):
    return nll(logits.log_softmax(1), targets).sum()


@bug("mean over batch and vocabulary", "not by the vocabulary size")
def _(logits, targets):
    return -(F.one_hot(targets, logits.shape[1]) * logits.log_softmax(-1)).mean()


@bug("divided by V", "not by the vocabulary size")
def _(logits, targets):
    return nll(logits.log_softmax(1), targets).sum() / logits.shape[1]


@bug("softmax over the batch", "softmax runs over the wrong axis")
def _(logits, targets):
    return nll(logits.log_softmax(0), targets).mean()


@bug("exp overflows", "exp overflows")
def _(logits, targets):
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    return nll(p.log(), targets).mean()


@bug("ln of a softmax that is 0", "p becomes 0")
def _(logits, targets):
    return nll(logits.softmax(1).log(), targets).mean()


@bug("one maximum for all rows", "each row's own largest logit")
def _(logits, targets):
    z = (logits - logits.max()).numpy()
    with np.errstate(all="ignore"):
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -log_p[np.arange(len(z)), targets].mean()


@bug("one target for all rows", "each row has a target of its own")
def _(logits, targets):
    return nll(logits.log_softmax(1), targets[:1].expand(len(targets))).mean()


@bug("a cost for each row", "One number is asked for")
def _(logits, targets):
    return nll(logits.log_softmax(1), targets)
