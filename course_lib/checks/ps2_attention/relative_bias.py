"""Exercise 6: a bias for each distance. Queries are 0 at first, so that only the bias matters."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks.case import Case, passed
from course_lib.checks.tensors import compare_tensors

NAME = "relative_bias_attention"
LN3, LN4 = math.log(3), math.log(4)


def check_relative_bias_attention(answer: Callable) -> None:
    """The answer: query (..., H, T, d_k), key (..., H, S, d_k), value (..., H, S, d_v), bias (H, 2m + 1) → output
    (..., H, T, d_v).

    Clipped distances: Shaw et al. 2018, section 3.2; one number for each head and distance: Raffel et al. 2020, 2.1.
    """
    one_token(answer)
    near_and_far(answer)
    heads(answer)
    scores(answer)
    large_scores(answer)
    last_query(answer)
    last_two_queries(answer)
    without_effect(answer)
    longer_table(answer)
    in_pieces(answer)
    passed(NAME)


def shares(*weights: float) -> np.ndarray:
    return np.array(weights) / sum(weights)


def one_token(answer: Callable) -> None:
    query, key, value = (
        torch.tensor([[[1.0, 2.0, 0.0]]]),
        torch.tensor([[[3.0, 1.0, 1.0]]]),
        torch.tensor([[[3.0, -5.0]]]),
    )
    case = Case(answer, NAME, query, key, value, torch.tensor([[0.5, 3.0, 0.25]]))
    v, root = np.array([[[3.0, -5.0]]]), math.sqrt(3)
    late = "The bias is added after the softmax; it belongs to the scores, before it."
    suspects = [
        (v * 4, late),
        (v * 1.5, late),
        (v * 1.25, late),
        (v * 3, "The bias multiplies the weights; it is added to the scores, before the softmax."),
        (v / root, "The weights add up to 1/√d_k; the scale belongs to the scores, inside the softmax."),
        (v * (5 / root + 3), "The softmax is missing: the weights of a query add up to 1."),
        (v * 8, "The softmax is missing: the weights of a query add up to 1."),
    ]
    got = case.numbers(1, 1, 2, hint="One row for each head and query, as wide as the values: (..., H, T, d_v).")
    case.compare(got, v, "With one token its weight is 1, whatever score and bias are.", suspects)


def evenly_scored(answer: Callable, T: int, S: int, bias: list, shown: str, q: float = 0.0) -> tuple[Case, np.ndarray]:
    """All q · k are the same, so that the bias alone counts; the values are the identity: the output is the weights."""
    H = len(bias)
    query, key, value = torch.full((H, T, 4), q), torch.ones(H, S, 4), torch.eye(S).repeat(H, 1, 1)
    case = Case(
        answer, NAME, query, key, value, torch.tensor(bias).log(), shown=f"{NAME}(…), {shown}, value = identity"
    )
    return case, case.numbers(H, T, S, hint="One row for each head and query, as wide as the values: (..., H, T, d_v).")


def near_and_far(answer: Callable) -> None:
    """m = 1: what comes before weighs 9, the query's own token 1, what comes after 16. Distance 2 is cut to 1."""
    shown = "H = 1, T = S = 3, all q · k = 4, d_k = 4, exp(bias) = [[9, 1, 16]]"
    case, got = evenly_scored(answer, 3, 3, [[9.0, 1.0, 16.0]], shown, q=1.0)
    column = "The columns belong to the distances −m … m: distance 0 has column m, so add m to the distance."
    table = np.array([[1, 16, 16], [9, 1, 16], [9, 9, 1]])
    axis = "The softmax runs over the wrong axis: the weights of a query over all keys add up to 1 (dim=-1)."
    sums = "The weights of query 0 do not add up to 1: add the bias to the scores, before the softmax over the keys."
    suspects = [
        (shares(1, 1, 1), "The bias is not used, or every distance is cut to 0: m is (columns − 1) / 2, here 1."),
        (shares(1, 9, 9), "The sign is wrong: the distance of key j from query i is j − i; you take i − j."),
        (shares(16, 1, 1), "The bias is subtracted from the scores: add it."),
        (shares(1, 16**2, 16**2), "The bias multiplies the scores: add it."),
        (shares(1, 16**4, 16**4), "The bias multiplies the scores: add it."),
        (table[0] / table.sum(0), axis),
        ([1, 1, 1], axis),
        (shares(1, 4, 4), "The bias is divided by √d_k; only q · k is, the bias is added after that."),
        (shares(9, 1, 16), "The bias goes by the key's place j; it goes by the distance from the query, j − i."),
        (shares(9, 1, 1), column),
        (shares(1, 16, 0), "Distance 2 is hidden; farther than m counts as m."),
        (shares(1, 16, 1), "Distance 2 has no bias; farther than m counts as m."),
        (shares(1, 16, 9), "Distance 2 wraps around to the front of the table; cut it: farther than m counts as m."),
        ([1, 0, 0], "Query 0 sees only itself; there is no mask in this exercise."),
        (lambda row: not math.isclose(row.sum(), 1, rel_tol=1e-3), sums),
    ]
    case.compare(got[0, 0], shares(1, 16, 16), "Distances 0, 1 and 2, the last cut to 1.", suspects, "query 0")
    suspects = [
        (shares(16, 16, 1), "The distance has a sign: keys before the query use the columns on the left."),
        (shares(16, 9, 1), "Distance −2 takes the table's last column (that is what column −1 means); cut it to −m."),
    ]
    case.compare(got[0, 2], shares(9, 9, 1), "Distances −2, cut to −1, −1 and 0.", suspects, "query 2")
    case.compare(got[0, 1], shares(9, 1, 16), "Distances −1, 0 and 1.", part="query 1")


def heads(answer: Callable) -> None:
    """H = 2, m = 1, T = S = 2: each head has its own row of the table."""
    shown = "H = 2, T = S = 2, all q · k = 0, exp(bias) = [[2, 1, 3], [5, 1, 7]]"
    case, got = evenly_scored(answer, 2, 2, [[2.0, 1.0, 3.0], [5.0, 1.0, 7.0]], shown)
    one, two = [shares(1, 3), shares(2, 1)], [shares(1, 7), shares(5, 1)]
    suspects = [
        ([one, one], "Head 1 uses the row of head 0: each head has a row of its own."),
        ([two, two], "Head 0 uses the row of head 1: each head has a row of its own."),
        ([two, one], "The heads' rows are swapped."),
        ([[shares(1, 21), shares(10, 1)]] * 2, "The heads' biases are added up: each head has a row of its own."),
    ]
    case.compare(got, [one, two], "Head h uses row h of the table.", suspects)


def large_scores(answer: Callable) -> None:
    """Two keys of the same score, 1000 or −1000, and no bias."""
    for score in (1000.0, -1000.0):
        query, key = torch.full((1, 1, 1), score), torch.ones(1, 2, 1)
        shown = f"{NAME}(…), H = 1, T = 1, S = 2, both scores {score:.0f}, bias = [[0, 0, 0]], value = identity"
        case = Case(answer, NAME, query, key, torch.eye(2)[None], torch.zeros(1, 3), shown=shown)
        otherwise = "exp(1000) overflows and exp(−1000) is 0: subtract the largest score of each query before exp."
        case.compare(case.numbers(1, 1, 2), [[[1 / 2, 1 / 2]]], otherwise)


def last_query(answer: Callable) -> None:
    """One query, the last of three tokens: distances −2, −1, 0."""
    shown = "H = 1, T = 1, S = 3, all q · k = 0, exp(bias) = [[5, 2, 1, 3, 9]]"
    case, got = evenly_scored(answer, 1, 3, [[5.0, 2.0, 1.0, 3.0, 9.0]], shown)
    suspects = [
        (shares(1, 3, 9), "The queries are the last T of the S tokens: query 0 stands at place S − T = 2, not at 0."),
        (shares(2, 1, 3), "The queries are the last T of the S tokens: query 0 stands at S − T = 2, not one before."),
        (shares(5, 5, 2), "The queries are the last T of the S tokens: query 0 stands at S − T = 2, not at S."),
        (shares(9, 3, 1), "The sign is wrong: the distance of key j from query i is j − i; you take i − j."),
    ]
    case.compare(got[0, 0], shares(5, 2, 1), "The only query stands at place 2: distances −2, −1, 0.", suspects)


def last_two_queries(answer: Callable) -> None:
    shown = "H = 1, T = 2, S = 4, all q · k = 0, exp(bias) = [[5, 2, 1, 3, 9]]"
    case, got = evenly_scored(answer, 2, 4, [[5.0, 2.0, 1.0, 3.0, 9.0]], shown)
    suspects = [
        ([shares(5, 5, 2, 1)] * 2, "Every query has a place of its own: 2 and 3."),
        ([shares(5, 5, 2, 1), shares(5, 2, 1, 3)], "The queries' places go up: query 0 at 2, query 1 at 3."),
    ]
    case.compare(got[0], [shares(5, 2, 1, 3), shares(5, 5, 2, 1)], "The queries stand at places 2 and 3.", suspects)


def scores(answer: Callable) -> None:
    """q · k is 0 and 2 ln 3, scaled 0 and ln 3; the bias is ln 4 for what comes before: weights as 4 to 3."""
    query, key = torch.tensor([[[3.0, 0, 0, 0], [1.0, 0, 0, 0]]]), torch.tensor([[[0.0, 0, 0, 0], [2 * LN3, 0, 0, 0]]])
    shown = f"{NAME}(…), d_k = 4, query 1 · key 0 = 0, query 1 · key 1 = 2 ln 3, bias = [[ln 4, 0, 0]]"
    case = Case(answer, NAME, query, key, torch.eye(2, 3)[None], torch.tensor([[LN4, 0.0, 0.0]]), shown=shown)
    suspects = [
        (shares(4, 9, 0), "The scores are not scaled: divide q · k by √d_k."),
        (shares(4, math.sqrt(3), 0), "q · k is divided by d_k; divide by √d_k."),
        (shares(4, 81, 0), "q · k is multiplied by √d_k; divide."),
        (shares(4, 9 ** (1 / math.sqrt(3)), 0), "q · k is divided by √d_v; divide by √d_k."),
        (shares(2, 3, 0), "The bias is divided by √d_k; only q · k is, the bias is added after that."),
        (shares(4, 1, 0), "q · k is missing: the bias is added to the scores, it does not replace them."),
        (shares(4 * 27, 3, 0), "Queries and keys are swapped: the score of query i and key j is q_i · k_j."),
    ]
    got = case.numbers(1, 2, 3)[0, 1]
    otherwise = "The scores are 0 + ln 4 and 2 ln 3 / √4 + 0 = ln 3: weights as 4 to 3."
    case.compare(got, shares(4, 3, 0), otherwise, suspects, "query 1")


def example(m: int) -> list[torch.Tensor]:
    """Query, key, value, bias: batch 2, H = 3, T = 4, S = 7, d_k = 5, d_v = 6."""
    random = torch.Generator().manual_seed(4)
    shapes = (2, 3, 4, 5), (2, 3, 7, 5), (2, 3, 7, 6), (3, 2 * m + 1)
    return [torch.randn(*shape, generator=random) for shape in shapes]


def call(answer: Callable, query, key, value, bias, what: str) -> tuple[Case, np.ndarray]:
    T, S, m = query.shape[-2], key.shape[-2], bias.shape[-1] // 2
    shown = f"{NAME}(…), batch 2, H = 3, T = {T}, S = {S}, d_k = 5, d_v = 6, m = {m}, {what}"
    case = Case(answer, NAME, query, key, value, bias, shown=shown)
    return case, case.numbers(2, 3, T, 6)


def without_effect(answer: Callable) -> None:
    """A bias that is the same for every distance, or a table of one column, changes nothing: PyTorch's attention."""
    for m in (2, 0):
        *inputs, bias = example(m)
        expected = F.scaled_dot_product_attention(*inputs).numpy()
        case, got = call(answer, *inputs, bias[:, :1].expand(-1, 2 * m + 1).clone(), "each row of bias constant")
        compare_tensors(
            case, got, expected, "A bias that is the same for every distance must leave plain attention, no mask."
        )


def longer_table(answer: Callable) -> None:
    """Beyond m the bias stays what it is at m: a longer table that says so itself changes nothing."""
    *inputs, bias = example(1)
    _, expected = call(answer, *inputs, bias, "random bias")
    longer = F.pad(bias[None], (3, 3), mode="replicate")[0]
    case, got = call(answer, *inputs, longer, "its outer columns the same")
    compare_tensors(
        case, got, expected, "Farther than m counts as m: a longer table with the same ends must change nothing."
    )


def in_pieces(answer: Callable) -> None:
    """The last queries alone get what they get among all; each entry of the batch goes by itself."""
    (_, key, value, bias), random = example(2), torch.Generator().manual_seed(5)
    query = torch.randn(2, 3, 7, 5, generator=random)
    _, whole = call(answer, query, key, value, bias, "all queries")
    for T in (1, 3):
        case, got = call(answer, query[:, :, -T:], key, value, bias, f"the last {T} of 7 queries")
        compare_tensors(case, got, whole[:, :, -T:], "The last queries alone must get what they get among all queries.")
    alone = Case(answer, NAME, query[1], key[1], value[1], bias, shown=f"{NAME}(…), entry 1 of the batch alone")
    otherwise = "Each entry of the batch goes by itself, also without the batch axis."
    compare_tensors(alone, alone.numbers(3, 7, 6), whole[1], otherwise)
