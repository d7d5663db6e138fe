"""A made-up language whose entropy is known exactly, for telling what a model cannot learn."""

import random
from math import log2

N_KEYS = 8
LETTERS = "abcdefghijkl"


def echo_language(n_sentences: int, seed: int = 0) -> str:
    """Sentences like `3aBCdEfgHiJKl3`, a line each: a random digit 1–8, the letters a–l each in random case, and
    the same digit again. Only the last digit needs memory: 13 characters back.

    Raises ValueError for n_sentences < 1.
    """
    if n_sentences < 1:
        raise ValueError(f"n_sentences is {n_sentences}: expected 1 or more")
    rng = random.Random(seed)
    return "".join(_sentence(rng) for _ in range(n_sentences))


def echo_entropy(sees_key: bool = True) -> float:
    """Bits per character of the echo language for the best possible model.

    Per sentence of 15 characters: log2(8) bits for the first digit, one bit per letter, nothing for the newline,
    and nothing for the last digit either, unless the model cannot see the first (`sees_key=False`): then log2(8).
    """
    length = 1 + len(LETTERS) + 1 + 1
    return (log2(N_KEYS) + len(LETTERS) + (0 if sees_key else log2(N_KEYS))) / length


def _sentence(rng: random.Random) -> str:
    key = str(rng.randint(1, N_KEYS))
    cased = (letter.upper() if rng.random() < 0.5 else letter for letter in LETTERS)
    return key + "".join(cased) + key + "\n"
