"""Exercise 5: causal linear attention with a state."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps2_attention import check_linear_attention

exercise = Exercise("linear_attention", check_linear_attention)
right, bug = exercise.right, exercise.bug


def phi(x):
    return F.elu(x) + 1


def zeros(query, value):
    S = torch.zeros(*query.shape[:-2], query.shape[-1], value.shape[-1])
    return S, torch.zeros(*query.shape[:-2], query.shape[-1])


@right("φ by its two cases, exact far below 0")
def _(query, key, value, state=None):
    f = lambda x: torch.where(x > 0, x + 1, x.clamp(max=0).exp())  # noqa: E731
    return attend(query, key, value, state, f=f, g=f)


@right("token by token, vectors and matrices")
def _(query, key, value, state=None):
    S, z = state if state is not None else zeros(query, value)
    rows = []
    for t in range(query.shape[-2]):
        q, k = F.elu(query[..., t, :]) + 1, F.elu(key[..., t, :]) + 1
        S = S + k[..., :, None] * value[..., t, None, :]
        z = z + k
        rows.append((q[..., None, :] @ S)[..., 0, :] / (q * z).sum(-1, keepdim=True))
    return torch.stack(rows, -2), (S, z)


@right("NumPy float64, in place, with a little something below the line")
def _(query, key, value, state=None):
    f = [np.where(x > 0, x + 1, np.exp(x)) for x in (query.double().numpy(), key.double().numpy())]
    S, z = (each.double().numpy().copy() for each in state or zeros(query, value))
    output = np.empty(value.shape)
    for t in range(query.shape[-2]):
        S += np.einsum("...c,...d->...cd", f[1][..., t, :], value[..., t, :])
        z += f[1][..., t, :]
        above = np.einsum("...c,...cd->...d", f[0][..., t, :], S)
        output[..., t, :] = above / ((f[0][..., t, :] * z).sum(-1)[..., None] + 1e-6)
    return [output, [S, z]]


@right("running sums of all tokens at once")
def _(query, key, value, state=None):
    q, k = phi(query), phi(key)
    S, z = state or zeros(query, value)
    S = S[..., None, :, :] + torch.einsum("...tc,...td->...tcd", k, value).cumsum(-3)
    z = z[..., None, :] + k.cumsum(-2)
    output = torch.einsum("...tc,...tcd->...td", q, S) / torch.einsum("...tc,...tc->...t", q, z)[..., None]
    return output, (S[..., -1, :, :], z[..., -1, :])


@right("all weights in a table inside of the piece, the state for what was before")
def _(query, key, value, state=None):
    return table(query, key, value, *(state or zeros(query, value)))


def table(query, key, value, S, z):
    q, k = phi(query), phi(key)
    weights = (q @ k.mT).tril()
    below = weights.sum(-1, keepdim=True) + q @ z[..., None]
    return (weights @ value + q @ S) / below, (S + k.mT @ value, z + k.sum(-2))


@right("in chunks of three tokens, tables inside")
def _(query, key, value, state=None):
    state, outputs = state or zeros(query, value), []
    for chunk in zip(query.split(3, -2), key.split(3, -2), value.split(3, -2), strict=True):
        output, state = table(*chunk, *state)
        outputs.append(output)
    return torch.cat(outputs, -2), state


@right("a column of ones in the values keeps z inside of S")
def _(query, key, value, state=None):
    S, z = state or zeros(query, value)
    both, rows = torch.cat([S, z[..., None]], -1), []
    extended = torch.cat([value, torch.ones_like(value[..., :1])], -1)
    for q, k, v in zip(phi(query).unbind(-2), phi(key).unbind(-2), extended.unbind(-2), strict=True):
        both = both + k.unsqueeze(-1) * v.unsqueeze(-2)
        rows.append((q.unsqueeze(-1) * both).sum(-2))
    rows = torch.stack(rows, -2)
    return rows[..., :-1] / rows[..., -1:], (both[..., :-1], both[..., -1])


@right("lists of Python floats, one head after another")
def _(query, key, value, state=None):
    S, z = (each.tolist() for each in state or zeros(query, value))
    return lists(query.tolist(), key.tolist(), value.tolist(), S, z)


def lists(query, key, value, S, z):
    if isinstance(z[0], list):
        done = [lists(*each) for each in zip(query, key, value, S, z, strict=True)]
        return [output for output, _ in done], ([S for _, (S, _) in done], [z for _, (_, z) in done])

    def f(row):
        return [x + 1 if x > 0 else math.exp(x) for x in row]

    output = []
    for q, k, v in zip(map(f, query), map(f, key), value, strict=True):
        S = [[s + kc * vd for s, vd in zip(row, v, strict=True)] for row, kc in zip(S, k, strict=True)]
        z = [a + b for a, b in zip(z, k, strict=True)]
        below = sum(a * b for a, b in zip(q, z, strict=True))
        output.append([sum(qc * row[d] for qc, row in zip(q, S, strict=True)) / below for d in range(len(v))])
    return output, (S, z)


def attend(query, key, value, state=None, f=phi, g=phi, S_sums=True, z_sums=True, below=None, shift=False):
    """Right as it is; the keywords put one mistake in."""
    S, z = state or zeros(query, value)
    rows = []
    for t in range(query.shape[-2]):
        q, k, v = f(query[..., t, :]), g(key[..., t, :]), value[..., t, :]
        before = S, z
        S = (S if S_sums else 0) + k[..., :, None] * v[..., None, :]
        z = (z if z_sums else 0) + k
        S_read, z_read = before if shift else (S, z)
        divisor = (q * z_read).sum(-1, keepdim=True) if below is None else below(q, z_read, t)
        rows.append((q[..., None, :] @ S_read)[..., 0, :] / divisor)
    return torch.stack(rows, -2), (S, z)


@bug("no φ", "φ(k), not k")
def _(query, key, value, state=None):
    return attend(query, key, value, state, f=lambda x: x, g=lambda x: x)


@bug("no φ for the queries", "φ(q) is missing")
def _(query, key, value, state=None):
    return attend(query, key, value, state, f=lambda x: x)


@bug("no φ for the keys", "φ(k), not k")
def _(query, key, value, state=None):
    return attend(query, key, value, state, g=lambda x: x)


@bug("elu without + 1", "This is elu(k)")
def _(query, key, value, state=None):
    return attend(query, key, value, state, f=F.elu, g=F.elu)


@bug("elu without + 1 for the keys", "This is elu(k)")
def _(query, key, value, state=None):
    return attend(query, key, value, state, g=F.elu)


@bug("relu + 1", "you take relu(x) + 1")
def _(query, key, value, state=None):
    return attend(query, key, value, state, f=lambda x: x.relu() + 1, g=lambda x: x.relu() + 1)


@bug("x + 1 everywhere", "you take x + 1 everywhere")
def _(query, key, value, state=None):
    return attend(query, key, value, state, f=lambda x: x + 1, g=lambda x: x + 1)


@bug("relu for the keys", "This is relu(k)")
def _(query, key, value, state=None):
    return attend(query, key, value, state, g=torch.relu)


@bug("exp everywhere", "you take eˣ everywhere")
def _(query, key, value, state=None):
    return attend(query, key, value, state, f=torch.exp, g=torch.exp)


@bug("φ is a softmax", "there is no softmax")
def _(query, key, value, state=None):
    return attend(query, key, value, state, f=lambda x: x.softmax(-1), g=lambda x: x.softmax(-1))


@bug("queries and keys scaled by √d_k", "There is no √d_k")
def _(query, key, value, state=None):
    root = math.sqrt(query.shape[-1])
    return attend(query / root, key / root, value, state)


@bug("queries scaled by √d_k before φ", "There is no √d_k")
def _(query, key, value, state=None):
    return attend(query / math.sqrt(query.shape[-1]), key, value, state)


@bug("φ for the values, too", "values stay as they are")
def _(query, key, value, state=None):
    output, _ = attend(query, key, value, state)
    return output, attend(query, key, phi(value), state)[1]


@bug("softmax attention", "There is no softmax here")
def _(query, key, value, state=None):
    _, state = attend(query, key, value, state)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True), state


@bug("no normaliser", "The normaliser is missing")
def _(query, key, value, state=None):
    return attend(query, key, value, state, below=lambda q, z, t: 1)


@bug("the sum of z as normaliser", "you divide by the sum of z alone")
def _(query, key, value, state=None):
    return attend(query, key, value, state, below=lambda q, z, t: z.sum(-1, keepdim=True))


@bug("the number of tokens as normaliser", "The normaliser is missing")
def _(query, key, value, state=None):
    return attend(query, key, value, state, below=lambda q, z, t: t + 1)


@bug("normaliser of the last token only", "z is not added up")
def _(query, key, value, state=None):
    return attend(query, key, value, state, z_sums=False)


@bug("S of the last token only", "S is not added up")
def _(query, key, value, state=None):
    return attend(query, key, value, state, S_sums=False)


@bug("neither S nor z added up", "Nothing is added up")
def _(query, key, value, state=None):
    return attend(query, key, value, state, S_sums=False, z_sums=False)


@bug("nan replaced by 0", "The query does not see itself")
def _(query, key, value, state=None):
    output, state = attend(query, key, value, state, shift=True)
    return output.nan_to_num(), state


@bug("means in the state", "not a mean")
def _(query, key, value, state=None):
    output, (S, z) = attend(query, key, value, state)
    return output, (S / query.shape[-2], z / query.shape[-2])


@bug("only the given state is read", "The new token is not added")
def _(query, key, value, state=None):
    output, after = attend(query, key, value, state)
    if state:
        q = phi(query)
        output = q @ state[0] / (q @ state[1][..., None])
    return output, after


@bug("the state used for pieces of one token only", "must give what it gives at once")
def _(query, key, value, state=None):
    output, after = attend(query, key, value, state)
    if state and query.shape[-2] > 1:
        output = attend(query, key, value)[0]
    return output, after


@bug("normaliser as it is at the end", "not at the end")
def _(query, key, value, state=None):
    z = (state or zeros(query, value))[1] + phi(key).sum(-2)
    return attend(query, key, value, state, below=lambda q, _, t: (q * z).sum(-1, keepdim=True))


@bug("not causal", "Query 0 sees every token")
def _(query, key, value, state=None):
    _, (S, z) = attend(query, key, value, state)
    return phi(query) @ S / (phi(query) @ z[..., None]), (S, z)


@bug("read before the own token is added", "The query does not see itself")
def _(query, key, value, state=None):
    return attend(query, key, value, state, shift=True)


@bug("sums from the end", "Query 0 sees every token")
def _(query, key, value, state=None):
    output, state = attend(query.flip(-2), key.flip(-2), value.flip(-2), state)
    return output.flip(-2), state


@bug("sum over the batch", "has shape")
def _(query, key, value, state=None):
    output, (S, z) = attend(query, key, value, state)
    return output, (S.reshape(-1, *S.shape[-2:]).sum(0), z.reshape(-1, z.shape[-1]).sum(0))


@bug("heads share their keys", "yours depends on the others")
def _(query, key, value, state=None):
    mean = key.mean(tuple(range(key.ndim - 2)), keepdim=True).expand_as(key) if key.ndim > 2 else key
    return attend(query, mean, value, state)


@bug("queries and keys swapped", "not φ(q)")
def _(query, key, value, state=None):
    return attend(key, query, value, state)


@bug("the query before", "uses the query of token 0")
def _(query, key, value, state=None):
    return attend(torch.cat([query[..., :1, :], query[..., :-1, :]], -2), key, value, state)


@bug("state ignored", "is not used: go on from it")
def _(query, key, value, state=None):
    return attend(query, key, value)


@bug("only S goes on", "z of the given state is not used")
def _(query, key, value, state=None):
    return attend(query, key, value, state and (state[0], 0 * state[1]))


@bug("only z goes on", "S of the given state is not used")
def _(query, key, value, state=None):
    return attend(query, key, value, state and (0 * state[0], state[1]))


@bug("this piece's own state returned", "holds this piece only")
def _(query, key, value, state=None):
    return attend(query, key, value, state)[0], attend(query, key, value)[1]


@bug("the given state returned", "is the one that was given")
def _(query, key, value, state=None):
    output, after = attend(query, key, value, state)
    return output, state or after


@bug("the last token alone in the state", "of the last token only")
def _(query, key, value, state=None):
    output, _ = attend(query, key, value, state)
    return output, attend(query[..., -1:, :], key[..., -1:, :], value[..., -1:, :], state)[1]


@bug("the state before the last token", "lacks the last token")
def _(query, key, value, state=None):
    output, after = attend(query, key, value, state)
    if query.shape[-2] > 1:
        after = attend(query[..., :-1, :], key[..., :-1, :], value[..., :-1, :], state)[1]
    return output, after


@bug("S and z added to in place", "The given state has changed")
def _(query, key, value, state=None):
    output, after = attend(query, key, value, state)
    if state:
        for given, new in zip(state, after, strict=True):
            given.copy_(new)
    return output, state or after


@bug("three things returned", "The state is one pair")
def _(query, key, value, state=None):
    output, (S, z) = attend(query, key, value, state)
    return output, S, z


@bug("S transposed", "shape")
def _(query, key, value, state=None):
    output, (S, z) = attend(query, key, value, state and (state[0].mT, state[1]))
    return output, (S.mT, z)


@bug("S alone returned as the state", "it is a pair")
def _(query, key, value, state=None):
    output, after = attend(query, key, value, state)
    return output, after[0]


@bug("no state returned", "end with `return output, state`")
def _(query, key, value, state=None):
    return attend(query, key, value, state)[0]
