"""AdamW as language models use it."""

import torch
from torch import nn


def adamw(
    model: nn.Module, lr: float, weight_decay: float = 0.1, betas: tuple[float, float] = (0.9, 0.99)
) -> torch.optim.AdamW:
    """PyTorch's AdamW (Loshchilov and Hutter 2019), fused; only matrices and embeddings decay, as in nanoGPT
    (Karpathy 2022): a bias or a gain has no reason to be near 0."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=betas, fused=True)
