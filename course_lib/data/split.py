"""One split per data set, the same for every model: train to fit, validation to choose, test to report."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """The three parts of a data set: each one a running text (`str`) or a list of documents (`list[str]`), or of what
    the set is made of, like `pairs.Word`.

    `test` is None where published results use no third part.
    """

    name: str
    train: str | list
    validation: str | list
    test: str | list | None


def by_position(name: str, data: str | list, per_cent: tuple[int, int] = (80, 10)) -> Split:
    """The first 80 % to train, the next 10 % to validate, the rest to test; or other shares for the first two."""
    first, second = len(data) * per_cent[0] // 100, len(data) * sum(per_cent) // 100
    return Split(name, data[:first], data[first:second], data[second:])


def shuffled(documents: list[str]) -> list[str]:
    """The distinct documents, ordered by their SHA-256.

    A shuffle that needs no seed: the same on every machine and Python version. Equal documents become one, so
    that none can sit in two parts of a split.
    """
    return sorted(set(documents), key=lambda document: hashlib.sha256(document.encode()).digest())
