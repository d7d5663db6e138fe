"""How much of a secret a language model learned by heart: planted canaries and their exposure (Carlini et al. 2019).

A canary is a sentence with a code in it that nobody could guess: "The number of vexol is 4821." It is planted in the
training text a known number of times. Afterwards the model ranks all codes that could have stood there.
"""

import itertools
import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.lm import LanguageModel
from course_lib.sizes import require_sizes
from course_lib.vocab import Vocabulary

LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"


@dataclass(frozen=True)
class Canary:
    """prefix: what comes before the code and belongs to this canary alone. copies: how often it is planted."""

    prefix: str
    code: str
    copies: int

    @property
    def sentence(self) -> str:
        return f"{self.prefix}{self.code}.\n"


def canaries(copies: list[int], n_each: int, n_digits: int = 4, seed: int = 0) -> list[Canary]:
    """`n_each` canaries for each number of copies; 0 copies make controls, which the model never sees."""
    require_sizes(n_each=n_each, n_digits=n_digits)
    if not copies or min(copies) < 0:
        raise ValueError(f"copies is {copies}: expected at least one number of copies, each 0 or more")
    draw, made, names = random.Random(seed), [], set()
    for n in copies:
        for _ in range(n_each):
            name = "".join(draw.choices(LETTERS, k=6))
            while name in names:
                name = "".join(draw.choices(LETTERS, k=6))
            names.add(name)
            made.append(Canary(f"The number of {name} is ", "".join(draw.choices(DIGITS, k=n_digits)), n))
    return made


def planted(text: str, canaries: list[Canary], seed: int = 0) -> str:
    """The text with each canary's copies as lines of their own, at random places between lines."""
    lines, draw = text.splitlines(keepends=True), random.Random(seed)
    sentences = [canary.sentence for canary in canaries for _ in range(canary.copies)]
    places = sorted((draw.randrange(len(lines) + 1) for _ in sentences), reverse=True)
    draw.shuffle(sentences)
    for place, sentence in zip(places, sentences, strict=True):
        lines.insert(place, sentence)
    return "".join(lines)


@torch.no_grad()
def code_log_probabilities(model: LanguageModel, vocab: Vocabulary, prefix: str, n_digits: int) -> Tensor:
    """log p of every code of n digits after a prefix, in the order of the codes: (10 ** n_digits,).

    By the chain rule, digit by digit: codes that begin alike share what they begin with, so that a tenth as many
    sequences are scored as there are codes. One token for each character is expected.
    """
    digits = torch.as_tensor(vocab.encode(DIGITS)).long()
    total = torch.zeros(1, dtype=torch.float64)
    for n in range(n_digits):
        texts = [prefix + "".join(begin) for begin in itertools.product(DIGITS, repeat=n)]
        ids = torch.stack([torch.as_tensor(vocab.encode(text)).long() for text in texts])
        last = model.score(ids)[:, -1].double().cpu()  # log p of what comes next
        total = (total[:, None] + last[:, digits]).flatten()
    return total


def exposure(log_p: Tensor, code: str) -> float:
    """log2 of the number of codes − log2 of the rank of the true one, in bits (Carlini et al. 2019, equation 1).

    A model that knows nothing gives log2 e = 1.44 on average; the most is log2 of the number of codes, at rank 1.
    Codes as probable as the true one count half: a model for which all are equal gives 1 bit.
    """
    true = log_p[int(code)]
    rank = (log_p > true).sum().item() + ((log_p == true).sum().item() + 1) / 2
    return math.log2(len(log_p)) - math.log2(rank)
