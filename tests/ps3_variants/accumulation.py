"""Gradient accumulation over uneven micro-batches."""

import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_accumulated_gradient

exercise = Exercise("accumulated_gradient", check_accumulated_gradient)
right, bug = exercise.right, exercise.bug


def cost(model, inputs, labels, reduction="sum"):
    logits = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=reduction)  # −100 is left out


def counted(micro_batches):
    return sum(int((labels != -100).sum()) for _, labels in micro_batches)


def gradients(model):
    return [parameter.grad for parameter in model.parameters()]


@right("sums, divided by the number of counted labels")
def _(model, micro_batches):
    n = sum((labels != -100).sum() for _, labels in micro_batches)
    model.zero_grad()
    total = 0.0
    for inputs, labels in micro_batches:
        loss = F.cross_entropy(model(inputs).transpose(1, 2), labels, ignore_index=-100, reduction="sum") / n
        loss.backward()
        total += loss.item()
    return total, [parameter.grad for parameter in model.parameters()]


@right("means, weighed with their share of the counted labels")
def _(model, micro_batches):
    n, total = counted(micro_batches), 0.0
    model.zero_grad(set_to_none=False)
    for inputs, labels in micro_batches:
        here = int((labels != -100).sum())
        if here:
            loss = cost(model, inputs, labels, "mean") * here / n
            loss.backward()
            total = total + loss.detach()
    return total, gradients(model)


@right("divided at the end, in place")
def _(model, micro_batches):
    for parameter in model.parameters():
        parameter.grad = None
    total, n = 0.0, 0
    for inputs, labels in micro_batches:
        loss = cost(model, inputs, labels)
        loss.backward()
        total, n = total + float(loss), n + int((labels >= 0).sum())
    for gradient in gradients(model):
        gradient /= n
    return [total / n, tuple(gradients(model))]


@right("torch.autograd.grad, sums of its own")
def _(model, micro_batches):
    parameters = list(model.parameters())
    total, sums = 0.0, [torch.zeros_like(parameter) for parameter in parameters]
    for inputs, labels in micro_batches:
        loss = cost(model, inputs, labels)
        total += loss.item()
        sums = [a + b for a, b in zip(sums, torch.autograd.grad(loss, parameters), strict=True)]
    n = counted(micro_batches)
    return total / n, [(each / n).numpy() for each in sums]


@right("one label after the other, picked by hand")
def _(model, micro_batches):
    model.zero_grad()
    places, total = counted(micro_batches), 0.0
    for inputs, labels in micro_batches:
        log_p, seen = model(inputs).log_softmax(-1), labels != -100
        loss = -log_p[seen].gather(1, labels[seen][:, None]).sum() / places
        loss.backward()
        total += loss.item()
    return total, [parameter.grad.tolist() for parameter in model.parameters()]


@right("each text by itself")
def _(model, micro_batches):
    model.zero_grad()
    total = torch.zeros(())
    for inputs, labels in micro_batches:
        for one, its in zip(inputs, labels, strict=True):
            loss = F.cross_entropy(model(one[None])[0], its, reduction="none").sum()
            (loss / counted(micro_batches)).backward()
            total += loss.detach()
    return total / counted(micro_batches), gradients(model)


def accumulate(model, micro_batches, weigh, reduction="sum"):
    """Zeroed once; the loss of each micro-batch weighed by weigh(labels)."""
    model.zero_grad()
    total = 0.0
    for inputs, labels in micro_batches:
        loss = cost(model, inputs, labels, reduction) * weigh(labels)
        loss.backward()
        total += loss.item()
    return total, gradients(model)


@bug("mean of means", "the mean of the micro-batches' means")
def _(model, micro_batches):
    return accumulate(model, micro_batches, lambda labels: 1 / len(micro_batches), "mean")


@bug("sum of means", "The means are added up")
def _(model, micro_batches):
    return accumulate(model, micro_batches, lambda labels: 1, "mean")


@bug("a sum", "This is a sum")
def _(model, micro_batches):
    return accumulate(model, micro_batches, lambda labels: 1)


@bug("divided by the number of micro-batches", "not by the number of micro-batches")
def _(model, micro_batches):
    return accumulate(model, micro_batches, lambda labels: 1 / len(micro_batches))


@bug("divided by all places", "not by all 3 places")
def _(model, micro_batches):
    places = sum(labels.numel() for _, labels in micro_batches)
    return accumulate(model, micro_batches, lambda labels: 1 / places)


@bug("divided by the number of texts", "not by that of texts")
def _(model, micro_batches):
    texts = sum(len(labels) for _, labels in micro_batches)
    return accumulate(model, micro_batches, lambda labels: 1 / texts)


@bug("micro-batches weighed by their places", "not as it has places or rows")
def _(model, micro_batches):
    places = sum(labels.numel() for _, labels in micro_batches)
    return accumulate(model, micro_batches, lambda labels: labels.numel() / places, "mean")


@bug("micro-batches weighed by their texts", "not as it has places or rows")
def _(model, micro_batches):
    texts = sum(len(labels) for _, labels in micro_batches)
    return accumulate(model, micro_batches, lambda labels: len(labels) / texts, "mean")


@bug("divided by the labels counted so far", "those read so far")
def _(model, micro_batches):
    model.zero_grad()
    loss, n = 0.0, 0
    for inputs, labels in micro_batches:
        n += (labels != -100).sum()
        part = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten(), reduction="sum") / n
        part.backward()
        loss += part.item()
    return loss, [parameter.grad for parameter in model.parameters()]


@bug("the right loss, the gradient divided by the labels counted so far", "those read so far")
def _(model, micro_batches):
    n_all = sum((labels != -100).sum() for _, labels in micro_batches)
    model.zero_grad()
    loss, n = 0.0, 0
    for inputs, labels in micro_batches:
        n += (labels != -100).sum()
        part = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten(), reduction="sum")
        (part / n).backward()
        loss += part.item() / n_all
    return loss, [parameter.grad for parameter in model.parameters()]


@bug("−100 taken for token 0", "you take it for token 0")
def _(model, micro_batches):
    for _, labels in micro_batches:
        labels[labels == -100] = 0
    n = sum((labels != -100).sum() for _, labels in micro_batches)
    return accumulate(model, micro_batches, lambda labels: 1 / n)


@bug("−100 taken for token 0, counted rightly", "you take it for token 0")
def _(model, micro_batches):
    n = counted(micro_batches)
    clean = [(inputs, labels.clamp(min=0)) for inputs, labels in micro_batches]
    return accumulate(model, clean, lambda labels: 1 / n)


@bug("label 0 taken for padding", "Token 0 is a token like any other")
def _(model, micro_batches):
    clean = [(inputs, torch.where(labels > 0, labels, -100)) for inputs, labels in micro_batches]
    n = max(1, counted(clean))
    return accumulate(model, clean, lambda labels: 1 / n)


@bug("moved by one place once more", "do not move them again")
def _(model, micro_batches):
    moved = [(inputs[:, :-1], labels[:, 1:]) for inputs, labels in micro_batches]
    model.zero_grad()
    total = 0.0
    for inputs, labels in moved:
        loss = cost(model, inputs, labels)
        loss.backward()
        total += loss.item()
    n = counted(moved)
    return total / n if n else float("nan"), gradients(model)


@bug("the mean of a micro-batch without counted labels", "the mean 0/0")
def _(model, micro_batches):
    n = counted(micro_batches)
    return accumulate(model, micro_batches, lambda labels: (labels != -100).sum() / n, "mean")


@bug("gradients not set to zero", "Gradients of an earlier step")
def _(model, micro_batches):
    n, total = counted(micro_batches), 0.0
    for inputs, labels in micro_batches:
        loss = cost(model, inputs, labels) / n
        loss.backward()
        total += loss.item()
    return total, gradients(model)


@bug("gradients set to zero for each micro-batch", "Only the last micro-batch is left")
def _(model, micro_batches):
    n, total = counted(micro_batches), 0.0
    for inputs, labels in micro_batches:
        model.zero_grad(set_to_none=False)
        loss = cost(model, inputs, labels) / n
        loss.backward()
        total += loss.item()
    return total, gradients(model)


@bug("gradients set to zero at the end", "The gradient is 0")
def _(model, micro_batches):
    n = counted(micro_batches)
    loss, _ = accumulate(model, micro_batches, lambda labels: 1 / n)
    model.zero_grad(set_to_none=False)
    return loss, gradients(model)


@bug("the loss of the last micro-batch", "the loss of the last micro-batch")
def _(model, micro_batches):
    n = counted(micro_batches)
    accumulate(model, micro_batches, lambda labels: 1 / n)
    with torch.no_grad():
        inputs, labels = micro_batches[-1]
        return cost(model, inputs, labels, "mean"), gradients(model)


@bug("the right loss, the gradient of the mean of means", "the mean of the micro-batches' means")
def _(model, micro_batches):
    n = counted(micro_batches)
    loss, _ = accumulate(model, micro_batches, lambda labels: 1 / n)
    _, wrong = accumulate(model, micro_batches, lambda labels: 1 / len(micro_batches), "mean")
    return loss, wrong


@bug("divided by the number of micro-batches once more", "once too often")
def _(model, micro_batches):
    n = counted(micro_batches)
    loss, grown = accumulate(model, micro_batches, lambda labels: 1 / n)
    return loss, [each / len(micro_batches) for each in grown]


@bug("the sign turned round", "The sign is wrong")
def _(model, micro_batches):
    n = counted(micro_batches)
    return accumulate(model, micro_batches, lambda labels: -1 / n)


@bug("the step downhill", "points to where the loss grows")
def _(model, micro_batches):
    n = counted(micro_batches)
    loss, grown = accumulate(model, micro_batches, lambda labels: 1 / n)
    return loss, [-each for each in grown]


@bug("all graphs at once, one backward", "call backward for one micro-batch before")
def _(model, micro_batches):
    model.zero_grad()
    loss = sum(cost(model, *each) for each in micro_batches) / counted(micro_batches)
    loss.backward()
    return loss, gradients(model)


@bug("all micro-batches in one", "the model has room for one micro-batch")
def _(model, micro_batches):
    width = max(labels.shape[1] for _, labels in micro_batches)
    inputs = torch.cat([F.pad(each, (0, width - each.shape[1])) for each, _ in micro_batches])
    labels = torch.cat([F.pad(each, (0, width - each.shape[1]), value=-100) for _, each in micro_batches])
    return accumulate(model, [(inputs, labels)], lambda labels: 1 / counted([(inputs, labels)]))


@bug("a step at the end", "The parameters have changed")
def _(model, micro_batches):
    n = counted(micro_batches)
    loss, grown = accumulate(model, micro_batches, lambda labels: 1 / n)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return loss, grown


@bug("a step after each micro-batch", "The parameters have changed")
def _(model, micro_batches):
    n, total = counted(micro_batches), 0.0
    model.zero_grad(set_to_none=False)
    for inputs, labels in micro_batches:
        loss = cost(model, inputs, labels) / n
        loss.backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        total += loss.item()
    return total, gradients(model)


@bug("the gradient of the first parameter only", "one for each parameter")
def _(model, micro_batches):
    n = counted(micro_batches)
    loss, grown = accumulate(model, micro_batches, lambda labels: 1 / n)
    return loss, grown[0]
