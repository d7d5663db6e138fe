"""The echo language: every sentence obeys its rule, and its entropy is what counting says."""

import math
import re
from collections import Counter
from string import ascii_lowercase

import pytest

from course_lib.data.synthetic import echo_entropy, echo_language


@pytest.mark.parametrize("n_letters", [1, 3, 12, 26])
def test_every_sentence_echoes_its_key(n_letters):
    sentences = echo_language(500, seed=1, n_letters=n_letters).splitlines()
    assert len(sentences) == 500
    assert all(re.fullmatch(r"([1-8])[A-Za-z]+\1", s) for s in sentences)
    assert {s[1:-1].lower() for s in sentences} == {ascii_lowercase[:n_letters]}
    assert len({s[0] for s in sentences}) == 8


def test_a_sentence_has_twelve_letters_unless_told_otherwise():
    assert echo_language(50, seed=4) == echo_language(50, seed=4, n_letters=12)
    assert echo_entropy() == echo_entropy(n_letters=12) == 15 / 15
    assert echo_entropy(sees_key=False) == 18 / 15


@pytest.mark.parametrize("n_letters", [1, 5, 12])
def test_the_stated_entropy_is_that_of_the_sentences(n_letters):
    """The entropy of what is free (key and case), estimated from 20,000 sentences, per character of a sentence."""
    sentences = echo_language(20_000, seed=2, n_letters=n_letters).splitlines(keepends=True)

    def entropy(values):
        shares = [n / len(values) for n in Counter(values).values()]
        return -sum(p * math.log2(p) for p in shares)

    key = entropy([s[0] for s in sentences])
    cases = sum(entropy([s[i].isupper() for s in sentences]) for i in range(1, n_letters + 1))
    n = len(sentences[0])
    assert (key + cases) / n == pytest.approx(echo_entropy(n_letters=n_letters), abs=1e-3)
    assert (2 * key + cases) / n == pytest.approx(echo_entropy(sees_key=False, n_letters=n_letters), abs=1e-3)


def test_a_seed_repeats_and_another_differs():
    assert echo_language(5, seed=3) == echo_language(5, seed=3) != echo_language(5, seed=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_sentences": 0}, "n_sentences is 0"),
        ({"n_sentences": -1}, "n_sentences is -1"),
        ({"n_letters": 0}, "n_letters is 0: expected 1 to 26"),
        ({"n_letters": 27}, "n_letters is 27: expected 1 to 26"),
    ],
)
def test_sizes_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        echo_language(**{"n_sentences": 3, **settings})
