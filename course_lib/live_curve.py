"""A curve that grows while a model trains."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
from IPython.display import DisplayHandle, display

from course_lib.training.history import History


class LiveCurve:
    """For `train(watch=…)`: draws the loss of each step and each evaluation, again after every evaluation. JupyterLab
    shows it grow; what papermill or nbval store is the last picture.

    lines: levels to compare with, like {"best n-gram": 1.51}. unit: of the losses, named on the axis. Evaluations that
    differ by more than a factor of 100 get a logarithmic axis.
    """

    STYLES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))

    def __init__(self, lines: Mapping[str, float] | None = None, unit: str = "nats per token"):
        self.lines, self.unit = dict(lines or {}), unit
        self.handle: DisplayHandle | None = None

    def __call__(self, history: History) -> None:
        figure = self.draw(history)
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)
        plt.close(figure)

    def draw(self, history: History) -> plt.Figure:
        """The figure as it is now."""
        figure, axes = plt.subplots()
        losses = history.smooth("loss") if history.values.get("loss") else []
        if len(losses):
            axes.plot(range(1, len(losses) + 1), losses, color="#808080", marker="", label="training, mean of 20 steps")
        steps = history.evaluated("step")
        names = [name for name in history.evaluations[0] if name not in ("step", "seconds")]
        for name in names:
            axes.plot(steps, history.evaluated(name), label=name)
        for i, (name, level) in enumerate(self.lines.items()):
            axes.axhline(level, color="black", linestyle=self.STYLES[i % len(self.STYLES)], label=name)
        axes.set(xlabel="step", ylabel=self.unit)
        axes.legend(fontsize=8)
        values = [x for name in names for x in history.evaluated(name)]
        if all(map(math.isfinite, values)) and min(values) > 0 and max(values) > 100 * min(values):
            axes.set_yscale("log")
        if len(losses) >= 40:  # the steep fall of the first twentieth would press all the rest into a strip
            after = [row[name] for row in history.evaluations[1:] for name in names]
            shown = [x for x in (*losses[len(losses) // 20 :], *after, *self.lines.values()) if math.isfinite(x)]
            margin = 0.05 * (max(shown) - min(shown))
            axes.set_ylim(min(shown) - margin, max(shown) + margin)
        return figure
