"""Exercise 6: density and coverage."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps4_images import check_density_and_coverage

exercise = Exercise("density_and_coverage", check_density_and_coverage)
right, bug = exercise.right, exercise.bug


@right("cdist, kthvalue")
def _(real, generated, k):
    reach = torch.cdist(real, real).kthvalue(k + 1).values
    within = torch.cdist(generated, real) <= reach
    return within.sum() / k / len(generated), within.any(0).double().mean()


@right("the image itself taken out by its place")
def _(real, generated, k):
    between = torch.cdist(real, real).fill_diagonal_(math.inf)
    reach = between.topk(k, dim=1, largest=False).values[:, -1]
    within = (torch.cdist(real, generated) <= reach[:, None]).float()
    return within.sum(0).mean().item() / k, within.max(1).values.mean().item()


@right("squared distances, NumPy")
def _(real, generated, k):
    x, y = real.numpy().astype(float), generated.numpy().astype(float)
    reach = np.sort(np.square(x[:, None] - x[None]).sum(-1))[:, k]
    near = np.square(y[:, None] - x[None]).sum(-1) <= reach
    return np.array([near.mean(0).sum() / k, near.any(axis=0).mean()])[0], near.any(axis=0).mean()


@right("loops")
def _(real, generated, k):
    real, generated = real.tolist(), generated.tolist()
    count, covered = 0, 0
    for i, x in enumerate(real):
        reach = sorted(math.dist(x, other) for j, other in enumerate(real) if j != i)[k - 1]
        inside = sum(math.dist(x, y) <= reach for y in generated)
        count, covered = count + inside, covered + (inside > 0)
    return count / (k * len(generated)), covered / len(real)


@right("the nearest generated image decides on coverage")
def _(real, generated, k):
    reach = torch.cdist(real, real).sort().values[:, k]
    between = torch.cdist(generated, real)
    coverage = (between.min(dim=0).values <= reach).float().mean()
    return (between <= reach).float().sum(1).mean() / k, coverage


@right("norms of differences")
def _(real, generated, k):
    def distances(a, b):
        return (a[:, None] - b[None]).norm(dim=2)

    reach = distances(real, real).sort(dim=1).values[:, k]
    inside = distances(generated, real).le(reach).sum(0)
    return [inside.sum() / (k * len(generated)), (inside > 0).sum() / len(real)]


def distances(a, b, p=2.0):
    return torch.cdist(a.double(), b.double(), p=p)


def reaches(x, k, p=2.0):
    return distances(x, x, p).sort(dim=1).values[:, min(k, len(x) - 1)]


def both(within, k):
    """From a table (M, N): is generated image j within the reach of real image i?"""
    return within.sum() / (k * len(within)), within.any(0).double().mean()


def right_table(real, generated, k):
    return distances(generated, real) <= reaches(real, k)


@bug("self counted as a neighbour", "An image is not its own neighbour")
def _(real, generated, k):
    return both(distances(generated, real) <= reaches(real, k - 1), k)


@bug("k + 1 neighbours", "One neighbour too far")
def _(real, generated, k):
    return both(distances(generated, real) <= reaches(real, k + 1), k)


@bug("the farthest", "not to the farthest")
def _(real, generated, k):
    return both(distances(generated, real) <= reaches(real, len(real) - 1), k)


@bug("one reach for all", "Each real image has a reach of its own")
def _(real, generated, k):
    return both(distances(generated, real) <= reaches(real, k).mean(), k)


@bug("the reach of generated images", "you take generated ones")
def _(real, generated, k):
    return both(distances(generated, real) <= reaches(generated, k)[:, None], k)


@bug("the two sets swapped", "you take generated ones")
def _(real, generated, k):
    return both(distances(real, generated) <= reaches(generated, k), k)


@bug("coverage by generated reaches", "with those of generated ones this is recall")
def _(real, generated, k):
    density, _ = both(right_table(real, generated, k), k)
    return density, both(distances(generated, real) <= reaches(generated, k)[:, None], k)[1]


@bug("coverage of generated images", "coverage is one of real ones")
def _(real, generated, k):
    within = right_table(real, generated, k)
    return both(within, k)[0], within.any(1).double().mean()


@bug("coverage as a number", "coverage is their share")
def _(real, generated, k):
    within = right_table(real, generated, k)
    return both(within, k)[0], within.any(0).sum()


@bug("coverage counts twice", "This is the density")
def _(real, generated, k):
    density, _ = both(right_table(real, generated, k), k)
    return density, density


@bug("coverage divided by k", "coverage is not divided by k")
def _(real, generated, k):
    density, coverage = both(right_table(real, generated, k), k)
    return density, coverage / k


@bug("not divided by k", "Density is divided by k, too")
def _(real, generated, k):
    density, coverage = both(right_table(real, generated, k), k)
    return density * k, coverage


@bug("divided by k twice", "Density is divided by k once")
def _(real, generated, k):
    density, coverage = both(right_table(real, generated, k), k)
    return density / k, coverage


@bug("not divided by M", "This is the sum over the generated images")
def _(real, generated, k):
    within = right_table(real, generated, k)
    return within.sum() / k, within.any(0).double().mean()


@bug("divided by N", "not by that of real ones")
def _(real, generated, k):
    within = right_table(real, generated, k)
    return within.sum() / (k * len(real)), within.any(0).double().mean()


@bug("the mean of the table", "not by N and M")
def _(real, generated, k):
    within = right_table(real, generated, k).double()
    return within.mean() / k, within.amax(0).mean()


@bug("density cut off at 1", "cut off at 1")
def _(real, generated, k):
    density, coverage = both(right_table(real, generated, k), k)
    return min(1.0, float(density)), coverage


@bug("precision", "This is precision, which asks")
def _(real, generated, k):
    within = right_table(real, generated, k)
    return within.any(1).double().mean(), within.any(0).double().mean()


@bug("coverage first", "The density comes first")
def _(real, generated, k):
    return both(right_table(real, generated, k), k)[::-1]


@bug("one number", "end with `return density, coverage`")
def _(real, generated, k):
    return both(right_table(real, generated, k), k)[0]


@bug("<", "≤, not <")
def _(real, generated, k):
    return both(distances(generated, real) < reaches(real, k), k)


@bug("every distance of 0 left out", "not every distance of 0")
def _(real, generated, k):
    between = distances(real, real)
    between[between == 0] = math.inf
    return both(distances(generated, real) <= between.sort(dim=1).values[:, k - 1], k)


@bug("a copy is not within the reach", "A distance of 0 is within a reach of 0")
def _(real, generated, k):
    between = distances(generated, real)
    return both((between <= reaches(real, k)) & (between > 0), k)


@bug("absolute differences", "The distance is Euclidean")
def _(real, generated, k):
    return both(distances(generated, real, 1.0) <= reaches(real, k, 1.0), k)


@bug("the largest difference", "The distance is Euclidean")
def _(real, generated, k):
    return both(distances(generated, real, math.inf) <= reaches(real, k, math.inf), k)


@bug("squares against a reach", "Squared distances are compared")
def _(real, generated, k):
    between = distances(generated, real)
    return both((between**2 if real.shape[1] > 1 else between) <= reaches(real, k), k)


@bug("a reach squared", "The reach is squared")
def _(real, generated, k):
    reach = reaches(real, k)
    return both(distances(generated, real) <= (reach**2 if real.shape[1] > 1 else reach), k)


@bug("precision by k", "one number")
def _(real, generated, k):
    within = right_table(real, generated, k)
    return within.sum(1) / k, within.any(0).double().mean()


@bug("a reach in both sets together", "stopped with")
def _(real, generated, k):
    reach = distances(generated, generated).sort(dim=1).values[:, k]
    return both(distances(generated, real) <= reach, k)


@bug("as many generated as real", "Density divides by the number of generated images")
def _(real, generated, k):
    return right_table(real, generated, k).sum(0).double().mean() / k, both(right_table(real, generated, k), k)[1]
