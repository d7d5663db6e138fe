"""Exercise 7: the gradient of a smoothed cross-entropy."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps1_counting import check_smoothed_gradient

exercise = Exercise("smoothed_gradient", check_smoothed_gradient)
right, bug = exercise.right, exercise.bug


def aim(logits, targets, u, epsilon):
    return (1 - epsilon) * F.one_hot(targets, logits.shape[1]) + epsilon * u


@right("loops over Python floats, lists")
def _(logits, targets, u, epsilon):
    B, V = logits.shape
    result = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        top = max(row)
        total = sum(math.exp(z - top) for z in row)
        t = [(1 - epsilon) * (w == target) + epsilon * u[w].item() for w in range(V)]
        result.append([(math.exp(row[w] - top) / total - t[w]) / B for w in range(V)])
    return result


@right("NumPy float64")
def _(logits, targets, u, epsilon):
    z = logits.double().numpy()
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(z)), targets] -= 1 - epsilon
    return (p - epsilon * u.numpy()) / len(z)


@right("PyTorch, whole tensors")
def _(logits, targets, u, epsilon):
    return (logits.softmax(1) - aim(logits, targets, u, epsilon)) / len(logits)


@right("autograd on the loss")
def _(logits, targets, u, epsilon):
    logits.requires_grad_()
    loss = -(aim(logits, targets, u, epsilon) * logits.log_softmax(1)).sum(1).mean()
    loss.backward()
    return logits.grad


@right("F.cross_entropy with a distribution as target, autograd")
def _(logits, targets, u, epsilon):
    z = logits.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(z, aim(z, targets, u, epsilon)), z)[0]


@right("in place on the logits")
def _(logits, targets, u, epsilon):
    logits.sub_(logits.amax(1, keepdim=True)).exp_()
    logits.div_(logits.sum(1, keepdim=True)).sub_(epsilon * u)
    logits[torch.arange(len(targets)), targets] -= 1 - epsilon
    return logits.div_(len(targets))


@right("the matrix of derivatives of softmax, row by row")
def _(logits, targets, u, epsilon):
    rows = []
    for z, t in zip(logits.double(), aim(logits, targets, u, epsilon).double(), strict=True):
        log_p = z.log_softmax(0)
        rows.append(-(torch.eye(len(z)) - log_p.exp()).T @ t / len(logits))
    return rows


@bug("sign", "The sign is wrong")
def _(logits, targets, u, epsilon):
    return (aim(logits, targets, u, epsilon) - logits.softmax(1)) / len(logits)


@bug("p alone", "This is p alone")
def _(logits, targets, u, epsilon):
    return logits.softmax(1) / len(logits)


@bug("only the target's logit", "not only the target's")
def _(logits, targets, u, epsilon):
    g = (logits.softmax(1) - aim(logits, targets, u, epsilon)) / len(logits)
    return g * F.one_hot(targets, logits.shape[1])


@bug("the gradient in p", "with respect to p")
def _(logits, targets, u, epsilon):
    return -aim(logits, targets, u, epsilon) / logits.softmax(1) / len(logits)


@bug("no smoothing", "ε is not used")
def _(logits, targets, u, epsilon):
    return (logits.softmax(1) - F.one_hot(targets, logits.shape[1])) / len(logits)


@bug("ε and 1 − ε swapped", "you have them swapped")
def _(logits, targets, u, epsilon):
    return (logits.softmax(1) - aim(logits, targets, u, 1 - epsilon)) / len(logits)


@bug("smoothed evenly", "in proportion to u, not equally")
def _(logits, targets, u, epsilon):
    return (logits.softmax(1) - aim(logits, targets, 1 / logits.shape[1], epsilon)) / len(logits)


@bug("the target keeps all", "the target keeps only 1 − ε")
def _(logits, targets, u, epsilon):
    return (logits.softmax(1) - F.one_hot(targets, logits.shape[1]) - epsilon * u) / len(logits)


@bug("u not weighed", "u must be weighed with ε")
def _(logits, targets, u, epsilon):
    return (logits.softmax(1) - (1 - epsilon) * F.one_hot(targets, logits.shape[1]) - u) / len(logits)


@bug("nothing for the target from u", "the target included")
def _(logits, targets, u, epsilon):
    others = u * (1 - F.one_hot(targets, logits.shape[1]))
    t = aim(logits, targets, others / others.sum(1, keepdim=True), epsilon)
    return (logits.softmax(1) - t) / len(logits)


@bug("not divided by B", "The loss is a mean over the batch: divide by B.")
def _(logits, targets, u, epsilon):
    return logits.softmax(1) - aim(logits, targets, u, epsilon)


@bug("divided by B and V", "not by the vocabulary size")
def _(logits, targets, u, epsilon):
    return (logits.softmax(1) - aim(logits, targets, u, epsilon)) / logits.numel()


@bug("softmax over the batch", "softmax runs over the wrong axis")
def _(logits, targets, u, epsilon):
    return (logits.softmax(0) - aim(logits, targets, u, epsilon)) / len(logits)


@bug("the sigmoid of each logit", "not the sigmoid")
def _(logits, targets, u, epsilon):
    return (logits.sigmoid() - aim(logits, targets, u, epsilon)) / len(logits)


@bug("exp overflows", "exp(1000) overflows")
def _(logits, targets, u, epsilon):
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    return (p - aim(logits, targets, u, epsilon)) / len(logits)


@bug("one maximum for all rows", "each row's own largest logit")
def _(logits, targets, u, epsilon):
    p = (logits - logits.max()).exp()
    return (p / p.sum(1, keepdim=True) - aim(logits, targets, u, epsilon)) / len(logits)
