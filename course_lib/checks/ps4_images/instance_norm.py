"""Exercise 5: instance normalisation with gains by class. Results are judged by their own means and mean squares."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.case import Case, Suspect, passed
from course_lib.checks.tensors import compare_tensors

NAME = "conditional_instance_norm"


def check_conditional_instance_norm(answer: Callable) -> None:
    """The answer: x (N, C, H, W), labels (N,), gains (K, C), biases (K, C), eps → (N, C, H, W).

    Ulyanov, Vedaldi and Lempitsky 2016, equation 2; gains and biases by class: Dumoulin, Shlens and Kudlur 2017,
    equation 5.
    """
    one_map(answer)
    each_map(answer)
    gains_of_classes(answer)
    constant_map(answer)
    far_from_zero(answer)
    any_maps(answer)
    passed(NAME)


def normalised(
    answer: Callable, x: Any, labels: list, gains: Any, biases: Any, eps: float, shown: str
) -> tuple[Case, np.ndarray]:
    x, gains, biases = (torch.as_tensor(each, dtype=torch.float32) for each in (x, gains, biases))
    shown = f"{NAME}(x, labels={labels}, gains, biases, eps={eps:g}), x {tuple(x.shape)}, {shown}"
    case = Case(answer, NAME, x, torch.tensor(labels), gains, biases, eps, shown=shown)
    return case, case.numbers(*x.shape, hint="The shape of x stays: (N, C, H, W).")


def plain(answer: Callable, x: Any, eps: float, shown: str) -> tuple[Case, np.ndarray]:
    """Gains 1 and biases 0, for two classes."""
    N, C = torch.as_tensor(x).shape[:2]
    return normalised(answer, x, [n % 2 for n in range(N)], torch.ones(2, C), torch.zeros(2, C), eps, shown)


def one_map(answer: Callable) -> None:
    """The numbers 0 and 4: mean 2, variance 4."""
    case, got = plain(answer, [[[[0.0, 4]]]], 12.0, "one map, 0 and 4, gain 1, bias 0")
    unit = np.array([-1, 1])
    suspects: list[Suspect] = [
        (unit, "eps does not matter in your answer: divide by √(variance + eps)."),
        (unit * 2 / 14, "eps is added outside of the root: √(variance + eps), not √variance + eps."),
        (unit * 2 / (2 + math.sqrt(12)), "eps belongs into one root with the variance: √(variance + eps)."),
        (unit * 2 / 16, "The root is missing: divide by √(variance + eps)."),
        (unit * 2 / math.sqrt(20), "The variance is the mean of the squared deviations: divide their sum by n, neither "
         "by n − 1 nor not at all."),
        (unit * 2 / 12, "The variance does not matter in your answer: divide by √(variance + eps)."),
        ([0, 1], "The mean is not subtracted."),
        ([-2, 2], "The spread is not changed: divide by √(variance + eps)."),
        ([-2, 2 / 4 - 2], "Subtract the mean first, then divide: (x − mean) / √(variance + eps)."),
        ([0, 4 / math.sqrt(20)], "The mean is not subtracted: this is the root of the mean square, as in RMSNorm."),
        ([0, 4], "Nothing is changed."),
        ([0, 0], "All is 0: the mean and the variance run over the places of a map, not over maps of one number."),
        (lambda got: np.isnan(got).any(), "The variance of one number is 0/0: it runs over the places of a map."),
    ]  # fmt: skip
    otherwise = "The mean is 2, the variance 4, and (x − 2) / √(4 + 12) is −1/2 and 1/2."
    case.compare(got[0, 0, 0], [-0.5, 0.5], otherwise, suspects)


def maps() -> Tensor:
    """Random maps (2, 3, 4, 5), each with a mean and a spread of its own."""
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(6))
    own = torch.arange(6).view(2, 3, 1, 1)
    return (1 + own) * x + 3 * own


def each_map(answer: Callable) -> None:
    case, got = plain(answer, maps(), 1e-5, "each map has a mean and a spread of its own, gain 1, bias 0")

    def centred(*axes: int) -> Callable:
        return lambda _: bool((abs(got.mean(axes)) < 1e-3).all())

    own = "mean and variance belong to one map: axes H and W alone."
    suspects: list[Suspect] = [
        (centred(1), f"You normalise over the channels of each place; {own}"),
        (centred(0), f"You normalise over the images; {own}"),
        (centred(1, 2, 3), f"These are the statistics of a whole image, as in layer normalisation; {own}"),
        (centred(0, 2, 3), f"These are the statistics of a channel in all images, as in batch normalisation; {own}"),
        (centred(0, 1, 2, 3), f"These are the statistics of the whole batch; {own}"),
        (lambda _: bool(got.any()), f"The maps have no mean of 0: {own}"),
    ]
    case.compare(got.mean((2, 3)), np.zeros((2, 3)), "Each map has the mean 0.", suspects, "mean of each map")
    for axis, what in ((3, "row"), (2, "column")):
        if centred(axis)(got):
            means = f"the mean of each {what} of map 0 of image 0"
            case.fail(
                f"You normalise each {what}; {own}", got.mean(axis)[0, 0], "their mean is 0, not each of them", means
            )
    case, got = plain(
        answer, maps() - maps().mean((2, 3), keepdim=True), 1e-5, "each map has the mean 0, gain 1, bias 0"
    )

    def of_size_1(*axes: int) -> Callable:
        return lambda _: bool((abs((got**2).mean(axes) - 1) < 1e-3).all())

    suspects = [
        (of_size_1(1, 2, 3), f"The mean is that of the map, the variance that of the whole image; {own}"),
        (of_size_1(0, 2, 3), f"The mean is that of the map, the variance that of the channel in all images; {own}"),
        (of_size_1(0, 1, 2, 3), f"The mean is that of the map, the variance that of the whole batch; {own}"),
    ]
    otherwise = "Divided by √(variance + eps), each map has the mean square 1 (nearly, as eps is small)."
    case.compare((got**2).mean((2, 3)), np.ones((2, 3)), otherwise, suspects, "mean square of each map")


def gains_of_classes(answer: Callable) -> None:
    """All maps are 0 and 4, which become −1/2 and 1/2; two images of the classes 3 and 1."""
    x = torch.tensor([0.0, 4]).repeat(2, 3, 1, 1)
    gains = torch.tensor([[2.0, 4, 6], [8, 10, 12], [14, 16, 18], [20, 22, 24]])
    biases = torch.tensor([[0.0, 0, 0], [100, 200, 300], [0, 0, 0], [500, 600, 700]])
    shown = f"all maps 0 and 4, gains {gains.tolist()}, biases {biases.tolist()}"
    case, got = normalised(answer, x, [3, 1], gains, biases, 12.0, shown)
    half = np.array([-0.5, 0.5])
    g, b = gains.double().numpy()[..., None], biases.double().numpy()[..., None]
    first = half * 4 * g[[3, 1]] / np.sqrt(4 * g[[3, 1]] ** 2 + 12)
    suspects: list[Suspect] = [
        (g[:2] * half + b[:2], "Gain and bias are those of row n; image n takes the row of its class, labels[n]."),
        (g[[1, 3]] * half + b[[1, 3]], "The classes are taken in another order: image n has the class labels[n]."),
        (g[[3, 3]] * half + b[[3, 3]], "Every image takes the gain and the bias of image 0; take labels[n]."),
        (g[[1, 1]] * half + b[[1, 1]], "Every image takes the gain and the bias of the last one; take labels[n]."),
        (g[[3, 1], :1] * half + b[[3, 1], :1] + np.zeros((2, 3, 1)), "Every channel takes the gain of channel 0."),
        (first, "Gain and bias come before the normalisation, which takes them out; they belong after it."),
        (first + b[[3, 1]], "The gain comes before the normalisation, which takes it out; it belongs after it."),
        (half + np.zeros((2, 3, 1)), "Gain and bias do not matter in your answer."),
        (half + b[[3, 1]], "The gain does not matter in your answer."),
        (g[[3, 1]] * half, "The bias does not matter in your answer."),
        (g[[3, 1]] * (half + b[[3, 1]]), "The bias is multiplied by the gain: gain · normalised + bias."),
        ((1 + g[[3, 1]]) * half + b[[3, 1]], "The gain is one too large: gain · normalised + bias."),
        (b[[3, 1]] * half + g[[3, 1]], "Gain and bias are swapped: gain · normalised + bias."),
        (g[[3, 1]] * half - b[[3, 1]], "The bias is added: gain · normalised + bias."),
        (half / g[[3, 1]] + b[[3, 1]], "The gain multiplies: gain · normalised + bias."),
        (lambda got: np.ptp(got.mean(2), axis=1).max() < 1, "All channels take the same bias."),
    ]
    otherwise = "Image 0 takes row 3 of gains and biases, image 1 row 1; channel c takes number c of its row."
    case.compare(got[:, :, 0], g[[3, 1]] * half + b[[3, 1]], otherwise, suspects)


def constant_map(answer: Callable) -> None:
    x, biases = torch.full((1, 2, 3, 4), 7.0), torch.tensor([[5.0, -1]])
    case, got = normalised(answer, x, [0], torch.full((1, 2), 3.0), biases, 0.01, "all 7, gain 3, biases 5 and −1")
    suspects: list[Suspect] = [(lambda got: np.isnan(got).any(), "0/0: eps belongs beneath the root, with the 0.")]
    otherwise = "A map of equal numbers becomes 0, and then gets its bias."
    case.compare(got.mean((2, 3)), biases, otherwise, suspects, "mean of each map")


def far_from_zero(answer: Callable) -> None:
    x = torch.tensor([20000.0, 20004]).repeat(1, 2, 3, 1)
    case, got = plain(answer, x, 12.0, "20000 and 20004 in turn, gain 1, bias 0")
    otherwise = (
        "Far from 0, the mean of squares minus the square of the mean loses all digits in float32: subtract the mean "
        "first, then square."
    )
    case.compare(got[0, 0, 0], [-0.5, 0.5], otherwise, part="row 0")


def any_maps(answer: Callable) -> None:
    x, random = maps(), torch.Generator().manual_seed(7)
    gains, biases = torch.randn(4, 3, generator=random), torch.randn(4, 3, generator=random)
    case, got = normalised(answer, x, [2, 0], gains, biases, 0.5, "random numbers")
    for n, label in enumerate((2, 0)):
        shown = f"image {n} of them"
        _, one = normalised(answer, x[n : n + 1], [label], gains, biases, 0.5, shown)
        compare_tensors(case, got[n], one[0], f"Image {n} alone gives another result: images must not mix.")
    order = torch.randperm(20, generator=random)
    _, mixed = normalised(answer, x.flatten(2)[..., order].view_as(x), [2, 0], gains, biases, 0.5, "places mixed")
    otherwise = "If places of a map change, the results go with them; yours depend on where a number stands."
    compare_tensors(case, mixed, torch.tensor(got).flatten(2)[..., order].view_as(x), otherwise, part="places mixed")
    moved = x + torch.tensor([[1.0, -2, 3], [-4, 5, 6]])[:, :, None, None]
    _, same = normalised(answer, moved, [2, 0], gains, biases, 0.5, "a number added to each map")
    compare_tensors(case, same, got, "A number added to a whole map must change nothing: the mean takes it out.")
    _, twice = normalised(answer, 2 * x, [2, 0], gains, biases, 2.0, "twice the numbers, four times eps")
    compare_tensors(case, twice, got, "Twice the numbers with four times eps must give the same.")
    compare_tensors(case, got.mean((2, 3)), biases[[2, 0]], "The mean of a map is its bias.", part="mean of each map")
