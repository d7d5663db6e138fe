"""Edit distances by trying all edits, and error rates worked out by hand."""

import itertools
import random
from functools import cache

import pytest

from course_lib.error_rate import error_rates, nearest


@cache
def edits(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """The fewest insertions, deletions and substitutions that make b of a, from the definition: the first phones are
    matched, or one of them is left out."""
    if not a or not b:
        return len(a) + len(b)
    return min(edits(a[1:], b[1:]) + (a[0] != b[0]), edits(a[1:], b) + 1, edits(a, b[1:]) + 1)


def draw(rng: random.Random, least: int = 0) -> str:
    return " ".join(rng.choices(["K", "AE", "T", "AH"], k=rng.randint(least, 6)))


def rates_by_hand(predicted: list[str], references: list[list[str]]) -> tuple[float, float]:
    """Of all nearest answers the one with the most phones."""
    chosen = []
    for prediction, right in zip(predicted, references, strict=True):
        chosen.append(min((edits(tuple(prediction.split()), tuple(r.split())), -len(r.split())) for r in right))
    wrong = sum(d > 0 for d, _ in chosen)
    return sum(d for d, _ in chosen) / -sum(n for _, n in chosen), wrong / len(chosen)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [1, 3])
def test_rates_are_those_of_trying_all_edits(most, seed):
    rng = random.Random(seed)
    predicted = [draw(rng) for _ in range(25)]
    references = [[draw(rng, 1) for _ in range(rng.randint(1, most))] for _ in predicted]
    rates = error_rates(predicted, references)
    assert (rates.phones, rates.words) == pytest.approx(rates_by_hand(predicted, references))
    for prediction, right in zip(predicted, references, strict=True):
        distance = {r: edits(tuple(prediction.split()), tuple(r.split())) for r in right}
        assert distance[nearest(prediction, right)] == min(distance.values())


@pytest.mark.parametrize(
    ("predicted", "right", "phones"),
    [
        ("K AE T", "K AE T", 0),
        ("K AH T", "K AE T", 1 / 3),  # substituted
        ("K T", "K AE T", 1 / 3),  # left out
        ("K AE AE T", "K AE T", 1 / 3),  # too many
        ("AE K T", "K AE T", 2 / 3),  # two that changed places are two edits
        ("", "K AE T", 1),  # nothing said
        ("K", "AE", 1),
        ("K AE T K AE T K", "AE", 6),  # more edits than there are phones
        ("KAE T", "K AE T", 2 / 3),  # phones are compared, not letters
        ("AH", "AE", 1),
    ],
)
def test_one_word_by_hand(predicted, right, phones):
    rates = error_rates([predicted], [[right]])
    assert rates.phones == pytest.approx(phones)
    assert rates.words == (phones > 0)
    assert rates == error_rates([f"  {predicted} "], [(right + " ",)])  # spaces around are no phones


def test_phones_are_pooled_over_words_and_words_count_alike():
    """2 edits in a word of 2 phones, 0 in one of 6: 2 of 8, not the mean of 1 and 0."""
    rates = error_rates(["A B", "A B C D E F"], [["X Y"], ["A B C D E F"]])
    assert rates.phones == pytest.approx(2 / 8) and rates.words == pytest.approx(1 / 2)


def test_the_nearest_answer_counts_with_its_own_length():
    rates = error_rates(["R EH D"], [["R IY D IH NG", "R EH D"]])
    assert rates == (0, 0)
    rates = error_rates(["A B"], [["A B C D E", "X"]])  # 3 edits of 5, 2 edits of 1: fewer edits, not the lower rate
    assert rates.phones == pytest.approx(2 / 1)


def test_among_equally_near_the_longest_and_of_those_the_first_counts():
    right = ["A", "A B C", "A B D"]  # one edit from "A B" each
    for order in itertools.permutations(right):
        chosen = nearest("A B", order)
        assert chosen == next(r for r in order if r != "A")
        assert error_rates(["A B"], [order]).phones == pytest.approx(1 / 3)


def test_nearest_gives_the_answer_as_it_was_written():
    assert nearest("K AE", [" T ", "K  AE T "]) == "K  AE T "


def test_more_than_one_space_is_no_phone():
    assert nearest("A  B", ["A C B", "A B"]) == "A B"
    assert error_rates(["A  B "], [["A   B"]]) == (0, 0)


@pytest.mark.parametrize(
    ("predicted", "references", "words"),
    [
        ([], [], "0 predictions for 0 words"),
        (["A"], [], "1 predictions for 0 words"),
        (["A"], [["A"], ["B"]], "1 predictions for 2 words"),
        (["A", "B"], [["A"]], "2 predictions for 1 words"),
    ],
)
def test_predictions_that_do_not_go_with_the_words_are_named(predicted, references, words):
    with pytest.raises(ValueError, match=f"{words}: expected one for each"):
        error_rates(predicted, references)


def test_a_word_without_an_answer_is_named():
    for judge in (lambda: nearest("A", []), lambda: error_rates(["A", "B"], [["A"], []]), lambda: nearest("A", [" "])):
        with pytest.raises(ValueError, match="expected at least one, and none of them empty"):
            judge()


def test_a_string_in_place_of_a_list_of_answers_is_named():
    with pytest.raises(ValueError, match="a list of right answers for each word"):
        error_rates(["K AE T"], ["K AE T"])
