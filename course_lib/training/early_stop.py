"""Stop while it is best."""

import copy
import math


class EarlyStop:
    """End the training after `patience` evaluations without a new minimum of `metric`; the weights of the minimum stay.

    Raises ValueError for patience < 1.
    """

    def __init__(self, metric: str, patience: int):
        if patience < 1:
            raise ValueError(f"patience is {patience}: expected 1 or more evaluations")
        self.metric, self.patience = metric, patience
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: a new run begins."""
        self.best, self.best_state, self.waited = math.inf, None, 0

    def look(self, values: dict[str, float], update) -> bool:
        """Note an evaluation. True: it is time to stop. Raises KeyError where the metric is not among the values."""
        if self.metric not in values:
            raise KeyError(f"early stop on {self.metric!r}: `evaluate` returned only {', '.join(values)}")
        if values[self.metric] < self.best:
            self.best, self.best_state, self.waited = values[self.metric], copy.deepcopy(update.state_dict()), 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def state_dict(self) -> dict:
        return {"best": self.best, "best_state": self.best_state, "waited": self.waited}

    def load_state_dict(self, state: dict) -> None:
        self.best, self.best_state, self.waited = state["best"], state["best_state"], state["waited"]
