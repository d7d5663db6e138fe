"""Gradient accumulation: losses and gradients of a bigram table that anyone can work out, then any model."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checks.case import Case, Suspect, close, passed

NAME = "accumulated_gradient"
LN2, LN3 = math.log(2), math.log(3)
MicroBatches = list[tuple[Tensor, Tensor]]


def check_accumulated_gradient(answer: Callable) -> None:
    """The answer: model, micro_batches [(inputs (B, T), labels (B, T))] → loss, one gradient for each parameter.

    The gradient of the mean over all counted labels, however the batch is cut (Goodfellow et al. 2016, section 8.1.3).
    """
    one_token(answer)
    token_zero(answer)
    ignored(answer)
    uneven(answer)
    nothing_counted(answer)
    old_gradients(answer)
    untouched_parameters(answer)
    any_cut(answer)
    passed(NAME)


def with_room_for_one(model: nn.Module, micro_batches: MicroBatches) -> nn.Module:
    """The model, on a device with memory for the largest micro-batch and for one graph."""
    room, graphs = max(inputs.numel() for inputs, _ in micro_batches), []

    def look(module: nn.Module, inputs: tuple, logits: Tensor) -> None:
        if inputs[0].numel() > room:
            raise RuntimeError("out of memory: the model has room for one micro-batch, and got more tokens at once")
        if graphs:
            raise RuntimeError("out of memory: call backward for one micro-batch before the model reads the next one")
        if logits.requires_grad:
            graphs.append(logits)
            logits.register_hook(lambda gradient: graphs.clear())

    model.register_forward_hook(look)
    return model


def bigram(*rows: list) -> nn.Module:
    """A language model whose logits depend on the last token alone: one row of its table for each token."""
    return nn.Embedding.from_pretrained(torch.tensor(rows, dtype=torch.float32), freeze=False)


def pairs(*micro_batches: tuple[list, list]) -> MicroBatches:
    return [(torch.tensor(inputs), torch.tensor(labels)) for inputs, labels in micro_batches]


class Call:
    """One call: the cases and numbers of the loss and of each gradient."""

    def __init__(self, answer: Callable, model: nn.Module, micro_batches: MicroBatches, about: str):
        shapes = [tuple(parameter.shape) for parameter in model.parameters()]
        shown = f"{NAME}(model, micro_batches), {about}"
        case = Case(answer, NAME, with_room_for_one(model, micro_batches), micro_batches, shown=shown)
        self.whole = case
        self.case, gradients = case.parts("loss", "gradients")
        self.loss = self.case.numbers(hint="The loss is one number.")
        if not isinstance(gradients.value, list | tuple) or len(gradients.value) != len(shapes):
            gradients.fail(f"The gradients are a list, one for each parameter: {len(shapes)} here.", gradients.value)
        self.cases = gradients.parts(*(f"gradients[{i}]" for i in range(len(shapes))))
        hint = "A gradient has the shape of its parameter, in the order of model.parameters()."
        self.gradients = [case.numbers(*shape, hint=hint) for case, shape in zip(self.cases, shapes, strict=True)]


def one_token(answer: Callable) -> None:
    """Token 0 is followed by token 1, which had p = 1/2: the gradient in the logits is p − (0, 1)."""
    call = Call(answer, bigram([0, 0], [0, 0]), pairs(([[0]], [[1]])), "all logits 0, inputs [[0]], labels [[1]]")
    suspects: list[Suspect] = [
        (-LN2, "The sign is wrong: the loss is −ln p of the labels."),
        (1, "The loss is in nats: the natural logarithm, −ln p."),
        (lambda got: np.isnan(got), "The loss is 0/0: inputs and labels are cut already, so do not move them again."),
    ]
    call.case.compare(call.loss, LN2, "The label has p = 1/2: its loss is ln 2.", suspects)
    suspects = [
        ([[-0.5, 0.5], [0, 0]], "The sign is wrong: the gradient points to where the loss grows."),
        (
            [[0, 0], [0, 0]],
            "The gradient is 0: call backward on the loss of each micro-batch, and zero nothing after it.",
        ),
        ([[0, 0], [0.5, -0.5]], "Inputs and labels are swapped: the model reads the inputs."),
    ]
    otherwise = "Row 0 has the gradient p − (0, 1) = (1/2, −1/2); row 1 was not used."
    call.cases[0].compare(call.gradients[0], [[0.5, -0.5], [0, 0]], otherwise, suspects)


def token_zero(answer: Callable) -> None:
    call = Call(answer, bigram([0, 0], [0, 0]), pairs(([[1]], [[0]])), "all logits 0, inputs [[1]], labels [[0]]")
    zero: Suspect = (
        lambda got: np.isnan(got).any() or not got.any(),
        "Token 0 is a token like any other, not padding: only labels of −100 are left out.",
    )
    call.case.compare(call.loss, LN2, "The label 0 has p = 1/2: its loss is ln 2.", [zero])
    otherwise = "Row 1 has the gradient p − (1, 0) = (−1/2, 1/2)."
    call.cases[0].compare(call.gradients[0], [[0, 0], [-0.5, 0.5]], otherwise, [zero])


def ignored(answer: Callable) -> None:
    """One label of p = 3/4 and two places of padding, where token 0 has p = 1/4."""
    about = "logits ln (1, 3) after token 0, inputs [[0, 0, 0]], labels [[1, −100, −100]]"
    call = Call(answer, bigram([0, LN3], [0, 0]), pairs(([[0, 0, 0]], [[1, -100, -100]])), about)
    cost, places = math.log(4 / 3), "The mean runs over the counted labels only: divide by 1, not by all 3 places."
    as_zero = "A label of −100 is not counted; you take it for token 0."
    suspects: list[Suspect] = [(cost / 3, places), ((cost + 4 * LN2) / 3, as_zero), (cost + 4 * LN2, as_zero)]
    call.case.compare(call.loss, cost, "One label is counted, with p = 3/4: the loss is ln 4/3.", suspects)
    grown = np.array([[0.25, -0.25], [0, 0]])
    suspects = [(grown / 3, places), (grown * -5 / 3, as_zero), (grown * -5, as_zero)]
    call.cases[0].compare(call.gradients[0], grown, "One label is counted: p − (0, 1) = (1/4, −1/4).", suspects)


def uneven(answer: Callable) -> None:
    """One label of cost ln 4, and three of cost ln 2: 5 ln 2 over 4 counted labels, of 5 places in 3 rows."""
    micro_batches = pairs(([[0]], [[0]]), ([[1, 1], [1, 0]], [[0, 1], [1, -100]]))
    about = "logits ln (1, 3) after 0, inputs [[0]] and [[1, 1], [1, 0]], labels [[0]] and [[0, 1], [1, −100]]"
    call = Call(answer, bigram([0, LN3], [0, 0]), micro_batches, about)
    means = "This is the mean of the micro-batches' means; each counted label of the whole batch has the same weight."
    summed = "The means are added up; divide the sum over all counted labels by their number."
    total = "This is a sum; divide it by the number of counted labels in all micro-batches, here 4."
    padded = "Labels of −100 are not counted, so the mean divides by 4 counted labels, not by 5 places."
    texts = "Divide by the number of counted labels, here 4, not by that of texts (rows)."
    last = "Only the last micro-batch is left: gradients are set to zero once, before the first one."
    shares = "A micro-batch weighs as much as it has counted labels, 1/4 and 3/4 here, not as it has places or rows."
    sofar = "Count the labels of all micro-batches before the first backward; you divide by those read so far."
    suspects: list[Suspect] = [
        (1.5 * LN2, means),
        (3 * LN2, summed),
        (5 * LN2, total),
        (2.5 * LN2, "Divide by the number of counted labels, here 4, not by the number of micro-batches."),
        (3 / 4 * LN2, "The first micro-batch is not counted in the loss."),
        (LN2, "This is the loss of the last micro-batch alone, or divided by all 5 places; 4 labels are counted."),
        (5 / 3 * LN2, texts),
        ((2 + 3 / 4) * LN2, sofar),
        ((2 + 4) / 5 * LN2, shares),
        ((2 + 2) / 3 * LN2, shares),
    ]
    otherwise = "The counted labels cost ln 4 and three times ln 2: 5 ln 2 in all, divided by 4."
    call.case.compare(call.loss, 5 / 4 * LN2, otherwise, suspects)

    def grown(first: float, second: float) -> np.ndarray:
        """Gradients where the labels of the two micro-batches have these weights."""
        return np.array([[-0.75 * first, 0.75 * first], [0.5 * second, -0.5 * second]])

    suspects = [
        (grown(1 / 2, 1 / 6), means),
        (grown(1, 1 / 3), summed),
        (grown(1, 1), total),
        (grown(1 / 2, 1 / 2), "Divide by the number of counted labels, here 4, not by the number of micro-batches."),
        (grown(1 / 5, 1 / 5), padded),
        (grown(1 / 3, 1 / 3), texts),
        (grown(1, 1 / 4), sofar),
        (lambda got: not got[0].any(), last),
        (lambda got: not got[1].any(), "Only the first micro-batch is left: gradients of all of them add up."),
        (grown(1 / 5, 4 / 15), shares),
        (grown(1 / 3, 2 / 9), shares),
        (grown(1 / 8, 1 / 8), "This is divided by the number of micro-batches once too often: divide by 4 labels."),
    ]
    otherwise = "Each of the four counted labels has the weight 1/4, whichever micro-batch it stands in."
    call.cases[0].compare(call.gradients[0], grown(1 / 4, 1 / 4), otherwise, suspects)


def nothing_counted(answer: Callable) -> None:
    """A micro-batch without counted labels, which must not matter: its own mean is 0/0."""
    micro_batches = pairs(([[0]], [[0]]), ([[1, 1]], [[-100, -100]]))
    about = "logits ln (1, 3) after token 0, labels [[0]] and [[−100, −100]]"
    call = Call(answer, bigram([0, LN3], [0, 0]), micro_batches, about)
    suspects: list[Suspect] = [
        (
            lambda got: np.isnan(got).any(),
            "A micro-batch without counted labels has the mean 0/0: add up sums instead.",
        ),
    ]
    otherwise = "The second micro-batch has no counted label and changes nothing."
    call.case.compare(call.loss, 2 * LN2, otherwise, suspects)
    call.cases[0].compare(call.gradients[0], [[-0.75, 0.75], [0, 0]], otherwise, suspects)


def old_gradients(answer: Callable) -> None:
    model = bigram([0, 0], [0, 0])
    model.weight.grad = torch.full((2, 2), 10.0)
    about = "all logits 0, inputs [[0]], labels [[1]], gradients of 10 left from an earlier step"
    call = Call(answer, model, pairs(([[0]], [[1]])), about)
    stale = "Gradients of an earlier step are still there: set them to zero (or None) before the first micro-batch."
    suspects: list[Suspect] = [(lambda got: got.max() > 5, stale)]
    call.cases[0].compare(call.gradients[0], [[0.5, -0.5], [0, 0]], "Old gradients must not matter.", suspects)


def untouched_parameters(answer: Callable) -> None:
    model = bigram([0, LN3], [0, 0])
    call = Call(answer, model, pairs(([[0]], [[0]]), ([[1]], [[1]])), "logits ln (1, 3) after token 0")
    otherwise = "The parameters have changed: no step is made here, only the gradient for it."
    call.whole.compare(model.weight.detach().numpy(), [[0, LN3], [0, 0]], otherwise, part="table after the call")


def small_model() -> nn.Module:
    torch.manual_seed(6)  # of the layers' first weights
    return nn.Sequential(nn.Embedding(7, 4), nn.Tanh(), nn.Linear(4, 7))


def any_cut(answer: Callable) -> None:
    """A batch of six texts at once, one by one, and in parts of 1, 3 and 2 texts in another order."""
    random = torch.Generator().manual_seed(7)
    inputs, labels = torch.randint(0, 7, (2, 6, 5), generator=random)
    for text, length in enumerate((5, 1, 3, 2, 5, 4)):
        labels[text, length:] = -100
    whole = None
    with torch.random.fork_rng(devices=[]):
        for parts in ([range(6)], [[i] for i in range(6)], [[4], [5, 0, 1], [3, 2]]):
            micro_batches = [(inputs[list(part)], labels[list(part)]) for part in parts]
            sizes = ", ".join(str(len(part)) for part in parts)
            call = Call(
                answer, small_model(), micro_batches, f"a model of 3 parameters, micro-batches of {sizes} texts"
            )
            got = np.concatenate([[call.loss], *(each.ravel() for each in call.gradients)])
            whole = got if whole is None else whole
            otherwise = (
                "However the batch is cut into micro-batches, loss and gradients are those of the batch at once."
            )
            call.case.compare(got[0], whole[0], otherwise)
            if not close(got, whole):
                off = int(np.abs(got - whole).argmax())
                call.whole.fail(otherwise, got[off], whole[off], "one number of the gradients")
