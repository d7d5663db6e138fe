"""The decoder-only Transformer language model (GPT: Radford et al. 2018, 2019), with its key–value cache."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.cache import KeyValueCache
from course_lib.neural.language_model import PIECE, NeuralLanguageModel
from course_lib.positions import Learned
from course_lib.transformer.architecture import Architecture
from course_lib.transformer.block import Stack, initialise


class State(NamedTuple):
    """What the model still sees: the ids (B, n), n up to the window, and what each block made of them."""

    ids: Tensor
    past: list[KeyValueCache] | None


class TransformerLM(NeuralLanguageModel):
    """Embedding → blocks under the causal mask → logits, in the protocol of `course_lib.lm`.

    The window is `architecture.max_length`: training takes blocks up to it. `score` and `step` take any length: when
    the window is full, the model forgets the older half and reads the newer half again, from place 0. So every
    position scheme serves, no token sees a place that training did not, and all see at least half a window, as soon as
    there is one; each token is computed twice, on average, and never more than a window is kept.
    """

    def __init__(self, vocab_size: int, architecture: Architecture):
        super().__init__(vocab_size)
        self.architecture = a = architecture
        self.window = a.max_length
        self.embedding = nn.Embedding(vocab_size, a.d_model)
        self.shift = nn.Parameter(torch.zeros(a.d_model)) if a.token_shift else None
        self.decoder = Stack(a)
        self.output = nn.Linear(a.d_model, vocab_size, bias=False)
        initialise(self, a.init)
        if a.init != "gpt2":
            self._one_scale()
        if a.tied:
            self.output.weight = self.embedding.weight
        elif a.init == "zero_outputs":
            nn.init.zeros_(self.output.weight)  # every token equally likely

    def _one_scale(self) -> None:
        """Let embeddings and learned places begin at one scale: PyTorch's variance of 1, or GPT-2's where the
        embeddings give the logits, too, which would else begin near d_model instead of 0."""
        tables = [module.table for module in self.modules() if isinstance(module, Learned)]
        for table in [self.embedding, *tables] if self.architecture.tied else tables:
            nn.init.normal_(table.weight, std=0.02 if self.architecture.tied else 1.0)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) of the token after each of ids (B, T), T up to the window. Raises ValueError beyond."""
        if ids.shape[1] > self.window:
            raise ValueError(
                f"blocks of {ids.shape[1]} tokens are longer than the window of {self.window}: train on shorter ones, "
                "or make the model with a greater max_length"
            )
        return self._read(self.start(len(ids)), ids)[0]

    def start(self, batch_size: int) -> State:
        ids = torch.empty(batch_size, 0, dtype=torch.long, device=self.embedding.weight.device)
        return State(ids, None)

    def advance(self, state: State, ids: Tensor) -> tuple[Tensor, State]:
        """Read ids (B, T) on from a state → logits (B, T, V), and the new state; T is not bounded by the window.

        Raises ValueError for another batch than the state's.
        """
        if len(ids) != len(state.ids):
            raise ValueError(f"{len(ids)} rows of ids continue a state of {len(state.ids)}: expected one row for each")
        parts = []
        while ids.shape[1] or not parts:
            if state.ids.shape[1] == self.window:
                state = self._forget(state)
            room = self.window - state.ids.shape[1]
            logits, state = self._read(state, ids[:, :room])
            parts.append(logits)
            ids = ids[:, room:]
        return torch.cat(parts, 1), state

    def select(self, state: State, rows: Tensor) -> State:
        rows = rows.to(state.ids.device)
        return State(state.ids[rows], state.past and [cache.select(rows) for cache in state.past])

    @torch.no_grad()
    def score(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """As `advance` reads: in windows that overlap by half, of which many are computed at a time."""
        ids = self._checked(ids)
        targets = self._checked_targets(targets, ids)
        (B, T), half = ids.shape, self.window // 2
        if T <= self.window:
            return super().score(ids, targets)
        stride = self.window - half

        def windows(rows: Tensor | None) -> Tensor | None:
            return None if rows is None else rows.unfold(1, self.window, stride).flatten(0, 1)

        def rest(rows: Tensor | None) -> Tensor | None:
            return None if rows is None else rows[:, n_windows * stride :]

        n_windows = (T - half) // stride
        scored = self._score_many(windows(ids), windows(targets)).unflatten(0, (B, n_windows))
        parts = [scored[:, 0, :half], scored[:, :, half:].flatten(1, 2)]
        if n_windows * stride + half < T:
            parts.append(super().score(rest(ids), rest(targets))[:, half:])
        return torch.cat(parts, 1)

    def _score_many(self, ids: Tensor, targets: Tensor | None) -> Tensor:
        """Whole windows, (N, window), each from a cold start, as many at a time as memory allows."""
        n = max(1, PIECE // (self.window * max(self.vocab_size, self.architecture.d_ff)))
        pairs = list(zip(ids.split(n), [None] * len(ids) if targets is None else targets.split(n), strict=False))
        shown = tqdm(pairs, "reading", delay=1, leave=False)
        return torch.cat([super(TransformerLM, self).score(*pair) for pair in shown])

    def _read(self, state: State, ids: Tensor) -> tuple[Tensor, State]:
        """Read what the window has room for."""
        x = self.embedding(ids)
        if self.shift is not None:  # the embedding before, scaled; before the first token there is nothing
            first = self.embedding(state.ids[:, -1:]) if state.ids.shape[1] else torch.zeros_like(x[:, :1])
            x = x + self.shift * torch.cat([first, x], 1)[:, :-1]
        h, past = self.decoder(x, state.past, causal=True)
        return self.output(h), State(torch.cat([state.ids, ids], 1), past)

    def _forget(self, state: State) -> State:
        """The newer half of a full window, read afresh."""
        kept = state.ids[:, self.window - self.window // 2 :]
        return self._read(self.start(len(kept)), kept)[1] if kept.shape[1] else self.start(len(kept))
