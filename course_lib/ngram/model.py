"""The n-gram language model: tables of a smoothing, looked up for any context."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from course_lib.ngram.counts import NOTHING, Counts, contexts_of
from course_lib.ngram.smoothing import Tables, modified_kneser_ney


class NGram:
    """A language model of the given order (the number of tokens in an n-gram), in the protocol of `course_lib.lm`.

    smoothing: one of `course_lib.ngram.smoothing`, or any function of (counts, order) that returns such tables.
    order:     the counts' own order unless a lower one is asked for.
    """

    def __init__(
        self,
        counts: Counts,
        smoothing: Callable[[Counts, int], Tables] = modified_kneser_ney,
        order: int | None = None,
    ):
        order = counts.order if order is None else order
        if not 1 <= order <= counts.order:
            raise ValueError(f"order is {order}: these counts serve orders 1 to {counts.order}; count again for more")
        self.counts, self.order = counts, order
        # A row is appended to each table for id −1, "never seen": nothing of its own, all to the shorter context.
        self.tables = [(np.append(s, 0.0), np.append(b, 1.0)) for s, b in smoothing(counts, order)]
        self.uniform = np.full(counts.vocab_size, 1 / (counts.vocab_size - (counts.begin_id is not None)))
        if counts.begin_id is not None:
            self.uniform[counts.begin_id] = 0.0  # the begin marker is given, never predicted

    def probability(self, context: np.ndarray, target: np.ndarray) -> np.ndarray:
        """p(target | context), float64 (N,). context: (N, n−1), newest token last, −1 where there is none."""
        grams, contexts = self.counts.lookup(context, target)
        p = self.uniform[target]
        for (share, backoff), gram, before in zip(self.tables, grams, contexts, strict=False):
            p = share[gram] + backoff[before] * p
        return p

    def score(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """log p of the token after each position: of `targets` (B, T) if given, else of all (B, T, V). float64."""
        ids = self._checked(ids)
        contexts = contexts_of(ids, self.order)
        if targets is not None:
            return _log(self.probability(contexts, self._checked(targets).ravel())).reshape(ids.shape)
        rows = [_log(self._distribution(c)) for c in np.array_split(contexts, 1 + len(contexts) // 1000)]
        return torch.cat(rows).reshape(*ids.shape, -1)

    def start(self, batch_size: int) -> np.ndarray:
        """The state before anything was read: (B, n−1) times "nothing"."""
        return np.full((batch_size, self.order - 1), NOTHING)

    def step(self, state: np.ndarray, ids: Tensor) -> tuple[Tensor, np.ndarray]:
        """Read one token each, ids (B,): log p of the next token (B, V), and the new state (B, n−1)."""
        state = np.concatenate([state, self._checked(ids)[:, None]], axis=1)[:, 1:] if self.order > 1 else state
        return _log(self._distribution(state)), state

    def _distribution(self, contexts: np.ndarray) -> np.ndarray:
        n, v = len(contexts), self.counts.vocab_size
        return self.probability(np.repeat(contexts, v, axis=0), np.tile(np.arange(v), n)).reshape(n, v)

    def _checked(self, ids: Tensor) -> np.ndarray:
        ids = np.asarray(ids)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.counts.vocab_size:
            raise ValueError(
                f"ids run from {ids.min()} to {ids.max()}: this model knows 0 to {self.counts.vocab_size - 1}; "
                "encode the text with the vocabulary that was counted"
            )
        return ids


def _log(p: np.ndarray) -> Tensor:
    with np.errstate(divide="ignore"):  # log 0 = −inf is the honest answer
        return torch.from_numpy(np.log(p))
