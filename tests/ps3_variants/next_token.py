"""Exercise 2: drawing from logits with a temperature and top-k."""

import math

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps3_language_model import check_next_token

exercise = Exercise("next_token", check_next_token)
right, bug = exercise.right, exercise.bug


def inverse(p, u):
    """The first id whose sum is above u, in float64; if rounding leaves none, the last with p > 0."""
    p = p.double()
    above = (p.cumsum(-1) > u).nonzero()
    return int(above[0] if len(above) else p.nonzero()[-1])


def kept(logits, k):
    if k is None or k >= len(logits):
        return logits
    best = logits.sort(descending=True, stable=True).indices[:k]
    return torch.full_like(logits, -math.inf).scatter(0, best, logits[best])


@right("PyTorch: a stable sort, softmax, cumsum")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    return inverse((kept(logits, top_k) / temperature).softmax(-1), u)


@right("NumPy and searchsorted from the right")
def _(logits, temperature, top_k, u):
    logits = logits.double().numpy()
    if temperature == 0:
        return np.argmax(logits)
    ids = np.sort(np.argsort(-logits, kind="stable")[:top_k])
    p = np.exp((logits[ids] - logits.max()) / temperature)
    sums = np.cumsum(p)
    place = min(np.searchsorted(sums, u * sums[-1], side="right"), np.nonzero(p)[0][-1])
    return ids[place]


@right("loops over Python floats")
def _(logits, temperature, top_k, u):
    logits = logits.tolist()
    ranked = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    if not temperature:
        return ranked[0]
    top = logits[ranked[0]]
    shares = {i: math.exp((logits[i] - top) / temperature) for i in ranked[:top_k] if logits[i] > -math.inf}
    left, total = u, sum(shares.values())
    for i in sorted(shares):
        left -= shares[i] / total
        if left < 0:
            return i
    return max(i for i in shares if shares[i] > 0)


@right("top-k after the softmax, renormalised")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return int(torch.max(logits, 0).indices)
    p = (logits / temperature).softmax(-1)
    keep = torch.argsort(p, descending=True, stable=True)[: top_k or len(p)]
    mask = torch.zeros(len(p)).index_fill(0, keep, 1.0)
    return inverse(p * mask / (p * mask).sum(), u)


@right("the number of sums that are not above u")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return torch.tensor(int(np.argmax(logits.numpy())))
    p = (kept(logits, top_k).double() / temperature).softmax(-1)
    return min(int((p.cumsum(-1) <= u).sum()), int(p.nonzero().max()))


@right("u scaled instead of the shares")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return float(logits.argmax())
    shares = ((kept(logits, top_k).double() - logits.max()) / temperature).exp()
    total = 0.0
    for i, share in enumerate(shares.tolist()):
        total += share
        if total > u * float(shares.sum()):
            return i
    return int(shares.nonzero()[-1])


@right("only the first token's share, then the rest, again and again")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax().item()
    p = (kept(logits, top_k).double() / temperature).softmax(-1).tolist()
    last = max(i for i, share in enumerate(p) if share > 0)
    for i, share in enumerate(p):
        if share > 0 and (u < share or i == last):
            return i
        u -= share
    return last


def draw(logits, temperature, top_k, u, cut=kept, scale=lambda logits, t: logits / t, share=None, pick=inverse):
    """The right answer with one part replaced."""
    if temperature == 0:
        return int(logits.argmax())
    logits = cut(scale(logits, temperature), top_k)
    return pick(share(logits) if share else logits.softmax(-1), u)


@bug("always greedy", "only temperature 0 is greedy")
def _(logits, temperature, top_k, u):
    return logits.argmax()


@bug("evenly", "Every token is drawn equally often")
def _(logits, temperature, top_k, u):
    return int(u * len(logits))


@bug("softmax twice", "softmax is done twice")
def _(*inputs):
    return draw(*inputs, share=lambda logits: logits.softmax(-1).softmax(-1))


@bug("ranks in place of ids", "These are ranks, not ids")
def _(logits, temperature, top_k, u):
    return draw(logits.sort(descending=True).values, temperature, top_k, u)


@bug("the most probable first", "The order is another one")
def _(logits, temperature, top_k, u):
    order = logits.argsort(descending=True, stable=True)
    return order[draw(logits[order], temperature, top_k, u)]


@bug("sums without the own share", "Too far by one")
def _(*inputs):
    return draw(*inputs, pick=lambda p, u: min(inverse(p, u) + 1, len(p) - 1))


@bug("the id before", "One too early")
def _(*inputs):
    return draw(*inputs, pick=lambda p, u: max(inverse(p, u) - 1, 0))


@bug("another random number than u", "do not draw another one")
def _(logits, temperature, top_k, u):
    random = torch.Generator().manual_seed(int(1e6 * u))
    return int(torch.multinomial((logits / temperature).softmax(0), 1, generator=random))


@bug("temperature forgotten", "The temperature is not used")
def _(*inputs):
    return draw(*inputs, scale=lambda logits, t: logits)


@bug("multiplied by the temperature", "The logits are multiplied")
def _(*inputs):
    return draw(*inputs, scale=lambda logits, t: logits * t)


@bug("temperature after the softmax", "The temperature divides p, after the softmax")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    return inverse(kept(logits, top_k).softmax(-1) / temperature, u)


@bug("temperature after the softmax, renormalised", "or it divides p and falls out")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    p = kept(logits, top_k).softmax(-1) / temperature
    return inverse(p / p.sum(), u)


@bug("powers not renormalised", "must be renormalised")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    return inverse(kept(logits, top_k).softmax(-1) ** (1 / temperature), u)


@bug("temperature above 1 not used", "A temperature above 1 is not used")
def _(*inputs):
    return draw(*inputs, scale=lambda logits, t: logits / min(t, 1))


@bug("divided by temperature 0", "dividing by 0 gives nan")
def _(logits, temperature, top_k, u):
    return inverse((kept(logits, top_k) / temperature).softmax(-1).nan_to_num(1), u)


@bug("nothing for temperature 0", "stopped with")
def _(logits, temperature, top_k, u):
    return inverse((kept(logits, top_k) * (1 / temperature)).softmax(-1), u)


@bug("the last of equals when greedy", "greedy takes the first")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return len(logits) - 1 - int(logits.flip(0).argmax())
    return draw(logits, temperature, top_k, u)


@bug("top_k forgotten", "top_k is not used")
def _(*inputs):
    return draw(*inputs, cut=lambda logits, k: logits)


@bug("the smallest kept", "The k smallest logits are kept")
def _(*inputs):
    return draw(*inputs, cut=lambda logits, k: -kept(-logits, k).nan_to_num(neginf=math.inf) if k else logits)


@bug("the first k ids kept", "The first k ids are kept")
def _(*inputs):
    return draw(*inputs, cut=lambda logits, k: torch.where(torch.arange(len(logits)) < (k or 99), logits, -math.inf))


@bug("k + 1 kept", "k + 1 tokens are kept")
def _(*inputs):
    return draw(*inputs, cut=lambda logits, k: kept(logits, k and k + 1))


@bug("strictly above the k-th", "Only one token is kept")
def _(*inputs):
    def cut(logits, k):
        if k is None or k >= len(logits):
            return logits
        return logits.masked_fill(logits <= logits.sort(descending=True).values[k - 1], -math.inf)

    return draw(*inputs, cut=cut)


@bug("ties all kept", "Equal logits are all kept")
def _(*inputs):
    def cut(logits, k):
        if k is None or k >= len(logits):
            return logits
        return logits.masked_fill(logits < logits.topk(k).values[-1], -math.inf)

    return draw(*inputs, cut=cut)


@bug("of equals the higher id", "keep the lower")
def _(*inputs):
    return draw(*inputs, cut=lambda logits, k: kept(logits.flip(0), k).flip(0))


@bug("k above V", "stopped with")
def _(*inputs):
    def cut(logits, k):
        return kept(logits, k) if k is None else logits.masked_fill(logits < logits.topk(k).values[-1], -math.inf)

    return draw(*inputs, cut=lambda logits, k: kept(logits, k) if len(logits) > 3 else cut(logits, k))


@bug("dropped logits become 0", "Dropped logits became 0")
def _(*inputs):
    return draw(*inputs, cut=lambda logits, k: kept(logits, k).nan_to_num(neginf=0) if k else logits)


@bug("not renormalised", "falls to the last token")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    p = (logits / temperature).softmax(-1)
    p = p * (kept(logits, top_k) > -math.inf)
    return int(p.cumsum(-1).gt(u).nonzero()[0]) if p.sum() > u else len(p) - 1


@bug("not renormalised, the rest to the last kept", "the last of the kept ones")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    return inverse((logits / temperature).softmax(-1) * (kept(logits, top_k) > -math.inf), u)


@bug("not renormalised, argmax of nothing", "falls to the first token")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    p = (logits / temperature).softmax(-1) * (kept(logits, top_k) > -math.inf)
    return (p.cumsum(-1) > u).int().argmax()


@bug("places among the kept", "These are ranks, not ids")
def _(logits, temperature, top_k, u):
    if temperature == 0:
        return logits.argmax()
    return (
        inverse((logits.topk(min(top_k or 99, len(logits)), sorted=True).values / temperature).softmax(-1), u)
        if (top_k)
        else draw(logits, temperature, top_k, u)
    )


@bug("the kept ones by rank", "drawn by rank")
def _(logits, temperature, top_k, u):
    if temperature == 0 or not top_k:
        return draw(logits, temperature, top_k, u)
    best = logits.sort(descending=True, stable=True).indices[:top_k]
    return best[inverse((logits[best] / temperature).softmax(-1), u)]


@bug("top-k without the temperature", "the temperature is not used any more")
def _(logits, temperature, top_k, u):
    return draw(logits, 1 if top_k and temperature else temperature, top_k, u)


@bug("≥ in place of >", "not equal to it")
def _(*inputs):
    return draw(*inputs, pick=lambda p, u: int((p.double().cumsum(-1) >= u).nonzero()[0]))


@bug("nothing is above u", "u just below 1")
def _(*inputs):
    return draw(*inputs, pick=lambda p, u: (p.cumsum(-1) > u).int().argmax())


@bug("the last id, though p is 0", "u just below 1")
def _(*inputs):
    return draw(*inputs, pick=lambda p, u: min(int((p.cumsum(-1) <= u).sum()), len(p) - 1))


@bug("exp overflows", "subtract the largest logit")
def _(*inputs):
    def share(logits):
        e = logits.exp()
        return (e / e.sum()).nan_to_num(0, 0, 0)

    return draw(*inputs, share=share, pick=lambda p, u: inverse(p, u) if p.any() else 0)
