"""Exercise 3: one step of training with clipping."""

import math

import torch
from torch import nn
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_training_step

exercise = Exercise("training_step", check_training_step)
right, bug = exercise.right, exercise.bug


def gradients(model):
    return [p.grad for p in model.parameters() if p.grad is not None]


def length(gradients):
    return torch.sqrt(sum((g**2).sum() for g in gradients))


@right("by hand, under no_grad")
def _(model, ids, targets, lr, max_norm):
    for p in model.parameters():
        p.grad = None
    loss = model.loss(ids, targets)
    loss.backward()
    norm = length(gradients(model))
    factor = 1.0 if norm <= max_norm else max_norm / norm
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= lr * factor * p.grad
    return loss, norm


@right("zero_grad, PyTorch's clipping, data changed")
def _(model, ids, targets, lr, max_norm):
    model.zero_grad()
    loss = model.loss(ids, targets)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for p in model.parameters():
        if p.grad is not None:
            p.data -= lr * p.grad
    return loss.item(), norm.item()


@right("PyTorch's SGD")
def _(model, ids, targets, lr, max_norm):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.zero_grad()
    loss = model.loss(ids, targets)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return [float(loss), float(norm)]


@right("autograd.grad, no `grad` at all")
def _(model, ids, targets, lr, max_norm):
    parameters, loss = list(model.parameters()), model.loss(ids, targets)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    norm = sum(float((g.double() ** 2).sum()) for g in found if g is not None) ** 0.5
    for p, g in zip(parameters, found, strict=True):
        if g is not None:
            p.data.add_(g, alpha=-lr * min(1, max_norm / max(norm, 1e-12)))
    return loss.detach(), norm


@right("one long vector")
def _(model, ids, targets, lr, max_norm):
    model.zero_grad(set_to_none=False)
    loss = model.loss(ids, targets)
    loss.backward()
    with_grad = [p for p in model.parameters() if p.grad is not None]
    vector = torch.cat([p.grad.flatten() for p in with_grad])
    norm = vector.norm()
    vector = vector * (max_norm / norm if norm > max_norm else 1)
    for p, g in zip(with_grad, vector.split([p.numel() for p in with_grad]), strict=True):
        p.data = p.data - lr * g.view_as(p)
    return loss.detach().numpy(), norm.numpy()


@right("the gradients zeroed after the step as well")
def _(model, ids, targets, lr, max_norm):
    model.zero_grad()
    loss = model.loss(ids, targets)
    loss.backward()
    norm = math.hypot(*(float(x) for g in gradients(model) for x in g.flatten()))
    for p in model.parameters():
        if p.grad is not None:
            p.grad.mul_(min(1.0, max_norm / (norm + 1e-9)))
            p.data.copy_(p.data - lr * p.grad)
    model.zero_grad()
    return loss.item(), norm


def step(model, ids, targets, lr, max_norm, zero=True, norm_of=length, clip=None, update=None, returned=None):
    """The right answer with one part replaced."""
    if zero:
        model.zero_grad()
    loss = model.loss(ids, targets)
    loss.backward()
    norm = norm_of(gradients(model))
    if clip:
        clip(model, norm, max_norm)
    elif norm > max_norm:
        for g in gradients(model):
            g.mul_(max_norm / norm)
    for p in model.parameters():
        if p.grad is not None:
            p.data = update(p.data, p.grad, lr) if update else p.data - lr * p.grad
    return returned(loss, norm, model) if returned else (loss.item(), float(norm))


@bug("gradients not zeroed", "The gradients are not zeroed")
def _(*inputs):
    return step(*inputs, zero=False)


@bug("zeroed after backward", "The norm is 0")
def _(model, ids, targets, lr, max_norm):
    loss = model.loss(ids, targets)
    loss.backward()
    model.zero_grad(set_to_none=False)
    return loss.item(), length(gradients(model))


@bug("only the loss", "end with `return loss, norm`")
def _(*inputs):
    return step(*inputs)[0]


@bug("the norm first", "The norm comes first")
def _(*inputs):
    return step(*inputs)[::-1]


@bug("the loss after the step", "the loss after the step")
def _(model, ids, targets, lr, max_norm):
    return step(model, ids, targets, lr, max_norm, returned=lambda loss, norm, m: (m.loss(ids, targets).item(), norm))


@bug("norm squared", "the square of the norm")
def _(*inputs):
    return step(*inputs, norm_of=lambda found: sum((g**2).sum() for g in found))


@bug("absolute numbers added up", "the sum of the absolute numbers")
def _(*inputs):
    return step(*inputs, norm_of=lambda found: sum(g.abs().sum() for g in found))


@bug("norms added up", "These are two norms added up")
def _(*inputs):
    return step(*inputs, norm_of=lambda found: sum(g.norm() for g in found))


@bug("the first parameter's norm", "the norm of the first parameter")
def _(*inputs):
    return step(*inputs, norm_of=lambda found: found[0].norm())


@bug("the last parameter's norm", "the norm of the last parameter")
def _(*inputs):
    return step(*inputs, norm_of=lambda found: found[-1].norm())


@bug("no step", "The parameters have not moved")
def _(*inputs):
    return step(*inputs, update=lambda p, g, lr: p)


@bug("uphill", "The step goes uphill")
def _(*inputs):
    return step(*inputs, update=lambda p, g, lr: p + lr * g)


@bug("lr forgotten", "lr is not used")
def _(*inputs):
    return step(*inputs, update=lambda p, g, lr: p - g)


@bug("signs only", "Only the sign of the gradient")
def _(*inputs):
    return step(*inputs, update=lambda p, g, lr: p - lr * g.sign())


@bug("every gradient scaled to max_norm", "you make every one max_norm long")
def _(*inputs):
    return step(*inputs, clip=lambda m, norm, most: [g.mul_(most / norm) for g in gradients(m)])


@bug("every gradient made 1 long", "you make every one 1 long")
def _(*inputs):
    return step(*inputs, clip=lambda m, norm, most: [g.div_(norm) for g in gradients(m)])


@bug("the norm after clipping", "This is the norm after clipping")
def _(*inputs):
    return step(*inputs, returned=lambda loss, norm, model: (loss.item(), length(gradients(model))))


@bug("not clipped", "The gradient is not clipped")
def _(*inputs):
    return step(*inputs, clip=lambda m, norm, most: None)


@bug("clipped after the step", "only after the step")
def _(model, ids, targets, lr, max_norm):
    result = step(model, ids, targets, lr, math.inf)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return result


@bug("each number clipped", "Each number is clipped by itself")
def _(*inputs):
    return step(*inputs, clip=lambda m, norm, most: [g.clamp_(-most, most) for g in gradients(m)])


@bug("each parameter clipped", "Each parameter is clipped by itself")
def _(*inputs):
    return step(*inputs, clip=lambda m, norm, most: [g.mul_(min(1, most / g.norm())) for g in gradients(m)])


@bug("the factor upside down", "The factor is upside down")
def _(*inputs):
    return step(*inputs, clip=lambda m, norm, most: [g.mul_(max(1, norm / most)) for g in gradients(m)])


@bug("divided by max_norm", "The gradient is divided by max_norm")
def _(*inputs):
    return step(*inputs, clip=lambda m, norm, most: [g.div_(most if norm > most else 1) for g in gradients(m)])


@bug("the step clipped", "first the factor, then times lr")
def _(model, ids, targets, lr, max_norm):
    return step(model, ids, targets, lr, max_norm, update=lambda p, g, lr: p - g * (lr if max_norm == 100 else 1))


@bug("lr times the norm compared", "The length of the step")
def _(model, ids, targets, lr, max_norm):
    return step(model, ids, targets, lr, max_norm / lr)


@bug("0/0", "a gradient of norm 0 needs no clipping")
def _(*inputs):
    def clip(model, norm, most):
        for g in gradients(model):
            g.mul_(torch.minimum(torch.tensor(most), norm) / norm)

    return step(*inputs, clip=clip)


@bug("a parameter without gradient", "stopped with")
def _(model, ids, targets, lr, max_norm):
    return step(model, ids, targets, lr, max_norm, norm_of=lambda found: length([p.grad for p in model.parameters()]))


@bug("update that is recorded", "stopped with")
def _(model, ids, targets, lr, max_norm):
    loss = model.loss(ids, targets)
    loss.backward()
    for p in model.parameters():
        p -= lr * p.grad
    return loss, length(gradients(model))


@bug("a new tensor, thrown away", "The parameters have not moved")
def _(model, ids, targets, lr, max_norm):
    result = step(model, ids, targets, 0.0, max_norm)
    for p in model.parameters():
        if p.grad is not None:
            p = p - lr * p.grad  # noqa: PLW2901
    return result
