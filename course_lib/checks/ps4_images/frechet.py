"""Exercise 4: the Fréchet distance of two sets of numbers. Means and standard deviations are whole numbers at first."""

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, passed

NAME = "frechet_1d"
A, B = [1.0, 2, 3], [2.0, 2, 5, 8, 8]  # means 2 and 5, standard deviations 1 and 3


def check_frechet_1d(answer: Callable) -> None:
    """The answer: a (n,), b (m,) → the squared Fréchet distance of two normal distributions.

    Dowson and Landau 1982, in one dimension; on features of images Heusel et al. 2017, equation 6.
    """
    means(answer)
    both(answer)
    same(answer)
    spread(answer)
    far_from_zero(answer)
    any_numbers(answer)
    passed(NAME)


def distance(answer: Callable, a: list, b: list, shown: str | None = None) -> tuple[Case, np.ndarray]:
    a, b = (torch.as_tensor(each, dtype=torch.float32) for each in (a, b))
    shown = shown or f"{NAME}({a.tolist()}, {b.tolist()})"
    case = Case(answer, NAME, a, b, shown=shown)
    return case, case.numbers(hint="The distance is one number.")


def means(answer: Callable) -> None:
    """The same numbers, 3 farther on."""
    case, got = distance(answer, A, [each + 3 for each in A])
    suspects = [
        (3, "The distance of the means must be squared."),
        (-9, "The sign is wrong: the distance is a sum of squares."),
        (13, "Two sets of equal spread differ by their means only: take the difference of the standard deviations."),
        (11, "Two sets of equal spread differ by their means only: take the difference of the standard deviations."),
        (0, "The means do not matter in your answer."),
        (9 + (1 - math.sqrt(2 / 3)) ** 2, "One of the variances divides by n; divide by n − 1 in both sets."),
        (9 + 2 - 4 / 3, "You pair what stands at one place of the two sets; they are two crowds, without pairs."),
    ]
    case.compare(got, 9, "The means are 3 apart, the standard deviations are the same: 3².", suspects)


def both(answer: Callable) -> None:
    case, got = distance(answer, A, B)
    n = (math.sqrt(7.2) - math.sqrt(2 / 3)) ** 2
    suspects = [
        (math.sqrt(13), "This is the root of it: the result is squared, as in FID."),
        (9 + n, "The variances divide by n; divide the sum of squares by n − 1."),
        (9 + 64, "These are the variances; it takes their roots, the standard deviations."),
        (9 + 8, "These are the variances, not squared: it takes the squared difference of their roots."),
        (9 + 16, "The standard deviations are added; it is their difference that counts."),
        (9 + 10, "The variances are added up; −2 σ_a σ_b is missing, so that equal spreads give 0."),
        (9 + 2, "The difference of the standard deviations must be squared, too."),
        (9, "The spread does not matter in your answer: (σ_a − σ_b)² is missing."),
        (9 - 4, "The second term has the wrong sign: it is added."),
        (4, "The means do not matter in your answer: (μ_a − μ_b)² is missing."),
        (3 + 2, "Both differences must be squared."),
        (math.sqrt(13 / 2), "This is the root of a mean; the result is a sum of two squares."),
        (13 / 2, "This is a mean of two terms; the result is their sum."),
        (49 + 4, "The means are added; it is their difference that counts."),
        (0 + 4, "The medians or means are compared wrongly: the means are 2 and 5."),
    ]
    otherwise = "The means are 2 and 5, the standard deviations 1 and 3: (2 − 5)² + (1 − 3)²."
    case.compare(got, 13, otherwise, suspects)


def spread(answer: Callable) -> None:
    """The same mean. Then sets that are no bell at all: means and standard deviations are all that counts."""
    case, got = distance(answer, [4.0, 5, 6], B)
    case.compare(got, 4, "The means are both 5, the standard deviations 1 and 3: 0 + 2².")
    case, got = distance(answer, [0.0, 0, 0, 4], [-1.0, -1, 3, 3, 1, 1])  # variances 4 and 3.2, means 1 and 1
    suspects = [
        (lambda got: abs(got - (math.sqrt(3) - math.sqrt(8 / 3)) ** 2) < 1e-4, "Divide by n − 1 in both sets."),
    ]
    otherwise = "Both means are 1, the variances 4 and 16/5; the sets may have different sizes."
    case.compare(got, (2 - math.sqrt(3.2)) ** 2, otherwise, suspects)
    case, got = distance(answer, [0.0, 1, 3, 8], [8.0, 0, 3, 1])
    otherwise = "The same numbers in another order: the distance is 0. What stands at one place belongs to no pair."
    case.compare(got, 0, otherwise)


def same(answer: Callable) -> None:
    for a, b, expected, otherwise in (
        (B, B, 0, "A set has the distance 0 from itself."),
        ([7.0, 7, 7], [7.0, 7], 0, "Numbers that are all equal have the standard deviation 0."),
        ([7.0, 7, 7], A, 26, "Numbers that are all equal have the standard deviation 0: (7 − 2)² + (0 − 1)²."),
        (B, [-each for each in B], 100, "The means are 5 and −5, the standard deviations are the same."),
    ):
        case, got = distance(answer, a, b)
        case.compare(got, expected, otherwise)


def far_from_zero(answer: Callable) -> None:
    case, got = distance(answer, [each + 20000 for each in A], [each + 20000 for each in B])
    otherwise = (
        "Far from 0, the mean of squares minus the square of the mean loses all digits in float32: subtract the mean "
        "first, then square."
    )
    case.compare(got, 13, otherwise)


def any_numbers(answer: Callable) -> None:
    random = torch.Generator().manual_seed(5)
    a, b = torch.randn(30, generator=random), 2 * torch.randn(21, generator=random) + 1
    case, got = distance(answer, a, b, f"{NAME}(a, b), random numbers (30,) and (21,)")
    for left, right, factor, shown, otherwise in (
        (b, a, 1, "(b, a)", "Both orders have the same distance."),
        (a + 4, b + 4, 1, "(a + 4, b + 4)", "Moving both sets together changes nothing."),
        (-a, -b, 1, "(−a, −b)", "Turning both sets round changes nothing."),
        (3 * a, 3 * b, 9, "(3 a, 3 b)", "Three times the numbers have nine times the (squared) distance."),
    ):
        other, moved = distance(answer, left, right, f"{NAME}{shown}, random numbers (30,) and (21,)")
        other.compare(moved, factor * got, otherwise)
    twice = distance(answer, a, a + 2, f"{NAME}(a, a + 2), random numbers")[1]
    case.compare(twice, 4, "A set and the same set 2 farther on have the distance 2² = 4.", part="(a, a + 2)")
