"""Muon for the matrices of a network, AdamW for the rest, as one optimiser."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.device import bfloat16_pays


def orthogonalised(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Each matrix U Σ Vᵀ of a batch (…, m, n) → roughly U Vᵀ: singular values near 1, by Newton–Schulz iteration.

    X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X, with the coefficients of Jordan et al. (2024). A matrix of zeros stays one.
    Where bfloat16 pays, float32 becomes it, as in theirs: the result is rough anyway.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices  # X Xᵀ is then the smaller of the two products
    shape, x = x.shape, x.reshape(-1, *x.shape[-2:])
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    x = x.bfloat16() if x.dtype == torch.float32 and bfloat16_pays(x.device) else x
    for _ in range(rounds):  # baddbmm(a, b, c, beta, alpha) is beta · a + alpha · b c
        product = x @ x.mT
        product = torch.baddbmm(product, product, product, beta=-4.775, alpha=2.0315)
        x = torch.baddbmm(x, product, x, beta=3.4445)
    x = x.to(matrices.dtype).view(shape)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, with each step made orthogonal (Jordan et al. 2024): `torch.optim.Muon` for all matrices of one shape
    at once, and in float32 where bfloat16 is slow (benchmarks/transformer.py has their times).

    A matrix (m, n) moves by lr · √max(1, m/n) · U Vᵀ, after it has shrunk by lr · weight_decay of itself. Raises
    ValueError for a parameter that is no matrix, and for numbers out of range.
    """

    def __init__(
        self, matrices: list[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        for parameter in matrices:
            if parameter.ndim != 2:
                raise ValueError(f"a parameter has shape {tuple(parameter.shape)}: Muon is for matrices; give it AdamW")
        if not (lr >= 0 and 0 <= momentum < 1 and weight_decay >= 0):
            raise ValueError(
                f"lr is {lr}, momentum {momentum}, weight_decay {weight_decay}: expected 0 or more, momentum below 1"
            )
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One update with the gradients there are, or with those that `closure` makes; → what it returned."""
        loss = _value(closure)
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for (m, n), parameters in by_shape.items():
                looks_ahead = [self._averaged(parameter, group["momentum"]) for parameter in parameters]
                steps = orthogonalised(torch.stack(looks_ahead)) * (-group["lr"] * max(1, m / n) ** 0.5)
                for parameter, step in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(step)
        return loss

    def _averaged(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's momentum: the new average, once more mixed with the gradient."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        average = state["momentum_buffer"]
        average.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum)


class MuonAdamW(torch.optim.Optimizer):
    """Muon takes the weight matrices inside the network, PyTorch's AdamW all the rest: embeddings, the output layer,
    biases and normalisations, as Muon's authors advise.

    output: the layer that gives the logits. The two learning rates follow one schedule, each from its own start;
    weight_decay is Muon's alone.
    Raises ValueError where output is no layer of the model, and for a model without matrices inside.
    """

    def __init__(
        self,
        model: nn.Module,
        output: nn.Linear,
        lr: float = 0.02,
        adamw_lr: float = 0.003,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        if not any(module is output for module in model.modules()):
            raise ValueError(f"output {output} is no layer of the model: pass the one that gives the logits")
        not_inside = {id(output.weight)} | {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in not_inside]
        rest = [p for p in model.parameters() if p.ndim != 2 or id(p) in not_inside]
        if not matrices:
            raise ValueError("the model has no matrix but embeddings and output: train it with AdamW alone")
        super().__init__([*matrices, *rest], {})
        self.parts = {
            "muon": Muon(matrices, lr, momentum, weight_decay),
            "adamw": torch.optim.AdamW(rest, adamw_lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
        }
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]

    def add_param_group(self, param_group: dict) -> None:
        if "parts" in self.__dict__:
            raise ValueError("parameters cannot be added to MuonAdamW later: make a new one for the whole model")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict:  # for copies: PyTorch's own leaves out what it does not know
        return super().__getstate__() | {"parts": self.parts}

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One update with the gradients there are, or with those that `closure` makes; → what it returned."""
        loss = _value(closure)
        for part in self.parts.values():
            part.step()
        return loss

    def state_dict(self) -> dict:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]


def _value(closure: Callable[[], Tensor] | None) -> Tensor | None:
    """What PyTorch's optimisers do with a closure: it computes the loss and its gradients."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
