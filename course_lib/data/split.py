"""One split per data set, the same for every model: train to fit, validation to choose, test to report."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """The three parts of a data set: each one a running text (`str`) or a list of documents (`list[str]`).

    `test` is None where published results use no third part.
    """

    name: str
    train: str | list[str]
    validation: str | list[str]
    test: str | list[str] | None


def by_position(name: str, data: str | list[str]) -> Split:
    """The first 80 % to train, the next 10 % to validate, the last 10 % to test."""
    first, second = len(data) * 8 // 10, len(data) * 9 // 10
    return Split(name, data[:first], data[first:second], data[second:])


def shuffled(documents: list[str]) -> list[str]:
    """The distinct documents, ordered by their SHA-256.

    A shuffle that needs no seed: the same on every machine and Python version. Equal documents become one, so
    that none can sit in two parts of a split.
    """
    return sorted(set(documents), key=lambda document: hashlib.sha256(document.encode()).digest())
