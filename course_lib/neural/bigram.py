"""The neural bigram: softmax regression from one token to the next."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.neural.language_model import NeuralLanguageModel


class Bigram(NeuralLanguageModel):
    """One row of logits (V,) per token: p(next | token) = softmax(logits[token]). Starts uniform: every logit is 0.

    Trained to the end, it is the counted bigram: logits → log c(h w) up to a constant per row.
    """

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size)
        self.logits = nn.Parameter(torch.zeros(vocab_size, vocab_size))

    def start(self, batch_size: int) -> None:
        return None  # the token just read is all it looks at

    def advance(self, state: None, ids: Tensor) -> tuple[Tensor, None]:
        # logits[ids]; but the gradient of that index would add up in no fixed order, and differ from run to run
        return F.embedding(ids, self.logits), None

    def select(self, state: None, rows: Tensor) -> None:
        return None
