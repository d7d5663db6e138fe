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


@pytest.mark.parametrize("split", [str.split, lambda text: list(text.lower())])
def test_a_split_that_loses_or_changes_characters_is_refused(split):
    with pytest.raises(VocabularyError, match="lost characters"):
        Vocabulary(["a", "b"], split=split).encode("A b")


def test_words_of_a_text_and_of_documents_most_frequent_first():
    def split(text):
        return text.replace(" ", "| |").split("|")

    by_text = Words("b a b a b", split)
    assert by_text.tokens[3:] == [" ", "b", "a"]
    assert Words(["b a b", " a b"], split).tokens == by_text.tokens
