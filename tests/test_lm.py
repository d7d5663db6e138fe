"""Evaluation and sampling, tested on models whose every probability is known."""

import math

import numpy as np
import pytest
import torch

from course_lib.lm import CODE_POINTS, Evaluation, evaluate, generate, next_token_probabilities
from course_lib.neural import LSTM, RecurrentLanguageModel
from course_lib.ngram import NGram, count_ngrams
from course_lib.transformer import Architecture, TransformerLM
from course_lib.vocab import Characters, Vocabulary, Words

P = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05], dtype=torch.float64)


class Fixed:
    """The next token never depends on anything."""

    def __init__(self, p):
        self.log_p = torch.as_tensor(p, dtype=torch.float64).log()

    def score(self, ids, targets=None):
        return self.log_p.expand(*ids.shape, -1) if targets is None else self.log_p[targets]

    def start(self, batch_size):
        return None

    def step(self, state, ids):
        return self.log_p.repeat(len(ids), 1), None


def test_a_uniform_model_has_perplexity_v_and_log2_v_bits():
    vocab = Characters("abcdefgh")
    result = evaluate(Fixed(np.full(8, 1 / 8)), vocab, "abcdefgh" * 10)
    assert result.perplexity == pytest.approx(8)
    assert result.bits_per_character == pytest.approx(3)
    assert (result.n_tokens, result.n_characters) == (79, 79)  # nothing predicts the first character


def test_bits_per_character_do_not_depend_on_the_tokens():
    """The same uniform source over four letters, once read letter by letter, once in pairs."""
    letters, text = "abcd", "abcddcba" * 4
    pairs = Vocabulary([a + b for a in letters for b in letters], lambda t: [t[i : i + 2] for i in range(0, len(t), 2)])
    by_letter = evaluate(Fixed(np.full(4, 1 / 4)), Characters(letters), text)
    by_pair = evaluate(Fixed(np.full(16, 1 / 16)), pairs, text)
    assert by_letter.bits_per_character == pytest.approx(by_pair.bits_per_character) == pytest.approx(2)
    assert by_pair.perplexity == pytest.approx(16)


def test_markers_let_the_first_token_and_the_end_be_predicted():
    vocab = Characters("ab", markers=True)
    result = evaluate(Fixed([0, 0.25, 0.5, 0.25]), vocab, ["ab", "a"])
    assert result.n_tokens == 5 and result.n_characters == 3
    assert result.nats == pytest.approx(-2 * math.log(0.5) - 3 * math.log(0.25))


TEXT = "the cat sat on the mat and the rat sat on the cat; " * 3


@pytest.fixture
def trigram():
    vocab = Characters(TEXT)
    return NGram(count_ngrams(vocab, TEXT[:80], 3)), vocab


def test_blocks_with_enough_context_equal_one_pass(trigram):
    model, vocab = trigram
    whole = evaluate(model, vocab, TEXT)
    for batch_size in (1, 4, 64):
        blocks = evaluate(model, vocab, TEXT, block=7, context=1, batch_size=batch_size)
        assert blocks.nats == pytest.approx(whole.nats)
        assert blocks.n_tokens == whole.n_tokens
    assert whole.protocol != blocks.protocol


def test_cold_blocks_forget_what_came_before(trigram):
    """By hand: the first prediction of each block sees one token only, as if its text began there."""
    model, vocab = trigram
    cold = evaluate(model, vocab, TEXT, block=7)
    n = len(TEXT) - 1
    pieces = [TEXT[i : min(i + 7, n) + 1] for i in range(0, n, 7)]
    assert cold.nats == pytest.approx(sum(evaluate(model, vocab, piece).nats for piece in pieces))
    assert cold.nats != pytest.approx(evaluate(model, vocab, TEXT).nats)


def test_an_unknown_character_costs_one_of_all_code_points():
    vocab = Characters("ab", markers=True, unknown=True)
    model = Fixed([0.2, 0, 0.2, 0.3, 0.3])
    known, unknown = evaluate(model, vocab, "ab"), evaluate(model, vocab, "a我")
    difference = math.log(0.3) - math.log(0.2) + math.log(CODE_POINTS)
    assert unknown.nats - known.nats == pytest.approx(difference)


def test_unknown_words_are_spelled_or_refused():
    vocab = Words(["aa bb aa bb"], split=lambda t: t.replace(" ", "| |").split("|"))
    model = Fixed(np.full(len(vocab), 1 / len(vocab)))
    with pytest.raises(ValueError, match="1 pieces are unknown.*'zz'.*spell"):
        evaluate(model, vocab, "aa zz bb")
    spelled = evaluate(model, vocab, "aa zz bb", spell=lambda pieces: 7.0 * len(pieces))
    assert spelled.nats == pytest.approx(6 * math.log(len(vocab)) + 7)


def test_an_impossible_text_costs_infinitely_much():
    assert evaluate(Fixed([1.0, 0.0]), Characters("ab"), "aab").perplexity == math.inf


@pytest.mark.parametrize(("nats", "perplexity"), [(2.0, math.exp(1.0)), (2000.0, math.inf)])
def test_perplexity_of_a_diverged_model_is_infinite_and_no_error(nats, perplexity):
    assert Evaluation(nats, 2, 2, "").perplexity == pytest.approx(perplexity)
    assert math.isnan(Evaluation(math.nan, 2, 2, "").perplexity)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, P),
        ({"temperature": 0.5}, P**2 / (P**2).sum()),
        ({"temperature": 2.0}, P**0.5 / (P**0.5).sum()),
        ({"temperature": 0}, [1, 0, 0, 0, 0]),
        ({"top_k": 2}, [5 / 7, 2 / 7, 0, 0, 0]),
        ({"top_k": 99}, P),
        ({"top_p": 0.49}, [1, 0, 0, 0, 0]),
        ({"top_p": 0.69}, [5 / 7, 2 / 7, 0, 0, 0]),
        ({"top_p": 0.71}, [50 / 85, 20 / 85, 15 / 85, 0, 0]),
        ({"top_p": 1e-9}, [1, 0, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.8}, [5 / 7, 2 / 7, 0, 0, 0]),  # of the three kept, two reach 0.8
    ],
)
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [2, 0, 1, 4, 3]])
def test_truncated_distributions(settings, expected, order):
    """Worked by hand for one order of the tokens, then with the tokens shuffled."""
    p = next_token_probabilities(P[order].log().repeat(2, 1), **settings)
    expected = torch.as_tensor(expected, dtype=torch.float64)[order]
    torch.testing.assert_close(p, expected.repeat(2, 1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.8}])
def test_draws_follow_the_distribution(settings):
    """Pearson's chi-squared over 40,000 draws: its mean is the degrees of freedom, its variance twice that."""
    vocab, n, batch = Characters("abcde"), 400, 100
    texts = generate(Fixed(P), vocab, "a", n, batch_size=batch, seed=1, **settings)
    drawn = "".join(text[1:] for text in texts)
    expected = next_token_probabilities(P.log()[None], **settings)[0] * n * batch
    observed = torch.tensor([drawn.count(c) for c in "abcde"], dtype=torch.float64)
    assert (observed[expected == 0] == 0).all()
    possible = expected > 0
    chi2 = ((observed - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = int(possible.sum()) - 1
    assert chi2 < freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("markers", [False, True])
def test_generation_follows_the_model_step_by_step(markers):
    """Greedy text, recomputed token by token with `score` alone."""
    vocab = Characters(TEXT, markers=markers)
    model = NGram(count_ngrams(vocab, TEXT[:80], 3))
    (text,) = generate(model, vocab, "the ", 30, temperature=0)
    assert len(text) == 34
    for i in range(4, len(text)):
        ids = vocab.encode(text[:i])[: -1 if markers else None]
        assert vocab.tokens[model.score(ids[None])[0, -1].argmax()] == text[i]


def test_a_seed_repeats_and_sequences_differ(trigram):
    model, vocab = trigram
    first = generate(model, vocab, "the", 40, seed=3, batch_size=4)
    assert first == generate(model, vocab, "the", 40, seed=3, batch_size=4)
    assert first != generate(model, vocab, "the", 40, seed=4, batch_size=4)
    assert len(set(first)) == 4 and all(text.startswith("the") for text in first)


def test_a_sequence_ends_at_its_end_marker_while_others_go_on():
    vocab = Characters("ab", markers=True)
    texts = generate(Fixed([0, 0.3, 0.4, 0.3]), vocab, "", 60, batch_size=50)
    lengths = {len(text) for text in texts}
    assert 0 in lengths and max(lengths) > 5  # (0.7)^k: some stop at once, some go on


def test_a_model_can_train_after_it_was_judged_and_sampled():
    """What a model computes on first use and keeps (positions, masks) must still take part in a backward pass."""

    class Lazy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.table = torch.nn.Parameter(torch.zeros(5)), None

        def score(self, ids, targets=None):
            if self.table is None:
                self.table = torch.arange(5.0)
            log_p = (self.weight * self.table).log_softmax(-1)
            return log_p.expand(*ids.shape, -1) if targets is None else log_p[targets]

        def start(self, batch_size):
            return None

        def step(self, state, ids):
            return self.score(ids), None

    vocab = Characters("abcde")
    for use in (lambda m: evaluate(m, vocab, "abc"), lambda m: generate(m, vocab, "a", 3)):
        model = Lazy()
        use(model)
        model.score(torch.zeros(1, 2, dtype=torch.long)).sum().backward()
        assert model.weight.grad is not None


class Bounded(Fixed):
    """Reads at most `n` tokens, and hands out its own tensor."""

    def __init__(self, p, n):
        super().__init__(p)
        self.n = n

    def start(self, batch_size):
        return 0

    def step(self, state, ids):
        assert state < self.n, "one token too many"
        return self.log_p.expand(len(ids), -1), state + 1


def test_generation_reads_no_more_than_it_needs_and_leaves_the_model_alone():
    vocab = Characters("ab", markers=True, unknown=True)
    model = Bounded([0.3, 0.3, 0, 0.2, 0.2], 8)
    before = model.log_p.clone()
    (text,) = generate(model, vocab, "", 8)  # <s> is read, then seven of the eight drawn
    assert len(text) == 8  # neither <unk> nor <s> was drawn
    assert torch.equal(model.log_p, before)


class TokenByToken:
    """A model without its `read`."""

    def __init__(self, model):
        self.start, self.step = model.start, model.step


@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("prompt", ["a", "cabbage", "abcdefgabcdefgabcdefg"])
@pytest.mark.parametrize("make", [
    lambda: RecurrentLanguageModel(7, LSTM(3, 8)),
    lambda: TransformerLM(7, Architecture.textbook(d_model=8, n_heads=2, n_layers=1, max_length=6)),
], ids=["LSTM", "Transformer"])  # fmt: skip
def test_a_prompt_read_at_once_is_one_read_token_by_token(make, prompt, temperature, monkeypatch):
    torch.manual_seed(0)
    vocab, model = Characters("abcdefg"), make()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    settings = {"n_tokens": 12, "temperature": temperature, "batch_size": 3, "seed": 2}
    expected = generate(TokenByToken(model), vocab, prompt, **settings)
    read, widths = model.read, []
    monkeypatch.setattr(model, "read", lambda state, ids: widths.append(tuple(ids.shape)) or read(state, ids))
    assert generate(model, vocab, prompt, **settings) == expected
    assert widths[0] == (3, len(prompt)) and set(widths[1:]) <= {(3, 1)}


def test_unknown_is_never_generated():
    vocab = Characters("ab", markers=True, unknown=True)
    assert "<unk>" not in generate(Fixed([0.9, 0, 0, 0.05, 0.05]), vocab, "a", 100)[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0}, "top_p is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"n_tokens": -3}, "n_tokens is -3"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"temperature": 1e-39}, "temperature is 1e-39"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"n_tokens": 2.5}, "n_tokens is 2.5"),
        ({"n_tokens": 0, "temperature": -1}, "temperature is -1"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "z"}, "'z'"),
    ],
)
def test_bad_sampling_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        generate(Fixed(P), Characters("abcde"), **{"prompt": "a", "n_tokens": 3, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block": 0}, "block is 0"),
        ({"context": -1}, "context -1"),
        ({"context": 3}, "block is None and context 3"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"text": "a"}, "no token"),
        ({"text": ["abc", ""]}, "document 1 of 2 is empty"),
        ({"text": []}, "no token"),
    ],
)
def test_bad_evaluation_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        evaluate(Fixed(P), Characters("abcde"), **{"text": "abc", **settings})
