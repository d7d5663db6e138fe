"""Exercise 1: scaled dot-product attention. One key first, so that only values matter; then weights worked by hand."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks.case import Case, passed
from course_lib.checks.tensors import compare_tensors

NAME = "attention"
LN3, ROOT3 = math.log(3), math.sqrt(3)


def check_attention(answer: Callable) -> None:
    """The answer: query (..., T, d_k), key (..., S, d_k), value (..., S, d_v), mask (..., T, S) or none → output
    (..., T, d_v) and weights (..., T, S)."""
    one_key(answer)
    two_keys(answer)
    several_queries(answer)
    masked(answer)
    large_scores(answer)
    batch(answer)
    passed(NAME)


def attend(answer: Callable, query, key, value, mask=None, shown: str | None = None):
    """(case of the output, output, case of the weights, weights)."""
    query, key, value = (torch.as_tensor(each, dtype=torch.float32) for each in (query, key, value))
    inputs = (query, key, value) if mask is None else (query, key, value, torch.as_tensor(mask))
    output, weights = Case(answer, NAME, *inputs, shown=shown).parts("output", "weights")
    *rows, T, _ = query.shape
    order = "Return the output (..., T, d_v) first, then the weights (..., T, S)."
    return (
        output,
        output.numbers(*rows, T, value.shape[-1], hint=order),
        weights,
        weights.numbers(*rows, T, key.shape[-2], hint=order),
    )


def one_key(answer: Callable) -> None:
    """The score is 2, scaled 2/√3; the only weight is 1 whatever it is."""
    case, output, case_w, weights = attend(answer, [[1.0, 2, 0]], [[2.0, 0, 1]], [[5.0, 7]])
    scaled = 2 / ROOT3
    suspects = [
        ([[2]], "The weights are the scores themselves: softmax is missing."),
        ([[scaled]], "The weights are the scaled scores: softmax is missing."),
        ([[math.exp(scaled)]], "exp without its normaliser: divide by the sum over the keys."),
        ([[math.exp(2)]], "exp without its normaliser: divide by the sum over the keys."),
        ([[1 / ROOT3]], "1/√d_k belongs to the scores, inside the softmax: here it shrinks the weights."),
    ]
    case_w.compare(weights, [[1]], "With a single key its weight is 1, whatever the score.", suspects)
    suspects = [
        ([[10, 14]], "The output is weighed with the score: use the weights after the softmax."),
        ([[10 / ROOT3, 14 / ROOT3]], "The output is weighed with the score: use the weights after the softmax."),
        ([[5 / ROOT3, 7 / ROOT3]], "1/√d_k belongs to the scores, inside the softmax: here it shrinks the output."),
    ]
    case.compare(output, [[5, 7]], "With a single key the output is its value.", suspects)


def two_keys(answer: Callable) -> None:
    """d_k = 4, so the scale is 1/2: scores 0 and 2 ln 3 become 0 and ln 3, the weights 1/4 and 3/4. d_v = 3."""
    key = [[0.0, 0, 0, 0], [2 * LN3, 0, 0, 0]]
    case, output, case_w, weights = attend(answer, [[1.0, 0, 0, 0]], key, [[4.0, 0, 8], [8.0, 4, 0]])

    def scaled(by: float) -> list:
        other = math.exp(2 * LN3 * by)
        return [[1 / (1 + other), other / (1 + other)]]

    suspects = [
        (scaled(1), "The scores are not scaled: divide them by √d_k before the softmax."),
        (scaled(2), "The scores are multiplied by √d_k: divide."),
        (scaled(1 / 4), "The scores are divided by d_k = 4: divide by its square root."),
        (scaled(1 / ROOT3), "The scores are divided by √d_v: the scale comes from the keys, √d_k."),
        (scaled(1 / math.sqrt(2)), "The scores are divided by √S, the number of keys: divide by √d_k."),
        ([[1 / 20, 9 / 20]], "The scale is outside the softmax: divide the scores, not the weights."),
        ([[1, 1]], "softmax runs over the wrong axis: the weights of one query over all keys add up to 1 (dim=-1)."),
        ([[3 / 4, 1 / 4]], "The sign is wrong: the key with the larger score gets the larger weight."),
        ([[1 / 2, 1 / 2]], "The weights do not depend on the scores."),
        ([[0, 1]], "Only the best key is taken: softmax gives every key its share."),
    ]
    otherwise = "The scores are 0 and 2 ln 3; divided by √4 they are 0 and ln 3, so the weights are 1/4 and 3/4."
    case_w.compare(weights, [[1 / 4, 3 / 4]], otherwise, suspects)
    suspects = [
        ([[12, 4, 8]], "The values are added: weigh each with the weight of its key."),
        ([[6, 2, 4]], "The values are averaged: weigh each with the weight of its key."),
        ([[5, 1, 6]], "The values are taken in the wrong order: weight j belongs to value j."),
    ]
    case.compare(output, [[7, 3, 2]], "The output is 1/4 of the first value and 3/4 of the second.", suspects)


def several_queries(answer: Callable) -> None:
    """T = 3 queries, S = 2 keys, scaled scores (0, ln 3), (0, 0), (ln 3, 0)."""
    query, key = [[0.0, LN3], [0.0, 0], [LN3, 0]], [[math.sqrt(2), 0], [0, math.sqrt(2)]]
    case, output, case_w, weights = attend(answer, query, key, [[4.0], [8.0]])
    columns = np.exp(np.array([[0, LN3], [0, 0], [LN3, 0]]))
    suspects = [
        (
            columns / columns.sum(0),
            "softmax runs over the wrong axis: the weights of one query add up to 1, so use the last axis (dim=-1).",
        ),
        (columns / columns.sum(), "softmax runs over all scores at once: each query has a softmax of its own."),
    ]
    expected = [[1 / 4, 3 / 4], [1 / 2, 1 / 2], [3 / 4, 1 / 4]]
    case_w.compare(weights, expected, "Row i holds the weights of query i.", suspects)
    case.compare(output, [[7], [6], [5]], "Row i of the output is what query i gets.")


def masked(answer: Callable) -> None:
    """T = 2, S = 3, d_k = 1 and every score is ln 3, so that a masked score of 0 would show."""
    mask = [[True, False, False], [True, True, False]]
    query, key = [[LN3], [LN3]], [[1.0], [1.0], [1.0]]
    case, output, case_w, weights = attend(answer, query, key, [[3.0, 0], [6.0, 0], [0.0, 9]], mask)
    third, e = 1 / 3, math.e
    suspects = [
        ([[third] * 3] * 2, "The mask is not used."),
        ([[0, 1 / 2, 1 / 2], [0, 0, 1]], "The mask is the wrong way round: True means that the query may look."),
        ([[third, 0, 0], [third, third, 0]], "The mask comes after the softmax, so the weights do not add up to 1."),
        ([[0, third, third], [0, 0, third]], "The mask comes after the softmax, and it is the wrong way round."),
        ([[3 / 5, 1 / 5, 1 / 5], [3 / 7, 3 / 7, 1 / 7]], "Masked scores became 0, which is a score: use −∞ (`-inf`)."),
        (
            [[e / (e + 2), 1 / (e + 2), 1 / (e + 2)], [e / (2 * e + 1), e / (2 * e + 1), 1 / (2 * e + 1)]],
            "The mask is added as 0 and 1: put −∞ where it is False.",
        ),
        (lambda got: np.isnan(got).any(), "There is a nan (from 0 · ∞ or ∞ − ∞): put −∞ where the mask is False."),
    ]  # fmt: skip
    otherwise = "Query 0 may look at key 0 only, query 1 at keys 0 and 1, which have equal scores."
    case_w.compare(weights, [[1, 0, 0], [1 / 2, 1 / 2, 0]], otherwise, suspects)
    suspects = [([[3, 3], [3, 3]], "The weights are masked, but the output is made without the mask.")]
    case.compare(output, [[3, 0], [4.5, 0]], "The output uses the masked weights.", suspects)


def large_scores(answer: Callable) -> None:
    value, overflow = [[2.0], [4.0]], "exp(1000) overflows: subtract the largest score of each query before exp."
    *_, case, weights = attend(answer, [[1000.0]], [[1.0], [0.0]], value)
    case.compare(weights, [[1, 0]], overflow)
    *_, case, weights = attend(answer, [[1000.0]], [[1.0], [0.0]], value, [[False, True]])
    case.compare(weights, [[0, 1]], "A masked score must not count, however large it is: mask before the softmax.")
    *_, case, weights = attend(answer, [[1000.0]], [[-100.0], [0.0]], value, [[True, False]])
    low = "Masked scores become −∞, not a large negative number: the scores that count may be lower still."
    case.compare(weights, [[1, 0]], low)
    *_, case, weights = attend(answer, [[1000.0], [-1000.0]], [[1.0], [1.0]], value)
    own = "Subtract each query's own largest score, not that of all queries: exp(−2000) is 0 for every key."
    case.compare(weights, [[1 / 2, 1 / 2]] * 2, own)


def batch(answer: Callable) -> None:
    """Two leading axes, and no two axes of one length."""
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(2, 7, 4, 6, generator=generator)
    key, value = torch.randn(2, 7, 3, 6, generator=generator), torch.randn(2, 7, 3, 5, generator=generator)
    mask = torch.rand(2, 1, 4, 3, generator=generator) < 0.5
    mask[..., 0] = True
    text = f"{NAME}(query, key, value{{}}) of shapes (2, 7, 4, 6), (2, 7, 3, 6), (2, 7, 3, 5){{}}"
    for each, shown in ((None, text.format("", "")), (mask, text.format(", mask", " and (2, 1, 4, 3)"))):
        case, output, case_w, weights = attend(answer, query, key, value, each, shown)
        axis = "The weights of a query do not add up to 1: with axes before it the softmax still runs over the last."
        compare_tensors(case_w, weights.sum(-1), np.ones((2, 7, 4)), axis, part="sums")
        suspects = []
        if each is not None:
            first = F.scaled_dot_product_attention(query, key, value, mask[:1])
            suspects = [(first.numpy(), "One mask is used for the whole batch: each text has its own.")]
        expected = F.scaled_dot_product_attention(query, key, value, each)
        otherwise = "The output is off with axes before T and S, though the small cases are right."
        compare_tensors(case, output, expected.numpy(), otherwise, suspects)
