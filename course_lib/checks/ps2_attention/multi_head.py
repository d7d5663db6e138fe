"""Exercise 3: several heads from given matrices. One place first (no weights to speak of), then one head's pattern."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks.case import Case, passed
from course_lib.checks.tensors import compare_tensors

NAME = "multi_head_attention"
LN3, ROOT2 = math.log(3), math.sqrt(2)
DEALT = "The columns are dealt out to the heads in turn: head 0 is the first d_head columns, not every n_heads-th one."
ORDER = "The columns come back in another order: head 0 has the first d_head columns, before and after."


def check_multi_head_attention(answer: Callable) -> None:
    """The answer: x (B, T, d_model), four matrices (d_model, d_model) used as x @ W, n_heads, mask (T, T) or none →
    (B, T, d_model)."""
    one_place(answer)
    two_heads(answer)
    first_place(answer)
    two_patterns(answer)
    scale(answer)
    any_numbers(answer)
    passed(NAME)


def attend(answer: Callable, x, W_q, W_k, W_v, W_o, n_heads: int, mask=None, shown: str | None = None):
    tensors = [torch.as_tensor(each, dtype=torch.float32) for each in (x, W_q, W_k, W_v, W_o)]
    rest = [] if mask is None else [torch.as_tensor(mask)]
    case = Case(answer, NAME, *tensors, n_heads, *rest, shown=shown)
    return case, case.numbers(*tensors[0].shape, hint="The result has the shape of x.")


def one_place(answer: Callable) -> None:
    """T = 1: the only weight is 1, so the output is x W_v W_o."""
    W_q, W_k, W_v, W_o = [[2, 0], [1, 1]], [[1, 3], [0, 1]], [[1, 2], [0, 3]], [[1, 0], [4, 1]]
    shown = f"{NAME}(x, …, n_heads=1), x = [[[1, 2]]], W_v = {W_v}, W_o = {W_o}"
    case, got = attend(answer, [[[1, 2]]], W_q, W_k, W_v, W_o, 1, shown=shown)
    turned = "A matrix is used from the wrong side or transposed: it is x @ W, for {}."
    suspects = [
        ([[[1, 8]]], "The output projection is missing: multiply the joined heads by W_o."),
        ([[[9, 2]]], "The values are not projected: v = x @ W_v."),
        ([[[1, 2]]], "Neither W_v nor W_o is used."),
        ([[[9, 24]]], "W_o comes before W_v; first the values, x @ W_v, last the output projection."),
        ([[[29, 6]]], turned.format("W_v")),
        ([[[1, 12]]], turned.format("W_o")),
        ([[[5, 26]]], turned.format("all four")),
        ([[[21, 5]]], "The values come from W_k: v = x @ W_v."),
        ([[[12, 2]]], "The values come from W_q: v = x @ W_v."),
        ([[[34, 10]]], "x is added to the result: the residual connection is not asked for."),
        ([[[33 / ROOT2, 8 / ROOT2]]], "The scale is outside the softmax: divide the scores, not the weights."),
    ]
    otherwise = "With one place its weight is 1, and the output is x @ W_v @ W_o."
    case.compare(got, [[[33, 8]]], otherwise, suspects)


def two_heads(answer: Callable) -> None:
    """T = 1, d_head = 1, all scores 0; W_v mixes the columns, so it matters that x is projected whole."""
    W_q, W_k, W_v, W_o = np.zeros((2, 2)), np.eye(2), [[1, 2], [4, 3]], np.eye(2)
    shown = f"{NAME}(x, …, n_heads=2), x = [[[1, 2]]], W_q = 0, W_k = W_o = identity, W_v = {W_v}"
    case, got = attend(answer, [[[1, 2]]], W_q, W_k, W_v, W_o, 2, shown=shown)
    suspects = [
        ([[[1, 6]]], "x is cut into heads before W_v: each head sees all of x. Project first, then cut x @ W_v."),
        (
            [[[9 / 2, 4]]],
            "softmax runs over the heads (dim=1): each query has a softmax over its keys, the last axis (dim=-1).",
        ),
        ([[[8, 9]]], "The heads are joined in another order: head 0 first."),
    ]
    case.compare(got, [[[9, 8]]], "With one place the output is x @ W_v @ W_o, however many heads there are.", suspects)


def first_place(answer: Callable) -> None:
    """W_q = 0: all scores are 0, so each place gets the mean of what it sees. Two heads, W_v = W_o = 1."""
    x = np.array([[[1, 2, 3, 4], [3, 6, 9, 12], [8, 4, 0, 2]]])
    none, one, causal = np.zeros((4, 4)), np.eye(4), np.tril(np.ones((3, 3), bool))
    shown = f"{NAME}(x, …, n_heads=2, mask=causal), x = {x.tolist()}, W_q = 0, the other matrices = identity"
    case, got = attend(answer, x, none, one, one, one, 2, causal, shown)
    means = np.array([[[1, 2, 3, 4], [2, 4, 6, 8], [4, 4, 4, 6]]])
    inside_out = means.reshape(1, 3, 2, 2).transpose(0, 2, 1, 3).reshape(1, 3, 4)  # heads not moved back behind T
    cut = x.reshape(1, 2, 3, 2)  # cut into heads without moving T
    cut_means = np.stack([cut[:, :, : t + 1].mean(2) for t in range(3)], 2)
    suspects = [
        (np.broadcast_to(x.mean(1, keepdims=True), (1, 3, 4)), "The mask is not used."),
        (means * np.array([1, 2, 3])[:, None] / 3, "The mask comes after the softmax: the weights do not add up to 1."),
        (x[:, ::-1].cumsum(1)[:, ::-1] / [[3], [2], [1]], "The mask is turned round: rows are queries, columns keys."),
        ([[x[0, 1:].mean(0), x[0, 2], x[0].mean(0)]], "The mask is the wrong way round: True means may look."),
        (
            lambda got: np.isnan(got[0, 0]).any() and not np.isnan(got[0, 2]).any(),
            "softmax runs over the wrong axis: the weights of one query add up to 1, so use the last axis (dim=-1).",
        ),
        (
            lambda got: np.isnan(got[0, 2]).any() and not np.isnan(got[0, 0]).any(),
            "There is a nan: the mask is the wrong way round (True means may look).",
        ),
        (lambda got: np.isnan(got).any(), "There is a nan (from 0 · ∞ or 0/0): put −∞ where the mask is False."),
        (inside_out, "The heads are joined without moving T back in front of them: transpose before you reshape."),
        (
            cut_means.reshape(1, 3, 4),
            "x @ W is cut into (B, n_heads, T, d_head) straight away: cut the last axis, then move the heads forward.",
        ),
        (
            cut_means.transpose(0, 2, 1, 3).reshape(1, 3, 4),
            "x @ W is cut into (B, n_heads, T, d_head) straight away: cut the last axis, then move the heads forward.",
        ),
        (
            np.array([[1, 0, 0], [1, 3 / 2, 0], [1, 3 / 2, 3]]) / 3 @ x,
            "softmax runs over the wrong axis: the weights of one query add up to 1, so use the last axis (dim=-1).",
        ),
        (means[..., [0, 2, 1, 3]], ORDER),
    ]
    case.compare(got, means, "All scores are 0: place i gets the mean of the places 0 … i.", suspects)


def two_patterns(answer: Callable) -> None:
    """Head 0 (columns 0 and 1) looks at the place itself, head 1 (columns 2 and 3) at all places evenly."""
    x = np.array([[[1, 0, 4, 6], [0, 1, 8, 2]]])
    W_q = np.diag([100, 100, 0, 0])
    shown = f"{NAME}(x, …, n_heads=2), x = {x.tolist()}, W_q = diag(100, 100, 0, 0), the other matrices = identity"
    case, got = attend(answer, x, W_q, np.eye(4), np.eye(4), np.eye(4), 2, shown=shown)
    own, even = x[0], x[0].mean(0)
    suspects = [
        ([own], "There is one softmax over all columns: every head has a softmax of its own, over its own columns."),
        ([np.where([[1, 0, 1, 0], [0, 1, 0, 1]], own, even)], DEALT),
        ([np.where([1, 1, 0, 0], own, even)[:, [2, 3, 0, 1]]], "The heads are joined in another order: head 0 first."),
        ([np.where([1, 1, 0, 0], own, even)[:, [0, 2, 1, 3]]], ORDER),
        ([np.tile(even, (2, 1))], "All weights are equal: are q and k cut into heads as v is?"),
    ]
    expected = np.where([1, 1, 0, 0], own, even)[None]
    otherwise = "Head 0 copies its columns of the place itself; head 1 gives the mean of its columns."
    case.compare(got, expected, otherwise, suspects)


def scale(answer: Callable) -> None:
    """d_head = 8/2 = 4, so the scale is 1/2. Only the score of query 0 and key 1 in head 0 is not 0."""
    x, W_q, W_k, one = np.eye(8)[None, :2], np.zeros((8, 8)), np.zeros((8, 8)), np.eye(8)
    W_q[0, 0], W_k[1, 0] = 1, 2 * LN3
    shown = f"{NAME}(x, …, n_heads=2), d_model = 8, W_v = W_o = identity, q_0 · k_1 = 2 ln 3 in head 0"
    case, got = attend(answer, x, W_q, W_k, one, one, 2, shown=shown)

    def weights(by: float) -> np.ndarray:
        other = math.exp(2 * LN3 * by)
        rows = np.zeros((1, 2, 8))
        rows[0, :, :2] = [1 / (1 + other), other / (1 + other)], [1 / 2, 1 / 2]
        return rows

    swapped = weights(1 / 2)[:, ::-1].copy()
    swapped[0, 1, :2] = 3 / 4, 1 / 4
    suspects = [
        (weights(1), "The scores are not scaled: divide them by √d_head."),
        (weights(1 / math.sqrt(8)), "The scores are divided by √d_model; each head has d_head = 4: divide by √d_head."),
        (weights(1 / 8), "The scores are divided by d_model; divide by √d_head."),
        (weights(1 / 4), "The scores are divided by d_head; divide by its square root."),
        (weights(1 / ROOT2), "The scores are divided by √n_heads; divide by √d_head."),
        (weights(2), "The scores are multiplied by √d_head: divide."),
        (swapped, "W_q and W_k are swapped, or the scores are transposed: rows are queries, columns keys."),
    ]
    otherwise = "Query 0 has the scores 0 and 2 ln 3 in head 0; divided by √4 they give the weights 1/4 and 3/4."
    case.compare(got, weights(1 / 2), otherwise, suspects)


def any_numbers(answer: Callable) -> None:
    """Against PyTorch's own, with matrices that are not symmetric; B = 3, T = 5, d_model = 12, four heads."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 5, 12, generator=generator)
    matrices = [torch.randn(12, 12, generator=generator) / 2 for _ in range(4)]
    causal = torch.ones(5, 5).tril().bool()
    order = torch.arange(12).reshape(3, 4).T.flatten()  # columns 0, 4, 8 in head 0

    def reference(W_q, W_k, W_v, W_o, heads=4, mask=None) -> np.ndarray:
        zeros = torch.zeros(12)
        output, _ = F.multi_head_attention_forward(
            *[x.transpose(0, 1)] * 3, 12, heads, torch.cat([W_q.T, W_k.T, W_v.T]), zeros.repeat(3), None, None, False,
            0.0, W_o.T, zeros, attn_mask=None if mask is None else ~mask, need_weights=False,
        )  # fmt: skip
        return output.transpose(0, 1).numpy()

    W_q, W_k, W_v, W_o = matrices
    for mask in (None, causal):
        text = f"{NAME}(x, W_q, W_k, W_v, W_o, 4{'' if mask is None else ', mask'}), x of shape (3, 5, 12)"
        case, got = attend(answer, x, *matrices, 4, mask, shown=text)
        suspects = [
            (reference(*(W[:, order] for W in matrices[:3]), W_o[order], mask=mask), DEALT),
            (reference(W_q, W_k, W_v, W_o[order], mask=mask), ORDER),
        ]  # fmt: skip
        if mask is not None:
            suspects += [(reference(*matrices), "The mask is not used.")]
        otherwise = "The output is off for a random x and random matrices, though the small cases are right."
        compare_tensors(case, got, reference(*matrices, mask=mask), otherwise, suspects)
