"""Exercise 2: a causal mask that also hides padding."""

import numpy as np
import torch
from variants.registry import Exercise

from course_lib.checks.ps2_attention import check_causal_padding_mask

exercise = Exercise("causal_padding_mask", check_causal_padding_mask)
right, bug = exercise.right, exercise.bug


def causal(T, S, shift=0):
    return torch.ones(T, S, dtype=torch.bool).tril(S - T + shift)


def real(S, lengths):
    return torch.arange(S) < lengths[:, None]


@right("PyTorch, comparing places")
def _(T, S, lengths):
    i, j = torch.arange(S - T, S)[:, None], torch.arange(S)
    return (j <= i) & (j < lengths[:, None, None])


@right("tril with a diagonal")
def _(T, S, lengths):
    return causal(T, S) & real(S, lengths)[:, None, :]


@right("the last rows of the whole triangle")
def _(T, S, lengths):
    return torch.ones(S, S).tril()[-T:].bool().expand(len(lengths), T, S) & real(S, lengths).unsqueeze(1)


@right("NumPy, numbers 0 and 1")
def _(T, S, lengths):
    return np.tri(T, S, S - T) * (np.arange(S) < lengths.numpy()[:, None])[:, None]


@right("three loops, lists")
def _(T, S, lengths):
    return [[[S - T + i >= j and j < n for j in range(S)] for i in range(T)] for n in lengths.tolist()]


@right("what may not be seen, turned round")
def _(T, S, lengths):
    later = torch.triu(torch.ones(T, S, dtype=torch.bool), diagonal=S - T + 1)
    padding = torch.arange(S)[None] >= lengths[:, None]
    return ~(later[None] | padding[:, None])


@right("filled text by text")
def _(T, S, lengths):
    mask = torch.zeros(len(lengths), T, S, dtype=torch.bool)
    for b, n in enumerate(lengths):
        for i in range(T):
            mask[b, i, : min(int(n), S - T + i + 1)] = True
    return mask


@bug("the wrong way round", "the wrong way round")
def _(T, S, lengths):
    return ~(causal(T, S) & real(S, lengths)[:, None])


@bug("a mask to add", "made to be added to scores")
def _(T, S, lengths):
    return torch.zeros(len(lengths), T, S).masked_fill(~(causal(T, S) & real(S, lengths)[:, None]), -torch.inf)


@bug("without the diagonal", "its own place, too")
def _(T, S, lengths):
    return causal(T, S, -1) & real(S, lengths)[:, None]


@bug("the next token seen", "one place too many")
def _(T, S, lengths):
    return causal(T, S, 1) & real(S, lengths)[:, None]


@bug("rows and columns swapped", "Rows and columns are swapped")
def _(T, S, lengths):
    return torch.ones(T, S).triu(S - T).bool() & real(S, lengths)[:, None]


@bug("not causal", "sees the whole text")
def _(T, S, lengths):
    return real(S, lengths)[:, None].expand(-1, T, S)


@bug("the first T of S", "the last of the S places, not the first")
def _(T, S, lengths):
    return torch.ones(T, S).tril().bool() & real(S, lengths)[:, None]


@bug("S − T − 1", "The newest query stands at the last place")
def _(T, S, lengths):
    return causal(T, S, 0 if T == S else -1) & real(S, lengths)[:, None]


@bug("S − T + 1", "shifted by one")
def _(T, S, lengths):
    return causal(T, S, 0 if T == S else 1) & real(S, lengths)[:, None]


@bug("older keys hidden", "The older keys are hidden")
def _(T, S, lengths):
    older = torch.arange(S) < S - T
    return causal(T, S) & real(S, lengths)[:, None] & ~(older if T > 1 else older & False)


@bug("padding not hidden", "`lengths` is not used")
def _(T, S, lengths):
    return causal(T, S).expand(len(lengths), T, S)


@bug("one padded key seen", "One padded key is still seen")
def _(T, S, lengths):
    return causal(T, S) & (torch.arange(S) <= lengths[:, None])[:, None]


@bug("one real key hidden", "One real key is hidden")
def _(T, S, lengths):
    return causal(T, S) & ((torch.arange(S) < lengths[:, None] - 1) | (lengths[:, None] == S))[:, None]


@bug("padding at the beginning", "at the end of a text")
def _(T, S, lengths):
    return causal(T, S) & (torch.arange(S) >= S - lengths[:, None])[:, None]


@bug("padded queries instead of keys", "The rows of padded queries are empty")
def _(T, S, lengths):
    return causal(T, S) & real(S, lengths)[:, S - T :, None]


@bug("padded queries see nothing", "The rows of padded queries are empty")
def _(T, S, lengths):
    return causal(T, S) & real(S, lengths)[:, None] & real(S, lengths)[:, S - T :, None]


@bug("or instead of and", "causal AND not padding")
def _(T, S, lengths):
    mask = causal(T, S) | real(S, lengths)[:, None]
    return mask if S > int(lengths.min()) else causal(T, S)[None]


@bug("the first length for all", "the first is used for all")
def _(T, S, lengths):
    return (causal(T, S) & (torch.arange(S) < lengths[0])).expand(len(lengths), T, S)


@bug("the queries end with the text", "padding included")
def _(T, S, lengths):
    last = S if T == S else lengths[:, None, None]
    i = last - T + torch.arange(T)[:, None]
    return (torch.arange(S) <= i) & real(S, lengths)[:, None]


@bug("one table only", "One table for each text")
def _(T, S, lengths):
    return causal(T, S) & real(S, lengths)[0]
