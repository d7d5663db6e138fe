"""What a training run leaves behind."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class History:
    """values:      what each update returned, by name: one number per step, taken before the step changed anything.
    evaluations: {"step": …, "seconds": …, and what `evaluate` returned}, each taken after that many steps.
    seconds:     spent on updates: looking, evaluating and writing checkpoints not counted.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def evaluated(self, name: str) -> list[float]:
        """One column of the evaluations."""
        return [row[name] for row in self.evaluations]

    def smooth(self, name: str = "loss", width: int = 20) -> np.ndarray:
        """Means over `width` steps (fewer at the start), one per step, since single batches are noisy."""
        sums = np.cumsum([0.0, *self.values[name]])
        ends = np.arange(1, len(sums))
        begins = np.maximum(ends - width, 0)
        return (sums[ends] - sums[begins]) / (ends - begins)
