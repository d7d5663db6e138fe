"""The Transformer of Vaswani et al. (2017): an encoder reads a source, a decoder writes a target, token by token."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.batches import IGNORED
from course_lib.cache import KeyValueCache
from course_lib.neural.language_model import NeuralLanguageModel, without_dropout
from course_lib.sizes import require_sizes
from course_lib.transformer.architecture import Architecture
from course_lib.transformer.block import Stack, initialise


class EncoderDecoder(nn.Module):
    """source ids (B, S) and the target so far (B, T) → logits of the token after each place of the target (B, T, V)."""

    def __init__(self, source_size: int, target_size: int, architecture: Architecture):
        super().__init__()
        require_sizes(source_size=source_size, target_size=target_size)
        if architecture.tied or architecture.token_shift:
            raise ValueError("tied and token_shift are for language models: an encoder–decoder has neither")
        self.source_embedding = nn.Embedding(source_size, architecture.d_model)
        self.encoder = Stack(architecture)
        self.target_embedding = nn.Embedding(target_size, architecture.d_model)
        self.decoder = Stack(architecture, cross=True)
        self.output = nn.Linear(architecture.d_model, target_size)
        initialise(self, architecture.init)

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """source ids (B, S) → a vector for each place (B, S, d_model). source_mask: True where a token stands."""
        return self.encoder(self.source_embedding(source), mask=source_mask)[0]

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor | None = None) -> Tensor:
        sources = self.decoder.look_at(self.encode(source, source_mask))
        h, _ = self.decoder(self.target_embedding(target), None, sources, None, source_mask, causal=True)
        return self.output(h)

    def loss(self, source: Tensor, source_mask: Tensor | None, target: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in nats per token of labels (B, T), the token after each of target (B, T); IGNORED left out."""
        logits = self(source, target, source_mask)
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)

    def given(self, source: Tensor, source_mask: Tensor | None = None) -> "GivenSource":
        """The language model of targets for these sources."""
        return GivenSource(self, source, source_mask)


class DecoderState(NamedTuple):
    """What the decoder keeps: its own keys and values so far, and those of the source, per block."""

    past: list[KeyValueCache] | None
    sources: list[KeyValueCache]
    source_mask: Tensor | None


class GivenSource(NeuralLanguageModel):
    """p(next target token | source, target so far), in the protocol of `course_lib.lm`: what samples from an n-gram
    model samples from this. One source (1, S) serves a batch of any size; of several, each has its own row. It is for
    judging and sampling; to train, call the model itself.
    """

    def __init__(self, model: EncoderDecoder, source: Tensor, source_mask: Tensor | None = None):
        super().__init__(model.output.out_features)
        device = model.output.weight.device
        self.model, self.source = model, torch.as_tensor(source).to(device)
        self.source_mask = None if source_mask is None else source_mask.to(device).expand(len(self.source), -1, -1)

    @torch.no_grad()
    def start(self, batch_size: int) -> DecoderState:
        n_sources = len(self.source)
        if batch_size != n_sources and n_sources != 1:
            raise ValueError(f"batch_size is {batch_size}, but there are {n_sources} sources: expected a row for each")
        with without_dropout(self):  # sampling starts here: the mode does not matter, as in `step`
            sources = self.model.decoder.look_at(self.model.encode(self.source, self.source_mask))
        state = DecoderState(None, sources, self.source_mask)
        return self.select(state, torch.zeros(batch_size, dtype=torch.long)) if n_sources == 1 < batch_size else state

    def advance(self, state: DecoderState, ids: Tensor) -> tuple[Tensor, DecoderState]:
        x = self.model.target_embedding(ids)
        h, past = self.model.decoder(x, state.past, state.sources, None, state.source_mask, causal=True)
        return self.model.output(h), state._replace(past=past)

    def select(self, state: DecoderState, rows: Tensor) -> DecoderState:
        rows = rows.to(self.source.device)

        def chosen(memories: list[KeyValueCache] | None) -> list[KeyValueCache] | None:
            return memories and [memory.select(rows) for memory in memories]

        mask = None if state.source_mask is None else state.source_mask[rows]
        return DecoderState(chosen(state.past), chosen(state.sources), mask)
