"""Pairs of a source and what it stands for: English spelling and pronunciation."""

import re
from typing import NamedTuple

from course_lib.data.fetch import read
from course_lib.data.files import decode
from course_lib.data.split import Split, by_position, shuffled


class Word(NamedTuple):
    """A spelling, and each way to say it: phones in capitals, a space after each, as in "K AE T " for cat."""

    spelling: str
    pronunciations: tuple[str, ...]


def pronunciations() -> Split:
    """The words of the CMU Pronouncing Dictionary that are spelled with a–z alone, without stress marks: lists of
    `Word`, each spelling once, so that none is in two parts; shuffled, 90/5/5.
    """
    words: dict[str, list[str]] = {}
    for line in decode(read("pronunciations")["cmudict.dict"], "the CMU Pronouncing Dictionary").splitlines():
        # A line is "read(2) R EH1 D # comment": the second way to say it; 0, 1, 2 after a vowel mark its stress.
        entry, *phones = line.partition("#")[0].split()
        spelling = re.sub(r"\(\d+\)$", "", entry)
        said = "".join(f"{phone.rstrip('012')} " for phone in phones)
        if re.fullmatch("[a-z]+", spelling) and said not in words.setdefault(spelling, []):
            words[spelling].append(said)
    ordered = [Word(spelling, tuple(words[spelling])) for spelling in shuffled(list(words))]
    return by_position("pronunciations", ordered, per_cent=(90, 5))


def split_phones(said: str) -> list[str]:
    """The phones of a pronunciation, each with the space after it: the `split` of their vocabulary."""
    return re.findall(r"\S+ ", said)
