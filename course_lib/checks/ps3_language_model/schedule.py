"""A learning-rate schedule: first the three parts of a short run, then runs that lack one of them."""

from collections.abc import Callable, Iterable

import numpy as np

from course_lib.checks.case import Case, Suspect, close, passed

NAME = "wsd_rate"
RISE = np.arange(1, 5) / 4
X = np.arange(1, 5) / 4  # the progress of a decay of four steps
FALL = 1 - np.sqrt(X)


def check_wsd_rate(answer: Callable) -> None:
    """The answer: step, n_steps, n_warm_up, n_decay, peak, final → the learning rate of this step.

    Warm-up, stable, decay: Hu et al. 2024, section 4; the decay by 1 − √x: Hägele et al. 2024.
    """
    short_run(answer)
    peak_and_final(answer)
    without_a_part(answer)
    longer_run(answer)
    long_parts(answer)
    passed(NAME)


class Curve:
    """The rates of some steps of a run: n_steps, n_warm_up, n_decay, peak, final."""

    def __init__(self, answer: Callable, *run: float, steps: Iterable[int] | None = None):
        names = "n_steps", "n_warm_up", "n_decay", "peak", "final"
        text = ", ".join(f"{name}={value}" for name, value in zip(names, run, strict=True))
        steps = range(int(run[0])) if steps is None else steps
        self.cases = [Case(answer, NAME, step, *run, shown=f"{NAME}({step}, {text})") for step in steps]
        self.got = np.array([case.numbers(hint="One number for one step.") for case in self.cases])

    def compare(
        self, expected: Iterable[float], otherwise: str, suspects: Iterable[Suspect] = (), start: int = 0
    ) -> None:
        """The rates from number `start` on; the first that differs is shown."""
        expected = list(expected)
        got = self.got[start : start + len(expected)]
        for case, one, right in zip(self.cases[start:], got, expected, strict=False):
            if not close(one, right):
                fits = (says for wrong, says in suspects if (wrong(got) if callable(wrong) else close(got, wrong)))
                case.fail(next(fits, otherwise), one, right)


def short_run(answer: Callable) -> None:
    """Ten steps: four of warm-up, two of plateau, four of decay."""
    curve = Curve(answer, 10, 4, 4, 1.0, 0.0)
    zero = "Step 0 has the rate 0 and learns nothing; a warm-up begins with peak / n_warm_up."
    cut = "`//` cuts off the fraction: divide with `/`."
    suspects: list[Suspect] = [
        ([1, 1, 1, 1], "There is no warm-up: the first n_warm_up steps rise to the peak on a line."),
        ([0, 0, 0, 0], f"The warm-up stays at 0: {cut}"),
        ([0, 0, 0, 1], f"The warm-up stays at 0: {cut}"),
        (np.arange(4) / 4, zero),
        (np.arange(4) / 3, zero),
        (np.arange(1, 5) / 5, "The warm-up ends too late: its last step, n_warm_up − 1, has the peak already."),
        (np.sqrt(RISE), "The warm-up is a straight line; the root belongs to the decay."),
        (np.arange(1, 5) / 6, "The warm-up lasts n_warm_up steps, not all steps before the decay."),
        (np.arange(1, 5) / 10, "The warm-up lasts n_warm_up steps, not the whole run."),
    ]
    curve.compare(RISE, "The warm-up rises by peak / n_warm_up each step: 1/4, 2/4, 3/4, 4/4.", suspects)
    suspects = [
        (lambda got: got[0] < 1e-6, "After the warm-up the rate is 0; it stays at the peak until the decay."),
        (lambda got: got[0] > 1.0001, "The warm-up goes on rising; from step n_warm_up on the rate is the peak."),
        (lambda got: got[1] < 0.9999, "The decay begins too early: only the last n_decay steps are below the peak."),
    ]
    curve.compare([1, 1], "Between warm-up and decay the rate is the peak.", suspects, start=4)
    late = "The decay is one step late: x is 1/n_decay in its first step and 1 in its last."
    own = "x is the progress of the decay alone, from 1/n_decay to 1."
    suspects = [
        ([1, 1, 1, 1], "There is no decay: the last n_decay steps go down to `final`."),
        ([1, 1, 1, 0], f"The decay is a jump: {cut}"),
        (1 - np.sqrt(X - 1 / 4), late),
        (1 - np.sqrt(np.arange(4) / 3), "The first step of the decay is below the peak already: x is 1/n_decay there."),
        (1 - np.sqrt(np.arange(1, 5) / 5), "The last step has exactly `final`: x is 1 there."),
        (1 - X, "This is a straight line; the decay goes with 1 − √x."),
        (np.sqrt(1 - X), "This is √(1 − x); the decay goes with 1 − √x, fast at first."),
        (1 - X**2, "This is 1 − x²; the decay goes with 1 − √x, fast at first."),
        ((1 + np.cos(np.pi * X)) / 2, "This is half of a cosine; the decay goes with 1 − √x."),
        (np.sqrt(X), "The rate rises in the decay: it goes with 1 − √x, and x grows."),
        (1 - np.sqrt(np.arange(7, 11) / 10), own),
        (1 - np.sqrt(np.arange(3, 7) / 6), own),
    ]
    curve.compare(FALL, "In the decay x is 1/4, 2/4, 3/4, 1 and the rate 1 − √x.", suspects, start=6)


def peak_and_final(answer: Callable) -> None:
    curve = Curve(answer, 10, 4, 4, 0.6, 0.1)
    before, fall = [*(0.6 * RISE), 0.6, 0.6], 0.6 * FALL
    suspects: list[Suspect] = [
        ([*RISE, 1, 1], "The peak is not used: 1 is the rate of no step here."),
        ([*(0.1 + 0.5 * RISE), 0.6, 0.6], "The warm-up rises from 0 to the peak, not from `final`."),
    ]
    curve.compare(before, "Warm-up and plateau go with the peak, here 0.6.", suspects)
    suspects = [
        (fall, "The decay ends at `final`, not at 0."),
        (0.1 + fall, "The decay falls by peak − final; yours begins at peak + final."),
        (
            np.maximum(0.1, fall),
            "The decay is no curve to 0 that is cut off: 1 − √x takes it from the peak to `final`.",
        ),
        (0.6 * (0.1 + 0.9 * FALL), "`final` is a rate like the peak, not a share of it."),
        (0.1 + 0.9 * FALL, "The decay starts at the peak, not at 1."),
    ]
    curve.compare(0.1 + 0.5 * FALL, "The decay goes from the peak to `final`, here 0.1.", suspects, start=6)


def without_a_part(answer: Callable) -> None:
    """No warm-up, no decay, no plateau; parts of one step."""
    rest = 1 - np.sqrt(np.arange(1, 4) / 3)
    for run, expected, otherwise in (
        ((5, 2, 0), [1 / 2, 1, 1, 1, 1], "With n_decay = 0 there is no decay: the peak stays to the end."),
        ((5, 0, 3), [1, 1, *rest], "With n_warm_up = 0 there is no warm-up: step 0 has the peak."),
        ((3, 0, 0), [1, 1, 1], "Without warm-up and decay each step has the peak."),
        ((3, 0, 3), rest, "Where the decay is the whole run, x is 1/n_decay in step 0 already."),
        ((5, 2, 3), [1 / 2, 1, *rest], "Where n_warm_up + n_decay = n_steps, the decay follows the warm-up at once."),
        ((4, 1, 1), [1, 1, 1, 0], "A warm-up of one step has the peak, a decay of one step has `final`."),
    ):
        Curve(answer, *run, 1.0, 0.0).compare(expected, otherwise)


def longer_run(answer: Callable) -> None:
    """What the schedule is for."""
    short, longer = (Curve(answer, n_steps, 5, 6, 0.5, 0.0, steps=range(14)) for n_steps in (20, 50))
    otherwise = "Until a shorter run begins its decay, a longer run has the same rates."
    longer.compare(short.got, otherwise)


def long_parts(answer: Callable) -> None:
    curve = Curve(answer, 1000, 50, 200, 2.0, 0.4, steps=[0, 24, 49, 50, 799, 849, 999])
    otherwise = "Step 24 has half of the peak and step 49 all of it; step 849, where x = 1/4, is half-way down to 0.4."
    counted = "The rate depends on earlier calls; it must depend on `step` alone."
    curve.compare([0.04, 1, 2, 2, 2, 1.2, 0.4], otherwise, [(0.04 * np.arange(1, 8), counted)])
