"""Exercise 7: attention to several sources at once. Scores are equal at first, so that only the masks matter."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks.case import Case, passed
from course_lib.checks.ps2_attention import scale
from course_lib.checks.tensors import compare_tensors

NAME = "multi_source_attention"
LN2, LN3 = math.log(2), math.log(3)
WIDE = "One row for each entry of the batch and query, as wide as the projected values: (B, T, d_v)."


def check_multi_source_attention(answer: Callable) -> None:
    """The answer: query (B, T, d_k), N sources (B, S_n, d_n), lengths (N, B), N W_k (d_n, d_k), N W_v (d_n, d_v) →
    output (B, T, d_v).

    Libovický and Helcl 2017, the flat combination.
    """
    one_vector(answer)
    one_softmax(answer)
    padding(answer)
    empty_source(answer)
    scores(answer)
    low_score(answer)
    one_source(answer)
    any_sources(answer)
    passed(NAME)


def one_vector(answer: Callable) -> None:
    """The score is 5/√4, but the weight is 1: the output is (1, 2) W_v."""
    query, source = torch.tensor([[[1.0, 0, 0, 0]]]), torch.tensor([[[1.0, 2.0]]])
    W_k, W_v = torch.tensor([[1.0, 0, 0, 0], [2.0, 0, 0, 0]]), torch.tensor([[1.0, 0, 2], [0, 1.0, 1]])
    shown = f"{NAME}(…), one source of one vector (1, 2), W_v = [[1, 0, 2], [0, 1, 1]]"
    case = Case(answer, NAME, query, [source], torch.tensor([[1]]), [W_k], [W_v], shown=shown)
    v = np.array([[[1.0, 2.0, 4.0]]])
    suspects = [
        (v / 2, "The weights add up to 1/√d_k; the scale belongs to the scores, inside the softmax."),
        (v * 2.5, "The softmax is missing: the weights of a query add up to 1."),
        (v * 5, "The softmax is missing: the weights of a query add up to 1."),
        (lambda got: np.isnan(got).any(), "The only vector is hidden: real are the first lengths[n, b] ones."),
        (v * 0, "The only vector is hidden: real are the first lengths[n, b] ones."),
    ]
    case.compare(case.numbers(1, 1, 3, hint=WIDE), v, "With one vector the output is its value, x W_v.", suspects)


def unscored(answer: Callable, sizes: Sequence[int], lengths: list[list[int]], T: int) -> tuple[Case, np.ndarray]:
    """All scores are ln 2, so equal, yet not what a vector of zeros would get; all values in a row are the identity, so
    that the output is the weights."""
    B, total = len(lengths[0]), sum(sizes)
    sources = [torch.eye(size).repeat(B, 1, 1) for size in sizes]
    W_k, W_v = [torch.full((size, 4), LN2 / 2) for size in sizes], list(torch.eye(total).split(list(sizes)))
    shown = f"{NAME}(…), sources of {' and '.join(map(str, sizes))} vectors, lengths = {lengths}, all scores ln 2"
    shown += ", values of all sources together = identity"
    case = Case(answer, NAME, torch.ones(B, T, 4), sources, torch.tensor(lengths), W_k, W_v, shown=shown)
    return case, case.numbers(B, T, total, hint=WIDE)


def one_softmax(answer: Callable) -> None:
    case, got = unscored(answer, (1, 3), [[1], [3]], 2)
    few = "One vector too few counts as real: these are numbers 0 … lengths[n, b] − 1."
    widths = "The scores of a source are divided by √d_n or d_n, here 1 and 3; divide by √d_k, the same for all."
    root, whole = (np.array([4] + 3 * [4**by]) for by in (1 / math.sqrt(3), 1 / 3))  # q · k = ln 4
    one = "One softmax runs over all vectors of all sources together, here four;"
    suspects = [
        ([1, 1 / 3, 1 / 3, 1 / 3], one + " you take one for each source and add up."),
        ([1 / 2, 1 / 6, 1 / 6, 1 / 6], one + " you take one for each source and the mean of the results."),
        ([1, 0, 0, 0], "Only the first source is used."),
        ([0, 1 / 3, 1 / 3, 1 / 3], "Only the last source is used."),
        ([1 / 2] * 4, "The softmax runs over the queries; the weights of one query must add up to 1."),
        ([1] * 4, "The softmax runs over the wrong axis; the weights of one query must add up to 1."),
        (root / root.sum(), widths),
        (whole / whole.sum(), widths),
        ([0, 1 / 2, 1 / 2, 0], few),
        ([1 / 2, 1 / 2, 0, 0], "The lengths do not go with their sources: lengths[n, b] is of source n, entry b."),
    ]
    case.compare(got[0, 0], [1 / 4] * 4, "Four vectors with the same score: weights 1/4.", suspects, "query 0")
    case.compare(got[0, 1], [1 / 4] * 4, "Four vectors with the same score: weights 1/4.", part="query 1")


def evenly(real: str) -> np.ndarray:
    """The weights if all real vectors get the same: "011" stands for (0, ½, ½)."""
    seen = np.array([int(each) for each in real])
    return seen / seen.sum()


def padding(answer: Callable) -> None:
    """Real in entry 0: vector 0 of source 0, all four of source 1; in entry 1: all three and vectors 0 and 1."""
    case, got = unscored(answer, (3, 4), [[1, 3], [4, 2]], 1)
    longer = "One vector too many counts as real: these are numbers 0 … lengths[n, b] − 1."
    suspects = [
        (evenly("1111111"), "Padding keeps its weight: hide it before the softmax."),
        (np.array([2, 1, 1, 2, 2, 2, 2]) / 12, "Padding keeps a weight: its scores became 0 where −∞ was needed."),
        (
            evenly("1001111") * 10 / 12,
            "Padding is set to zeros, but a vector of zeros has the score 0, not the weight 0: hide its score.",
        ),
        (evenly("1101111"), longer),
        (evenly("0011111"), "Padding stands at the end: the first lengths[n, b] vectors are real, not the last."),
        (evenly("0110000"), "The mask is the wrong way round: you hide what is real."),
        (evenly("1111100"), "The mask is made for all sources together; each has its padding at its own end."),
        (evenly("1001000"), "Source 1 is cut where source 0 is: each source has lengths of its own."),
        (evenly("1111000"), "The lengths do not go with their sources: lengths[n, b] is of source n, entry b."),
        (evenly("1111001"), "Put keys, values and masks of the sources into the same order."),
        (evenly("1001111") * 5 / 7, "You mask after the softmax, so the weights add up to less than 1."),
    ]
    case.compare(got[0, 0], evenly("1001111"), "Real are 1 vector of source 0, 4 of source 1.", suspects, "entry 0")
    suspects = [
        (evenly("1001111"), "Entry 1 is cut where entry 0 is: each entry of the batch has lengths of its own."),
        (evenly("1111110"), longer),
    ]
    case.compare(got[1, 0], evenly("1111100"), "Real are 3 vectors of source 0, 2 of source 1.", suspects, "entry 1")


def empty_source(answer: Callable) -> None:
    case, got = unscored(answer, (1, 2), [[0, 1], [2, 0]], 1)
    absent = "A source may be empty (length 0) in an entry: it takes no weight, and the others get all of it."
    suspects = [(lambda got: np.isnan(got).any(), absent + " A softmax over nothing is 0/0.")]
    expected = [[evenly("011")], [evenly("100")]]
    case.compare(got, expected, absent, suspects)


def scores(answer: Callable) -> None:
    """Two sources of one vector each, scores 0 and 2 ln 3 / √4 = ln 3: weights 1/4 and 3/4."""
    query, sources = torch.tensor([[[1.0, 0, 0, 0]]]), [torch.ones(1, 1, 1), torch.ones(1, 1, 1)]
    W_k, W_v = [torch.zeros(1, 4), torch.tensor([[2 * LN3, 0, 0, 0]])], list(torch.eye(2, 3).split(1))
    shown = f"{NAME}(…), two sources of one vector each, d_k = 4, q · k = 0 and 2 ln 3, values (1, 0, 0) and (0, 1, 0)"
    case = Case(answer, NAME, query, sources, torch.ones(2, 1).long(), W_k, W_v, shown=shown)

    suspects = [
        *scale.SUSPECTS,
        ([1 / 2, 1 / 2, 0], "Both keys are the same: source n has the matrix W_k[n] for its keys."),
        ([1, 0, 0], "Both values are the same: source n has the matrix W_v[n] for its values."),
        ([0, 1, 0], "Both values are the same: source n has the matrix W_v[n] for its values."),
    ]
    otherwise = "The scores are 0 and 2 ln 3 / √4 = ln 3: weights 1/4 and 3/4."
    case.compare(case.numbers(1, 1, 3, hint=WIDE)[0, 0], [1 / 4, 3 / 4, 0], otherwise, suspects)


def low_score(answer: Callable) -> None:
    """The only real vector has the score −100000, the padding behind it 0."""
    query, W_k = torch.tensor([[[1.0, 0, 0, 0]]]), torch.tensor([[-2e5, 0, 0, 0], [0, 0, 0, 0]])
    shown = f"{NAME}(…), one source of two vectors, length 1, scores −100000 and 0, values (1, 0, 0) and (0, 1, 0)"
    case = Case(
        answer, NAME, query, [torch.eye(2)[None]], torch.ones(1, 1).long(), [W_k], [torch.eye(2, 3)], shown=shown
    )
    nan = (lambda got: np.isnan(got).any(), "exp(−100000) is 0, so this is 0/0: subtract the largest score before exp.")
    otherwise = "Hidden scores become −∞, not a large negative number: those of real vectors may be lower still."
    case.compare(case.numbers(1, 1, 3, hint=WIDE), [[[1, 0, 0]]], otherwise, [nan])


def example() -> tuple:
    """Query, sources, lengths, W_k, W_v: B = 2, T = 3, d_k = 4, d_v = 5, three sources."""
    random = torch.Generator().manual_seed(6)
    sizes, widths = (6, 2, 7), (3, 6, 2)
    sources = [torch.randn(2, S, d, generator=random) for S, d in zip(sizes, widths, strict=True)]
    W_k = [torch.randn(d, 4, generator=random) for d in widths]
    W_v = [torch.randn(d, 5, generator=random) for d in widths]
    return torch.randn(2, 3, 4, generator=random), sources, torch.tensor([[6, 4], [0, 2], [3, 7]]), W_k, W_v


def call(answer: Callable, *inputs, what: str) -> tuple[Case, np.ndarray]:
    shown = f"{NAME}(…), B = 2, T = 3, d_k = 4, d_v = 5, {what}"
    case = Case(answer, NAME, *inputs, shown=shown)
    return case, case.numbers(2, 3, 5, hint=WIDE)


def one_source(answer: Callable) -> None:
    """One source without padding is plain attention, here PyTorch's."""
    query, (source, *_), _, (W_k, *_), (W_v, *_) = example()
    expected = F.scaled_dot_product_attention(query, source @ W_k, source @ W_v).numpy()
    case, got = call(answer, query, [source], torch.tensor([[6, 6]]), [W_k], [W_v], what="one source, no padding")
    compare_tensors(case, got, expected, "With one source and no padding this is plain attention to x W_k and x W_v.")


def any_sources(answer: Callable) -> None:
    query, sources, lengths, W_k, W_v = example()
    what = "sources of 6, 2 and 7 vectors, lengths [[6, 4], [0, 2], [3, 7]]"
    _, expected = call(answer, query, sources, lengths, W_k, W_v, what=what)
    order = [2, 0, 1]
    moved = [[each[n] for n in order] for each in (sources, W_k, W_v)]
    case, got = call(answer, query, moved[0], lengths[order], *moved[1:], what=what + ", in the order 2, 0, 1")
    compare_tensors(case, got, expected, "The order of the sources must not matter.")
    changed = [source.clone() for source in sources]
    for source, real in zip(changed, lengths, strict=True):
        for b in (0, 1):
            source[b, real[b] :] = 50.0
    case, got = call(answer, query, changed, lengths, W_k, W_v, what=what + ", padding changed to 50")
    otherwise = "What stands in the padding must not matter: hide it before the softmax."
    compare_tensors(case, got, expected, otherwise)
    cut = [sources[0][:, :4], sources[0][:, 4:], *sources[1:]]
    inputs = cut, torch.tensor([[4, 4], [2, 0], [0, 2], [3, 7]]), W_k[:1] + W_k, W_v[:1] + W_v
    case, got = call(answer, query, *inputs, what=what + ", source 0 cut into two sources")
    compare_tensors(
        case, got, expected, "A source cut into two, with the same matrices, must give what it gives in one piece."
    )
