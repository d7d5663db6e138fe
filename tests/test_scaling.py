"""Scaling laws: constants that are known come back, and the best split is the best."""

import numpy as np
import pytest

from course_lib.scaling import ScalingLaw, fit, resampled

LAW = ScalingLaw(E=1.3, A=23.0, alpha=0.37, B=310.0, beta=0.53)
N, D = (values.flatten() for values in np.meshgrid(np.geomspace(5e3, 5e5, 5), np.geomspace(2e5, 5e6, 5)))


def test_the_law_is_the_sum_of_three_terms():
    assert float(LAW(10_000, 1_000_000)) == pytest.approx(1.3 + 23 / 10_000**0.37 + 310 / 1_000_000**0.53)
    assert LAW(N, D).shape == N.shape
    assert float(LAW(1e300, 1e300)) == pytest.approx(1.3)


def test_known_constants_are_found_again():
    found = fit(N, D, LAW(N, D))
    for name in ("E", "A", "alpha", "B", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(LAW, name), rel=1e-5)


def test_a_few_wrong_runs_hardly_matter():
    loss = LAW(N, D)
    loss[[3, 17]] *= 1.3  # runs that went wrong
    found = fit(N, D, loss)
    right = np.delete(np.arange(len(N)), [3, 17])
    assert abs(found(N, D) / LAW(N, D) - 1)[right].max() < 0.01


def test_with_noise_predictions_are_surer_than_constants():
    noise = np.exp(0.005 * np.random.default_rng(0).standard_normal(len(N)))
    found = fit(N, D, LAW(N, D) * noise)
    assert abs(found(N, D) / LAW(N, D) - 1).max() < 0.01
    laws = resampled(N, D, LAW(N, D) * noise, found, 40)
    predictions = [float(law(2e6, 2e7)) for law in laws]
    assert np.quantile(predictions, 0.01) < float(LAW(2e6, 2e7)) < np.quantile(predictions, 0.99)
    assert np.std(predictions) / np.mean(predictions) < np.std([law.A for law in laws]) / np.mean(
        [law.A for law in laws]
    )
    again = resampled(N, D, LAW(N, D) * noise, found, 40)
    assert laws == again != resampled(N, D, LAW(N, D) * noise, found, 40, seed=1)


@pytest.mark.parametrize("compute", [1e10, 1e15, 1e22])
def test_no_other_split_is_better(compute):
    n, d = LAW.best_split(compute)
    assert 6 * n * d == pytest.approx(compute)
    sizes = n * np.geomspace(1e-3, 1e3, 4001)
    assert float(LAW(n, d)) <= LAW(sizes, compute / (6 * sizes)).min() + 1e-12


def test_exponents_of_hoffmann_et_al():
    """Their equation 10 gives a = 0.45 with the constants as printed (0.28 / (0.34 + 0.28))."""
    law = ScalingLaw(E=1.69, A=406.4, alpha=0.34, B=410.7, beta=0.28)
    (n1, n2), _ = law.best_split([1e20, 1e24])
    assert np.log(n2 / n1) / np.log(1e4) == pytest.approx(0.28 / 0.62)


@pytest.mark.parametrize(
    "n, d, loss, said",
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1], "4 runs: expected 5 or more"),
        ([1] * 6, [1] * 5, [1] * 6, "expected one number for each run"),
        ([1] * 6, [1] * 6, [1, 2, 3, 4, 5, np.nan], "finite numbers above 0"),
        ([0] * 6, [1] * 6, [1] * 6, "finite numbers above 0"),
        (range(1, 7), range(1, 7), range(1, 7), "falls with neither"),
    ],
)
def test_runs_that_make_no_law_are_refused(n, d, loss, said):
    with pytest.raises(ValueError, match=said):
        fit(n, d, loss)
