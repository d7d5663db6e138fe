"""Distances between crowds of images, against independent computations."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch

from course_lib.gan_metrics import frechet, kid, precision_recall


def features(n, d, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixed + shift


@pytest.mark.parametrize(("n", "m", "d"), [(40, 25, 3), (300, 200, 16), (1000, 900, 128)])
def test_frechet_is_that_of_scipys_square_root(n, m, d):
    a, b = features(n, d), features(m, d, seed=1, shift=0.3)
    cov_a, cov_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = np.sum((a.numpy().mean(0) - b.numpy().mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet(b, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_one_number_and_of_known_changes():
    a, b = features(500, 1), features(400, 1, seed=1, shift=2.0)
    by_hand = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    assert frechet(a, b) == pytest.approx(by_hand.item(), rel=1e-9)
    a = features(300, 7)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9 * a.var(0).sum().item())
    assert frechet(a, a + 2.0) == pytest.approx(7 * 4, rel=1e-9)  # moved by 2 in each of 7 directions
    spread = torch.cov(a.T).trace().item()
    assert frechet(a, 3 * (a - a.mean(0)) + a.mean(0)) == pytest.approx((3 - 1) ** 2 * spread, rel=1e-9)


def test_frechet_does_not_depend_on_the_axes():
    a, b = features(200, 6), features(150, 6, seed=1)
    turn = torch.linalg.qr(features(6, 6, seed=2))[0]
    assert frechet(a @ turn, b @ turn) == pytest.approx(frechet(a, b), rel=1e-9)


def test_frechet_takes_a_feature_that_never_changes():
    a, b = features(50, 3), features(60, 3, seed=1)
    a[:, 1] = b[:, 1] = 4.0
    assert frechet(a, b) == pytest.approx(frechet(a[:, [0, 2]], b[:, [0, 2]]), rel=1e-6)


@pytest.mark.parametrize("n", [2, 8])
def test_frechet_refuses_as_many_features_as_images(n):
    with pytest.raises(ValueError, match=f"{n} rows of 8 features.*9 images"):
        frechet(features(100, 8), features(n, 8))
    with pytest.raises(ValueError, match="first set"):
        frechet(features(n, 8), features(100, 8))


def test_kid_is_the_mean_over_all_pairs():
    a, b = features(9, 4), features(7, 4, seed=1)

    def k(x, y):
        return (sum(p * q for p, q in zip(x.tolist(), y.tolist(), strict=True)) / 4 + 1) ** 3

    def mean(values):
        values = list(values)
        return sum(values) / len(values)

    expected = mean(k(x, y) for x, y in itertools.permutations(a, 2))
    expected += mean(k(x, y) for x, y in itertools.permutations(b, 2)) - 2 * mean(k(x, y) for x in a for y in b)
    assert kid(a, b) == pytest.approx(expected, rel=1e-9)


def test_kid_has_no_bias():
    draws = [kid(*features(40, 3, seed=seed).split(20)) for seed in range(400)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / math.sqrt(len(draws))
    assert min(draws) < 0 < max(draws)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_as_defined(k):
    real, generated = features(30, 2), features(24, 2, seed=1, shift=0.8)

    def share(points, crowd):
        """The share of points within reach of some point of the crowd."""
        inside = 0
        for point in points:
            for i, centre in enumerate(crowd):
                others = sorted(math.dist(centre, other) for j, other in enumerate(crowd) if j != i)
                if math.dist(point, centre) <= others[k - 1]:
                    inside += 1
                    break
        return inside / len(points)

    r, g = real.tolist(), generated.tolist()
    assert precision_recall(real, generated, k) == pytest.approx((share(g, r), share(r, g)))


def test_a_collapsed_generator_has_precision_without_recall():
    real = features(300, 4)
    one_mode = real[:1] + 1e-3 * features(200, 4, seed=1)
    precision, recall = precision_recall(real, one_mode)
    assert precision > 0.95 and recall < 0.05
    assert precision_recall(real, real + 1e6) == (0, 0)


@pytest.mark.parametrize("metric", [frechet, kid, precision_recall])
def test_features_that_are_none_are_refused(metric):
    a = features(20, 3)
    for bad in (a[:, :2], a[0], a.long(), a[:0]):
        with pytest.raises(ValueError, match="features have shapes"):
            metric(a, bad)
    broken = a.clone()
    broken[3, 1] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        metric(a, broken)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="2 or more"):
        kid(features(1, 3), features(5, 3))
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"k is {k} with 20 real and 5"):
            precision_recall(features(20, 3), features(5, 3), k)
