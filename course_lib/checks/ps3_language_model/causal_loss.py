"""Exercise 1: the loss of a causal language model. Models are tables, so that each probability is known by hand."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.case import Case, close, passed

NAME = "causal_loss"
IGNORED = -100


def check_causal_loss(answer: Callable) -> None:
    """The answer: model (ids (B, T) → logits (B, T, V)), ids and labels (B, N) → mean nats of the counted labels."""
    two_tokens(answer)
    four_tokens(answer)
    ignored(answer)
    batch(answer)
    large_logits(answer)
    whole_context(answer)
    passed(NAME)


class Bigrams:
    """A model that looks at the newest token only; row i of `odds` says how likely each token is after token i."""

    def __init__(self, odds: list[list[float]] | None = None, logits: list[list[float]] | None = None):
        self.logits = torch.tensor(odds, dtype=torch.float32).log() if logits is None else torch.tensor(logits)
        self.read: list[Tensor] = []

    def __call__(self, ids: Tensor) -> Tensor:
        ids = torch.as_tensor(ids)
        self.read.append(ids)
        return self.logits[ids.long() % len(self.logits)]  # a label −100 is told below, not by an IndexError


def loss(answer: Callable, model: Bigrams, ids: list, labels: list | None = None, what: str = "") -> tuple[Case, float]:
    """The answer's loss; without labels, every id is a label."""
    labels = ids if labels is None else labels
    shown = f"{NAME}(model, ids = {ids}, labels = {'ids' if labels == ids else labels}){what and ', ' + what}"
    case = Case(answer, NAME, model, torch.tensor(ids), torch.tensor(labels), shown=shown)
    got = case.numbers(hint="One number for the whole batch, the mean.")
    if not model.read:
        case.fail("The model is never called: its logits are `model(…)` of ids.", got)
    if any((each < 0).any() for each in model.read):
        case.fail("The model is given labels, where −100 is no token: it reads ids.", got)
    if any(each.ndim != 2 for each in model.read):
        case.fail("The model reads ids of shape (B, T), here it is given another number of axes.", got)
    return case, got


def two_tokens(answer: Callable) -> None:
    """After token 0 the odds are 1 : 3 : 8, so that p(1 | 0) = 1/4. After token 1, 1 : 1 : 14."""
    model = Bigrams([[1, 3, 8], [1, 1, 14], [1, 1, 1]])
    case, got = loss(answer, model, [[0, 1]], what="odds after 0: 1 to 3 to 8")
    ln = math.log
    p = np.array([1, 3, 8]) / 12
    suspects = [
        (ln(12), "The targets are not shifted: the logits at place 0 are for the token at place 1, not at place 0."),
        (ln(16), "Shifted the wrong way or not at all: what the model says after token 0 is about token 1."),
        ((ln(12) + ln(16)) / 2, "The targets are not shifted: logits at place t belong to the token at place t + 1."),
        (ln(12) + ln(16), "The targets are not shifted: logits at place t belong to the token at place t + 1."),
        (-ln(4), "The sign is wrong: a loss is −ln p."),
        (2, "This is in bits: use the natural logarithm."),
        (1 / 4, "This is p itself: the loss is −ln p."),
        (3 / 4, "This is 1 − p: the loss is −ln p."),
        (-ln(3), "This is the logit itself: softmax is missing, the loss is −ln p."),
        (ln(3), "This is the logit itself: softmax is missing, the loss is −ln p."),
        (ln(np.exp(p).sum()) - p[1], "softmax is done twice: `F.cross_entropy` wants logits, not p."),
        (0, "softmax runs over the wrong axis: the probabilities of all V tokens add up to 1 (dim=-1)."),
        (ln(4) / 2, "The mean is over the predictions: N tokens have N − 1 of them, here one."),
        (ln(4) / 3, "The mean is over the predictions, not over the vocabulary."),
        (lambda got: np.isnan(got), "0/0: two tokens have one prediction. Do you shift twice?"),
    ]
    case.compare(got, ln(4), "p(1 | 0) = 3/12, and the loss is −ln p.", suspects)


def four_tokens(answer: Callable) -> None:
    """p(1 | 0) = 1/4, p(2 | 1) = 1/2, p(2 | 2) = 1/8."""
    model = Bigrams([[1, 2, 5], [3, 5, 8], [4, 3, 1]])
    case, got = loss(answer, model, [[0, 1, 2, 2]], what="p(1 | 0) = 1/4, p(2 | 1) = 1/2, p(2 | 2) = 1/8")
    ln = math.log(2)
    logp = np.log(np.array([[1, 2, 5], [3, 5, 8], [4, 3, 1]]) / [[8], [16], [8]])
    unshifted = -np.array([logp[0, 0], logp[1, 1], logp[2, 2], logp[2, 2]])
    back = -np.array([logp[1, 0], logp[2, 1], logp[2, 2]])
    twice = -np.array([logp[0, 2], logp[1, 2]])
    suspects = [
        (6 * ln, "This is the sum: the loss is the mean over the three predictions."),
        (6 * ln / 4, "The mean is over the predictions: four tokens have three of them."),
        (6 * ln / 9, "The mean is over the predictions, not over the vocabulary as well."),
        (unshifted.mean(), "The targets are not shifted: logits at place t belong to the token at place t + 1."),
        (unshifted[:3].mean(), "The targets are not shifted: logits at place t belong to the token at place t + 1."),
        (back.mean(), "Shifted the wrong way: logits at place t belong to the token at place t + 1, not t − 1."),
        (twice.mean(), "Shifted twice: you cut both the inputs and the logits. Logits at t belong to token t + 1."),
        (3 * ln, "Only the last prediction counts here: the loss is the mean over all of them."),
    ]
    case.compare(got, 2 * ln, "−ln of 1/4, 1/2 and 1/8 is 2 ln 2, ln 2 and 3 ln 2; their mean is 2 ln 2.", suspects)


def ignored(answer: Callable) -> None:
    """Two predictions of four count. What is ignored would cost 6 ln 2 and 4 ln 2."""
    model = Bigrams([[1, 2, 61], [32, 16, 16], [4, 2, 58]])
    ln = math.log(2)
    ids = [[0, 1, 2, 0, 0]]
    table = -np.log(np.array([[1, 2, 61], [32, 16, 16], [4, 2, 58]]) / 64)
    each = np.array([table[0, 1], table[1, 2], table[2, 0], table[0, 0]])  # 5, 2, 4 and 6 times ln 2
    case, got = loss(answer, model, ids, [[0, 1, 2, IGNORED, IGNORED]], "two labels of four count")
    suspects = [
        (each.sum() / 4, "The labels −100 are counted: what is ignored adds nothing to the sum or to the number."),
        (7 * ln / 4, "What is ignored is left out of the sum but still counted: divide by the labels that count, 2."),
        (7 * ln / 5, "What is ignored is left out of the sum but still counted: divide by the labels that count, 2."),
        (7 * ln / 3, "The first label is counted, but nothing predicts it: divide by 2."),
        (7 * ln, "This is the sum: divide by the number of labels that count, 2."),
        ((7 * ln + table[2, 2] + table[0, 2]) / 4, "−100 is taken as a place from the end: leave these labels out."),
        (each[:3].mean(), "One label −100 is counted: shift the labels first, then look which of them are −100."),
        (each[:1].mean(), "One label too few counts: shift the labels first, then look which of them are −100."),
    ]
    otherwise = "Only p(1 | 0) = 1/32 and p(2 | 1) = 1/4 count: (5 ln 2 + 2 ln 2) / 2."
    case.compare(got, 3.5 * ln, otherwise, suspects)
    case, got = loss(answer, model, ids, [[IGNORED, IGNORED, 2, 0, IGNORED]], "the first two labels do not count")
    suspects = [
        (each[2:].mean(), "Whether a prediction counts depends on the label to be predicted, not on its input."),
        (each[:2].mean(), "The labels −100 at the front are counted, and others are left out."),
        (each[2], "A token whose own label is −100 stays in the input: from it the next one is predicted, and counts."),
    ]
    otherwise = "Labels 2 and 3 count, p(2 | 1) = 1/4 and p(0 | 2) = 1/16: (2 ln 2 + 4 ln 2) / 2."
    case.compare(got, 3 * ln, otherwise, suspects)


def batch(answer: Callable) -> None:
    """Two texts: three labels of 2 ln 2 each and one of 6 ln 2."""
    model = Bigrams([[1, 16, 47], [16, 1, 47], [1, 16, 47]])
    ln = math.log(2)
    ids, labels = [[0, 1, 0, 1], [2, 0, 0, 0]], [[0, 1, 0, 1], [2, 0, IGNORED, IGNORED]]
    case, got = loss(answer, model, ids, labels, "label costs 2 ln 2 three times, and 6 ln 2")
    suspects = [
        (4 * ln, "This is the mean of the two texts' means: every counted label weighs the same, whatever its text."),
        (6 * ln, "This is a mean over texts of sums: divide by all labels that count, 4."),
        (12 * ln, "This is the sum: divide by all labels that count, 4."),
        (2 * ln, "Only the first text counts: take the mean over all texts of the batch."),
        ((12 * ln - math.log(47 / 64)) / 5, "The first token of text 1 is predicted from text 0: shift, then flatten."),
    ]
    case.compare(got, 3 * ln, "Four labels count in all: (3 · 2 ln 2 + 6 ln 2) / 4.", suspects)


def large_logits(answer: Callable) -> None:
    model = Bigrams(logits=[[1e5, 0.0], [0.0, -1e5]])
    case, got = loss(answer, model, [[0, 0, 1]], what="logits after 0: 100000 and 0")
    otherwise = "exp(100000) overflows and ln 0 is −∞: use log_softmax, or subtract the largest logit first."
    case.compare(got, 5e4, otherwise)


class Sums(Bigrams):
    """A causal model whose logits depend on everything read so far."""

    def __call__(self, ids: Tensor) -> Tensor:
        super().__call__(ids)
        return self.logits[(torch.as_tensor(ids).long() % 5).cumsum(1) % len(self.logits)]


def whole_context(answer: Callable) -> None:
    """What must hold for any model: texts of a batch do not meet, and a constant added to all logits does nothing."""
    random = torch.Generator().manual_seed(1)
    logits, ids = torch.randn(7, 5, generator=random), torch.randint(0, 5, (3, 6), generator=random)
    labels = ids.clone()
    labels[0, 4:], labels[2, :2] = IGNORED, IGNORED
    counts = (labels[:, 1:] != IGNORED).sum(1).numpy()
    ids, labels = ids.tolist(), labels.tolist()
    what = "a model that looks at all tokens so far, V = 5"
    case, got = loss(answer, Sums(logits=logits.tolist()), ids, labels, what)
    alone = [loss(answer, Sums(logits=logits.tolist()), [i], [j], what)[1] for i, j in zip(ids, labels, strict=True)]
    otherwise = "Read one by one, these texts cost something else, though each has the labels and ids that it had."
    case.compare(got, (np.array(alone) * counts).sum() / counts.sum(), otherwise)
    _, moved = loss(answer, Sums(logits=(logits + 3).tolist()), ids, labels, what)
    case.compare(moved, got, "The same number added to all logits must change nothing: softmax takes it out.")
    one_by_one = []
    for n in range(1, 6):  # each prediction of text 1 by itself
        only = [IGNORED] * n + [ids[1][n]] + [IGNORED] * (5 - n)
        one_by_one.append(loss(answer, Sums(logits=logits.tolist()), ids[1:2], [only], what)[1])
    if not close(alone[1], np.mean(one_by_one)):
        case.fail("The mean is not the mean of the single predictions.", alone[1], np.mean(one_by_one))
