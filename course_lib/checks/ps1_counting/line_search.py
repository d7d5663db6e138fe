"""Exercise 8: gradient descent that finds its rate. The loss remembers where it was asked."""

from collections.abc import Callable

import numpy as np

from course_lib.checks.case import Case, CheckFailed, passed

NAME = "line_search"
ENOUGH = 500  # calls of the loss; a right answer needs a few dozen here


class Landscape:
    """A loss and its gradient that remember where they were asked, and refuse to be asked without end."""

    def __init__(self, text: str, loss: Callable, gradient: Callable):
        self.text, self._loss, self._gradient = text, loss, gradient
        self.asked: list[np.ndarray] = []

    def loss(self, x: np.ndarray) -> float:
        x = np.array(x, float)
        self.asked.append(x)
        if len(self.asked) > ENOUGH:
            raise CheckFailed(f"{self._endless()}\n  case:     {self.text}, the loss was asked {ENOUGH} times")
        return float(self._loss(x))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return self._gradient(np.array(x, float))

    def _endless(self) -> str:
        if np.abs(self.asked[-1]).max() > 1e3:
            return "The loop never ends, and the steps grow: halve r as long as the step is not accepted."
        if np.abs(self._gradient(self.asked[0])).max() == 0:
            return "The loop never ends at a minimum: halve only while the loss is greater than (>) what is demanded."
        return "The loop never ends: halve r and try x − r g again, until the step is accepted."

    def search(self, answer: Callable, start: list[float], rate: float, steps: int) -> tuple[Case, np.ndarray]:
        shown = f"{NAME}(loss, gradient, x={start}, rate={rate:g}, steps={steps}), loss(x) = {self.text}"
        self.text = shown
        case = Case(answer, NAME, self.loss, self.gradient, np.array(start), rate, steps, shown=shown)
        return case, case.numbers(len(start), hint="The last x is asked for.")


def check_line_search(answer: Callable) -> None:
    """The answer: loss, gradient, x (D,), rate, steps → the last x (D,)."""
    one_step(answer)
    two_steps(answer)
    at_the_minimum(answer)
    two_dimensions(answer)
    passed(NAME)


def one_step(answer: Callable) -> None:
    """g = 0.6, g² = 0.36. r = 6 and 3 lead to −2.6 and −0.8: refused. r = 1.5 leads to 0.1: accepted."""
    slope = Landscape("0.3 x²", lambda x: 0.3 * (x**2).sum(), lambda x: 0.6 * x)
    case, got = slope.search(answer, [1.0], 6.0, 1)
    uphill = any(x.max() > 1 for x in slope.asked)
    suspects = [
        (lambda x: uphill or x[0] > 1.01, "The step goes uphill: the new x is x − r g, with a minus."),
        ([-2.6], "The whole rate is taken: halve r while loss(x − r g) > loss(x) − ½ r |g|²."),
        ([-0.8], "It is not enough that the loss gets smaller: it must get smaller by ½ r |g|² at least."),
        ([0.775], "|g|² is the sum of the squares of the gradient; you take the length |g|."),
        ([0.55], "r is halved once too often: take the first r that is accepted."),
        ([0.01], "Two steps are made where `steps` = 1 is asked for."),
        (lambda x: x[0] == 1, "x does not move: the accepted step must become the new x."),
        (lambda x: abs(x[0] - 1) < 1e-3, "Almost no step is accepted: demand half of r |g|², not all of it."),
    ]  # fmt: skip
    case.compare(got, [0.1], "r = 6 and r = 3 are refused, r = 1.5 is accepted: x = 1 − 1.5 · 0.6 = 0.1.", suspects)


def two_steps(answer: Callable) -> None:
    """From 1 with r = 1/16 to 0.75, from there with r = 1/8 to 0.5390625."""
    bowl = Landscape("x⁴", lambda x: (x**4).sum(), lambda x: 4 * x**3)
    case, got = bowl.search(answer, [1.0], 1.0, 2)
    suspects = [
        ([0.64453125], "Each step starts anew with r = rate; you go on with the r of the step before."),
        ([0.75], "x is where one step leads: make `steps` = 2 of them, each with the gradient at its own x."),
    ]
    case.compare(got, [0.5390625], "The first step accepts r = 1/16, the second r = 1/8.", suspects)


def at_the_minimum(answer: Callable) -> None:
    flat = Landscape("0.3 x²", lambda x: 0.3 * (x**2).sum(), lambda x: 0.6 * x)
    case, got = flat.search(answer, [0.0], 1.0, 2)
    case.compare(got, [0.0], "At the minimum the gradient is 0, and x must stay.")


def two_dimensions(answer: Callable) -> None:
    """|g|² = 0.36 + 4. r = 1.5 leads to (0.1, −1), which gains 1.8 where 3.27 are demanded; r = 0.75 will do."""
    valley = Landscape("0.3 x₁² + 0.5 x₂²", lambda x: 0.3 * x[0] ** 2 + 0.5 * x[1] ** 2, lambda x: x * [0.6, 1.0])
    case, got = valley.search(answer, [1.0, 2.0], 1.5, 1)
    adds = "|g|² adds the squares over all coordinates; it is not their mean, and no coordinate is left out."
    suspects = [([0.1, -1.0], adds)]
    case.compare(got, [0.55, 0.5], "One r serves all coordinates: r = 1.5 is refused, r = 0.75 accepted.", suspects)
