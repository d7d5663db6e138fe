"""One step of training by gradient."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn


class GradientStep:
    """An update for `train`: loss → gradients → (clipping) → optimiser → (learning-rate schedule).

    loss:     draws a batch and returns its loss, a scalar: `lambda: model.loss(*blocks())`.
    schedule: one of `torch.optim.lr_scheduler`, stepped after each update.
    clip:     longest gradient allowed, all parameters taken as one vector; a longer one is scaled down to it
              (Pascanu, Mikolov and Bengio 2013). Its length before that is returned as "gradient".

    A step goes on where it is: for a new run, build a new model, optimiser and step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[], Tensor],
        schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
        clip: float | None = None,
    ):
        if clip is not None and not clip > 0:
            raise ValueError(f"clip is {clip}: expected a length above 0, or None")
        self.model, self.optimizer, self.loss, self.schedule, self.clip = model, optimizer, loss, schedule, clip
        self.settings = "\n".join(self._settings())  # as they are before training changes them

    def __call__(self) -> dict[str, Tensor]:
        self.model.train()
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        values = {"loss": loss.detach()}
        if self.clip is not None:
            values["gradient"] = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return values

    def state_dict(self) -> dict:
        """All that a step changes."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _settings(self) -> Iterator[str]:
        """One a line. Names that begin with an underscore are PyTorch's own affair."""
        yield repr(self.model)
        yield from settings_of(self.optimizer)
        yield f"schedule: {type(self.schedule).__name__}"
        yield from _lines({} if self.schedule is None else self.schedule.state_dict())
        yield f"clip: {self.clip}"

    def _parts(self) -> dict:
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        return {name: part for name, part in parts.items() if part is not None}


def settings_of(optimizer: torch.optim.Optimizer) -> Iterator[str]:
    """Its kind and the numbers of its groups, one a line."""
    yield f"optimizer: {type(optimizer).__name__}"
    for group in optimizer.param_groups:
        yield from _lines({name: value for name, value in group.items() if name != "params"})


def _lines(numbers: dict) -> Iterator[str]:
    return (f"{name}: {value}" for name, value in numbers.items() if not name.startswith("_"))
