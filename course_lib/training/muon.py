"""Muon for the matrices of a network, AdamW for the rest, as one optimiser."""

import torch
from torch import nn


class MuonAdamW(torch.optim.Optimizer):
    """PyTorch's Muon (Jordan et al. 2024) takes the weight matrices inside the network, its AdamW all the rest:
    embeddings, the output layer, biases and normalisations, as its authors advise.

    output: the layer that gives the logits. The two learning rates follow one schedule, each from its own start.
    """

    def __init__(self, model: nn.Module, output: nn.Linear, lr: float = 0.02, adamw_lr: float = 0.003):
        not_inside = {id(output.weight)} | {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in not_inside]
        rest = [p for p in model.parameters() if p.ndim != 2 or id(p) in not_inside]
        self.parts = {
            "muon": torch.optim.Muon(matrices, lr, weight_decay=0.0),
            "adamw": torch.optim.AdamW(rest, adamw_lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
        }
        super().__init__([*matrices, *rest], {})
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]

    def step(self, closure=None):
        loss = None if closure is None else closure()
        for part in self.parts.values():
            part.step()
        return loss

    def state_dict(self) -> dict:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]
