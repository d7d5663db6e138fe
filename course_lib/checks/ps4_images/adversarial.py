"""Networks to work out by hand, and one step of one of them: images of one pixel, scores that are linear in it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checks.case import Case


class Generator(nn.Module):
    """z (N, 1) → images (N, 1, 1, 1), each of one pixel: scale · z + shift."""

    def __init__(self, scale: float, shift: float):
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.tensor(each)) for each in (scale, shift))

    def forward(self, z: Tensor) -> Tensor:
        require_training(self)
        return (self.scale * z + self.shift).view(len(z), 1, 1, 1)


class Discriminator(nn.Module):
    """Images (N, 1, 1, 1) → scores (N,): slope · pixel + offset."""

    def __init__(self, slope: float, offset: float = 0.0):
        super().__init__()
        self.slope, self.offset = (nn.Parameter(torch.tensor(each)) for each in (slope, offset))

    def forward(self, images: Tensor) -> Tensor:
        require_training(self)
        return self.slope * images.flatten() + self.offset


def require_training(network: nn.Module) -> None:
    """As batch normalisation and dropout do something else in evaluation mode."""
    if not network.training:
        raise RuntimeError(
            f"the {type(network).__name__.lower()} is in evaluation mode; both networks stay in training"
        )


def any_networks() -> tuple[nn.Module, nn.Module]:
    """z (N, 6) → images (N, 2, 3, 4) → scores (N,), with weights of their own."""
    random = torch.Generator().manual_seed(2)
    generator = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Unflatten(1, (2, 3, 4)))
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(24, 5), nn.Tanh())
    discriminator = nn.Sequential(hidden, nn.Linear(5, 1), nn.Flatten(0))
    for p in (*generator.parameters(), *discriminator.parameters()):
        p.data = torch.randn(p.shape, generator=random) / max(1, p.shape[-1]) ** 0.5
    return generator, discriminator


def row(network: nn.Module) -> Tensor:
    """All parameters, one after the other."""
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def gradients(network: nn.Module) -> np.ndarray:
    """`grad` of all parameters of one number each; nan where there is none."""
    return np.array([np.nan if p.grad is None else p.grad.item() for p in network.parameters()])


def leave_gradients(network: nn.Module, *numbers: float) -> None:
    for p, number in zip(network.parameters(), numbers, strict=True):
        p.grad = torch.tensor(number)


def step(
    answer: Callable, name: str, networks: tuple, learner: nn.Module, optimizer: Any, tensors: tuple, about: str
) -> tuple[Case, float, np.ndarray]:
    """The case, the loss that the answer returns, and the learner's parameters after the step, in a row.

    optimizer: a learning rate (of SGD), or an optimiser.
    """
    shown = "" if isinstance(optimizer, torch.optim.Optimizer) else f", SGD with learning rate {optimizer:g}"
    if shown:
        optimizer = torch.optim.SGD(learner.parameters(), lr=optimizer)

    def call() -> list | None:
        loss = answer(*networks, optimizer, *(each.clone() for each in tensors))
        return None if loss is None else [loss, row(learner)]

    names = ", ".join(["generator", "discriminator", "optimizer", *(["real"] if len(tensors) > 1 else []), "z"])
    case = Case(call, name, shown=f"{name}({names}), {about}{shown}")
    loss, parameters = case.parts("loss", "parameters")
    for network, what in zip(networks, ("generator", "discriminator"), strict=True):
        if not network.training:
            case.fail(f"The {what} is left in evaluation mode; both networks stay in training mode.", "evaluation mode")
    return case, float(loss.numbers(hint="The loss is one number.")), parameters.numbers(len(row(learner)))


def slope_agrees(case: Case, before: float, after: float, moved: np.ndarray, lr: float) -> None:
    """A short step of −lr · gradient makes the loss smaller by lr · |gradient|², which is |step|² / lr."""
    expected = float((moved**2).sum()) / lr
    if not abs(before - after - expected) < 0.05 * expected:
        says = "The step does not follow the gradient of the loss that you return: it must go straight downhill."
        case.fail(says, before - after, expected, "by how much a short step makes the loss smaller")
