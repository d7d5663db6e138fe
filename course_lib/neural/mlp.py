"""The neural probabilistic language model of Bengio et al. (2003): embeddings of a fixed window, one hidden layer."""

import torch
from torch import Tensor, nn

from course_lib.neural.language_model import NeuralLanguageModel
from course_lib.sizes import require_sizes


class MLP(NeuralLanguageModel):
    """Embeddings of the last `window` tokens, side by side → tanh layer → logits (Bengio et al. 2003, section 2,
    without their direct connections from the embeddings to the output).

    Where fewer than `window` tokens were read, zeros stand for the missing ones. dropout: share of the hidden units
    silenced at each training step (Srivastava et al. 2014).
    """

    def __init__(self, vocab_size: int, window: int, d_embedding: int = 16, d_hidden: int = 128, dropout: float = 0.0):
        super().__init__(vocab_size)
        require_sizes(window=window, d_embedding=d_embedding, d_hidden=d_hidden)
        self.window, self.nothing = window, vocab_size
        self.embedding = nn.Embedding(vocab_size + 1, d_embedding, padding_idx=self.nothing)  # its last row stays 0
        self.hidden = nn.Linear(window * d_embedding, d_hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(d_hidden, vocab_size)

    def start(self, batch_size: int) -> Tensor:
        """The last window − 1 ids read, (B, window − 1): nothing yet."""
        return torch.full((batch_size, self.window - 1), self.nothing, device=self.output.weight.device)

    def advance(self, state: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        read = torch.cat([state, ids], 1)
        windows = self.embedding(read).unfold(1, self.window, 1).mT.flatten(2)  # (B, T, window · d_embedding)
        logits = self.output(self.dropout(torch.tanh(self.hidden(windows))))
        return logits, read[:, read.shape[1] - self.window + 1 :]

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows.to(state.device)]
