"""What every neural language model shares: reading on from a state, and from it the protocol of `course_lib.lm`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.sizes import require_sizes

PIECE = 2**23  # logits computed at a time while scoring: bounds the memory, changes no number


class NeuralLanguageModel(nn.Module):
    """A network that reads ids and gives logits of each next token; a subclass supplies `start`, `advance`, `select`.

    Training calls the model itself or `loss`; `score` and `step` are for judging and sampling: dropout is off in them,
    whatever the mode, and the mode stays as it was.
    """

    def __init__(self, vocab_size: int):
        super().__init__()
        require_sizes(vocab_size=vocab_size)
        self.vocab_size = vocab_size

    def start(self, batch_size: int) -> Any:
        """The state before anything was read."""
        raise NotImplementedError

    def advance(self, state: Any, ids: Tensor) -> tuple[Tensor, Any]:
        """Read ids (B, T) on from a state → logits of the token after each (B, T, V), and the new state."""
        raise NotImplementedError

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state of a batch that consists of these rows of the old one, in this order; rows may repeat."""
        raise NotImplementedError

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) of the token after each of ids (B, T), from a cold start."""
        return self.advance(self.start(len(ids)), ids)[0]

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy in nats per token, a scalar: the mean of −log p(targets), both (B, T)."""
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def score(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """ids (B, T) → log p of `targets` (B, T), or of every next token (B, T, V). The text is read piece by piece."""
        ids, parts = self._checked(ids), []
        if not ids.shape[1]:
            raise ValueError("there are no ids to score: expected (B, T) with T ≥ 1")
        targets = self._checked_targets(targets, ids)
        length = max(1, PIECE // max(1, len(ids) * self.vocab_size))
        with without_dropout(self):
            state = self.start(len(ids))
            for i in range(0, ids.shape[1], length):
                logits, state = self.advance(state, ids[:, i : i + length])
                log_p = _log_softmax(logits)
                if targets is not None:
                    log_p = log_p.gather(-1, targets[:, i : i + length, None])[..., 0]
                parts.append(log_p)
        return torch.cat(parts, 1)

    @torch.no_grad()
    def step(self, state: Any, ids: Tensor) -> tuple[Tensor, Any]:
        """Read one token per sequence, ids (B,) → log p of the next (B, V), and the new state."""
        return self.read(state, torch.as_tensor(ids)[:, None])

    @torch.no_grad()
    def read(self, state: Any, ids: Tensor) -> tuple[Tensor, Any]:
        """Read ids (B, T) at once, T ≥ 1 → log p of the token after the last (B, V), and the new state."""
        ids = self._checked(ids)
        if not ids.shape[1]:
            raise ValueError("there are no ids to read: expected (B, T) with T ≥ 1")
        with without_dropout(self):
            logits, state = self.advance(state, ids)
        return _log_softmax(logits[:, -1]), state

    def _checked(self, ids: Tensor) -> Tensor:
        """The ids where the model computes. They are checked where they come from: a device need not be waited for."""
        ids = torch.as_tensor(ids)
        if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise ValueError(f"ids are {ids.dtype}: expected whole numbers, as a vocabulary's `encode` gives them")
        if ids.ndim != 2:
            raise ValueError(f"ids have shape {tuple(ids.shape)}: expected (B, T), a row for each text of the batch")
        ids = ids.long()
        if ids.numel() and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise ValueError(
                f"ids run from {ids.min()} to {ids.max()}: this model knows 0 to {self.vocab_size - 1}; "
                "encode the text with the vocabulary that the model was made for"
            )
        return ids.to(next(self.parameters()).device)

    def _checked_targets(self, targets: Tensor | None, ids: Tensor) -> Tensor | None:
        if targets is None:
            return None
        targets = self._checked(targets)
        if targets.shape != ids.shape:
            raise ValueError(
                f"targets have shape {tuple(targets.shape)} and ids {tuple(ids.shape)}: expected a target for each id"
            )
        return targets


def _log_softmax(logits: Tensor) -> Tensor:
    """In float32 at least: half precision would round probabilities to two digits."""
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; afterwards every module has the mode it had before."""
    modes = [vars(module) for module in model.modules() if module.training]  # setting a module's attribute takes long
    for mode in modes:
        mode["training"] = False
    try:
        yield
    finally:
        for mode in modes:
            mode["training"] = True
