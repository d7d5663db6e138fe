"""How wrong a predicted sequence is: edit distance, and the rates made of it."""

from collections.abc import Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein


class ErrorRates(NamedTuple):
    """phones: edits per phone of the nearest right answer (PER). words: share of words not right as a whole (WER)."""

    phones: float
    words: float


def error_rates(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> ErrorRates:
    """predicted: a pronunciation per word, its phones separated by spaces. references: the right ones of each word.

    Insertions, deletions and substitutions count 1 each. Where several answers are right, the nearest counts, and its
    length. Raises ValueError where the two do not go together, and for a word without a right answer.
    """
    if any(isinstance(right, str) for right in references):
        raise ValueError(
            "references holds a string: expected a list of right answers for each word, as in [['K AE T']]"
        )
    if len(predicted) != len(references) or not predicted:
        raise ValueError(f"{len(predicted)} predictions for {len(references)} words: expected one for each, 1 or more")
    distances, lengths = zip(*map(_nearest, predicted, references), strict=True)
    return ErrorRates(sum(distances) / sum(lengths), sum(d > 0 for d in distances) / len(distances))


def nearest(predicted: str, references: Sequence[str]) -> str:
    """The right answer with the fewest edits to what was predicted; among equals the longest, then the first."""
    if not references or not all(reference.split() for reference in references):
        raise ValueError(f"the right answers are {list(references)}: expected at least one, and none of them empty")
    phones = predicted.split()

    def distance(reference: str) -> tuple[int, float]:
        edits = Levenshtein.distance(phones, reference.split())
        return edits, -len(reference.split())

    return min(references, key=distance)


def _nearest(predicted: str, references: Sequence[str]) -> tuple[int, int]:
    reference = nearest(predicted, references).split()
    return Levenshtein.distance(predicted.split(), reference), len(reference)
