"""The echo language: every sentence obeys its rule, and its entropy is what counting says."""

import math
import re
from collections import Counter

import pytest

from course_lib.data.synthetic import echo_entropy, echo_language


def test_every_sentence_echoes_its_key():
    sentences = echo_language(500, seed=1).splitlines()
    assert len(sentences) == 500
    assert all(re.fullmatch(r"([1-8])[a-lA-L]{12}\1", s) and s[1:-1].lower() == "abcdefghijkl" for s in sentences)


def test_the_stated_entropy_is_that_of_the_sentences():
    """The entropy of what is free (key and case), estimated from 20,000 sentences, per character of a sentence."""
    sentences = echo_language(20_000, seed=2).splitlines(keepends=True)

    def entropy(values):
        shares = [n / len(values) for n in Counter(values).values()]
        return -sum(p * math.log2(p) for p in shares)

    key = entropy([s[0] for s in sentences])
    cases = sum(entropy([s[i].isupper() for s in sentences]) for i in range(1, 13))
    assert (key + cases) / len(sentences[0]) == pytest.approx(echo_entropy(), abs=1e-3)
    assert (2 * key + cases) / len(sentences[0]) == pytest.approx(echo_entropy(sees_key=False), abs=1e-3)


def test_a_seed_repeats_and_another_differs():
    assert echo_language(5, seed=3) == echo_language(5, seed=3) != echo_language(5, seed=4)


def test_too_few_sentences_are_refused():
    with pytest.raises(ValueError, match="n_sentences is 0"):
        echo_language(0)
