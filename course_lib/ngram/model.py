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

    def probability(self, contexts: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """p(target | context), float64 (N,). contexts: (N, n−1), newest token last, −1 where there is none."""
        return self._interpolate(targets, *self.counts.lookup(contexts, targets))

    def score(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """log p of the token after each position: of `targets` (B, T) if given, else of all (B, T, V). float64."""
        ids = self._checked(ids)
        if targets is None:
            contexts = contexts_of(ids, self.order)
            n_pieces = 1 + len(contexts) * self.counts.vocab_size // 1_000_000  # each a few dozen MB
            rows = [_log(self._distribution(c)) for c in np.array_split(contexts, n_pieces)]
            return torch.cat(rows).reshape(*ids.shape, -1)
        targets = self._checked(targets)
        if np.array_equal(ids[:, 1:], targets[:, :-1]):
            found = self._lookup_running(np.concatenate([ids, targets[:, -1:]], axis=1))
        else:
            found = self.counts.lookup(contexts_of(ids, self.order), targets.ravel())
        return _log(self._interpolate(targets.ravel(), *found)).reshape(ids.shape)

    def _lookup_running(self, text: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """As `Counts.lookup` for all tokens of a text (B, T + 1) but the first, with half the work: what is the
        context of a token was the n-gram of the token before."""
        grams = [found.reshape(text.shape) for found in self.counts.find(contexts_of(text, self.order + 1).T[::-1])]
        contexts = [np.zeros_like(text), *grams[:-1]]
        return [g[:, 1:].ravel() for g in grams], [c[:, :-1].ravel() for c in contexts]

    def _interpolate(self, targets: np.ndarray, grams: list[np.ndarray], contexts: list[np.ndarray]) -> np.ndarray:
        p = self.uniform[targets]
        for (share, backoff), gram, context in zip(self.tables, grams, contexts, strict=False):
            p = share[gram] + backoff[context] * p
        return p

    def start(self, batch_size: int) -> np.ndarray:
        """The state before anything was read: (B, n−1) times "nothing"."""
        return np.full((batch_size, self.order - 1), NOTHING)

    def step(self, state: np.ndarray, ids: Tensor) -> tuple[Tensor, np.ndarray]:
        """Read one token each, ids (B,): log p of the next token (B, V), and the new state (B, n−1)."""
        state = np.concatenate([state, self._checked(ids)[:, None]], axis=1)[:, 1:] if self.order > 1 else state
        return _log(self._distribution(state)), state

    def select(self, state: np.ndarray, rows: Tensor) -> np.ndarray:
        return state[np.asarray(rows)]

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
