"""Attention over a rolling cache. Queries are 0 at first, so that only what is held, and how far back, matters."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks.case import Suspect, close, passed
from course_lib.checks.ps3_language_model.rolling_call import NAME, Call, empty, first

LN2, LN3 = math.log(2), math.log(3)


def check_rolling_attention(answer: Callable) -> None:
    """The answer: query, key (T, d_k), value (T, d_v), slope, cache → output (T, d_v), cache, which is (keys (w, d_k),
    values (w, d_v), n). The rolling buffer: Jiang et al. 2023, section 2; the slope: Press et al. 2022, section 3.
    """
    one_token(answer)
    cache_of_one_token(answer)
    equal_weights(answer)
    places(answer)
    given_cache(answer)
    distances(answer)
    scores(answer)
    low_scores(answer)
    wide_window(answer)
    pieces(answer)
    far_tokens(answer)
    passed(NAME)


def one_token(answer: Callable) -> None:
    """An empty cache of three places; whatever the score is, the one token gets the whole weight."""
    about = "query (1, 2), key (3, 1), value (4, −8)"
    call = Call(answer, [[1.0, 2.0]], [[3.0, 1.0]], [[4.0, -8.0]], 0.0, empty(3, 2, 2), about)
    value, weight = np.array([[4.0, -8.0]]), 1 / (1 + 2 * math.exp(-5 / math.sqrt(2)))
    itself = "The token must see itself: write its key and value first, then attend."
    suspects: list[Suspect] = [
        (lambda got: np.isnan(got).any() or not got.any(), itself),
        (lambda got: (got[0] / value[0] > weight - 1e-3).all() and (got[0] / value[0] < 1).all(),
         "Places that hold no token yet take a share of the weight: their score is −∞."),
        (5 / math.sqrt(2) * value, "The softmax is missing: the weights of a query add up to 1."),
    ]  # fmt: skip
    call.case.compare(call.output, value, "With one token the output is its value.", suspects)


def cache_of_one_token(answer: Callable) -> None:
    about = "query (0, 0), key (3, 1), value (4, −8)"
    call = Call(answer, [[0.0, 0.0]], [[3.0, 1.0]], [[4.0, -8.0]], 0.0, empty(3, 2, 2), about)
    suspects: list[Suspect] = [(0, "n counts the tokens that were read: one more than before.")]
    call.cases["n"].compare(call.n, 1, "n counts the tokens that were read.", suspects)
    nothing = "The new token is not written into the buffer."
    offset = "Token n goes to place n mod w, and tokens count from 0: token 0 to place 0."
    suspects = [
        (lambda got: not got.any(), nothing),
        ([[0, 0], [3, 1], [0, 0]], offset),
        ([[0, 0], [0, 0], [3, 1]], offset),
        ([[3, 1]] * 3, "A token takes one place, n mod w; the others stay as they are."),
        ([[0, 0]] * 3, nothing),
    ]
    call.cases["keys"].compare(call.keys, [[3, 1], [0, 0], [0, 0]], "Key 0 stands at place 0.", suspects)
    suspects = [(lambda got: not got.any(), "The value is not written into its buffer, only the key.")]
    otherwise = "Value 0 stands at place 0, like its key."
    call.cases["values"].compare(call.values, [[4, -8], [0, 0], [0, 0]], otherwise, suspects)


def evenly(*rows: str) -> np.ndarray:
    """Weights where all that a query sees gets the same: "011" stands for (0, ½, ½)."""
    seen = np.array([[int(each) for each in row] for row in rows])
    return seen / seen.sum(1, keepdims=True)


def unweighted(answer: Callable, T: int, window: int, slope: float = 0.0) -> Call:
    """Queries are 0; the values are the rows of the identity, so the output is the weights. Key i is (i + 1, −1)."""
    key = torch.stack([torch.arange(1.0, T + 1), -torch.ones(T)], 1)
    about = f"{T} tokens, all queries 0, value = identity"
    return Call(answer, torch.zeros(T, 2), key, torch.eye(T), slope, empty(window, 2, T), about)


def equal_weights(answer: Callable) -> None:
    call = unweighted(answer, 5, 3)
    ahead = "Query 0 sees later tokens: write a token, let it attend, and only then go on to the next one."
    suspects: list[Suspect] = [
        (lambda row: row[1:].any(), ahead),
        (lambda row: row[0] < 0.999, "Query 0 must give all of its weight to token 0."),
    ]
    call.case.compare(call.output[0], [1, 0, 0, 0, 0], "Query 0 sees itself alone.", suspects, "query 0")
    suspects = [
        (evenly("10000", "11000", "11100", "11110", "11111"), "The window is not used: the buffer holds w tokens, and "
         "a new one takes the place of the oldest."),
        (evenly("10000", "11000", "11100", "00010", "00011"), "The buffer is not emptied when it is full: a new token "
         "takes the place of the oldest only."),
        (evenly("10000", "11000", "11100", "11100", "11100"), "A full buffer goes on: a new token takes the place of "
         "the oldest."),
        (lambda got: close(got[:3], evenly("10000", "11000", "11100")) and got[3, 3] < 1e-6,
         "A full buffer goes on: a new token takes the place of the oldest."),
        (evenly("10000", "11000", "01100", "00110", "00011"), "The window is one too short: w tokens are seen, the "
         "token itself among them."),
        ([*evenly("10000", "11000", "11100"), [0, 1 / 4, 1 / 4, 1 / 2, 0], [0, 0, 1 / 4, 1 / 4, 1 / 2]],
         "The window is one too long: token n − w has left it, and its place holds token n already."),
        (lambda got: got[1, 0] < 1e-6,
         "Query 1 does not see token 0: the token at place r lies (n − r) mod w back, and 1 token back is token 0."),
        (evenly("10000", "11000", "11100", "11010", "11001"), "A new token takes the place of the oldest, n mod w; "
         "yours takes the place of the newest."),
    ]  # fmt: skip
    expected = evenly("10000", "11000", "11100", "01110", "00111")
    call.case.compare(call.output, expected, "Each token sees itself and the two before it.", suspects)


def places(answer: Callable) -> None:
    """After five tokens token 3 stands at place 0, token 4 at place 1, token 2 at place 2."""
    call = unweighted(answer, 5, 3)
    suspects: list[Suspect] = [
        (1, "n grows by one for each token, not for each call."),
        (2, "n counts all tokens that were read; it does not go back to 0 at w. Take n mod w where you need a place."),
        (3, "n counts all tokens that were read, also those that the buffer has lost."),
        (4, "n is the number of tokens read, one more than the last token's number."),
    ]
    call.cases["n"].compare(call.n, 5, "n counts the tokens that were read.", suspects)
    suspects = [
        ([3, 4, 5], "The buffer is in the order of the text; token n stands at place n mod w and never moves."),
        ([5, 4, 3], "Each token keeps its place, n mod w, until another one takes it."),
    ]
    otherwise = "Token 3 stands at place 0, token 4 at place 1, and token 2 is still at place 2."
    call.cases["keys"].compare(call.keys[:, 0], [4, 5, 3], otherwise, suspects, "first column")
    otherwise = "Values stand at the places of their keys."
    call.cases["values"].compare(call.values, np.eye(5)[[3, 4, 2]], otherwise)


def full_cache() -> tuple[torch.Tensor, torch.Tensor, int]:
    """Seven tokens were read, w = 3: tokens 6, 4, 5 stand at the places 0, 1, 2."""
    return torch.zeros(3, 2), torch.eye(4)[:3], 7


def one_more(answer: Callable, slope: float) -> Call:
    """Token 7 comes; outputs are weights: of the old values at the places 0, 1, 2, then of the new one."""
    about = "query and all keys 0, values of the cache and of the token = rows of the identity"
    return Call(answer, torch.zeros(1, 2), torch.zeros(1, 2), torch.eye(4)[3:], slope, full_cache(), about)


def given_cache(answer: Callable) -> None:
    call = one_more(answer, 0.0)
    suspects: list[Suspect] = [
        ([[0, 0, 0, 1]], "The given cache is not used: go on from it."),
        ([[0, 1 / 3, 1 / 3, 1 / 3]], "Token n = 7 goes to place 7 mod 3 = 1; yours went to place 0."),
        ([[1 / 3, 1 / 3, 0, 1 / 3]], "Token n = 7 goes to place 7 mod 3 = 1; yours went to place 2."),
        ([[1 / 3, 1 / 3, 1 / 3, 0]], "The token must see itself: write its key and value first, then attend."),
        ([[1 / 4] * 4], "Token 7 sees w = 3 tokens: 5, 6 and itself. Its place must be overwritten first."),
    ]  # fmt: skip
    expected = [[1 / 3, 0, 1 / 3, 1 / 3]]
    call.case.compare(call.output, expected, "Token 7 takes the place of token 4, which is place 1.", suspects)
    suspects = [(1, "n goes on from the given cache: 7 tokens were read before.")]
    call.cases["n"].compare(call.n, 8, "n goes on from the given cache.", suspects)


def distances(answer: Callable) -> None:
    """Slope ln 2: each token further back has half the weight. The buffer's order is not that of the text."""
    call = one_more(answer, LN2)
    place = "Place r does not hold token r: token j stands at place j mod w. Places 0, 1, 2 hold tokens 6, 7, 5."
    root = 2 ** (-1 / math.sqrt(2))
    suspects: list[Suspect] = [
        ([[1 / 3, 0, 1 / 3, 1 / 3]], "The slope has no effect: subtract slope · (n − j) from the score of token j."),
        ([[2 / 7, 0, 4 / 7, 1 / 7]], "The slope has the wrong sign: tokens further back have lower scores."),
        ([[1 / 7, 0, 4 / 7, 2 / 7]], place),
        ([[4 / 7, 0, 1 / 7, 2 / 7]], place),
        ([[1 / 7, 0, 2 / 7, 4 / 7]], place),
        ([[root / (1 + root + root**2), 0, root**2 / (1 + root + root**2), 1 / (1 + root + root**2)]],
         "√d_k divides q · k alone; the slope comes after it."),
    ]  # fmt: skip
    otherwise = "Token 7 has the distance 0, token 6 (place 0) 1 and token 5 (place 2) 2: weights as 4 : 2 : 1."
    call.case.compare(call.output, [[2 / 7, 0, 1 / 7, 4 / 7]], otherwise, suspects)
    call = unweighted(answer, 4, 3, LN2)
    expected = [[1, 0, 0, 0], [1 / 3, 2 / 3, 0, 0], [1 / 7, 2 / 7, 4 / 7, 0], [0, 1 / 7, 2 / 7, 4 / 7]]
    call.case.compare(call.output, expected, "From the token itself backwards the weights are as 4 : 2 : 1.")


def scores(answer: Callable) -> None:
    """Query 1 scores 0 and 2 ln 3 / √4 = ln 3: the weights are as 1 to 3."""
    query, key = [[3.0, 0, 0, 0], [1.0, 0, 0, 0]], [[0.0, 0, 0, 0], [2 * LN3, 0, 0, 0]]
    about = "d_k = 4, query 1 · key 0 = 0, query 1 · key 1 = 2 ln 3"
    call = Call(answer, query, key, torch.eye(2, 3), 0.0, empty(5, 4, 3), about)

    def weights(score: float) -> list[float]:
        return [1 / (1 + math.exp(score)), 1 / (1 + math.exp(-score)), 0]

    suspects: list[Suspect] = [
        (weights(2 * LN3), "The scores are not scaled: divide q · k by √d_k."),
        (weights(LN3 / 2), "The scores are divided by d_k; divide by its square root."),
        (weights(4 * LN3), "The scores are multiplied by √d_k; divide."),
        (weights(2 * LN3 / math.sqrt(3)), "The scores are divided by √d_v; divide by √d_k."),
        (weights(2 * LN3 / math.sqrt(5)), "The scores are divided by √w; divide by √d_k."),
        ([3 / 4, 1 / 4, 0], "Values and weights do not meet: value j must stand at the place of key j."),
    ]
    otherwise = "The scores are 0 and 2 ln 3 / √4 = ln 3: weights 1/4, 3/4."
    call.case.compare(call.output[1], [1 / 4, 3 / 4, 0], otherwise, suspects, "query 1")


def low_scores(answer: Callable) -> None:
    """The buffers hold 7 everywhere before anything is written; the only token has the lowest score."""
    about = "query −100, key 1000, value 1, buffers filled with 7"
    call = Call(answer, [[-100.0]], [[1000.0]], [[1.0]], 0.0, empty(3, 1, 1, fill=7.0), about)
    suspects: list[Suspect] = [
        (lambda got: not np.isfinite(got).all(), "0/0, or exp overflows: subtract the largest score that counts."),
        ([[7]], "Places that hold no token yet get the score −∞, not a large negative number; n says which they are."),
    ]  # fmt: skip
    call.case.compare(call.output, [[1]], "The buffer holds one token, whatever is in the other places.", suspects)
    otherwise = "A place that no token was written to stays as it was."
    call.cases["keys"].compare(call.keys, [[1000], [7], [7]], otherwise)


def example(T: int = 11, d_k: int = 4, d_v: int = 5) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    return [torch.randn(T, width, generator=random) for width in (d_k, d_k, d_v)]


def wide_window(answer: Callable) -> None:
    inputs = example()
    expected = F.scaled_dot_product_attention(*(each[None] for each in inputs), is_causal=True)[0]
    for window in (11, 30):
        call = Call(answer, *inputs, 0.0, empty(window, 4, 5, fill=3.0), "11 random tokens, d_k = 4, d_v = 5")
        first(call.case, call.output, expected, "With room for the whole text this is plain causal attention.")


def pieces(answer: Callable) -> None:
    """Read at once, or in pieces that hand on the cache: the same."""
    inputs = example()
    whole = Call(answer, *inputs, 0.3, empty(4, 4, 5), "11 random tokens")
    cache = empty(4, 4, 5)
    for start, stop in ((0, 1), (1, 3), (3, 9), (9, 10), (10, 11)):
        about = f"tokens {start} … {stop - 1} of 11, after those before"
        call = Call(answer, *(each[start:stop] for each in inputs), 0.3, cache, about)
        otherwise = "Read in pieces that hand on the cache, a text must give what it gives at once."
        first(call.case, call.output, whole.output[start:stop], otherwise)
        cache = call.cache()
    for name in ("keys", "values"):
        otherwise = "Read in pieces, a text must leave the cache that it leaves at once."
        first(call.cases[name], getattr(call, name), getattr(whole, name), otherwise)


def far_tokens(answer: Callable) -> None:
    """Tokens that have left the window do not matter, nor where in the buffer the others stand."""
    inputs = example()
    whole = Call(answer, *inputs, 0.3, empty(4, 4, 5), "11 random tokens")
    for cut in (1, 2, 7):
        call = Call(answer, *(each[cut:] for each in inputs), 0.3, empty(4, 4, 5), f"the last {11 - cut} of 11 tokens")
        otherwise = "The last token must not depend on those that have left the window, nor on how many they were."
        first(whole.case, whole.output[-1:], call.output[-1:], otherwise)
