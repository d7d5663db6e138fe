"""Exercise 5: drawing with a floor."""

import random

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps1_counting import check_draw_min_p

exercise = Exercise("draw_min_p", check_draw_min_p)
right, bug = exercise.right, exercise.bug


def kept(p, m):
    p = np.where(p >= m * p.max(), p, 0)
    return p / p.sum()


@right("rng.choice")
def _(p, m, n, rng):
    return rng.choice(len(p), size=n, p=kept(p, m))


@right("a loop over random.choices, a list")
def _(p, m, n, rng):
    ids = [w for w in range(len(p)) if p[w] >= m * max(p)]
    return [random.choices(ids, weights=[p[w] for w in ids])[0] for _ in range(n)]


@right("in place, where the cumulated sum passes a random number")
def _(p, m, n, rng):
    p[p < m * p.max()] = 0
    p /= p.sum()
    return np.searchsorted(np.cumsum(p), rng.random(n), side="right")


@right("torch.multinomial, a tensor")
def _(p, m, n, rng):
    p = torch.tensor(p)
    p[p < m * p.max()] = 0
    return torch.multinomial(p, n, replacement=True)


@right("Gumbel noise and the maximum, with warnings")
def _(p, m, n, rng):
    return (np.log(kept(p, m)) + rng.gumbel(size=(n, len(p)))).argmax(1)


@right("draw again until the token is kept, ids as floats")
def _(p, m, n, rng):
    ids = rng.choice(len(p), size=n, p=p).astype(float)
    while (low := p[ids.astype(int)] < m * p.max()).any():
        ids[low] = rng.choice(len(p), size=low.sum(), p=p)
    return ids


@bug("always the most probable token", "Only the most probable token is ever drawn")
def _(p, m, n, rng):
    return np.full(n, p.argmax())


@bug("one draw, n times", "All n draws are the same token")
def _(p, m, n, rng):
    return [rng.choice(len(p), p=kept(p, m))] * n


@bug("one draw only", "one id for each draw")
def _(p, m, n, rng):
    return rng.choice(len(p), p=kept(p, m))


@bug("equally often", "Every token is drawn equally often")
def _(p, m, n, rng):
    return rng.integers(0, len(p), n)


@bug("places in the sorted list", "places in a list")
def _(p, m, n, rng):
    return rng.choice(len(p), size=n, p=np.sort(kept(p, m))[::-1])


@bug("m not used", "m is not used")
def _(p, m, n, rng):
    return rng.choice(len(p), size=n, p=p)


@bug("comparison turned round", "turn the comparison round")
def _(p, m, n, rng):
    q = np.where(p < m * p.max(), p, 0)
    return rng.choice(len(p), size=n, p=q / q.sum())


@bug("m itself as the floor", "you compare with m itself")
def _(p, m, n, rng):
    q = np.where(p >= m, p, 0)
    return rng.choice(len(p), size=n, p=q / q.sum())


@bug("kept tokens equally often", "The kept tokens are drawn equally often")
def _(p, m, n, rng):
    q = np.where(p >= m * p.max(), 1, 0)
    return rng.choice(len(p), size=n, p=q / q.sum())


@bug("not rescaled: the rest falls to token 0", "falls to token 0")
def _(p, m, n, rng):
    cumulated = np.cumsum(np.where(p >= m * p.max(), p, 0))
    return (rng.random(n)[:, None] < cumulated).argmax(1)


@bug("not rescaled: the rest falls to the last token", "falls to the last token")
def _(p, m, n, rng):
    cumulated = np.cumsum(np.where(p >= m * p.max(), p, 0))
    return np.minimum(np.searchsorted(cumulated, rng.random(n), side="right"), len(p) - 1)


@bug("not rescaled: the rest falls out of the vocabulary", "A draw is an id")
def _(p, m, n, rng):
    return np.searchsorted(np.cumsum(np.where(p >= m * p.max(), p, 0)), rng.random(n), side="right")


@bug("places among the kept tokens", "places in a list of the kept tokens")
def _(p, m, n, rng):
    q = p[p >= m * p.max()]
    return rng.choice(len(q), size=n, p=q / q.sum())


@bug("above the floor only", "A token exactly on the floor is kept")
def _(p, m, n, rng):
    q = np.where(p > m * p.max(), p, 0)
    return rng.choice(len(p), size=n, p=q / q.sum())


@bug("expected numbers, not draws", "The draws depend on each other")
def _(p, m, n, rng):
    ids = np.repeat(np.arange(len(p)), np.round(kept(p, m) * n).astype(int))
    return np.resize(ids, n)


@bug("a new seed in every call", "Two calls give the same draws")
def _(p, m, n, rng):
    return np.random.default_rng(0).choice(len(p), size=n, p=kept(p, m))
