"""The n-gram models against exact fractions, against an independent toolkit, and against what probability demands."""

import itertools
import random
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from brute_force import BruteForce

from course_lib import data
from course_lib.lm import evaluate
from course_lib.ngram import (
    Counts,
    NGram,
    absolute_discounting,
    additive,
    count_ngrams,
    fit_interpolation,
    interpolation,
    kneser_ney,
    maximum_likelihood,
    modified_kneser_ney,
)
from course_lib.vocab import Characters

HALF = [Fraction(1, 3), Fraction(3, 5), Fraction(1, 4), Fraction(1, 2)]
ESTIMATORS = {
    "maximum_likelihood": (maximum_likelihood, lambda b, h, w: b.interpolated(h, w, [1] * 4)),
    "additive": (partial(additive, k=0.25), lambda b, h, w: b.additive(h, w, Fraction(1, 4))),
    "interpolation": (
        lambda counts, order: interpolation(counts, order, np.array(HALF[:order], float)),
        lambda b, h, w: b.interpolated(h, w, HALF),
    ),
    "absolute_discounting": (absolute_discounting, lambda b, h, w: b.discounted(h, w, False, False)),
    "kneser_ney": (kneser_ney, lambda b, h, w: b.discounted(h, w, True, False)),
    "modified_kneser_ney": (modified_kneser_ney, lambda b, h, w: b.discounted(h, w, True, True)),
}


def small_text(seed: int, length: int) -> str:
    """Uneven letters, so that counts of 1, 2, 3 and 4 all occur and discounts are not always the fallback."""
    return "".join(random.Random(seed).choices("abcde", [8, 4, 2, 1, 1], k=length))


def corpora():
    """(name, text or documents, markers)"""
    yield "one running text", small_text(0, 60), False
    yield "one text with markers", small_text(1, 60), True
    yield "documents with markers", [small_text(s, 1 + s) for s in range(12)], True
    yield "documents without markers", [small_text(s, 2 + s) for s in range(8)], False


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(("text", "markers"), [pytest.param(t, m, id=name) for name, t, m in corpora()])
def test_equals_brute_force_in_exact_fractions(estimator, order, text, markers):
    smoothing, exact = ESTIMATORS[estimator]
    vocab = Characters(text, markers=markers, unknown=markers)
    model = NGram(count_ngrams(vocab, text, order), smoothing)
    documents = [text] if isinstance(text, str) else text
    sequences = [tuple(vocab.tokens[i] for i in vocab.encode(d)) for d in documents]
    brute = BruteForce(sequences, order, vocab.tokens, vocab.tokens[vocab.begin_id] if markers else None)
    contexts = [h for k in range(order) for h in itertools.product(range(len(vocab)), repeat=k)]
    for context in random.Random(order).sample(contexts, min(60, len(contexts))):
        padded = np.array([[-1] * (order - 1 - len(context)) + list(context)])
        for target in range(len(vocab)):
            h, w = tuple(vocab.tokens[i] for i in context), vocab.tokens[target]
            computed = model.probability(padded, np.array([target]))[0]
            assert computed == pytest.approx(float(exact(brute, h, w)), abs=1e-12), (h, w)


def test_the_three_discounts_are_not_always_the_fallback():
    """The comparison above would be empty for D1, D2, D3+ if every small text fell back to (0.5, 1, 1.5)."""
    vocab = Characters(small_text(0, 60))
    brute = BruteForce([tuple(small_text(0, 60))], 3, vocab.tokens)
    assert any(brute.discounts(k, True, True)(3) != Fraction(3, 2) for k in (1, 2, 3))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("markers", [False, True])
def test_every_conditional_distribution_sums_to_one(estimator, markers):
    text = data.load("python_docs").train[:20_000]
    vocab = Characters(text, markers=markers)
    model = NGram(count_ngrams(vocab, text, 4), ESTIMATORS[estimator][0])
    seen = vocab.encode(text[:300])[None]
    never_seen = torch.randint(2 * markers, len(vocab), (3, 50), generator=torch.Generator().manual_seed(0))
    for ids in (seen, never_seen):
        p = model.score(ids).exp()
        assert p.shape == (*ids.shape, len(vocab))
        assert (p >= 0).all()
        torch.testing.assert_close(p.sum(-1), torch.ones(ids.shape, dtype=p.dtype), atol=1e-12, rtol=0)
        if markers:
            assert (p[..., vocab.begin_id] == 0).all()


def test_score_of_targets_step_and_full_score_agree():
    text = small_text(3, 200)
    vocab = Characters(text)
    model = NGram(count_ngrams(vocab, text, 4))
    ids = torch.as_tensor(np.stack([vocab.encode(small_text(s, 20)) for s in (5, 6, 7)]))
    everything = model.score(ids)
    torch.testing.assert_close(
        model.score(ids[:, :-1], ids[:, 1:]), everything[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    )
    other = (ids + 1) % len(vocab)  # targets that are not the next tokens
    torch.testing.assert_close(model.score(ids, other), everything.gather(-1, other[..., None])[..., 0])
    state = model.start(3)
    for t in range(ids.shape[1]):
        log_p, state = model.step(state, ids[:, t])
        torch.testing.assert_close(log_p, everything[:, t])


@pytest.mark.parametrize("read", [0, 1, 6])
@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 1], [1], [2, 2, 0, 2, 1]], ids=str)
@pytest.mark.parametrize("order", [1, 2, 4])
def test_selected_rows_go_on_as_if_they_had_been_read_alone(order, rows, read):
    """As beam search asks: rows in another order, fewer or more of them. The old state serves on."""
    text = small_text(3, 200)
    vocab = Characters(text)
    model, rows = NGram(count_ngrams(vocab, text, order)), torch.tensor(rows)
    ids = torch.as_tensor(np.stack([vocab.encode(small_text(s, 12)) for s in (5, 6, 7)]))
    state = model.start(3)
    for t in range(read):
        _, state = model.step(state, ids[:, t])
    chosen, of_rows = model.select(state, rows), model.score(ids[rows])
    for t in range(read, 12):
        log_p, chosen = model.step(chosen, ids[rows, t])
        torch.testing.assert_close(log_p, of_rows[:, t])
    torch.testing.assert_close(model.step(state, ids[:, read])[0], model.score(ids)[:, read])


def test_future_tokens_do_not_change_past_scores():
    text = small_text(3, 200)
    vocab = Characters(text)
    model = NGram(count_ngrams(vocab, text, 4))
    ids = torch.as_tensor(vocab.encode(small_text(9, 20)))[None]
    changed = ids.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % len(vocab)
    assert torch.equal(model.score(ids)[:, :12], model.score(changed)[:, :12])


@pytest.fixture(scope="module")
def yardstick():
    split = data.load("shakespeare")
    vocab = Characters(split.train, markers=True, unknown=True)
    return split, vocab, NGram(count_ngrams(vocab, split.train, 6))


@pytest.mark.parametrize(("part", "toolkit"), [("validation", 4.59856), ("test", 4.73796)])
def test_modified_kneser_ney_equals_an_independent_toolkit(yardstick, part, toolkit):
    """Order 6 on the works of Shakespeare, one sentence per split, perplexity over T + 1 tokens."""
    split, vocab, model = yardstick
    assert evaluate(model, vocab, getattr(split, part)).perplexity == pytest.approx(toolkit, rel=1e-3)


def test_a_lower_order_from_the_same_counts_equals_counting_anew(yardstick):
    split, _, _ = yardstick
    text = split.validation[:30_000]
    vocab = Characters(text, markers=True)
    from_higher = NGram(count_ngrams(vocab, text, 5), order=3)
    anew = NGram(count_ngrams(vocab, text, 3))
    ids = vocab.encode(split.validation[:2000])[None]
    torch.testing.assert_close(from_higher.score(ids), anew.score(ids))


def test_an_ngram_is_found_by_its_tokens_and_gives_them_back():
    text = small_text(4, 300)
    vocab = Characters(text)
    counts = count_ngrams(vocab, text, 3)
    trigrams = sorted({text[i : i + 3] for i in range(len(text) - 2)})
    ids = np.stack([vocab.encode(t) for t in trigrams])
    rows = counts.find(ids.T[::-1])[-1]
    assert np.array_equal(counts.tokens(3, rows), ids)
    by_hand = [sum(text.startswith(t, i) for i in range(len(text))) for t in trigrams]
    assert counts.levels[2].raw[rows].tolist() == by_hand


@pytest.mark.parametrize("vocab_size", [200, 255, 256, 65_535, 65_536, 70_000])
def test_any_vocabulary_size_is_counted_alike(vocab_size):
    """Tokens are stored in 8, 16 or 32 bits, and five of the largest do not fit into 63: nothing may overflow."""
    small_ids = np.random.default_rng(0).integers(0, 5, 500)
    spread = np.linspace(0, vocab_size - 1, 5).astype(int)  # the first and the last id are among them
    small, large = Counts([small_ids], 5, 5), Counts([spread[small_ids]], 5, vocab_size)
    for a, b in zip(small.levels, large.levels, strict=True):
        assert np.array_equal(a.raw, b.raw) and np.array_equal(a.context, b.context)
    assert np.array_equal(spread[small.tokens(5, np.arange(9))], large.tokens(5, np.arange(9)))
    sought = np.random.default_rng(1).integers(-1, 5, (5, 500))  # −1: nothing there
    found = small.find(sought), large.find(np.where(sought < 0, -1, spread[sought]))
    assert np.array_equal(*found) and {-1, 0} <= set(found[0][-1].clip(max=0))
    top = np.array([vocab_size - 1, 0] * 10)
    assert Counts([top], 2, vocab_size).levels[0].raw.tolist() == [10, 10]


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("markers", [False, True])
@pytest.mark.parametrize("length", [25, 300])  # in a short text many contexts were never seen
def test_interpolation_weights_are_the_best_on_held_out_text(order, markers, length):
    """No weights on a grid, and none nearby, make the held-out text more probable than those that EM found."""
    text, held_out = small_text(0, length), small_text(1, 300)
    vocab = Characters(text + held_out, markers=markers)
    counts = count_ngrams(vocab, text, order)

    def nats(weights):
        return evaluate(NGram(counts, partial(interpolation, weights=weights)), vocab, held_out).nats

    best = fit_interpolation(counts, vocab, held_out, steps=2000)
    grid = [np.array(w) for w in itertools.product(np.linspace(0.05, 1, 9), repeat=order)]
    nearby = [best + step * np.eye(order)[i] for i in range(order) for step in (-0.003, 0.003)]
    assert nats(best) <= min(nats(w) for w in grid + nearby if 0 <= w.min() <= w.max() <= 1) + 1e-9


def test_interpolation_weights_stay_weights_where_an_order_is_never_asked():
    """No context of two tokens of the held-out text was ever seen: order 3 is never asked, and nothing divides by 0."""
    vocab = Characters("abcd")
    weights = fit_interpolation(count_ngrams(vocab, "abababab" + "cd", 3), vocab, "acacadad")
    assert np.isfinite(weights).all() and ((weights >= 0) & (weights <= 1)).all()


def test_kneser_ney_beats_absolute_discounting_where_a_word_follows_only_one_other():
    """The example that continuation counts are for: 'o' is frequent, but only ever after 't'."""
    text = "tototototo" + "abacbcabcb"
    vocab = Characters(text)
    counts = count_ngrams(vocab, text, 2)
    after_new_context = np.array([[vocab.encode("o")[0]]])  # 'o' then anything but 't' is new
    o = vocab.encode("o")
    assert (
        NGram(counts, kneser_ney).probability(after_new_context, o)
        < NGram(counts, absolute_discounting).probability(after_new_context, o)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda v: count_ngrams(v, "abcab", 0), ["order is 0", "1 or more"]),
        (lambda v: count_ngrams(v, "ab", 3), ["2 tokens", "order 3", "more text"]),
        (lambda v: count_ngrams(v, [], 3), ["0 tokens"]),
        (lambda v: count_ngrams(v, "", 1), ["empty"]),
        (lambda v: count_ngrams(v, ["ab", ""], 1), ["document 1 of 2"]),
        (lambda v: Counts([np.array([0, 3])], 1, 3), ["0 to 3", "0 to 2"]),
        (lambda v: fit_interpolation(count_ngrams(v, "abc", 2), v, ["a"]), ["no token to predict"]),
        (lambda v: fit_interpolation(count_ngrams(v, "abc", 2), v, "abc", 9), ["order is 9", "1 to 2"]),
        (lambda v: count_ngrams(v, "abz", 1), ["'z'", "unknown=True"]),
        (lambda v: NGram(count_ngrams(v, "abcab", 2), order=3), ["order is 3", "1 to 2"]),
        (lambda v: NGram(count_ngrams(v, "abcab", 2), partial(additive, k=0)), ["k is 0"]),
        (lambda v: NGram(count_ngrams(v, "abc", 2), partial(interpolation, weights=[0.5])), ["2 numbers"]),
        (lambda v: NGram(count_ngrams(v, "abc", 2)).score(np.array([[0, 9]])), ["9", "0 to 2"]),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError) as error:
        call(Characters("abc"))
    assert all(word in str(error.value) for word in words), error.value
