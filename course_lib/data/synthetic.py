"""A made-up language whose entropy is known exactly, for telling what a model cannot learn."""

import random
from math import log2
from string import ascii_lowercase

N_KEYS = 8


def echo_language(n_sentences: int, seed: int = 0, n_letters: int = 12) -> str:
    """Sentences like `3aBCdEfgHiJKl3`, a line each: a random digit 1–8, the first letters of the alphabet each in
    random case, and the same digit again. Only the last digit needs memory: n_letters + 1 characters back.

    Raises ValueError for n_sentences < 1, and for n_letters outside 1 to 26.
    """
    if n_sentences < 1:
        raise ValueError(f"n_sentences is {n_sentences}: expected 1 or more")
    if not 1 <= n_letters <= len(ascii_lowercase):
        raise ValueError(f"n_letters is {n_letters}: expected 1 to {len(ascii_lowercase)}")
    rng = random.Random(seed)
    return "".join(_sentence(rng, ascii_lowercase[:n_letters]) for _ in range(n_sentences))


def echo_entropy(sees_key: bool = True, n_letters: int = 12) -> float:
    """Bits per character of the echo language for the best possible model.

    Per sentence of n_letters + 3 characters: log2(8) bits for the first digit, one bit per letter, nothing for the
    newline, and nothing for the last digit either, unless the model cannot see the first (`sees_key=False`): log2(8).
    """
    return (log2(N_KEYS) + n_letters + (0 if sees_key else log2(N_KEYS))) / (n_letters + 3)


def _sentence(rng: random.Random, letters: str) -> str:
    key = str(rng.randint(1, N_KEYS))
    cased = (letter.upper() if rng.random() < 0.5 else letter for letter in letters)
    return key + "".join(cased) + key + "\n"
