"""What every check is made of: one call of an answer, and numbers compared with what they should be."""

import contextlib
import copy
import io
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from IPython import get_ipython

from course_lib.progress import remember

CHECKS = Path(__file__).parent
SECONDS = 20  # for one call: every case is small
Suspect = tuple[Any, str]  # numbers that a known mistake gives (or a test: got → bool), and what to say about it


class CheckFailed(AssertionError):
    """An answer is not right yet: the likely mistake in one sentence, then the smallest case that shows it."""

    def _render_traceback_(self) -> list[str]:
        return [f"CheckFailed: {self}"]  # what a notebook shows; where in the checks it was raised helps nobody


class NeverEnds(BaseException):
    """A call took too long; no `except Exception` of the answer's swallows it."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise NeverEnds after so many seconds, where the system can (not on Windows, not outside the main thread)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise NeverEnds

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Case:
    """One call of an answer: `Case(witten_bell, "witten_bell", [1], 3)`.

    The answer gets copies of the inputs, so it may change them in place. Warnings and what it writes to stderr are
    kept quiet: they say nothing about the result. Raises CheckFailed if the answer stops with an error or returns
    nothing.
    """

    def __init__(self, function: Callable, name: str, *inputs: Any, shown: str | None = None):
        self.text = shown or f"{name}({', '.join(map(show, inputs))})"
        self.value = self._call(function, [each if callable(each) else copy.deepcopy(each) for each in inputs])
        if self.value is None:
            self.fail("Your function returns nothing: end it with `return` and the result.", "None")

    def _call(self, function: Callable, inputs: list) -> Any:
        try:
            with limited(SECONDS), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                value = function(*inputs)
                return list(value) if isinstance(value, Iterator) else value
        except CheckFailed:
            raise
        except NeverEnds:
            self.fail(
                f"Your function runs on and on ({SECONDS} s for a small case): is there a loop that never ends? What "
                "its condition looks at must be computed again inside the loop."
            )
        except NotImplementedError:
            self.fail("There is no answer yet: put yours in place of `raise NotImplementedError()`.")
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame.line for frame in frames if not Path(frame.filename).is_relative_to(CHECKS)]
            where = f", in the line `{own[0]}`" if own and own[0] else ""
            self.fail(f"Your function stopped with {type(error).__name__}: {error}{where}.")

    def numbers(self, *shape: int, hint: str = "") -> np.ndarray:
        """The result as float64 of this shape: from NumPy, PyTorch, nested lists, or {(i, j): number}, {i: {j: number}}
        with zeros left out."""
        try:
            got = _filled(self.value, shape) if isinstance(self.value, Mapping) else _array(self.value)
        except (TypeError, ValueError, IndexError, KeyError):
            self.fail(f"The result cannot be read as numbers of shape {shape}.{hint and ' ' + hint}", self.value)
        if got.shape != shape:
            self.fail(f"The result has shape {got.shape}, expected {shape}.{hint and ' ' + hint}", got)
        return got

    def parts(self, *names: str) -> list["Case"]:
        """One case for each result of an answer that returns several, `return output, weights`."""
        if not isinstance(self.value, list | tuple) or len(self.value) != len(names):
            self.fail(
                f"The result cannot be read as numbers of {len(names)} kinds: end with `return {', '.join(names)}`.",
                self.value,
            )
        cases = []
        for name, value in zip(names, self.value, strict=True):
            case = copy.copy(self)
            case.text, case.value = f"{self.text}, {name}", value
            cases.append(case)
        return cases

    def compare(
        self, got: Any, expected: Any, otherwise: str, suspects: Iterable[Suspect] = (), part: str = ""
    ) -> None:
        """Raise CheckFailed unless the numbers agree; the first suspect that fits says why, else `otherwise`."""
        if not close(got, expected):
            says = (sentence for wrong, sentence in suspects if (wrong(got) if callable(wrong) else close(got, wrong)))
            self.fail(next(says, otherwise), np.asarray(got), np.asarray(expected, float), part)

    def fail(self, mistake: str, got: Any = None, expected: Any = None, part: str = "") -> None:
        """Raise CheckFailed. `part` says which part of the result is shown."""
        lines = [mistake, f"  case:     {self.text}{part and ', ' + part}"]
        if got is not None:
            lines.append(f"  got:      {show(got)}")
        if expected is not None:
            lines.append(f"  expected: {show(expected)}")
        raise CheckFailed("\n".join(lines)) from None


def passed(name: str) -> None:
    """Say that an answer passed all checks; in a notebook, also keep it as the learner's progress."""
    print(f"{name}: all checks passed")
    if get_ipython() is not None:
        remember(name)


def close(got: Any, expected: Any) -> bool:
    """Equal up to rounding in float32; nan equals nan."""
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    return got.shape == expected.shape and np.allclose(got, expected, rtol=1e-4, atol=1e-5, equal_nan=True)


def show(value: Any) -> str:
    """A value as a reader would write it, four digits, on few lines."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.random.Generator):
        return "rng"
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, float | np.floating) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=4, suppress_small=True, separator=", ", threshold=60)
        return text.replace("\n", "\n            ")
    return repr(value)


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, list | tuple):
        value = [_array(each) for each in value]
    return np.asarray(value, float)


def _filled(table: Mapping, shape: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(shape)
    for key, value in table.items():
        result[key] = _filled(value, shape[1:]) if isinstance(value, Mapping) else _array(value)
    return result
