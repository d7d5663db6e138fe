"""The training loop."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import zip_longest
from numbers import Integral
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.device import seed_everything
from course_lib.training import checkpoint as file
from course_lib.training.early_stop import EarlyStop
from course_lib.training.history import History

LOOK_SECONDS = 0.25  # between two looks at the losses: a look at every step would make an accelerator wait


class TrainingDiverged(RuntimeError):
    """The loss, or a weight, is no longer a finite number."""


class Update(Protocol):
    """One step of training, and all that it changes; `GradientStep` is one. `settings` tells one way to train from
    another, so that a checkpoint is not taken for another run's.
    """

    settings: str

    def __call__(self) -> Mapping[str, Tensor]:
        """Change the model once. Returns scalars for the history, like the loss before the change."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


def train(
    update: Update,
    n_steps: int,
    *,
    seed: int = 0,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    evaluate_every: int = 100,
    early_stop: EarlyStop | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    label: str = "training",
    unit: tuple[str, int] = ("steps", 1),
    watch: Callable[[History], None] | None = None,
) -> History:
    """Call `update` n_steps times, with a progress bar.

    What is random in a step depends on `seed` and on the number of the step alone: PyTorch's, NumPy's and Python's
    global generators are seeded before each. So with `checkpoint`, the name of a file, a run that was killed and is
    called again goes on and ends with the same weights as one never stopped; a finished run comes back at once. (On a
    GPU, to the last bit only with deterministic kernels. The data are not compared: one file per experiment.)

    evaluate:   called before the first step, every `evaluate_every` steps, and after the last.
    early_stop: looks at each evaluation; at the end the weights of the best one are put back.
    unit:       what the progress bar counts, and how many of them a step takes, like ("tokens", 4096).
    watch:      is shown the history after each evaluation; `LiveCurve` draws it.
    Raises TrainingDiverged where something is no longer finite (it never reaches the checkpoint), CheckpointError for a
    checkpoint that is damaged or of another run, ValueError for numbers out of range.
    """
    for name, value, least in [("n_steps", n_steps, 1), ("evaluate_every", evaluate_every, 1),
                               ("checkpoint_every", checkpoint_every, 1), ("seed", seed, 0)]:  # fmt: skip
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} is {value}: expected a whole number, {least} or more")
    if early_stop is not None and evaluate is None:
        raise ValueError("early_stop needs `evaluate`, a function that returns {name: value}")

    run = _Run(update, n_steps, seed, early_stop, checkpoint, unit[1])
    finished = run.resume()
    if finished and watch is not None and run.history.evaluations:
        watch(run.history)
    name, n = unit
    with tqdm(
        total=n_steps * n, initial=run.step * n, desc=label, unit=f" {name}", unit_scale=True, leave=False
    ) as run.bar:
        while not finished:
            at_end = run.step == n_steps
            if evaluate is not None and (run.step % evaluate_every == 0 or at_end):
                finished = run.evaluate(evaluate)
                if watch is not None:
                    watch(run.history)
            finished = finished or at_end
            if finished and early_stop is not None and early_stop.best_state is not None:
                update.load_state_dict(early_stop.best_state)
            if finished or run.step % checkpoint_every == 0:
                run.save(finished)
            if not finished:
                run.update_once()
    return run.history


class _Run:
    """A run under way."""

    def __init__(
        self,
        update: Update,
        n_steps: int,
        seed: int,
        early_stop: EarlyStop | None,
        path: str | Path | None,
        per_step: int,
    ):
        self.update, self.n_steps, self.seed, self.early_stop = update, n_steps, seed, early_stop
        self.per_step = per_step  # what the progress bar counts
        self.path = None if path is None else Path(path)
        self.step, self.saved_at, self.history = 0, None, History()
        self.pending, self.started = [], 0.0  # what updates returned since the last look, and when that was

    def update_once(self) -> None:
        if not self.pending:
            self.started = time.perf_counter()
        seed_everything(int(np.random.SeedSequence([self.seed, self.step]).generate_state(1)[0]))
        self.pending.append(self.update())
        self.step += 1
        if time.perf_counter() - self.started > LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        """Bring what the last updates returned into the history."""
        if not self.pending:
            return
        for name in self.pending[0]:
            values = torch.stack([returned[name] for returned in self.pending]).tolist()
            for step, value in enumerate(values, start=self.step - len(values)):
                if not math.isfinite(value):
                    raise TrainingDiverged(f"{name} is {value} at step {step} of {self.n_steps}; {self._advice()}")
            self.history.values.setdefault(name, []).extend(values)
        self.history.seconds += time.perf_counter() - self.started
        self.bar.update(len(self.pending) * self.per_step)
        self.bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in self.history.values.items()})
        self.pending = []

    def evaluate(self, evaluate: Callable[[], Mapping[str, float]]) -> bool:
        """Evaluate, unless a resumed run has done it; True where that ends the run."""
        self.look()
        if self.history.evaluations and self.history.evaluations[-1]["step"] == self.step:
            return False
        self.require_finite()
        values = {name: float(value) for name, value in evaluate().items()}
        if taken := values.keys() & {"step", "seconds"}:
            raise ValueError(f"`evaluate` returned {taken.pop()!r}, which the history fills in: choose another name")
        self.history.evaluations.append({"step": self.step, "seconds": self.history.seconds} | values)
        return self.early_stop is not None and self.early_stop.look(values, self.update)

    def save(self, finished: bool) -> None:
        self.look()
        self.require_finite()
        if self.path is None:
            return
        stop = None if self.early_stop is None else self.early_stop.state_dict()
        progress = {"step": self.step, "finished": finished, "history": asdict(self.history), "early_stop": stop}
        file.save(self.path, {"run": self.of_run(), "progress": progress, "update": self.update.state_dict()})
        self.saved_at = self.step

    def require_finite(self) -> None:
        if bad := _not_finite(self.update.state_dict()):
            raise TrainingDiverged(f"{bad} is no longer finite after {self.step} steps; {self._advice()}")

    def of_run(self) -> dict:
        """What tells this run from others."""
        stop = None if self.early_stop is None else f"{self.early_stop.metric}, {self.early_stop.patience}"
        return {"n_steps": self.n_steps, "seed": self.seed, "settings": self.update.settings, "early_stop": stop}

    def resume(self) -> bool:
        """Go to where the checkpoint is, if there is one; True where the run had finished."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.early_stop is not None:
            self.early_stop.reset()
        if self.path is None or not self.path.exists():
            return False
        state = file.load(self.path, expected={"run": {}, "progress": {}, "update": self.update.state_dict()})
        for name, value in self.of_run().items():
            if value != (there := state["run"].get(name)):
                there, value = _first_difference(str(there), str(value))
                raise file.CheckpointError(
                    f"{self.path} is of another run: its {name} is {there}, here it is {value}. "
                    "Name another file, or delete this one"
                )
        progress = state["progress"]
        self.update.load_state_dict(state["update"])
        if self.early_stop is not None:
            self.early_stop.load_state_dict(progress["early_stop"])
        self.step = self.saved_at = progress["step"]
        self.history = History(**progress["history"])
        what = "finished" if progress["finished"] else "going on"
        print(f"{self.path}: {what} at step {self.step} of {self.n_steps}")
        return progress["finished"]

    def _advice(self) -> str:
        kept = "" if self.saved_at is None else f"; {self.path} keeps the state after {self.saved_at} steps"
        return f"a lower learning rate, a warm-up or clipping often helps{kept}"


def _first_difference(a: str, b: str) -> tuple[str, str]:
    """The first lines in which two texts differ."""
    pairs = zip_longest(a.splitlines(), b.splitlines(), fillvalue="nothing")
    return next((one.strip(), other.strip()) for one, other in pairs if one != other)


def _not_finite(state, where: str = "") -> str:
    """The name of the first tensor, in nested dicts, that holds NaN or infinity; empty where none does."""
    if isinstance(state, dict):
        found = (_not_finite(value, f"{where}.{name}".lstrip(".")) for name, value in state.items())
        return next(filter(None, found), "")
    return where if isinstance(state, Tensor) and not torch.isfinite(state).all() else ""
