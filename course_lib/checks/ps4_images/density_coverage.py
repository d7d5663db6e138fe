"""Exercise 6: density and coverage. Features are whole numbers, so that equal distances are equal in any program."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.case import Case, Suspect, passed

NAME = "density_and_coverage"
REAL, GENERATED = [3.0, 4, 8, 11], [1.0, 9, 10]  # the reaches are 1, 1, 3, 3 for k = 1


def check_density_and_coverage(answer: Callable) -> None:
    """The answer: real (N, d), generated (M, d), k → density, coverage.

    Naeem et al. 2020, equations 5 and 6, with ≤ where the authors' program has <.
    """
    first_neighbour(answer)
    second_neighbour(answer)
    ties(answer)
    equal_images(answer)
    two_features(answer)
    outlier(answer)
    all_neighbours(answer)
    copies(answer)
    any_crowd(answer)
    passed(NAME)


class Call:
    """One call: the cases and numbers of density and coverage. Rows that are numbers have one feature."""

    def __init__(self, answer: Callable, real: Any, generated: Any, k: int, about: str = ""):
        real, generated = (torch.as_tensor(each, dtype=torch.float32) for each in (real, generated))
        real, generated = (each.view(len(each), -1) for each in (real, generated))
        features = f"real {real.squeeze(1).tolist()}, generated {generated.squeeze(1).tolist()}"
        shown = f"{NAME}(real, generated, k={k}), {about or features}"
        case = Case(answer, NAME, real, generated, k, shown=shown)
        self.cases = case.parts("density", "coverage")
        self.density, self.coverage = (case.numbers(hint="It is one number.") for case in self.cases)

    def compare(
        self,
        density: float,
        coverage: float,
        otherwise: str,
        of_density: Iterable[Suspect] = (),
        of_coverage: Iterable[Suspect] = (),
    ) -> None:
        self.cases[0].compare(self.density, density, otherwise, of_density)
        self.cases[1].compare(self.coverage, coverage, otherwise, of_coverage)


def first_neighbour(answer: Callable) -> None:
    """1 is in nobody's reach; 9 and 10 are in the reaches of 8 and 11."""
    call = Call(answer, REAL, GENERATED, 1)
    one_set = "The reach is that of a real image among the real ones; you take generated ones."
    of_density: list[Suspect] = [
        (1 / 2, "The density comes first: `return density, coverage`."),
        (0, "An image is not its own neighbour: the reach is the distance to another one."),
        (4, "This is the sum over the generated images; divide by their number M (and by k)."),
        (1, "Density divides by the number of generated images, M = 3, not by that of real ones; nor is it cut off "
         "at 1."),
        (1 / 3, "Density divides by k and M, not by N and M."),
        (2 / 3, "This is precision, which asks whether there is a reach at all; density counts how many there are."),
        (2, "One neighbour too far: the reach is the distance to the k-th, not to the next one after it."),
        (5 / 3, "Each real image has a reach of its own, the distance to its k-th neighbour; or: " + one_set),
        (5 / 4, one_set),
        (10 / 3, "One neighbour too far: the reach is the distance to the k-th nearest, not to the farthest."),
    ]  # fmt: skip
    otherwise = "The reaches are 1, 1, 3, 3: image 1 lies in none, 9 and 10 in two each; (0 + 2 + 2) / (1 · 3)."
    of_coverage: list[Suspect] = [
        (0, "An image is not its own neighbour: the reach is the distance to another one."),
        (2 / 3, "This is the share of generated images that lie in a reach (precision); coverage is one of real ones."),
        (3 / 4, "Each real image has a reach of its own, the distance to its k-th neighbour."),
        (2, "This is the number of real images that are covered; coverage is their share."),
        (4 / 3, "This is the density; coverage counts each real image once."),
        (1, "The reach is that of a real image among the real ones; with those of generated ones this is recall."),
    ]
    call.compare(4 / 3, 1 / 2, otherwise, of_density, of_coverage)


def second_neighbour(answer: Callable) -> None:
    """The reaches are 5, 4, 4, 7: each generated image lies in two of them."""
    call = Call(answer, REAL, GENERATED, 2)
    of_density: list[Suspect] = [
        (2, "Density is divided by k, too: k = 2."),
        (2 / 3, "The reach is the distance to the second neighbour now; an image is not its own neighbour."),
        (1 / 2, "Density is divided by k once."),
    ]
    of_coverage: list[Suspect] = [
        (1 / 2, "The reach is the distance to the second neighbour now; coverage is not divided by k."),
    ]
    call.compare(1, 1, "The reaches are 5, 4, 4, 7: six times in all, (2 + 2 + 2) / (2 · 3).", of_density, of_coverage)


def ties(answer: Callable) -> None:
    call = Call(answer, [0.0, 4], [8.0], 1)
    strict: Suspect = (0, "An image exactly at the reach counts: ≤, not <.")
    call.compare(1, 1 / 2, "8 is 4 away from 4, whose reach is 4.", [strict], [strict])


def equal_images(answer: Callable) -> None:
    """Two real images are the same: each is the other's neighbour, and their reach is 0."""
    call = Call(answer, [0.0, 0, 5], [0.0, 3], 1)
    zero = "Two equal images are neighbours at distance 0: leave out the image itself, not every distance of 0."
    strict = "A distance of 0 is within a reach of 0: ≤, not <."
    of_density: list[Suspect] = [(3, zero), (1, strict), (1 / 2, strict)]
    call.compare(2, 1, "The reaches are 0, 0, 5: image 0 lies in three, image 3 in one.", of_density)


def two_features(answer: Callable) -> None:
    real, generated = [[0.0, 0], [3, 4]], [[0.0, -6], [4, -4], [1, 1]]
    call = Call(answer, real, generated, 1, f"real {real}, generated {generated}")
    of_density: list[Suspect] = [
        (1, "The distance is Euclidean, the root of the sum of squares."),
        (1 / 3, "Squared distances are compared with a reach that is not squared."),
        (2, "The reach is squared, the distances are not."),
    ]
    call.compare(2 / 3, 1, "Both reaches are √(3² + 4²) = 5; only (1, 1) lies in them.", of_density)


def outlier(answer: Callable) -> None:
    """One odd real image reaches far: precision takes everything for good, density and coverage do not."""
    call = Call(answer, [0.0, 1, 2, 3, 100], [10.0, 20, 30, 40], 2)
    of_density: list[Suspect] = [(1, "This is precision; density divides the number of reaches by k.")]
    call.compare(1 / 2, 1 / 5, "Only image 100, whose reach is 98, has generated images in its reach.", of_density)


def all_neighbours(answer: Callable) -> None:
    call = Call(answer, [0.0, 1, 3], [1.0], 2)
    call.compare(3 / 2, 1, "With k = N − 1 the reach goes to the farthest real image: 3, 2, 3.")


def crowd(n: int, seed: int) -> Tensor:
    return torch.randint(-300, 300, (n, 3), generator=torch.Generator().manual_seed(seed)).float()


def copies(answer: Callable) -> None:
    """Generated = real: in the reach of each image lie the image itself and its k neighbours."""
    real = crowd(40, 8)
    for k in (1, 3, 10):
        call = Call(answer, real, real, k, "generated = real, 40 images with 3 features")
        call.compare((k + 1) / k, 1, f"In each reach lie {k} neighbours and the image itself: ({k} + 1) / {k}, and 1.")


def any_crowd(answer: Callable) -> None:
    real, generated = crowd(40, 8), crowd(25, 9)
    call = Call(answer, real, generated, 4, "40 real and 25 generated images, 3 features")
    order, turn = torch.randperm(40, generator=torch.Generator().manual_seed(1)), torch.tensor([1.0, -1, 1])
    for left, right, about, otherwise in (
        (real[order], generated, "real images in another order", "The order of the real images must not matter."),
        (real, generated.flip(0), "generated images in another order", "Their order must not matter."),
        (real + 50, generated + 50, "50 added to all", "Moving everything changes no distance."),
        (real.flip(1) * turn, generated.flip(1) * turn, "turned", "Turning everything changes no distance."),
        (2 * real, 2 * generated, "everything twice as large", "Reaches grow with the distances."),
        (real, torch.cat([generated, generated]), "each generated image twice", "Both are shares: nothing changes."),
    ):
        other = Call(answer, left, right, 4, f"40 real and 25 generated images, {about}")
        other.compare(call.density, call.coverage, otherwise)
