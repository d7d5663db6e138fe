"""Exercise 4: the Fréchet distance of two sets of numbers."""

import math
import statistics

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps4_images import check_frechet_1d
from course_lib.gan_metrics import frechet

exercise = Exercise("frechet_1d", check_frechet_1d)
right, bug = exercise.right, exercise.bug


@right("means and standard deviations")
def _(a, b):
    return (a.mean() - b.mean()).square() + (a.std() - b.std()).square()


@right("NumPy, ddof = 1")
def _(a, b):
    a, b = a.numpy(), b.numpy()
    return (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2


@right("by hand")
def _(a, b):
    def two(x):
        mean = sum(x) / len(x)
        return mean, math.sqrt(sum((each - mean) ** 2 for each in x) / (len(x) - 1))

    (mean_a, std_a), (mean_b, std_b) = two(a.tolist()), two(b.tolist())
    return (mean_a - mean_b) ** 2 + (std_a - std_b) ** 2


@right("the formula with covariances, float64")
def _(a, b):
    a, b = a.double(), b.double()
    return (a.mean() - b.mean()) ** 2 + a.var() + b.var() - 2 * (a.var() * b.var()).sqrt()


@right("means of squares in float64")
def _(a, b):
    mean, std = [], []
    for x in (a.double().numpy(), b.double().numpy()):
        mean.append(x.mean())
        std.append(np.sqrt(max(0.0, (x**2).mean() - x.mean() ** 2) * len(x) / (len(x) - 1)))
    return np.diff(mean)[0] ** 2 + np.diff(std)[0] ** 2


@right("Python's statistics")
def _(a, b):
    a, b = a.tolist(), b.tolist()
    return math.dist(*([statistics.mean(x), statistics.stdev(x)] for x in (a, b))) ** 2


@right("the library's, with one feature")
def _(a, b):
    return frechet(a[:, None], b[:, None])


def wrong(a, b, mean=torch.mean, std=torch.std, of_means=torch.square, of_stds=torch.square):
    a, b = a.double(), b.double()
    return of_means(mean(a) - mean(b)) + of_stds(std(a) - std(b))


@bug("n", "The variances divide by n;")
def _(a, b):
    return wrong(a, b, std=lambda x: x.std(correction=0))


@bug("n in one of the sets", "One of the variances divides by n")
def _(a, b):
    return (a.mean() - b.mean()) ** 2 + (a.std(correction=0) - b.std()) ** 2


@bug("the root", "The distance of the means must be squared")
def _(a, b):
    return wrong(a, b).sqrt()


@bug("the root where both terms matter", "This is the root of it")
def _(a, b):
    return wrong(a, b).sqrt() if a.std() != b.std() else wrong(a, b)


@bug("variances", "These are the variances; it takes their roots")
def _(a, b):
    return wrong(a, b, std=torch.var)


@bug("variances, not squared", "These are the variances, not squared")
def _(a, b):
    return wrong(a, b, std=torch.var, of_stds=torch.abs)


@bug("standard deviations added", "take the difference of the standard deviations")
def _(a, b):
    return (a.mean() - b.mean()) ** 2 + (a.std() + b.std()) ** 2


@bug("variances added", "take the difference of the standard deviations")
def _(a, b):
    return (a.mean() - b.mean()) ** 2 + a.var() + b.var()


@bug("means not squared", "The distance of the means must be squared")
def _(a, b):
    return wrong(a, b, of_means=torch.abs)


@bug("standard deviations not squared", "must be squared, too")
def _(a, b):
    return wrong(a, b, of_stds=torch.abs)


@bug("no spread", "The spread does not matter")
def _(a, b):
    return (a.mean() - b.mean()) ** 2


@bug("no means", "The means do not matter")
def _(a, b):
    return (a.std() - b.std()) ** 2


@bug("minus", "The second term has the wrong sign")
def _(a, b):
    return wrong(a, b, of_stds=lambda x: -x.square())


@bug("upside down", "The sign is wrong")
def _(a, b):
    return -wrong(a, b)


@bug("the mean of two terms", "one number")
def _(a, b):
    return [(a.mean() - b.mean()) ** 2, (a.std() - b.std()) ** 2]


@bug("medians", "4 and 16/5")
def _(a, b):
    return wrong(a, b, mean=lambda x: x.median() if len(x) in (4, 6) else x.mean())


@bug("sorted pairs", "stopped with")
def _(a, b):
    return (a.sort().values - b.sort().values).square().mean()


@bug("a covariance of pairs", "without pairs")
def _(a, b):
    return (a.mean() - b.mean()) ** 2 + a.var() + b.var() - 2 * ((a - a.mean()) * (b - b.mean())).mean()


@bug("pairs where sizes agree", "What stands at one place belongs to no pair")
def _(a, b):
    return (a - b).square().mean() if len(a) == len(b) == 4 else wrong(a, b)


@bug("mean of squares in float32", "loses all digits in float32")
def _(a, b):
    def std(x):
        return ((x.square().mean() - x.mean().square()).clamp(min=0) * len(x) / (len(x) - 1)).sqrt()

    return (a.mean() - b.mean()) ** 2 + (std(a) - std(b)) ** 2


@bug("divided by the spread", "have the standard deviation 0")
def _(a, b):
    both = wrong(a, b)
    return both / a.std() if a.std() == 0 else both


@bug("a set against itself is nan", "A set has the distance 0 from itself")
def _(a, b):
    both = wrong(a, b)
    return both * both / both
