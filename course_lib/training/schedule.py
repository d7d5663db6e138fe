"""Learning-rate schedules: a warm-up, then a decay."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

DECAYS = ("linear", "cosine")


def warm_up_then_decay(
    optimizer: Optimizer, n_steps: int, warm_up: float = 0.05, decay: str = "linear", final: float = 0.0
) -> LambdaLR:
    """From near 0 up to each group's learning rate over the first `warm_up` · n_steps steps, then down to `final`
    times that rate, on a line or on half a cosine (Loshchilov and Hutter 2017). Raises ValueError out of range.
    """
    if decay not in DECAYS:
        raise ValueError(f"decay {decay!r}: expected {' or '.join(map(repr, DECAYS))}")
    if not (0 <= warm_up < 1 and 0 <= final <= 1):
        raise ValueError(f"warm_up is {warm_up} and final {final}: expected shares, the first below 1")
    rises = max(1, round(warm_up * n_steps))

    def factor(step: int) -> float:
        if step < rises:
            return (step + 1) / rises
        left = max(0.0, (n_steps - step) / max(1, n_steps - rises))  # 1 at the peak, 0 after the last step
        share = left if decay == "linear" else (1 - math.cos(math.pi * left)) / 2
        return final + (1 - final) * share

    return LambdaLR(optimizer, factor)
