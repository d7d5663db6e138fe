"""Attention over a rolling cache."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_rolling_attention

exercise = Exercise("rolling_attention", check_rolling_attention)
right, bug = exercise.right, exercise.bug


@right("token by token, how far back by the remainder")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        keys[n % w], values[n % w] = k, v
        back = (n - torch.arange(w)) % w
        scores = keys @ q / math.sqrt(len(q)) - slope * back
        rows.append(scores.masked_fill(back > n, -math.inf).softmax(0) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


@right("a table of the tokens' numbers, made anew from n")
def _(query, key, value, slope, cache):
    keys, values, n = (cache[0].clone(), cache[1].clone(), cache[2])
    w = len(keys)
    number = torch.full((w,), -1)
    for j in range(max(0, n - w), n):
        number[j % w] = j
    output = torch.empty(value.shape)
    for t in range(len(query)):
        place, number[(n + t) % w] = (n + t) % w, n + t
        keys[place], values[place] = key[t], value[t]
        held = number >= 0
        scores = keys[held] @ query[t] / query.shape[1] ** 0.5 + slope * (number[held] - n - t)
        output[t] = values[held].T @ torch.softmax(scores, 0)
    return output, [keys, values, n + len(query)]


@right("the buffer rolled into the order of the text")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for t in range(len(query)):
        keys, values = keys.clone(), values.clone()
        keys[n % w], values[n % w] = key[t], value[t]
        n += 1
        held = min(n, w)
        k, v = (each.roll(-(n % w), 0)[w - held :] for each in (keys, values))  # oldest first
        bias = slope * torch.arange(1 - held, 1)
        rows.append(torch.softmax(query[t] @ k.T / math.sqrt(k.shape[1]) + bias, -1) @ v)
    return torch.stack(rows), (keys, values, n)


@right("the tokens that are held, picked in the order of the text, NumPy float64")
def _(query, key, value, slope, cache):
    keys, values, n = cache[0].double().numpy(), cache[1].double().numpy(), cache[2]
    w, rows = len(keys), []
    for q, k, v in zip(*(each.double().numpy() for each in (query, key, value)), strict=True):
        keys[n % w], values[n % w] = k, v
        numbers = np.arange(max(0, n - w + 1), n + 1)
        scores = keys[numbers % w] @ q / np.sqrt(len(q)) - slope * (n - numbers)
        weights = np.exp(scores - scores.max())
        rows.append(weights @ values[numbers % w] / weights.sum())
        n = n + 1
    return np.array(rows), (keys, values, n)


@right("all queries at once under a band, the buffers filled afterwards")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, T = len(keys), len(query)
    old = torch.arange(max(0, n - w), n)
    number = torch.cat([old, torch.arange(n, n + T)])
    k, v = torch.cat([keys[old % w], key]), torch.cat([values[old % w], value])
    back = torch.arange(n, n + T)[:, None] - number
    scores = query @ k.T / math.sqrt(query.shape[1]) - slope * back
    output = scores.masked_fill((back < 0) | (back >= w), -torch.inf).softmax(-1) @ v
    for t in range(T):
        keys[(n + t) % w], values[(n + t) % w] = key[t], value[t]
    return output, (keys, values, n + T)


@right("lists and loops over the places")
def _(query, key, value, slope, cache):
    keys, values, n = cache[0].tolist(), cache[1].tolist(), cache[2]
    w, rows = len(keys), []
    for q, k, v in zip(query.tolist(), key.tolist(), value.tolist(), strict=True):
        keys[n % w], values[n % w] = k, v
        scores = {}
        for s in range(w):
            j = n - (n - s) % w
            if j >= 0:
                scores[s] = sum(a * b for a, b in zip(q, keys[s], strict=True)) / math.sqrt(len(q)) - slope * (n - j)
        top = max(scores.values())
        weights = {s: math.exp(score - top) for s, score in scores.items()}
        total = sum(weights.values())
        rows.append([sum(weights[s] * values[s][d] for s in weights) / total for d in range(len(v))])
        n += 1
    return rows, (keys, values, n)


def roll(query, key, value, slope, cache, *, place=None, back=None, score=None, hidden=-math.inf, held=None):
    """The model answer with one part of it replaced."""
    keys, values, n = (each.clone() if torch.is_tensor(each) else each for each in cache)
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        here = place(n, w) if place else n % w
        keys[here], values[here] = k, v
        far = back(n, w) if back else (n - torch.arange(w)) % w
        scores = score(keys, q, far) if score else keys @ q / math.sqrt(len(q)) - slope * far
        seen = held(n, w) if held else (n - torch.arange(w)) % w <= n
        rows.append(scores.masked_fill(~seen, hidden).softmax(0) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


def scored(scale, sign=-1.0):
    """Scores with another scale, or another sign of the slope."""
    return lambda slope: lambda keys, q, far: keys @ q * scale(len(q), keys) + sign * slope * far


@bug("attends before the token is written", "The token must see itself")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        seen = torch.arange(w) < n
        rows.append((keys @ q).masked_fill(~seen, -torch.inf).softmax(0) @ values)
        keys[n % w], values[n % w] = k, v
        n += 1
    return torch.stack(rows), (keys, values, n)


@bug("places that hold nothing take part", "Places that hold no token yet")
def _(*inputs):
    return roll(*inputs, held=lambda n, w: torch.ones(w, dtype=bool))


@bug("no softmax", "The softmax is missing")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        keys[n % w], values[n % w] = k, v
        back = (n - torch.arange(w)) % w
        rows.append(((keys @ q / math.sqrt(len(q)) - slope * back) * (back <= n)) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


@bug("n stays", "n counts the tokens")
def _(query, key, value, slope, cache):
    output, (keys, values, _) = roll(query, key, value, slope, cache)
    return output, (keys, values, cache[2])


@bug("n grows by one for each call", "not for each call")
def _(query, key, value, slope, cache):
    output, (keys, values, _) = roll(query, key, value, slope, cache)
    return output, (keys, values, cache[2] + 1)


@bug("n goes round", "it does not go back to 0")
def _(query, key, value, slope, cache):
    output, (keys, values, n) = roll(query, key, value, slope, cache)
    return output, (keys, values, n % len(keys))


@bug("n is how many are held", "also those that the buffer has lost")
def _(query, key, value, slope, cache):
    output, (keys, values, n) = roll(query, key, value, slope, cache)
    return output, (keys, values, min(n, len(keys)))


@bug("nothing written into the buffer that is returned", "is not written")
def _(query, key, value, slope, cache):
    output, (_, _, n) = roll(query, key, value, slope, cache)
    return output, (*cache[:2], n)


@bug("the value not written", "The value is not written")
def _(query, key, value, slope, cache):
    output, (keys, _, n) = roll(query, key, value, slope, cache)
    return output, (keys, cache[1], n)


@bug("one place too far", "token 0 to place 0")
def _(query, key, value, slope, cache):
    held = lambda n, w: (n + 1 - torch.arange(w)) % w <= n  # noqa: E731
    back = lambda n, w: (n + 1 - torch.arange(w)) % w  # noqa: E731
    return roll(query, key, value, slope, cache, place=lambda n, w: (n + 1) % w, held=held, back=back)


@bug("the newest token at the end of the buffer", "token 0 to place 0")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        keys, values = torch.cat([keys[1:], k[None]]), torch.cat([values[1:], v[None]])
        back = torch.arange(w).flip(0)
        scores = keys @ q / math.sqrt(len(q)) - slope * back
        rows.append(scores.masked_fill(back > n, -torch.inf).softmax(0) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


@bug("full buffers moved up by one", "in the order of the text")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        if n >= w:
            keys, values = keys.roll(-1, 0), values.roll(-1, 0)
        last = min(n, w - 1)
        keys[last], values[last] = k, v
        back = last - torch.arange(w)
        scores = keys @ q / math.sqrt(len(q)) - slope * back
        rows.append(scores.masked_fill(back < 0, -torch.inf).softmax(0) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


@bug("the newest token at place 0", "Each token keeps its place")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        keys, values = torch.cat([k[None], keys[:-1]]), torch.cat([v[None], values[:-1]])
        back = torch.arange(w)
        scores = keys @ q / math.sqrt(len(q)) - slope * back
        rows.append(scores.masked_fill(back > n, -torch.inf).softmax(0) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


@bug("buffers that grow", "The buffers keep their w places")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows, keys, values = len(keys), [], keys[:n], values[:n]
    for q, k, v in zip(query, key, value, strict=True):
        keys, values = torch.cat([keys, k[None]])[-w:], torch.cat([values, v[None]])[-w:]
        scores = keys @ q / math.sqrt(len(q)) - slope * torch.arange(len(keys)).flip(0)
        rows.append(scores.softmax(0) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


@bug("all written first, then attended", "Query 0 sees later tokens")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w = len(keys)
    for k, v in zip(key, value, strict=True):
        keys[n % w], values[n % w] = k, v
        n += 1
    back = (n - 1 - torch.arange(w)) % w
    scores = (query @ keys.T / math.sqrt(query.shape[1]) - slope * back).masked_fill(back >= n, -torch.inf)
    return scores.softmax(-1) @ values, (keys, values, n)


@bug("causal, the window not used", "The window is not used")
def _(query, key, value, slope, cache):
    *_, (keys, values, n) = roll(query, key, value, slope, cache)
    back = torch.arange(len(query))[:, None] - torch.arange(len(query))
    scores = (query @ key.T / math.sqrt(query.shape[1]) - slope * back).masked_fill(back < 0, -torch.inf)
    return scores.softmax(-1) @ value, (keys, values, n)


@bug("emptied when it is full", "The buffer is not emptied")
def _(*inputs):
    return roll(*inputs, held=lambda n, w: torch.arange(w) <= n % w)


@bug("nothing written when it is full", "A full buffer goes on")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        if n < w:
            keys[n], values[n] = k, v
        scores = keys @ q / math.sqrt(len(q)) - slope * (n - torch.arange(w))
        rows.append(scores.masked_fill(torch.arange(w) > n, -torch.inf).softmax(0) @ values)
        n += 1
    return torch.stack(rows), (keys, values, n)


@bug("the last place overwritten again and again", "yours takes the place of the newest")
def _(query, key, value, slope, cache):
    held = lambda n, w: torch.arange(w) <= n  # noqa: E731
    return roll(query, key, value, slope, cache, place=lambda n, w: min(n, w - 1), held=held)


@bug("the window one too short", "one too short")
def _(*inputs):
    return roll(*inputs, held=lambda n, w: (n - torch.arange(w)) % w <= min(n, w - 2 if w > 1 else 0))


def attended(query, key, value, slope, cache, first, ahead=0):
    """Token by token, over the numbers from first(n, w) to n; `ahead` is added to n before it attends."""
    (keys, values, n), output = cache, []
    for q, k, v in zip(query, key, value, strict=True):
        keys[n % len(keys)], values[n % len(keys)] = k, v
        seen = range(first(n + ahead, len(keys)), n + ahead + 1)
        scores = [keys[j % len(keys)] @ q / math.sqrt(len(q)) - slope * (n - j) for j in seen]
        weights = torch.stack(scores).softmax(0)
        output.append(sum(a * values[j % len(keys)] for a, j in zip(weights, seen, strict=True)))
        n += 1
    return torch.stack(output), (keys, values, n)


@bug("the window one too long", "one too long")
def _(query, key, value, slope, cache):
    return attended(query, key, value, slope, cache, lambda n, w: max(0, n - w))


@bug("n counted up before the token attends", "Places that hold no token yet")
def _(query, key, value, slope, cache):
    return attended(query, key, value, slope, cache, lambda n, w: max(0, n - w + 1), ahead=1)


@bug("(r − n) mod w in place of (n − r) mod w", "Query 1 does not see token 0")
def _(query, key, value, slope, cache):
    (keys, values, n), output = cache, []
    for q, k, v in zip(query, key, value, strict=True):
        keys[n % len(keys)], values[n % len(keys)] = k, v
        back = (torch.arange(len(keys)) - n) % len(keys)
        scores = keys @ q / math.sqrt(len(q)) - slope * back
        output.append(scores.masked_fill(back > n, -math.inf).softmax(0) @ values)
        n += 1
    return torch.stack(output), (keys, values, n)


@bug("the given cache not used", "The given cache is not used")
def _(query, key, value, slope, cache):
    return roll(query, key, value, slope, (*cache[:2], 0))


@bug("each call begins at place 0", "yours went to place 0")
def _(query, key, value, slope, cache):
    start = cache[2]
    output, (keys, values, _) = roll(
        query, key, value, slope, (*cache[:2], 0), held=lambda n, w: torch.arange(w) <= n + start
    )
    return output, (keys, values, start + len(query))


@bug("one place further once it is full", "yours went to place 2")
def _(*inputs):
    return roll(*inputs, place=lambda n, w: n % w if n < 5 else (n + 1) % w)


@bug("the place taken for the token's number", "Place r does not hold token r")
def _(*inputs):
    return roll(*inputs, back=lambda n, w: n - torch.arange(w))


@bug("the oldest token taken to be first", "Place r does not hold token r")
def _(*inputs):
    return roll(*inputs, back=lambda n, w: min(n + 1, w) - 1 - torch.arange(w))


@bug("the newest token taken to be first", "Place r does not hold token r")
def _(*inputs):
    return roll(*inputs, back=lambda n, w: torch.arange(w) if n >= w else n - torch.arange(w))


@bug("the slope not used", "The slope has no effect")
def _(query, key, value, slope, cache):
    return roll(query, key, value, 0.0, cache)


@bug("the slope added", "The slope has the wrong sign")
def _(query, key, value, slope, cache):
    return roll(query, key, value, -slope, cache)


@bug("the slope beneath √d_k, too", "√d_k divides q · k alone")
def _(query, key, value, slope, cache):
    return roll(query, key, value, slope / math.sqrt(query.shape[1]), cache)


@bug("scores not scaled", "The scores are not scaled")
def _(query, key, value, slope, cache):
    return roll(query, key, value, slope, cache, score=scored(lambda d, keys: 1.0)(slope))


@bug("scaled by d_k", "divided by d_k")
def _(query, key, value, slope, cache):
    return roll(query, key, value, slope, cache, score=scored(lambda d, keys: 1 / d)(slope))


@bug("multiplied by √d_k", "multiplied by √d_k")
def _(query, key, value, slope, cache):
    return roll(query, key, value, slope, cache, score=scored(lambda d, keys: math.sqrt(d))(slope))


@bug("scaled by the width of the values", "divided by √d_v")
def _(query, key, value, slope, cache):
    return roll(query, key, value, slope, cache, score=scored(lambda d, keys: value.shape[1] ** -0.5)(slope))


@bug("scaled by the window", "divided by √w")
def _(query, key, value, slope, cache):
    return roll(query, key, value, slope, cache, score=scored(lambda d, keys: len(keys) ** -0.5)(slope))


@bug("−10⁴ for places that hold nothing", "not a large negative number")
def _(*inputs):
    return roll(*inputs, hidden=-1e4)


@bug("exp overflows", "exp overflows")
def _(query, key, value, slope, cache):
    keys, values, n = cache
    w, rows = len(keys), []
    for q, k, v in zip(query, key, value, strict=True):
        keys[n % w], values[n % w] = k, v
        back = (n - torch.arange(w)) % w
        weights = (keys @ q / math.sqrt(len(q)) - slope * back).exp() * (back <= n)
        rows.append(weights @ values / weights.sum())
        n += 1
    return torch.stack(rows), (keys, values, n)
