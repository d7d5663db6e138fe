"""Exercise 1: the loss of a causal language model."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_causal_loss

IGNORED = -100
exercise = Exercise("causal_loss", check_causal_loss)
right, bug = exercise.right, exercise.bug


def entropy(logits, targets, **options):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **options)


@right("PyTorch's cross-entropy, last logits cut")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]), labels[:, 1:], ignore_index=IGNORED)


@right("the whole text read, the last logits thrown away")
def _(model, ids, labels):
    return F.cross_entropy(model(ids)[:, :-1].transpose(1, 2), labels[:, 1:])


@right("log_softmax and gather, a mask")
def _(model, ids, labels):
    targets = labels[:, 1:]
    counted = targets != IGNORED
    log_p = model(ids[:, :-1]).log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return -(log_p * counted).sum() / counted.sum()


@right("NumPy, a float")
def _(model, ids, labels):
    logits, targets = model(ids)[:, :-1].double().numpy(), labels[:, 1:].numpy()
    logits = logits - logits.max(-1, keepdims=True)
    rows, places = np.nonzero(targets >= 0)
    log_p = logits[rows, places, targets[rows, places]] - np.log(np.exp(logits).sum(-1))[rows, places]
    return float(-log_p.mean())


@right("loops, text by text and token by token")
def _(model, ids, labels):
    nats = []
    for row, wanted in zip(ids, labels, strict=True):
        logits = model(row[None, :-1])[0].tolist()
        for t, target in enumerate(wanted[1:].tolist()):
            if target != IGNORED:
                top = max(logits[t])
                nats.append(top + math.log(sum(math.exp(x - top) for x in logits[t])) - logits[t][target])
    return sum(nats) / len(nats)


@right("only the places that count are picked")
def _(model, ids, labels):
    counted = labels[:, 1:] >= 0
    return entropy(model(ids[:, :-1])[counted][None], labels[:, 1:][counted][None])


@right("sum of the losses over the number of them")
def _(model, ids, labels):
    targets = labels[:, 1:].reshape(-1)
    nats = F.nll_loss(F.log_softmax(model(ids)[:, :-1], -1).flatten(0, 1), targets, reduction="none")
    return nats.sum() / (targets != IGNORED).sum()


@bug("targets not shifted", "The targets are not shifted")
def _(model, ids, labels):
    return entropy(model(ids), labels)


@bug("targets not shifted, the last place cut", "The targets are not shifted")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]), labels[:, :-1])


@bug("shifted the wrong way", "Shifted the wrong way")
def _(model, ids, labels):
    return entropy(model(ids)[:, 1:], labels[:, :-1])


@bug("shifted twice", "Do you shift twice?")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1])[:, :-1], labels[:, 1:][:, 1:])


@bug("logits shifted twice, one kept", "Shifted twice")
def _(model, ids, labels):
    if ids.shape[1] == 2:
        return entropy(model(ids[:, :-1]), labels[:, 1:])
    return entropy(model(ids[:, :-1])[:, :-1], labels[:, 2:])


@bug("the sum", "This is the sum")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]), labels[:, 1:], reduction="sum")


@bug("divided by all tokens", "N tokens have N − 1")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]), labels[:, 1:], reduction="sum") / ids.numel()


@bug("mean over the vocabulary, too", "not over the vocabulary")
def _(model, ids, labels):
    log_p = model(ids[:, :-1]).log_softmax(-1)
    return -(log_p * F.one_hot(labels[:, 1:].clamp(min=0), log_p.shape[-1])).mean()


@bug("the sign", "The sign is wrong")
def _(model, ids, labels):
    return -entropy(model(ids[:, :-1]), labels[:, 1:])


@bug("bits", "in bits")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]), labels[:, 1:]) / math.log(2)


@bug("softmax twice", "softmax is done twice")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]).softmax(-1), labels[:, 1:])


@bug("no softmax", "softmax is missing")
def _(model, ids, labels):
    return -model(ids[:, :-1]).gather(-1, labels[:, 1:, None].clamp(min=0)).mean()


@bug("softmax over the places", "over the wrong axis")
def _(model, ids, labels):
    return F.nll_loss(model(ids[:, :-1]).log_softmax(1).flatten(0, 1), labels[:, 1:].flatten())


@bug("p, not ln p", "This is p itself")
def _(model, ids, labels):
    return model(ids[:, :-1]).softmax(-1).gather(-1, labels[:, 1:, None].clamp(min=0)).mean()


@bug("padding counted", "The labels −100 are counted")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]), ids[:, 1:])


@bug("divided by all predictions", "but still counted")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1]), labels[:, 1:], reduction="none").mean()


@bug("divided by the labels before the shift", "nothing predicts it")
def _(model, ids, labels):
    if (labels != IGNORED).all():
        return entropy(model(ids[:, :-1]), labels[:, 1:])
    return entropy(model(ids[:, :-1]), labels[:, 1:], reduction="sum") / (labels != IGNORED).sum()


@bug("the mask of the inputs", "One label −100 is counted")
def _(model, ids, labels):
    counted = labels[:, :-1] != IGNORED
    return entropy(model(ids[:, :-1])[counted][None], ids[:, 1:][counted][None])


@bug("ignored tokens cut out of the text", "stays in the input")
def _(model, ids, labels):
    nats = []
    for row, wanted in zip(ids, labels, strict=True):
        row = row[wanted != IGNORED][None]  # noqa: PLW2901
        nats.append(entropy(model(row[:, :-1]), row[:, 1:], reduction="none"))
    return torch.cat(nats).mean()


@bug("−100 as an index from the end", "−100 is taken as a place from the end")
def _(model, ids, labels):
    log_p = model(ids[:, :-1]).log_softmax(-1)
    return -log_p.gather(-1, (labels[:, 1:, None] % 3)).mean()


@bug("mean of the texts' means", "the mean of the two texts' means")
def _(model, ids, labels):
    rows = range(len(ids))
    return sum(entropy(model(ids[[b], :-1]), labels[[b], 1:]) for b in rows) / len(rows)


@bug("sums, divided by the texts", "a mean over texts of sums")
def _(model, ids, labels):
    if len(ids) == 1:
        return entropy(model(ids[:, :-1]), labels[:, 1:])
    return entropy(model(ids[:, :-1]), labels[:, 1:], reduction="sum") / len(ids)


@bug("the first text only", "Only the first text counts")
def _(model, ids, labels):
    return entropy(model(ids[:1, :-1]), labels[:1, 1:])


@bug("flattened, then shifted", "shift, then flatten")
def _(model, ids, labels):
    return F.cross_entropy(model(ids).flatten(0, 1)[:-1], labels.flatten()[1:])


@bug("the model reads labels", "The model is given labels")
def _(model, ids, labels):
    return entropy(model(labels[:, :-1]), labels[:, 1:])


@bug("log of softmax", "exp(100000) overflows")
def _(model, ids, labels):
    return F.nll_loss(model(ids[:, :-1]).softmax(-1).log().flatten(0, 1), labels[:, 1:].flatten())


@bug("exp by hand", "exp(100000) overflows")
def _(model, ids, labels):
    shares = model(ids[:, :-1]).exp()
    shares = shares / shares.sum(-1, keepdim=True)
    return F.nll_loss(shares.log().flatten(0, 1), labels[:, 1:].flatten())


@bug("the last prediction only", "Only the last prediction counts")
def _(model, ids, labels):
    return entropy(model(ids[:, :-1])[:, -1:], labels[:, -1:])


@bug("one axis of ids", "stopped with")
def _(model, ids, labels):
    return F.cross_entropy(model(ids[:, :-1]), labels[:, 1:])
