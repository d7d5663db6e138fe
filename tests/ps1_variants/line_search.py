"""Exercise 8: gradient descent that finds its rate."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps1_counting import check_line_search

exercise = Exercise("line_search", check_line_search)
right, bug = exercise.right, exercise.bug


@right("as the text says")
def _(loss, gradient, x, rate, steps):
    for _ in range(steps):
        g, r = gradient(x), rate
        while loss(x - r * g) > loss(x) - r * (g**2).sum() / 2:
            r /= 2
        x = x - r * g
    return x


@right("in place, the old loss kept")
def _(loss, gradient, x, rate, steps):
    for _ in range(steps):
        g, r, here = gradient(x), rate, loss(x)
        x -= r * g
        while loss(x) > here - 0.5 * r * np.dot(g, g):
            r *= 0.5
            x += r * g
    return x


@right("lists of Python floats")
def _(loss, gradient, x, rate, steps):
    x = list(map(float, x))
    for _ in range(steps):
        g, r = list(map(float, gradient(x))), rate
        gain = sum(each * each for each in g) / 2
        there = [a - r * b for a, b in zip(x, g, strict=True)]
        while not loss(there) <= loss(x) - r * gain:
            r = r / 2
            there = [a - r * b for a, b in zip(x, g, strict=True)]
        x = there
    return x


@right("recursion")
def _(loss, gradient, x, rate, steps):
    def accepted(r, g):
        good = loss(x - r * g) <= loss(x) - r / 2 * np.linalg.norm(g) ** 2
        return r if good else accepted(r / 2, g)

    for _ in range(steps):
        g = gradient(x)
        x = x - accepted(rate, g) * g
    return x


@right("PyTorch float64 tensors")
def _(loss, gradient, x, rate, steps):
    x = torch.tensor(x)
    for _ in range(steps):
        g, r = torch.as_tensor(gradient(x.numpy())), rate
        while loss((x - r * g).numpy()) > loss(x.numpy()) - r * g.square().sum() / 2:
            r /= 2
        x = x - r * g
    return x


@right("the powers of ½ tried from a generator")
def _(loss, gradient, x, rate, steps):
    for _ in range(steps):
        g = gradient(x)
        tries = (x - rate * 0.5**k * g for k in range(200))
        x = next(y for y in tries if loss(y) <= loss(x) - (x - y) @ g / 2)
    return x


def search(loss, gradient, x, rate, steps, half=0.5, shrink=0.5, square=True, keep=False):
    r = rate
    for _ in range(steps):
        g, r = gradient(x), r if keep else rate
        gain = (g @ g if square else math.sqrt(g @ g)) * half
        while loss(x - r * g) > loss(x) - r * gain:
            r *= shrink
        x = x - r * g
    return x


@bug("uphill", "The step goes uphill")
def _(loss, gradient, x, rate, steps):
    return search(loss, lambda x: -gradient(x), x, rate, steps)


@bug("the whole rate, no search", "The whole rate is taken")
def _(loss, gradient, x, rate, steps):
    for _ in range(steps):
        x = x - rate * gradient(x)
    return x


@bug("the comparison turned round", "The whole rate is taken")
def _(loss, gradient, x, rate, steps):
    for _ in range(steps):
        g, r = gradient(x), rate
        while loss(x - r * g) < loss(x) - r * (g @ g) / 2:
            r /= 2
        x = x - r * g
    return x


@bug("any smaller loss accepted", "It is not enough that the loss gets smaller")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, steps, half=0)


@bug("all of r |g|² demanded", "demand half of r |g|²")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, steps, half=1)


@bug("the length, not its square", "you take the length |g|")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, steps, square=False)


@bug("halved once more after the test", "halved once too often")
def _(loss, gradient, x, rate, steps):
    for _ in range(steps):
        g, r = gradient(x), rate
        while True:
            good = loss(x - r * g) <= loss(x) - r * (g @ g) / 2
            r /= 2
            if good:
                break
        x = x - r * g
    return x


@bug("the new x thrown away", "x does not move")
def _(loss, gradient, x, rate, steps):
    search(loss, gradient, x, rate, steps)
    return x


@bug("r kept from step to step", "you go on with the r of the step before")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, steps, keep=True)


@bug("the gradient taken once", "each with the gradient at its own x")
def _(loss, gradient, x, rate, steps):
    g = gradient(x)
    return search(loss, lambda _: g, x, rate, steps)


@bug("one step only", "x is where one step leads")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, 1)


@bug("one step too many", "Two steps are made")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, steps + 1)


@bug("r grows", "the steps grow")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, steps, shrink=2)


@bug("halved on equality, too", "never ends at a minimum")
def _(loss, gradient, x, rate, steps):
    for _ in range(steps):
        g, r = gradient(x), rate
        while loss(x - r * g) >= loss(x) - r * (g @ g) / 2:
            r /= 2
        x = x - r * g
    return x


@bug("the mean of the squares", "it is not their mean")
def _(loss, gradient, x, rate, steps):
    return search(loss, gradient, x, rate, steps, half=0.5 / len(x))
