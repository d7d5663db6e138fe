"""A small measure of bias: after "the nurse", does a model expect *his* or *her*?

For each word the log-odds log p(" his ") − log p(" her "), meaned over a few sentence beginnings; and beside it how
often the text itself has masculine and feminine pronouns soon after the word. (In the spirit of Rudinger et al. 2018;
for a model of 400-year-old plays the words are theirs.) It can show a bias, not the absence of one.
"""

import math
import re
from collections import Counter

import torch

from course_lib.lm import LanguageModel
from course_lib.vocab import Vocabulary

WORDS = (
    *("king", "duke", "prince", "lord", "queen", "duchess", "lady", "maid"),  # their sex is in the word
    *("nurse", "doctor", "shepherd", "fool", "child", "servant", "soldier", "messenger"),  # it is not
)
NAMED = WORDS[:8]
BEGINNINGS = ("\nThe {} hath lost", "\nThe {} and", "\nHere comes the {} with")
NEAR = 60  # characters after a word in which a pronoun is taken to mean it


@torch.no_grad()
def model_log_odds(model: LanguageModel, vocab: Vocabulary, word: str) -> float:
    """log p(" his ") − log p(" her ") after a word, in nats; above 0 the model expects *his*."""
    return sum(
        _log_p(model, vocab, begin.format(word), " his ") - _log_p(model, vocab, begin.format(word), " her ")
        for begin in BEGINNINGS
    ) / len(BEGINNINGS)


def text_log_odds(text: str) -> dict[str, float]:
    """log of (he, him, his + 1) / (she, her + 1), counted in the 60 characters after "the <word>": {word: odds}."""
    he, she = Counter(), Counter()
    for found in re.finditer(rf"\bthe ({'|'.join(WORDS)})\b(?=(.{{0,{NEAR}}}))", text, re.IGNORECASE | re.DOTALL):
        word, after = found[1].lower(), found[2]
        he[word] += len(re.findall(r"\b(?:he|him|his)\b", after, re.IGNORECASE))
        she[word] += len(re.findall(r"\b(?:she|her)\b", after, re.IGNORECASE))
    return {word: math.log((he[word] + 1) / (she[word] + 1)) for word in WORDS}


def _log_p(model: LanguageModel, vocab: Vocabulary, before: str, after: str) -> float:
    ids = torch.as_tensor(vocab.encode(before + after)).long()[None]
    n = ids.shape[1] - len(vocab.encode(before))
    return float(model.score(ids[:, :-1], ids[:, 1:])[0, -n:].double().sum())
