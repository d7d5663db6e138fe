"""Exercise 3: one step of training. Losses are linear at first, so that the gradient is known without calculus."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checks.case import Case, close, passed

NAME = "training_step"
IDS, TARGETS = torch.tensor([[0, 1, 1]]), torch.tensor([[1, 1, 0]])


def check_training_step(answer: Callable) -> None:
    """The answer: model (parameters, `loss(ids, targets)`), ids, targets (B, T), lr, max_norm → the loss and the norm
    of the gradient before clipping; the model's parameters are changed in place.

    Clipping by global norm: Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    not_clipped(answer)
    clipped(answer)
    old_gradients(answer)
    loss_before(answer)
    edges(answer)
    language_model(answer)
    passed(NAME)


class Slope(nn.Module):
    """Two parameters, starting at 0; the loss is the sum of each times its slope, so that the slopes are the gradient.

    Slopes are for two labels that are 1; more or fewer of them make the loss steeper or flatter.
    """

    def __init__(self, a: list[float], b: list[float], start: float = 0.0, power: int = 1):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.full((len(each),), start)) for each in (a, b))
        self.slopes, self.power = [torch.tensor(each) for each in (a, b)], power

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        both = sum((p**self.power * s).sum() for p, s in zip((self.a, self.b), self.slopes, strict=True))
        return both * targets.sum() / 2 + 7


def step(
    answer: Callable, model: nn.Module, lr: float, max_norm: float, what: str
) -> tuple[Case, float, float, np.ndarray]:
    """The case, the loss and the norm that the answer returns, and the parameters after the step, in a row."""

    def call(*settings) -> list:
        result = answer(model, IDS.clone(), TARGETS.clone(), *settings)
        if not isinstance(result, tuple | list) or len(result) != 2:
            return result
        return [*result, torch.cat([p.detach().flatten() for p in model.parameters()])]

    shown = f"{NAME}(model, ids, targets, lr={lr:g}, max_norm={max_norm:g}), {what}"
    case = Case(call, NAME, lr, max_norm, shown=shown)
    if not isinstance(case.value, list) or len(case.value) != 3:
        case.fail("The result cannot be read as numbers: end with `return loss, norm`.", case.value)
    loss, norm, parameters = case.parts("loss", "norm", "parameters")
    return (
        case,
        float(loss.numbers(hint="The loss is one number.")),
        float(norm.numbers(hint="The norm is one number.")),
        parameters.numbers(sum(p.numel() for p in model.parameters())),
    )


def not_clipped(answer: Callable) -> None:
    """The gradient is (2, −2) and (1), its norm 3. The limit is far off."""
    what = "parameters all 0, gradient (2, −2) and (1)"
    case, loss, norm, parameters = step(answer, Slope([2.0, -2.0], [1.0]), 0.5, 100.0, what)
    suspects = [
        (3, "The norm comes first: `return loss, norm`, the loss before the norm."),
        (2.5, "This is the loss after the step: compute it before."),
    ]
    case.compare(loss, 7, "With all parameters 0 the loss is 7.", suspects, "loss")
    suspects = [
        (9, "This is the square of the norm: take the root."),
        (5, "This is the sum of the absolute numbers: the norm is √(Σ g²)."),
        (1, "This adds up the numbers, signs and all: the norm is √(Σ g²); or it is the norm of the last parameter."),
        (math.sqrt(8), "This is the norm of the first parameter: all numbers of all parameters are one vector."),
        (math.sqrt(8) + 1, "These are two norms added up: all numbers of all parameters are one vector, √(Σ g²)."),
        (math.sqrt(3), "This is the mean square's root: the norm is √(Σ g²)."),
        (0, "The norm is 0: take it after `backward()`, and before the gradients are zeroed."),
        (2, "This is the largest number: the norm is √(Σ g²)."),
        (100, "This is the limit: return the norm of the gradient, before clipping."),
    ]
    case.compare(norm, 3, "√(2² + 2² + 1²) = 3.", suspects, "norm")
    right = np.array([-1, 1, -0.5])
    suspects = [
        ([0, 0, 0], "The parameters have not moved: change them in place, under `torch.no_grad()`."),
        (-right, "The step goes uphill: subtract lr times the gradient."),
        (2 * right, "The step is too long: lr is not used, or the step is done twice."),
        (right * 100 / 3, "A gradient shorter than max_norm stays as it is; you make every one max_norm long."),
        (right / 3, "A gradient shorter than max_norm stays as it is; you make every one 1 long."),
        (np.sign(right) * 0.5, "Only the sign of the gradient is used: subtract lr times the gradient itself."),
    ]
    case.compare(parameters, right, "Each parameter loses lr times its gradient.", suspects, "parameters")


def clipped(answer: Callable) -> None:
    """The same gradient of norm 3, limit 1.5: half of it."""
    what = "parameters all 0, gradient (2, −2) and (1)"
    case, _, norm, parameters = step(answer, Slope([2.0, -2.0], [1.0]), 1.0, 1.5, what)
    suspects = [(1.5, "This is the norm after clipping: return the one before, it tells when training goes astray.")]
    case.compare(norm, 3, "The norm before clipping is √(2² + 2² + 1²) = 3.", suspects, "norm")
    root = 1.5 / math.sqrt(8)
    suspects = [
        ([-2, 2, -1], "The gradient is not clipped, or only after the step."),
        ([-1.5, 1.5, -1], "Each number is clipped by itself: scale the whole gradient, so that its direction stays."),
        ([-2 * root, 2 * root, -1], "Each parameter is clipped by itself: one norm and one factor for all of them."),
        (np.array([-2, 2, -1]) / 3, "The gradient is made 1 long: its norm must be max_norm, 1.5."),
        (np.array([-4, 4, -2]), "The factor is upside down: max_norm / norm, here 1.5 / 3."),
        (np.array([-3, 3, -1.5]), "The gradient is multiplied by max_norm: the factor is max_norm / norm."),
        (np.array([-2, 2, -1]) / 1.5, "The gradient is divided by max_norm: the factor is max_norm / norm."),
        (np.array([-2, 2, -1]) / 6, "The factor is max_norm / norm, not max_norm / norm²."),
        ([0, 0, 0], "The parameters have not moved."),
    ]
    otherwise = "The factor is 1.5 / 3 for every parameter: the gradient becomes (1, −1) and (0.5)."
    case.compare(parameters, [-1, 1, -0.5], otherwise, suspects, "parameters")
    case, _, norm, parameters = step(answer, Slope([2.0, -2.0], [1.0]), 0.1, 1.5, what)
    suspects = [
        ([-0.2, 0.2, -0.1], "The length of the step, lr · gradient, is compared with max_norm: clip the gradient."),
        ([-1, 1, -0.5], "The step is clipped, not the gradient: first the factor, then times lr."),
    ]
    otherwise = "First clip, (1, −1) and (0.5), then multiply by lr = 0.1."
    case.compare(parameters, [-0.1, 0.1, -0.05], otherwise, suspects, "parameters")


def old_gradients(answer: Callable) -> None:
    """Something has called `backward` on this model before."""
    model = Slope([2.0, -2.0], [1.0])
    model.a.grad, model.b.grad = torch.tensor([4.0, 6.0]), torch.tensor([1.0])
    what = "gradient (2, −2) and (1); (4, 6) and (1) is left in `grad` from before"
    case, _, norm, parameters = step(answer, model, 1.0, 100.0, what)
    left = "The gradients are not zeroed: `backward()` adds to what is in `grad`. Zero it before."
    suspects = [(lambda got: got > 3.001, left), (lambda got: got == 0, "Zero the gradients before `backward()`.")]
    case.compare(norm, 3, left, suspects, "norm")
    case.compare(parameters, [-2, 2, -1], left, part="parameters")
    model = Slope([2.0, -2.0], [1.0])

    def twice(same, ids, targets, *rest):
        answer(same, ids, targets, *rest)
        return answer(same, ids, targets, *rest)

    what = "two steps one after the other, each of the gradient (2, −2) and (1)"
    case, loss, norm, parameters = step(twice, model, 1.0, 100.0, what)
    case.compare(norm, 3, left, part="norm of the second step")
    case.compare(parameters, [-4, 4, -2], "Two steps of the same gradient go twice as far.", part="parameters")


def loss_before(answer: Callable) -> None:
    """The loss is a² + 2 b² + 7 at a = b = 1: gradient 2 and 4, loss 10."""
    what = "a = b = 1, loss = a² + 2 b² + 7"
    case, loss, _, parameters = step(answer, Slope([1.0], [2.0], start=1.0, power=2), 0.25, 100.0, what)
    suspects = [(7.25, "This is the loss after the step: return the one that the gradient belongs to, before it.")]
    case.compare(loss, 10, "The loss is the one before the step: 1 + 2 + 7.", suspects, "loss")
    case.compare(parameters, [0.5, 0], "1 − 0.25 · 2 = 0.5 and 1 − 0.25 · 4 = 0.", part="parameters")


def edges(answer: Callable) -> None:
    case, _, norm, parameters = step(answer, Slope([0.0], [0.0]), 1.0, 1.0, "the gradient is all 0")
    case.compare(norm, 0, "The norm of a gradient that is all 0 is 0.", part="norm")
    nan = "0/0: a gradient of norm 0 needs no clipping."
    case.compare(parameters, [0, 0], nan, part="parameters")
    model = Slope([3.0], [4.0])
    model.unused = nn.Parameter(torch.tensor([5.0]))
    what = "gradient (3) and (4), and a parameter that the loss does not use: its `grad` is None"
    case, _, norm, parameters = step(answer, model, 1.0, 100.0, what)
    case.compare(norm, 5, "A parameter without gradient adds nothing to the norm.", part="norm")
    case.compare(parameters, [-3, -4, 5], "A parameter without gradient stays as it is.", part="parameters")


class Tiny(nn.Module):
    """A language model that looks at the newest token only."""

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(3)
        self.embedding = nn.Parameter(torch.randn(2, 4, generator=random))
        self.output = nn.Linear(4, 2)
        for p in self.output.parameters():
            p.data = torch.randn(p.shape, generator=random)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        logits = self.output(self.embedding[ids])
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def language_model(answer: Callable) -> None:
    """What must hold for any model: the step is lr · min(norm, max_norm) long, and goes against the gradient."""
    for max_norm in (0.1, 10.0):
        model = Tiny()
        before = torch.cat([p.detach().flatten() for p in model.parameters()]).double().numpy()
        loss = model.loss(IDS, TARGETS)
        found = torch.autograd.grad(loss, list(model.parameters()))
        gradient = torch.cat([g.flatten() for g in found]).double().numpy()
        case, said, norm, after = step(answer, model, 1.0, max_norm, "a small language model")
        case.compare(said, loss.item(), "The loss is model.loss(ids, targets) before the step.", part="loss")
        moved = before - after
        length = np.linalg.norm(moved)
        otherwise = "The step must be lr · min(norm, max_norm) long, here with lr = 1."
        case.compare(length, min(norm, max_norm), otherwise, part="length of the step")
        if not close(moved / length, gradient / np.linalg.norm(gradient)):
            case.fail("The step does not go against the gradient.", moved / length, gradient / np.linalg.norm(gradient))
