"""An average of a network over its training."""

import copy

import torch
from torch import Tensor, nn


class EMA:
    """A copy of a network whose weights are the exponential moving average of that network's: after each step
    average ← decay · average + (1 − decay) · weights, with a lower decay in the first steps, so that the start is
    forgotten: min(decay, (1 + t) / (10 + t)) at step t. Buffers, like the statistics of batch normalisation, are
    averaged, too; whole numbers are copied.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}: expected 0 (no average) to below 1")
        self.network, self.decay, self.steps = copy.deepcopy(network).requires_grad_(False).eval(), decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network as it is now."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        averages, values = _tensors(self.network), _tensors(network)
        torch._foreach_lerp_(averages, values, 1 - decay)
        for average, value in zip(self.network.buffers(), network.buffers(), strict=True):
            if not value.is_floating_point():
                average.copy_(value)

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]


def _tensors(network: nn.Module) -> list[Tensor]:
    return [x for x in (*network.parameters(), *network.buffers()) if x.is_floating_point()]
