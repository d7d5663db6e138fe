"""What generator and discriminator want. But for the hinge loss, scores are logits: σ(score) is the probability of
being real."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

LOSSES = ("hinge", "non_saturating", "saturating")


def discriminator_loss(kind: str, real: Tensor, fake: Tensor) -> Tensor:
    """The mean loss of a discriminator that gave real images and fakes these scores (N,).

    "saturating", "non_saturating": −ln σ(real) − ln(1 − σ(fake)) (Goodfellow et al. 2014, equation 1);
    "hinge": max(0, 1 − real) + max(0, 1 + fake) (Lim and Ye 2017).
    """
    if require_loss(kind) == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(kind: str, fake: Tensor) -> Tensor:
    """The mean loss of a generator whose images got these scores: "saturating": ln(1 − σ(fake)), the minimax game;
    "non_saturating": −ln σ(fake) (both Goodfellow et al. 2014); "hinge": −fake."""
    if require_loss(kind) == "hinge":
        return -fake.mean()
    return F.softplus(-fake).mean() if kind == "non_saturating" else -F.softplus(fake).mean()


def r1_penalty(discriminator: nn.Module, real: Tensor, labels: Tensor | None = None) -> Tensor:
    """The squared length of the gradient of the score with respect to a real image, the mean over the batch (Mescheder,
    Geiger and Nowozin 2018, equation 9, without γ/2)."""
    real = real.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # PyTorch's fused attention has no second derivative
        score = discriminator(real, labels).sum()
    (gradient,) = torch.autograd.grad(score, real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def require_loss(kind: str) -> str:
    """The name of a loss; ValueError for another."""
    if kind not in LOSSES:
        raise ValueError(f"loss {kind!r}: expected one of {', '.join(LOSSES)}")
    return kind
