"""Beam search against exhaustive search, greedy search and the scores of the models; and where a wider beam helps."""

import itertools
import math
import random
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import device
from course_lib.beam import beam_search
from course_lib.lm import generate
from course_lib.neural import LSTM, MLP, RecurrentLanguageModel
from course_lib.ngram import NGram, count_ngrams, maximum_likelihood, modified_kneser_ney
from course_lib.transformer import Architecture, EncoderDecoder
from course_lib.vocab import Characters

DEVICES = sorted({"cpu", device.choose().type})
VOCAB = Characters("abc", markers=True, unknown=True)
BEGIN, END, UNKNOWN = VOCAB.begin_id, VOCAB.end_id, VOCAB.unknown_id
V = len(VOCAB)
WORDS = ["".join(random.Random(seed).choices("abc", [6, 4, 3], k=1 + seed % 6)) for seed in range(80)]


def ngram(order: int, smoothing=modified_kneser_ney, documents=WORDS) -> NGram:
    return NGram(count_ngrams(VOCAB, documents, order), smoothing)


def neural(make, where: str = "cpu"):
    """Far from uniform, no two tokens equally likely."""
    torch.manual_seed(2)
    model = make().to(where).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def encoder_decoder(where: str = "cpu") -> EncoderDecoder:
    """The end is likely enough for texts of a few letters, which depend on the source."""
    model = neural(lambda: EncoderDecoder(6, V, Architecture(8, 2, d_ff=16, n_layers=1, max_length=32)), where)
    with torch.no_grad():
        model.output.bias[END] += 2
    return model


SOURCES = torch.tensor([[1, 2, 3], [5, 4, 0], [2, 0, 0], [3, 3, 1]])
SOURCE_MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]])[:, None].bool()
MODELS = {
    "n-gram of order 1": lambda where: ngram(1),
    "n-gram of order 3": lambda where: ngram(3),
    "n-gram with impossible tokens": lambda where: ngram(2, maximum_likelihood),
    "mlp": lambda where: neural(lambda: MLP(V, 2, 4, 8), where),
    "lstm": lambda where: neural(lambda: RecurrentLanguageModel(V, LSTM(4, 8)), where),
    "torch's lstm": lambda where: neural(lambda: RecurrentLanguageModel(V, nn.LSTM(4, 8, batch_first=True)), where),
    "encoder–decoder": lambda where: encoder_decoder(where).given(SOURCES, SOURCE_MASK),
    "encoder–decoder of one source": lambda where: encoder_decoder(where).given(SOURCES[:1]),
}


@pytest.fixture(params=itertools.product(MODELS, DEVICES), ids=" on ".join)
def model(request):
    name, where = request.param
    return MODELS[name](where)


class Table:
    """A model that has any conditional distribution, by row and text so far: `p(row, text)` gives {token: p}."""

    def __init__(self, p):
        self.p = p

    def start(self, batch_size):
        return [(row, None) for row in range(batch_size)]

    def step(self, state, ids):
        read = [(row, "" if text is None else text + VOCAB.tokens[i]) for (row, text), i in
                zip(state, ids.tolist(), strict=True)]  # fmt: skip
        rows = [self.p(row, text.replace("</s>", "")) for row, text in read]
        p = torch.tensor([[given.get(token, 0.0) for token in VOCAB.tokens] for given in rows], dtype=torch.float64)
        return p.log(), read

    def select(self, state, rows):
        return [state[i] for i in rows.tolist()]


def drawn(seed: int):
    """A table at random, another one for each row."""

    @cache
    def p(row, text):
        rng = np.random.default_rng([seed, row, *map(ord, text)])
        return dict(zip(["</s>", "a", "b", "c"], rng.dirichlet(np.ones(4)), strict=True))

    return p


def log_p(p, row: int, text: str) -> float:
    """ln p of a text and its end."""
    steps = [p(row, text[:i]).get(token, 0.0) for i, token in enumerate([*text, "</s>"])]
    return sum(math.log(step) if step else -math.inf for step in steps)


def all_texts(most: int) -> list[str]:
    return ["".join(letters) for n in range(most + 1) for letters in itertools.product("abc", repeat=n)]


def close(a: float, b: float):
    assert a == pytest.approx(b, abs=1e-4)


def score_of(model, row: int, text: str, batch_size: int) -> float:
    """ln p of a text and its end in a row, by the model's own `score`."""
    ids = torch.tensor([BEGIN, *(VOCAB.encode(text)[1:-1] if text else []), END]).repeat(batch_size, 1)
    return model.score(ids[:, :-1], ids[:, 1:])[row].sum().item()


# What comes out


@pytest.mark.parametrize("width", [1, 2, 5, 40])
def test_what_is_found_has_the_probability_that_the_model_gives_it(model, width):
    found = beam_search(model, VOCAB, width=width, max_tokens=7, batch_size=4)
    assert len(found) == 4 and (any(found) or width < 5)
    for row, hypotheses in enumerate(found):
        assert len(hypotheses) <= width
        assert len({h.text for h in hypotheses}) == len(hypotheses)
        assert [h.log_p for h in hypotheses] == sorted((h.log_p for h in hypotheses), reverse=True)
        for text, log_p in hypotheses:
            assert -math.inf < log_p <= 0 and len(text) < 7
            close(log_p, score_of(model, row, text, 4))


def test_width_1_is_greedy_search(model):
    greedy = generate(model, VOCAB, n_tokens=30, temperature=0, batch_size=4)
    found = beam_search(model, VOCAB, width=1, max_tokens=30, batch_size=4)
    for text, hypotheses in zip(greedy, found, strict=True):
        assert [h.text for h in hypotheses] == ([text] if len(text) < 30 else [])


@pytest.mark.parametrize("seed", range(5))
def test_width_1_is_greedy_search_in_any_table(seed):
    model = Table(drawn(seed))
    greedy = generate(model, VOCAB, n_tokens=40, temperature=0, batch_size=6)
    found = beam_search(model, VOCAB, width=1, max_tokens=40, batch_size=6)
    assert [[h.text for h in row] for row in found] == [[text] if len(text) < 40 else [] for text in greedy]
    assert any(found)


@pytest.mark.parametrize("max_tokens", [1, 2, 4])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_beam_as_wide_as_there_are_texts_finds_the_best_of_all(order, max_tokens):
    """All texts that end within max_tokens are tried by hand, in a batch of two equal rows."""
    model = ngram(order)
    scored = {text: score_of(model, 0, text, 1) for text in all_texts(max_tokens - 1)}
    best = max(scored, key=scored.get)
    found = beam_search(model, VOCAB, width=4**max_tokens, max_tokens=max_tokens, batch_size=2)
    assert found[0] == found[1] and found[0][0].text == best
    for text, log_p in found[0]:
        close(log_p, scored[text])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_tokens", [1, 2, 4])
def test_in_any_table_too_and_every_row_has_its_own_best(seed, max_tokens):
    p = drawn(seed)
    found = beam_search(Table(p), VOCAB, width=4**max_tokens, max_tokens=max_tokens, batch_size=5)
    for row, hypotheses in enumerate(found):
        best = max(all_texts(max_tokens - 1), key=lambda text: log_p(p, row, text))  # noqa: B023
        assert hypotheses[0].text == best
        for text, found_log_p in hypotheses:
            assert found_log_p == pytest.approx(log_p(p, row, text), abs=1e-9)


# Where the width matters


def garden_path(depth: int, reward: float):
    """`a` looks better than `b` at first, and leads to `depth` more steps of equal chances; after `b` all is clear."""

    def p(row, text):
        if not text:
            return {"a": 0.6, "b": 0.4}
        if text[0] == "b":
            return {"</s>": reward, "c": 1 - reward} if text == "b" else {"</s>": 1.0}
        return {"b": 0.52, "c": 0.48} if len(text) <= depth else {"</s>": 1.0}

    return p


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("reward", [0.9, 1.0])
def test_where_greed_goes_wrong_two_beginnings_go_right(depth, reward):
    model = Table(garden_path(depth, reward))
    (greedy,), (wider,) = (beam_search(model, VOCAB, width=width, max_tokens=9)[0][:1] for width in (1, 2))
    assert greedy.text == "a" + "b" * depth and greedy.log_p == pytest.approx(math.log(0.6 * 0.52**depth))
    assert wider.text == "b" and wider.log_p == pytest.approx(math.log(0.4 * reward))
    best = [beam_search(model, VOCAB, width=width, max_tokens=9)[0][0].log_p for width in range(1, 9)]
    assert best == sorted(best)  # here a wider beam is never worse; that is not so everywhere


def test_what_has_ended_waits_for_the_better_that_has_not():
    """The end comes at once with p = 0.3; a text of four letters is more probable, and is not cut off."""

    def p(row, text):
        return {"</s>": 0.3, "a": 0.7} if not text else {"b": 0.9, "c": 0.1} if len(text) < 4 else {"</s>": 1.0}

    (found,) = beam_search(Table(p), VOCAB, width=2, max_tokens=9)
    assert [h.text for h in found] == ["abbb", ""]
    assert [h.log_p for h in found] == pytest.approx([math.log(0.7 * 0.9**3), math.log(0.3)])


def test_it_ends_as_soon_as_nothing_more_probable_can_come():
    read = []

    class Counted(Table):
        def step(self, state, ids):
            read.append(len(ids))
            return super().step(state, ids)

    def p(row, text):
        return {"</s>": 0.6, "a": 0.4} if len(text) == row else {"a": 1.0}  # row 0 ends first, row 2 last

    found = beam_search(Counted(p), VOCAB, width=2, max_tokens=50, batch_size=3)
    assert [row[0].text for row in found] == ["", "a", "aa"]
    assert read == [6, 6, 6]  # batch · width rows, and no more steps than the last row needs


# Rows, tokens, ends


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_a_row_is_what_it_is_alone(seed, width):
    p = drawn(seed)
    together = beam_search(Table(p), VOCAB, width=width, max_tokens=6, batch_size=8)
    alone = [beam_search(Table(lambda _, text, row=row: p(row, text)), VOCAB, width=width, max_tokens=6)[0] for row in
             range(8)]  # fmt: skip
    assert len({row[0].text for row in together if row}) > 1
    assert together == alone


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("width", [1, 3])
def test_the_best_for_a_source_is_what_it_is_alone(width, where):
    """Sources that are padded as far as the longest, with a mask; alone they are not padded at all."""
    model = encoder_decoder(where)
    together = beam_search(model.given(SOURCES, SOURCE_MASK), VOCAB, width=width, max_tokens=8, batch_size=4)
    assert len({row[0].text for row in together if row}) > 1
    for row, n, hypotheses in zip(SOURCES, SOURCE_MASK.sum((1, 2)), together, strict=True):
        (alone,) = beam_search(model.given(row[None, :n]), VOCAB, width=width, max_tokens=8)
        assert [h.text for h in alone] == [h.text for h in hypotheses]
        if alone:
            close(alone[0].log_p, hypotheses[0].log_p)


def test_unknown_and_begin_are_never_written():
    """Although nothing is more probable."""

    def p(row, text):
        return {"<unk>": 0.4, "<s>": 0.3, "a": 0.2, "</s>": 0.1}

    for width in (1, 2, 40):
        (found,) = beam_search(Table(p), VOCAB, width=width, max_tokens=3)
        assert all(set(h.text) <= {"a"} for h in found)
    assert [h.text for h in found] == ["", "a"]
    assert [h.log_p for h in found] == pytest.approx([math.log(0.1), math.log(0.02)])  # as it was, not renormalised


def test_a_vocabulary_without_unknown_tokens_will_do():
    vocab = Characters("abc", markers=True)
    (found,) = beam_search(NGram(count_ngrams(vocab, ["ab", "ab", "cab"], 2)), vocab, width=1, max_tokens=9)
    assert [h.text for h in found] == ["ab"]


def test_what_does_not_end_is_not_returned():
    def p(row, text):
        return {"a": 0.9, "b": 0.1} if row or len(text) < 4 else {"</s>": 1.0}

    for width in (1, 3):
        assert beam_search(Table(p), VOCAB, width=width, max_tokens=4, batch_size=2) == [[], []]
        found = beam_search(Table(p), VOCAB, width=width, max_tokens=5, batch_size=2)
        assert found[0][0].text == "aaaa" and found[1] == []


def test_more_is_never_returned_than_can_be_written():
    """A beam wider than there are texts holds beginnings of probability 0; they are not among what is found."""
    (found,) = beam_search(Table(lambda row, text: {"a": 0.5, "</s>": 0.5}), VOCAB, width=50, max_tokens=3)
    assert found[0].text == "" and {h.text for h in found} <= {"", "a", "aa"}
    assert beam_search(ngram(1, maximum_likelihood, ["a"]), VOCAB, width=9, max_tokens=1)[0][0].text == ""


def test_nothing_is_kept_for_a_backward_pass_and_the_mode_stays():
    model, keeps = neural(lambda: MLP(V, 2, 4, 8, dropout=0.5)).train(), []

    class Watched(Table):
        def start(self, batch_size):
            keeps.append(torch.is_grad_enabled())  # an encoder runs here
            return model.start(batch_size)

    watched = Watched(None)
    watched.step, watched.select = model.step, model.select
    first, second = (beam_search(watched, VOCAB, width=3, max_tokens=5) for _ in range(2))
    assert first == second and keeps == [False, False] and torch.is_grad_enabled()
    assert all(module.training for module in model.modules())


# Bad input


@pytest.mark.parametrize("size", [0, -1, 1.5, None])
@pytest.mark.parametrize("name", ["width", "max_tokens", "batch_size"])
def test_sizes_that_are_none_are_named(name, size):
    sizes = {"width": 2, "max_tokens": 3, "batch_size": 1} | {name: size}
    with pytest.raises(ValueError, match=f"{name} is {size!r}: expected a whole number, 1 or more"):
        beam_search(ngram(2), VOCAB, **sizes)


def test_a_vocabulary_without_markers_is_refused():
    vocab = Characters("abc")
    model = NGram(count_ngrams(vocab, "abcab", 2))
    with pytest.raises(ValueError, match="no markers: beam search needs to know where a sequence begins and ends"):
        beam_search(model, vocab, width=2, max_tokens=3)
