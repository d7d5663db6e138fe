"""Vocabularies: nothing is lost, unknown pieces are handled, bad input is named."""

import pytest
import rjieba

from course_lib.vocab import Characters, Vocabulary, VocabularyError, Words


@pytest.mark.parametrize("text", ["To be, or not\n to be", "我是一个天才研究员，😀", " \t"])
@pytest.mark.parametrize("markers", [False, True])
def test_characters_round_trip(text, markers):
    vocab = Characters(text, markers=markers)
    ids = vocab.encode(text)
    assert vocab.decode(ids) == text
    assert len(ids) == len(text) + 2 * markers
    if markers:
        assert (ids[0], ids[-1]) == (vocab.begin_id, vocab.end_id)


def test_words_keep_frequent_pieces_and_mark_the_rest_unknown():
    vocab = Words(["我喜欢写博客", "我喜欢"], split=rjieba.cut, min_count=2)
    assert vocab.pieces("我喜欢写博客") == ["我", "喜欢", "写", "博客"]
    assert [vocab.tokens[i] for i in vocab.encode("我喜欢写")] == ["<s>", "我", "喜欢", "<unk>", "</s>"]


@pytest.mark.parametrize("split", [list, lambda text: ["<s>", text[3:-4], "</s>"]])
def test_a_marker_spelled_in_the_text_is_not_a_marker(split):
    vocab = Vocabulary(["a", *"</s>"], split, markers=True, unknown=True)
    ids = vocab.encode("<s>a</s>")
    assert [i for i in ids if i in (vocab.begin_id, vocab.end_id)] == [ids[0], ids[-1]]
    assert "<s>" not in vocab and "a" in vocab


def test_unknown_character_is_named():
    with pytest.raises(VocabularyError, match=r"'z' \(piece 2 .*unknown=True"):
        Characters("abc").encode("abz")


def test_empty_text_is_refused():
    with pytest.raises(VocabularyError, match="empty"):
        Characters("abc").encode("")


def test_a_split_that_loses_characters_is_refused():
    with pytest.raises(VocabularyError, match="lost characters"):
        Vocabulary(["a", "b"], split=str.split).encode("a b")
