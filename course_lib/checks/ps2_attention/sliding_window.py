"""Exercise 4: sliding-window attention with sinks. Queries are 0 at first, so that only the mask matters."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks.case import Case, passed
from course_lib.checks.ps2_attention import scale
from course_lib.checks.tensors import compare_tensors

NAME = "sliding_window_attention"
LN3 = math.log(3)


def check_sliding_window_attention(answer: Callable) -> None:
    """The answer: query, key (..., T, d_k), value (..., T, d_v), window, n_sinks=0 → (..., T, d_v).

    Windows: Beltagy et al. 2020, section 3.1; sinks: Xiao et al. 2024, section 3.
    """
    one_token(answer)
    window_alone(answer)
    sinks(answer)
    scores(answer)
    large_scores(answer)
    wide_window(answer)
    far_tokens(answer)
    passed(NAME)


def evenly(*rows: str) -> np.ndarray:
    """Weights where all keys that a query sees get the same: "011" stands for (0, ½, ½)."""
    seen = np.array([[int(each) for each in row] for row in rows])
    return seen / seen.sum(1, keepdims=True)


def one_token(answer: Callable) -> None:
    """Whatever the scores are, the one token gets the whole weight."""
    query, key, value = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[3.0, 1.0, 1.0]]), torch.tensor([[3.0, -5.0]])
    case = Case(answer, NAME, query, key, value, 2)
    got = case.numbers(1, 2, hint="One row for each query, as wide as the values: (..., T, d_v).")
    root, share = math.sqrt(3), 1 / (1 + math.exp(-5 / math.sqrt(3)))
    itself = "A query sees itself: its own token is inside of the window."
    suspects = [
        (lambda got: np.isnan(got).any() or not got.any(), itself),
        ([[3 * share, -5 * share]], "Tokens before the first one do not exist and take no share of the weight."),
        ([[3 / root, -5 / root]], "The weights add up to 1/√d_k; the scale belongs to the scores, inside the softmax."),
        ([[15 / root, -25 / root]], "The softmax is missing: the weights of a query add up to 1."),
        ([[15, -25]], "The softmax is missing: the weights of a query add up to 1."),
    ]
    case.compare(got, [[3, -5]], "With one token the output is its value.", suspects)


def unweighted(answer: Callable, T: int, *window: int) -> tuple[Case, np.ndarray]:
    """Queries are 0, so that all scores are; the values are the rows of the identity, so the output is the weights."""
    named = ", ".join(f"{name}={n}" for name, n in zip(("window", "n_sinks"), window, strict=False))
    shown = f"{NAME}(query, key, value, {named}), {T} tokens, all scores 0, value = identity"
    case = Case(answer, NAME, torch.zeros(T, 3), torch.ones(T, 3), torch.eye(T), *window, shown=shown)
    return case, case.numbers(T, T, hint="One row for each query, as wide as the values: (..., T, d_v).")


def window_alone(answer: Callable) -> None:
    case, got = unweighted(answer, 5, 2)
    after = "Query 0 sees a token after it: the window ends at the query itself."
    suspects = [
        ([1 / 5] * 5, "Query 0 sees every token: there is no mask, or hidden scores became 0 where −∞ was needed."),
        ([1 / 2, 1 / 2, 0, 0, 0], after),
        ([1 / 3, 1 / 3, 1 / 3, 0, 0], after),
        ([0, 1 / 4, 1 / 4, 1 / 4, 1 / 4], "The mask is the wrong way round: you hide what may be seen."),
        ([1 / 5, 0, 0, 0, 0], "You mask after the softmax, so the weights add up to less than 1; mask the scores."),
        (
            lambda row: math.isclose(got[4].sum(), 1.5, rel_tol=1e-4),
            "The softmax runs over the queries; the weights of one query must add up to 1 over its keys (dim=-1).",
        ),
        (lambda row: row[1:].any(), after),
    ]
    case.compare(got[0], [1, 0, 0, 0, 0], "Query 0 sees only itself.", suspects, "query 0")
    suspects = [
        (
            evenly("10000", "11000", "11100", "01110", "00111"),
            "Too long by one: the query's own token counts, so window − 1 before it.",
        ),
        (
            evenly("10000", "11000", "11100", "10110", "10011"),
            "Token 0 stays visible though n_sinks = 0: a sink has j < n_sinks, not j ≤ n_sinks.",
        ),
        (np.eye(5), "The window is too short by one: the query's own token and window − 1 before it."),
        (evenly("10000", "11000", "11100", "11110", "11111"), "The window is not used: tokens before it are hidden."),
        (evenly("10000", "11000", "00100", "00110", "00001"), "You cut into blocks; the window moves with the query."),
    ]
    expected = evenly("10000", "11000", "01100", "00110", "00011")
    case.compare(got, expected, "Each query sees itself and the one token before it.", suspects)


def sinks(answer: Callable) -> None:
    case, got = unweighted(answer, 6, 2, 2)
    suspects = [
        ([1 / 2, 1 / 2, 0, 0, 0, 0], "A sink may be seen by later queries only: query 0 does not see token 1."),
    ]
    case.compare(got[0], [1, 0, 0, 0, 0, 0], "Query 0 sees only itself.", suspects, "query 0")
    suspects = [
        ([0, 1 / 2, 1 / 2, 0, 0, 0], "The sinks are not used: the first n_sinks tokens stay visible."),
        ([1 / 4, 1 / 2, 1 / 4, 0, 0, 0], "A sink that is in the window, too, counts once: combine masks by “or”."),
    ]
    expected = np.array([1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    case.compare(got[2], expected, "Query 2 sees the sinks 0 and 1 and itself.", suspects, "query 2")
    suspects = [
        ([1 / 3, 0, 0, 0, 1 / 3, 1 / 3], "n_sinks counts tokens: here 0 and 1 are sinks; you take only one."),
        (evenly("111011")[0], "n_sinks counts tokens: here 0 and 1 are sinks; you take one more."),
        (evenly("110001")[0], "The window stays as it is: the sinks come on top of it."),
    ]
    expected = np.array([1 / 4, 1 / 4, 0, 0, 1 / 4, 1 / 4])
    case.compare(got[5], expected, "Query 5 sees the sinks 0 and 1, token 4 and itself.", suspects, "query 5")
    expected = evenly("100000", "110000", "111000", "111100", "110110", "110011")
    case.compare(got, expected, "Each query sees the sinks before it, the token before it and itself.")


def scores(answer: Callable) -> None:
    """Query 1 scores 0 and 2 ln 3 / √4 = ln 3: the weights are as 1 to 3."""
    query = torch.tensor([[3.0, 0, 0, 0], [1.0, 0, 0, 0]])
    key = torch.tensor([[0.0, 0, 0, 0], [2 * LN3, 0, 0, 0]])
    value = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    shown = f"{NAME}(query, key, value, window=2), d_k = 4, query 1 · key 0 = 0, query 1 · key 1 = 2 ln 3"
    case = Case(answer, NAME, query, key, value, 2, shown=shown)

    suspects = [
        *scale.SUSPECTS,
        ([9 / 10, 1 / 10, 0], "Queries and keys are swapped: the score of query i and key j is q_i · k_j."),
    ]
    got = case.numbers(2, 3)[1]
    case.compare(
        got, [1 / 4, 3 / 4, 0], "The scores are 0 and 2 ln 3 / √4 = ln 3: weights 1/4, 3/4.", suspects, "query 1"
    )


def large_scores(answer: Callable) -> None:
    """A hidden score may be by far the largest; then the only visible one is by far the lowest."""
    query, key = torch.full((3, 1), 1000.0), torch.tensor([[1.0], [0.0], [0.0]])
    shown = f"{NAME}(query, key, value, window=2), scores of query 2: 1000 (hidden), 0, 0; value = identity"
    case = Case(answer, NAME, query, key, torch.eye(3), 2, shown=shown)
    otherwise = "A hidden score of 1000 drowns the visible ones: mask before the softmax."
    nan = (
        lambda got: not np.isfinite(got).all(),
        "0/0, or exp overflows: mask before the softmax, and subtract the largest visible score if you write your own.",
    )
    case.compare(case.numbers(3, 3)[2], [0, 1 / 2, 1 / 2], otherwise, [nan], "query 2")
    shown = f"{NAME}(query, key, value, window=2), scores of query 0: −100000, 0 and 0 (hidden); value = identity"
    case = Case(answer, NAME, query, torch.tensor([[-100.0], [0.0], [0.0]]), torch.eye(3), 2, shown=shown)
    low = (
        "Hidden scores become −∞, not a large negative number: visible scores may be lower still. If you write your "
        "own softmax, subtract the largest visible score."
    )
    case.compare(case.numbers(3, 3)[0], [1, 0, 0], low, part="query 0")


def wide_window(answer: Callable) -> None:
    """With a window as wide as the text this is plain causal attention, here PyTorch's, in batches and heads."""
    random = torch.Generator().manual_seed(1)
    query, key = torch.randn(2, 2, 3, 6, 4, generator=random)
    value = torch.randn(2, 3, 6, 5, generator=random)
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True).numpy()
    for window, n_sinks in ((6, 0), (50, 0), (1, 6), (50, 50)):
        shown = f"{NAME}(query, key, value, {window}, {n_sinks}), shapes (2, 3, 6, 4) and (2, 3, 6, 5)"
        case = Case(answer, NAME, query, key, value, window, n_sinks, shown=shown)
        otherwise = "With a window, or as many sinks, as the text is long, this is plain causal attention."
        compare_tensors(case, case.numbers(2, 3, 6, 5), expected, otherwise)


def far_tokens(answer: Callable) -> None:
    """Whether the tokens between sinks and window are there or not changes nothing for the last query."""
    random = torch.Generator().manual_seed(2)
    query, key = torch.randn(2, 2, 12, 3, generator=random)
    value = torch.randn(2, 12, 7, generator=random)
    for window, n_sinks in ((4, 0), (1, 0), (3, 2), (1, 3)):
        shown = f"{NAME}(query, key, value, {window}, {n_sinks}), 12 random tokens"
        case = Case(answer, NAME, query, key, value, window, n_sinks, shown=shown)
        near = [*range(n_sinks), *range(12 - window, 12)]
        query_near, key_near, value_near = (each[:, near] for each in (query, key, value))
        alone = Case(
            answer, NAME, query_near, key_near, value_near, window, n_sinks, shown=shown + ", the far ones cut"
        )
        otherwise = "The last query must not depend on tokens that are neither sinks nor inside of its window."
        expected = alone.numbers(2, len(near), 7)[:, -1]
        compare_tensors(case, case.numbers(2, 12, 7)[:, -1], expected, otherwise, part="last query")
