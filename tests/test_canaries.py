"""Canaries and pronouns, against models whose answers are known."""

import itertools
import math
from collections import Counter

import pytest
import torch

from course_lib.canaries import canaries, code_log_probabilities, exposure, planted
from course_lib.lm import evaluate
from course_lib.ngram import NGram, count_ngrams
from course_lib.pronouns import BEGINNINGS, model_log_odds, text_log_odds
from course_lib.vocab import Characters

TEXT = "The quick brown fox jumps over the lazy dog.\nAnd it was 1234567890 o'clock.\n" * 40


def test_canaries_are_planted_as_often_as_said_and_nothing_else_changes():
    secrets = canaries([0, 1, 5], n_each=3, seed=1)
    assert Counter(secret.copies for secret in secrets) == {0: 3, 1: 3, 5: 3}
    assert len({secret.prefix for secret in secrets}) == 9
    text = planted(TEXT, secrets, seed=1)
    for secret in secrets:
        assert text.count(secret.sentence) == secret.copies
        text = text.replace(secret.sentence, "")
    assert text == TEXT
    assert planted(TEXT, secrets, seed=1) == planted(TEXT, secrets, seed=1) != planted(TEXT, secrets, seed=2)
    assert canaries([1], 1, seed=0) != canaries([1], 1, seed=1)


def test_log_p_of_all_codes_is_what_each_code_costs_alone():
    vocab = Characters(TEXT)
    model = NGram(count_ngrams(vocab, TEXT, 3))
    prefix = "And it was "
    log_p = code_log_probabilities(model, vocab, prefix, 2)
    assert log_p.shape == (100,) and log_p.exp().sum() < 1
    for i, code in enumerate(map("".join, itertools.product("0123456789", repeat=2))):
        alone = -evaluate(model, vocab, prefix + code).nats + evaluate(model, vocab, prefix).nats
        assert log_p[i].item() == pytest.approx(alone, rel=1e-5)
    assert log_p.argmax() == 12


def test_exposure_by_hand():
    log_p = torch.tensor([0.1, 0.4, 0.2, 0.3, *[0.0] * 6]).log()
    assert exposure(log_p, "1") == pytest.approx(math.log2(10))  # first of ten
    assert exposure(log_p, "3") == pytest.approx(math.log2(10 / 2))
    assert exposure(log_p, "0") == pytest.approx(math.log2(10 / 4))
    assert exposure(log_p, "9") == pytest.approx(math.log2(10 / 7.5))  # one of six in the places 5 to 10
    assert exposure(torch.zeros(1000), "123") == pytest.approx(math.log2(1000 / 500.5))


def test_a_model_that_read_a_secret_often_exposes_it():
    secrets = canaries([0, 50], n_each=1, seed=0)
    text = planted(TEXT, secrets, seed=0)
    vocab = Characters(text)
    model = NGram(count_ngrams(vocab, text, 7))
    unknown, known = (exposure(code_log_probabilities(model, vocab, s.prefix, 4), s.code) for s in secrets)
    assert known == pytest.approx(math.log2(10_000)) and unknown < 11


@pytest.mark.parametrize(
    "arguments, said",
    [(([], 1), "expected at least one"), (([-1], 1), "0 or more"), (([1], 0), "n_each"), (([1], 1, 0), "n_digits")],
)
def test_canaries_that_make_no_sense_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        canaries(*arguments)


def test_pronouns_near_a_word_are_counted():
    far = "." * 60
    text = f"the king lost his crown and he wept{far}" * 3
    text += f"the queen lost her crown{far}the kingdom is hers{far}the KING, her son{far}he"
    odds = text_log_odds(text)
    assert odds["king"] == pytest.approx(math.log((6 + 1) / (1 + 1)))
    assert odds["queen"] == pytest.approx(math.log((0 + 1) / (1 + 1)))
    assert odds["nurse"] == 0


def test_a_model_has_the_odds_of_its_text():
    """An n-gram with a long enough context gives back the odds that the text has: 3 to 1."""
    lines = [
        begin.format("nurse") + pronoun for begin in BEGINNINGS for pronoun in (" his ", " his ", " his ", " her ")
    ]
    text = "".join(lines) * 50
    vocab = Characters(text)
    model = NGram(count_ngrams(vocab, text, 12))
    odds = model_log_odds(model, vocab, "nurse")
    assert odds == pytest.approx(math.log(3), rel=0.1)
    assert model_log_odds(model, vocab, "nurse") > 0 > -odds
