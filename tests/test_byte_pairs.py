"""Byte-pair encoding: what it learns and how it cuts, against the `tokenizers` library and by hand."""

import json
import math
import pickle
import random

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split
from tokenizers.trainers import BpeTrainer

from course_lib.data import load
from course_lib.lm import CODE_POINTS, evaluate
from course_lib.ngram import NGram, count_ngrams
from course_lib.vocab import BytePairs, Characters, VocabularyError
from course_lib.vocab.byte_pairs import WORD

# Sennrich, Haddow and Birch (2016), algorithm 1: how often each word occurs.
PAPER = "\n".join(["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3)


def library(documents, n_tokens, special=()):
    """The same encoding, learned by the library: tokenizer, merges, tokens in the order of their ids."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Split(Regex(WORD.pattern), "isolated")
    settings = {"vocab_size": n_tokens, "min_frequency": 2, "special_tokens": list(special), "show_progress": False}
    tokenizer.train_from_iterator(documents, BpeTrainer(**settings))
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    ids = tokenizer.get_vocab()
    return tokenizer, merges, sorted(ids, key=ids.get)


def assert_as_the_library(documents, held_out, n_tokens, markers=False, unknown=False):
    vocab = BytePairs(documents, n_tokens, markers=markers, unknown=unknown)
    special = ["<unk>"] * unknown + ["<s>", "</s>"] * markers
    tokenizer, merges, tokens = library(documents, n_tokens, special)
    assert vocab.merges == merges
    assert vocab.tokens == tokens
    ids = vocab.encode(held_out)
    assert (ids[1:-1] if markers else ids).tolist() == tokenizer.encode(held_out).ids
    return vocab


@pytest.mark.parametrize(("markers", "unknown"), [(False, False), (True, False), (False, True), (True, True)])
def test_real_text_as_the_library(markers, unknown):
    text = load("python_docs").train
    characters = set(text[:100_000])
    held_out = "".join(character for character in text[100_000:150_000] if character in characters)
    vocab = assert_as_the_library([text[:50_000], text[50_000:100_000]], held_out, 600, markers, unknown)
    assert len(vocab) == 600
    assert all(WORD.fullmatch(left + right) for left, right in vocab.merges)


@pytest.mark.slow
def test_the_yardstick_text_as_the_library():
    split = load("shakespeare")
    assert_as_the_library([split.train], split.validation, 1024)


@pytest.mark.parametrize("seed", range(40))
def test_made_up_words_as_the_library(seed):
    """Few letters in long words: runs of one letter, many ties, and often no pair left that occurs twice."""
    draw = random.Random(seed)
    letters = "abcd"[: draw.randint(1, 4)]

    def words(n):
        return "".join(draw.choice(" \n") + "".join(draw.choices(letters, k=draw.randint(1, 20))) for _ in range(n))

    documents = ["\n ab" + letters, *(words(draw.randint(1, 60)) for _ in range(3))]
    assert_as_the_library(documents, words(200), draw.randint(8, 150))


def test_the_example_of_the_paper():
    """By hand. The paper merges es, est, lo, low, too (it takes other pairs of equals, and marks where a word ends)."""
    vocab = BytePairs(PAPER, n_tokens=100)
    pairs = [
        *("e s", "es t", "l o", "lo w"),  # 9 times, 9, 7 and 7
        *("e w", "n ew", "new est"),  # 6 times; (e, w) leads, as e has the smallest id
        *("d est", "i dest", "w idest"),  # 3 times
        *("e r", "low er"),  # twice, and now every word is a token
    ]
    assert vocab.merges == [tuple(pair.split()) for pair in pairs]
    assert vocab.tokens == [*"\ndeilnorstw", *(pair.replace(" ", "") for pair in pairs)]
    assert vocab.pieces("lowest") == ["low", "est"]
    assert vocab.pieces("slower") == ["s", "lower"]


@pytest.mark.parametrize(
    ("text", "merges"),
    [
        ("ba\nba\nab\nab", [("a", "b"), ("b", "a")]),  # of equals, the smaller left id
        ("ac\nab\nac\nab", [("a", "b"), ("a", "c")]),  # and then the smaller right id
        ("zy\nzy\nzyzab\nxab\nab\nab", [("a", "b"), ("z", "y")]),  # but first what is more frequent
        ("aaa\naaa", [("a", "a"), ("aa", "a")]),  # a pair overlaps itself: the first comes first
        ("aaaa\naaaa", [("a", "a"), ("aa", "aa")]),
        ("aa", []),  # once is not enough
        ("aaa", [("a", "a")]),  # every place where a pair stands counts, even two that overlap
        ("a b\na b", [(" ", "b")]),  # never across two words
    ],
)
def test_merges_by_hand(text, merges):
    assert BytePairs(text, 50).merges == merges


def test_a_word_is_cut_by_the_earliest_merge_not_from_the_left():
    vocab = BytePairs("bc\n" * 3 + "ab\n" * 2, 6)
    assert vocab.merges == [("b", "c"), ("a", "b")]
    assert vocab.pieces("abc") == ["a", "bc"]
    assert vocab.pieces("ababc") == ["ab", "a", "bc"]


def test_words_of_a_text():
    text = "It's  1,000 days\n\n to x_1\t(Ω≈3½)\r\n  ...end "
    words = ["It", "'", "s", " ", " 1", ",", "000", " days", "\n\n", " to", " x", "_", "1", "\t", "(", "Ω", "≈", "3"]
    assert WORD.findall(text) == [*words, "½", ")", "\r\n ", " ...", "end", " "]


ODD = [
    "\t\ttabs \t",
    "lines\r\nlines\r\n\r",
    "😀👩‍👩‍👧 é é",
    "我是一个天才研究员，",
    " nbsp\u2003em",
    "<s>a</s><unk>",
    "_ __x² ٣",
    "\ud800",
]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost(seed):
    draw = random.Random(seed)
    texts = ["".join(draw.choices("".join(ODD) + " " * 20, k=draw.randint(1, 300))) for _ in range(2)] + ODD
    for text in texts:
        assert "".join(WORD.findall(text)) == text
    vocab = BytePairs(texts, 300, markers=True)
    other = BytePairs("abc abc", 6)
    for text in texts:
        assert vocab.decode(vocab.encode(text)) == text
        assert "".join(other.pieces(text)) == text


def test_documents_and_a_text_teach_the_same():
    n = PAPER.index("newest")
    assert BytePairs(iter([PAPER[:n], PAPER[n:]]), 30).merges == BytePairs(PAPER, 30).merges
    assert BytePairs(["a", "b", "a", "b"], 30).merges == []  # nor does a pair cross two documents


def test_as_many_tokens_as_asked_for_special_ones_included():
    for markers in (False, True):
        for unknown in (False, True):
            n_special = 2 * markers + unknown
            for n_tokens in range(11 + n_special, 20):
                vocab = BytePairs(PAPER, n_tokens, markers, unknown)
                assert len(vocab) == len(set(vocab.tokens)) == n_tokens
                assert len(vocab.merges) == n_tokens - n_special - 11


def test_a_copy_cuts_as_the_original():
    vocab = BytePairs(PAPER, 18)
    assert pickle.loads(pickle.dumps(vocab)).pieces("lowest widow") == vocab.pieces("lowest widow")


def test_unknown_characters():
    strict, lenient = BytePairs(PAPER, 18), BytePairs(PAPER, 18, unknown=True)
    with pytest.raises(VocabularyError, match=r"'é' \(piece 1 .*unknown=True"):
        strict.encode("lowé")
    assert lenient.pieces("lowér") == ["low", "é", "r"]
    assert [lenient.tokens[i] for i in lenient.encode("lowér")] == ["low", "<unk>", "r"]


@pytest.mark.parametrize("text", ["", [], ["", ""]])
def test_no_text_is_refused(text):
    with pytest.raises(VocabularyError, match="empty"):
        BytePairs(text, 100)


@pytest.mark.parametrize(("settings", "least"), [({}, 11), ({"markers": True}, 13), ({"unknown": True}, 12)])
def test_fewer_tokens_than_characters_are_refused(settings, least):
    with pytest.raises(VocabularyError, match=f"n_tokens is {least - 1}: expected {least} or more.* 11 characters"):
        BytePairs(PAPER, least - 1, **settings)
    assert BytePairs(PAPER, least, **settings).merges == []


class Uniform:
    """Every token is as likely as any other."""

    def __init__(self, vocab):
        self.log_p = -math.log(len(vocab))

    def score(self, ids, targets=None):
        return 0.0 * targets.double() + self.log_p


def test_evaluate_counts_characters_and_spells_unknown_ones():
    vocab = BytePairs(PAPER, 18, markers=True, unknown=True)
    known, unknown = (evaluate(Uniform(vocab), vocab, text) for text in ("lowest", "lowést"))
    assert (known.n_tokens, known.n_characters) == (3, 6)  # low, est and the end
    assert known.bits_per_character == pytest.approx(3 * math.log2(18) / 6)
    assert (unknown.n_tokens, unknown.n_characters) == (5, 6)  # low, <unk>, s, t and the end
    assert unknown.nats == pytest.approx(5 * math.log(18) + math.log(CODE_POINTS))


def test_an_ngram_over_pieces_is_better_than_one_over_characters():
    """In the unit that does not depend on the tokens; two pieces see further back than two characters do."""
    text = load("python_docs").train
    train, held_out = text[:100_000], text[100_000:120_000]
    bits = {}
    for vocab in (Characters(train, unknown=True), BytePairs(train, 500, unknown=True)):
        result = evaluate(NGram(count_ngrams(vocab, train, 2)), vocab, held_out)
        assert result.n_characters == len(held_out) - len(vocab.pieces(held_out)[0])
        assert np.isfinite(result.nats)
        bits[type(vocab)] = result.bits_per_character
    assert bits[BytePairs] < bits[Characters] - 0.3
