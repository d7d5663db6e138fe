"""How the loss falls with parameters and data: a law with five constants, fitted to runs, and the best split by it.

    L(N, D) = E + A / N^α + B / D^β                        (Hoffmann et al. 2022, equation 2)

N: parameters that multiply each token; D: tokens of training; L: nats per token. E is what no model of the family could
do without, A / N^α the price of a small model, B / D^β that of a short training.
"""

import itertools
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares, nnls
from tqdm.auto import tqdm

DELTA = 1e-3  # beyond errors of 0.1 % a run counts by the error, not by its square (as in Hoffmann et al. 2022, 3.3)


@dataclass(frozen=True)
class ScalingLaw:
    """The law with its constants; called with N and D (numbers or arrays), it gives the loss."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def __call__(self, n: ArrayLike, d: ArrayLike) -> np.ndarray:
        n, d = np.asarray(n, dtype=float), np.asarray(d, dtype=float)
        return self.E + self.A * n**-self.alpha + self.B * d**-self.beta

    def best_split(self, compute: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The N and D with 6 N D = compute (in floating-point operations) that have the least loss.

        At the best split a change of log N costs as much as the opposite change of log D brings: α A / N^α =
        β B / D^β. Solved for N: G (C/6)^(β/(α+β)), and for D: (C/6)^(α/(α+β)) / G, with G = (α A / β B)^(1/(α+β))
        (Hoffmann et al. 2022, equation 4).
        """
        product = np.asarray(compute, dtype=float) / 6
        total = self.alpha + self.beta
        G = (self.alpha * self.A / (self.beta * self.B)) ** (1 / total)
        return G * product ** (self.beta / total), product ** (self.alpha / total) / G


def fit(n: ArrayLike, d: ArrayLike, loss: ArrayLike, start: ScalingLaw | None = None) -> ScalingLaw:
    """The law that fits runs best: least Huber loss of the errors in log L, from `start` or the best of a grid.

    n, d and loss have an entry for each run. Raises ValueError for fewer runs than the law has constants, for lengths
    that differ, and for numbers that are not positive.
    """
    n, d, loss = (np.asarray(values, dtype=float) for values in (n, d, loss))
    if not (n.shape == d.shape == loss.shape and n.ndim == 1):
        raise ValueError(f"n, d, loss have shapes {n.shape}, {d.shape}, {loss.shape}: expected one number for each run")
    if len(loss) < 5:
        raise ValueError(f"there are {len(loss)} runs: expected 5 or more, the law has 5 constants")
    if not all(np.isfinite(values).all() and (values > 0).all() for values in (n, d, loss)):
        raise ValueError("n, d and loss must be finite numbers above 0: leave out runs that diverged")

    def errors(x: np.ndarray) -> np.ndarray:
        return np.log(_law(x)(n, d)) - np.log(loss)

    first = _numbers(start or _on_a_grid(n, d, loss))
    lowest = [0.0, -np.inf, 0.0, -np.inf, 0.0]
    tight = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12}  # the valley is flat, and the usual limits stop early in it
    found = least_squares(
        errors, first, bounds=(lowest, np.inf), loss="huber", f_scale=DELTA, x_scale="jac", max_nfev=1000, **tight
    )
    return _law(found.x)


def _on_a_grid(n: np.ndarray, d: np.ndarray, loss: np.ndarray) -> ScalingLaw:
    """The best law with exponents on a grid: once they are known, E, A and B are a linear problem."""
    best, least = None, np.inf
    for alpha, beta in itertools.product(np.arange(0.05, 1.01, 0.05), repeat=2):
        terms = np.stack([np.ones_like(n), n**-alpha, d**-beta], 1) / loss[:, None]  # relative errors
        (E, A, B), error = nnls(terms, np.ones_like(loss))
        if error < least and A > 0 and B > 0:
            best, least = ScalingLaw(E, A, alpha, B, beta), error
    if best is None:
        raise ValueError("the loss falls with neither n nor d: there is no such law in these runs")
    return best


def resampled(
    n: ArrayLike, d: ArrayLike, loss: ArrayLike, law: ScalingLaw, times: int, seed: int = 0
) -> list[ScalingLaw]:
    """Laws fitted to runs drawn anew from these with replacement (the bootstrap, Efron 1979), each from `law` on: how
    far the constants could be off by the choice of runs alone."""
    n, d, loss = (np.asarray(values, dtype=float) for values in (n, d, loss))
    draw, laws = np.random.default_rng(seed), []
    for _ in tqdm(range(times), "fits", leave=False):
        chosen = draw.integers(len(loss), size=len(loss))
        laws.append(fit(n[chosen], d[chosen], loss[chosen], law))
    return laws


def _law(x: np.ndarray) -> ScalingLaw:
    """A and B are fitted as logarithms: they differ by orders of magnitude."""
    return ScalingLaw(float(x[0]), float(np.exp(x[1])), float(x[2]), float(np.exp(x[3])), float(x[4]))


def _numbers(law: ScalingLaw) -> np.ndarray:
    E, A, alpha, B, beta = astuple(law)
    return np.array([E, np.log(A), alpha, np.log(B), beta])
