"""Exercise 5: causal linear attention with a state. What is read is told apart from what is kept."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_lib.checks.case import Case, passed
from course_lib.checks.tensors import compare_tensors

NAME = "linear_attention"
LN2 = math.log(2)
Part = tuple[Case, np.ndarray]


def check_linear_attention(answer: Callable) -> None:
    """The answer: query, key (..., T, d_k), value (..., T, d_v), state=None → output (..., T, d_v), state (S, z).

    Katharopoulos et al. 2020, equations 8–12 and 16–20.
    """
    one_token(answer)
    state_of_one_token(answer)
    equal_weights(answer)
    weights(answer)
    state_of_two_tokens(answer)
    given_state(answer)
    kept_state(answer)
    pieces(answer)
    any_text(answer)
    passed(NAME)


def attend(answer: Callable, query: Any, key: Any, value: Any, *state: Any, shown: str | None = None) -> list[Part]:
    """For the output, S and z, each: its case and its numbers."""
    query, key, value = (torch.as_tensor(each, dtype=torch.float32) for each in (query, key, value))
    *front, _, d_k = query.shape
    case = Case(answer, NAME, query, key, value, *state, shown=shown)
    if isinstance(case.value, list | tuple) and len(case.value) == 3:
        case.fail("The state is one pair: end with `return output, (S, z)`, not `return output, S, z`.", case.value)
    output, after = case.parts("output", "state")
    if not isinstance(after.value, list | tuple) or len(after.value) != 2:
        after.fail("The state cannot be read: it is a pair, (S, z).", after.value)
    S, z = after.parts("S", "z")
    return [
        (output, output.numbers(*value.shape, hint="One row for each query, as wide as the values: (..., T, d_v).")),
        (S, S.numbers(*front, d_k, value.shape[-1], hint="S is the sum of φ(k) vᵀ: (..., d_k, d_v).")),
        (z, z.numbers(*front, d_k, hint="z is the sum of φ(k): (..., d_k).")),
    ]


def tensors(S: np.ndarray, z: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(S, dtype=torch.float32), torch.tensor(z, dtype=torch.float32)


def one_token(answer: Callable) -> None:
    """φ(q) = (2, 1), φ(k) = (2, 3): the one weight is 7/7, whatever q and k are."""
    (case, got), *_ = attend(answer, [[1.0, 0.0]], [[1.0, 2.0]], [[3.0, 6.0, -1.0]])
    v = np.array([[3.0, 6.0, -1.0]])
    own = "The query does not see itself: add its own token to S and z first, then read them."
    suspects = [
        (lambda got: np.isnan(got).any(), own),
        (v * 0, own),
        (v * 7, "The normaliser is missing: divide by φ(q) · z."),
        (v * 7 / 5, "The normaliser is φ(q) · z, with φ(q); you divide by the sum of z alone."),
        (v / math.sqrt(2), "There is no √d_k in linear attention."),
    ]
    case.compare(got, v, "With one token the output is its value: the weight is φ(q) · φ(k) / φ(q) · φ(k).", suspects)


def state_of_one_token(answer: Callable) -> None:
    """φ(−ln 2, 0, 1) = (1/2, 1, 2): what φ does to a negative number, to 0 and to a positive one."""
    _, (case_S, S), (case_z, z) = attend(answer, [[1.0, 2.0, 0.0]], [[-LN2, 0.0, 1.0]], [[2.0, -4.0]])
    scaled = np.array([-LN2, 0, 1]) / math.sqrt(3)
    suspects = [
        ([-LN2, 0, 1], "z adds up φ(k), not k."),
        ([-1 / 2, 0, 1], "This is elu(k); φ(x) = elu(x) + 1, so that it is always positive."),
        ([1, 1, 2], "Below 0, φ(x) = eˣ; you take relu(x) + 1, which is 1 there."),
        ([0, 0, 1], "This is relu(k); φ(x) = elu(x) + 1."),
        ([1 / 2, 1, math.e], "Above 0, φ(x) = x + 1; you take eˣ everywhere."),
        ([1 - LN2, 1, 2], "Below 0, φ(x) = eˣ; you take x + 1 everywhere."),
        (np.exp([-LN2, 0, 1]) / np.exp([-LN2, 0, 1]).sum(), "φ works on each number by itself; there is no softmax."),
        (np.where(scaled < 0, np.exp(scaled), scaled + 1), "There is no √d_k in linear attention: φ(k), unscaled."),
        ([2, 3, 1], "z adds up φ(k), not φ(q)."),
    ]
    case_z.compare(z, [1 / 2, 1, 2], "φ(−ln 2, 0, 1) = (1/2, 1, 2).", suspects)
    suspects = [
        (np.outer([1 / 2, 1, 2], [3, math.exp(-4)]), "φ belongs to queries and keys; values stay as they are."),
        (np.outer([1 / 2, 1, 2], [2, -4]) / 3.5, "S and z are plain sums; the division comes with the query."),
    ]
    expected = [[1, -2], [2, -4], [4, -8]]
    case_S.compare(S, expected, "S = φ(k) vᵀ: row c holds φ(k)_c v.", suspects)


def equal_weights(answer: Callable) -> None:
    """φ(k) = 1 everywhere, so each query takes the mean of the values so far, which are rows of the identity."""
    shown = f"{NAME}(query, key, value), 4 tokens, all queries 1, all keys 0, value = identity"
    (case, got), *_ = attend(answer, torch.ones(4, 2), torch.zeros(4, 2), torch.eye(4), shown=shown)
    number = np.arange(1, 5)[:, None]
    ones = np.tril(np.ones((4, 4)))
    suspects = [
        ([1 / 4] * 4, "Query 0 sees every token: S and z must not hold later ones yet."),
        (lambda row: row[1:].any(), "Query 0 sees tokens after it: sum over j ≤ i."),
        (ones[0] / 4, "Divide by φ(q) · z as z was at this query, not at the end."),
    ]
    case.compare(got[0], [1, 0, 0, 0], "Query 0 sees only itself.", suspects, "query 0")
    suspects = [
        (ones, "z is not added up over the tokens: it is φ(k) of the last one only."),
        (np.eye(4) / number, "S is not added up over the tokens: it is φ(k) vᵀ of the last one only."),
        (np.eye(4), "Nothing is added up: S and z go on from token to token."),
        (ones / 4, "Divide by φ(q) · z as z was at this query, not at the end."),
    ]
    case.compare(got, ones / number, "Query i takes the mean of the values 0 … i.", suspects)


def weights(answer: Callable) -> None:
    """φ(q) = (2, 1), φ(k) = (1, 1) and (3, 1): φ(q) · φ(k) is 3 and 7, so the weights are 3/10 and 7/10."""
    shown = f"{NAME}(query, key, value), query 1 = (1, 0), keys (0, 0) and (2, 0), values (1, 0, 0) and (0, 1, 0)"
    query, key, value = [[4.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]], np.eye(2, 3)
    (case, got), *_ = attend(answer, query, key, value, shown=shown)

    def shares(a: float, b: float) -> list[float]:
        return [a / (a + b), b / (a + b), 0]

    root = math.sqrt(2)
    suspects = [
        (shares(1, 3), "φ(q) is missing: here it is (2, 1)."),
        (shares(1, math.exp(root)), "There is no softmax here: weights are in proportion to φ(q) · φ(k)."),
        (shares(1, math.exp(2)), "There is no softmax here: weights are in proportion to φ(q) · φ(k)."),
        (shares(1, math.exp(4)), "There is no softmax here: weights are in proportion to φ(q) · φ(k)."),
        (shares(1, math.exp(4 / root)), "There is no softmax here: weights are in proportion to φ(q) · φ(k)."),
        (shares(2 + 1 / root, 4 + 3 / root), "There is no √d_k in linear attention."),
        ([3, 7, 0], "The normaliser is missing: divide by φ(q) · z."),
        (shares(6, 16), "Query 1 uses the query of token 0: S and z are read with the token's own query."),
    ]
    otherwise = "φ(q) · φ(k) is 3 for token 0 and 7 for token 1: weights 3/10 and 7/10."
    case.compare(got[1], [3 / 10, 7 / 10, 0], otherwise, suspects, "query 1")


def state_of_two_tokens(answer: Callable) -> None:
    """φ(k) = (1, 1) and (3, 1)."""
    _, (case_S, S), (case_z, z) = attend(answer, [[1.0, 0.0]] * 2, [[0.0, 0.0], [2.0, 0.0]], np.eye(2, 3))
    suspects = [
        ([3, 1], "z is that of the last token only: add up."),
        ([1, 1], "z lacks the last token: return the state after it."),
        ([2, 1], "z is a sum, not a mean."),
    ]
    case_z.compare(z, [4, 2], "z = (1, 1) + (3, 1).", suspects)
    suspects = [
        ([[0, 3, 0], [0, 1, 0]], "S is that of the last token only: add up."),
        ([[1, 0, 0], [1, 0, 0]], "S lacks the last token: return the state after it."),
    ]
    case_S.compare(S, [[1, 3, 0], [1, 1, 0]], "S = φ(k₀) v₀ᵀ + φ(k₁) v₁ᵀ.", suspects)


def given_state(answer: Callable) -> None:
    """Three tokens of φ(k) = (1, 1) and value (1, 0, 0) were read before; now comes one of value (0, 1, 0)."""
    before = tensors(np.array([[3, 0, 0], [3, 0, 0]]), np.array([3, 3]))
    shown = f"{NAME}([[0, 0]], [[0, 0]], [[0, 1, 0]], (S, z)), S = [[3, 0, 0], [3, 0, 0]], z = [3, 3]"
    (case, got), (case_S, S), (case_z, z) = attend(
        answer, [[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0, 0.0]], before, shown=shown
    )
    suspects = [
        ([[0, 1, 0]], "The state that is given is not used: go on from it."),
        ([[3, 1, 0]], "z of the given state is not used, only S: both go on."),
        ([[0, 1 / 4, 0]], "S of the given state is not used, only z: both go on."),
        ([[1, 0, 0]], "The new token is not added to the given state."),
        ([[1, 1 / 3, 0]], "z lacks the new token."),
    ]
    otherwise = "Three tokens of value (1, 0, 0) and one of (0, 1, 0), all of the same weight."
    case.compare(got, [[3 / 4, 1 / 4, 0]], otherwise, suspects)
    suspects = [
        ([1, 1], "The state that is returned holds this piece only: it must hold all tokens so far."),
        ([3, 3], "The state that is returned is the one that was given: it must hold the new token, too."),
    ]
    case_z.compare(z, [4, 4], "z = (3, 3) + (1, 1).", suspects)
    suspects = [
        ([[0, 1, 0]] * 2, "The state that is returned holds this piece only: it must hold all tokens so far."),
        ([[3, 0, 0]] * 2, "The state that is returned is the one that was given: it must hold the new token, too."),
    ]
    case_S.compare(S, [[3, 1, 0]] * 2, "S = [[3, 0, 0], [3, 0, 0]] + φ(k) vᵀ.", suspects)


def kept_state(answer: Callable) -> None:
    """The same call twice with the same state: the second gives what the first gave."""
    state = tensors(np.array([[3, 0, 0], [3, 0, 0]]), np.array([3, 3]))

    def again(query, key, value, state):
        answer(query.clone(), key.clone(), value.clone(), state)
        return answer(query, key, value, state)

    shown = f"{NAME}([[0, 0]], [[0, 0]], [[0, 1, 0]], state), for the second time with the same state"
    (case, got), *_ = attend(again, [[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0, 0.0]], state, shown=shown)
    otherwise = "The given state has changed: `S += …` writes into it. Make new tensors, `S = S + …`, or clone."
    case.compare(got, [[3 / 4, 1 / 4, 0]], otherwise)


def example(*front: int, T: int = 9, d_k: int = 4, d_v: int = 5) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    return [torch.randn(*front, T, width, generator=random) for width in (d_k, d_k, d_v)]


def pieces(answer: Callable) -> None:
    """Read at once, or in pieces that hand on the state: the same."""
    inputs = example(2, 3)
    (_, whole), (_, S), (_, z) = attend(
        answer, *inputs, shown=f"{NAME}(query, key, value), shapes (2, 3, 9, 4) and (2, 3, 9, 5)"
    )
    state = ()
    for start, stop in ((0, 2), (2, 3), (3, 7), (7, 9)):
        piece = [each[:, :, start:stop] for each in inputs]
        shown = f"{NAME}(query, key, value, state), tokens {start} … {stop - 1} of 9, after those before"
        (case, output), *after = attend(answer, *piece, *state, shown=shown)
        otherwise = "Read in pieces that hand on the state, a text must give what it gives at once."
        compare_tensors(case, output, whole[:, :, start:stop], otherwise)
        state = (tensors(*(numbers for _, numbers in after)),)
    for (case, got), expected in zip(after, (S, z), strict=True):
        compare_tensors(case, got, expected, "Read in pieces, a text must leave the state that it leaves at once.")


def any_text(answer: Callable) -> None:
    query, key, value = example(2, 3)
    shown = f"{NAME}(query, key, value), shapes (2, 3, 9, 4) and (2, 3, 9, 5)"
    (case, got), *_ = attend(answer, query, key, torch.ones_like(value), shown=shown + ", all values 1")
    compare_tensors(
        case, got, np.ones(got.shape), "If all values agree, the output is that value: weights add up to 1."
    )
    (case, got), *_ = attend(answer, query, key, value, shown=shown)
    for place in np.ndindex(2, 3):
        (_, alone), *_ = attend(answer, query[place], key[place], value[place], shown=f"{shown}, entry {place} alone")
        otherwise = "Each entry of the batch, and each head, goes by itself; yours depends on the others."
        compare_tensors(case, got[place], alone, otherwise, part=f"entry {place}")
    order = [3, 0, 5, 1, 7, 2, 4, 6, 8]
    (case, moved), *_ = attend(
        answer, query, key[:, :, order], value[:, :, order], shown=shown + ", tokens 0 … 7 moved"
    )
    otherwise = "S and z are sums: in which order the tokens before the last came must not matter for the last query."
    compare_tensors(case, moved[:, :, -1], got[:, :, -1], otherwise, part="last query")
    key, value = key.clone(), value.clone()
    key[:, :, 5:], value[:, :, 5:] = 3.0, 7.0
    (case, changed), *_ = attend(answer, query, key, value, shown=shown + ", tokens 5 … 8 replaced")
    compare_tensors(case, changed[:, :, :5], got[:, :, :5], "What queries 0 … 4 give must not depend on later tokens.")
