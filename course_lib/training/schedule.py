"""Learning-rate schedules: a warm-up, then a decay."""

import math
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from course_lib.sizes import require_sizes

DECAYS = ("linear", "cosine")


def warm_up_then_decay(
    optimizer: Optimizer, n_steps: int, warm_up: float = 0.05, decay: str = "linear", final: float = 0.0
) -> LambdaLR:
    """From near 0 up to each group's learning rate over the first `warm_up` · n_steps steps, then down to `final`
    times that rate, on a line or on half a cosine (Loshchilov and Hutter 2017). Raises ValueError out of range.
    """
    return LambdaLR(optimizer, Decay(n_steps, warm_up, decay, final))


@dataclass(frozen=True)
class Decay:
    """step → share of the peak rate. An object and no function, so that checkpoints know its numbers."""

    n_steps: int
    warm_up: float
    decay: str
    final: float

    def __post_init__(self):
        require_sizes(n_steps=self.n_steps)
        if self.decay not in DECAYS:
            raise ValueError(f"decay {self.decay!r}: expected {' or '.join(map(repr, DECAYS))}")
        if not (0 <= self.warm_up < 1 and 0 <= self.final <= 1):
            raise ValueError(f"warm_up is {self.warm_up} and final {self.final}: expected shares, the first below 1")

    def __call__(self, step: int) -> float:
        rises = max(1, round(self.warm_up * self.n_steps))
        if step < rises:
            return (step + 1) / rises
        left = max(0.0, (self.n_steps - step) / max(1, self.n_steps - rises))  # 1 at the peak, 0 after the last step
        share = left if self.decay == "linear" else (1 - math.cos(math.pi * left)) / 2
        return self.final + (1 - self.final) * share
