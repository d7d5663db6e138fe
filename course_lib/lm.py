"""What every language model here can do, and evaluation and sampling written once against it.

A model offers `score` (used by `evaluate` alone) and `start`/`step`/`select` (used by `generate` and `beam_search`
alone). A counting model and a Transformer are then judged on the same text in the same unit, and sampled by the same
code.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from numbers import Integral
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.sizes import require_sizes
from course_lib.vocab import Vocabulary

CODE_POINTS = 0x110000  # of Unicode: what an unknown character could have been


class LanguageModel(Protocol):
    """p(next token | tokens so far). Log-probabilities are natural; V is the vocabulary size, B a batch.

    Ids arrive as tensors on the CPU or as NumPy arrays: a model moves them to where it computes. T may be a whole text:
    a recurrent model walks through it in pieces, one with a window moves it along. log p is float32 or float64, −inf
    or close to it for tokens that never follow. Judging and sampling want no dropout. A model may also have `read`: as
    `step` for ids (B, T), T ≥ 1, at once; without it, a prompt is read token by token.
    """

    def score(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """ids (B, T) → log p of the token after each position: of `targets` (B, T), or of every token (B, T, V)."""

    def start(self, batch_size: int) -> Any:
        """The state before anything was read."""

    def step(self, state: Any, ids: Tensor) -> tuple[Tensor, Any]:
        """Read one token per sequence, ids (B,) → log p of the next (B, V), and the new state."""

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state of a batch that consists of these rows of the old one, in this order; rows may repeat."""


@dataclass(frozen=True)
class Evaluation:
    """What a text costs under a model. The cost per character does not depend on how the text was cut into tokens."""

    nats: float  # total, spelling of unknown pieces included
    n_tokens: int  # predicted, end markers included
    n_characters: int  # of the predicted pieces; a marker has none
    protocol: str  # what the model could see

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.n_tokens

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        return torch.tensor(self.nats_per_token, dtype=torch.float64).exp().item()  # overflows to inf, unlike math.exp

    @property
    def nats_per_character(self) -> float:
        return self.nats / self.n_characters

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / math.log(2)


def evaluate(
    model: LanguageModel,
    vocab: Vocabulary,
    text: str | Sequence[str],
    *,
    block: int | None = None,
    context: int = 0,
    batch_size: int = 64,
    spell: Callable[[list[str]], float] | None = None,
) -> Evaluation:
    """Score a running text (str) or documents (list of str, each on its own).

    block:   None: each text in one pass, the context carried over from start to end. A number: blocks of that many
             predicted tokens, each from a cold start (only the token before its first prediction is given), or
             with `context` more tokens before it that are read but not scored.
    spell:   nats to write out a list of unknown pieces. `<unk>` hides what stood there; without this cost a model
             would look better the less it knows. Default: any Unicode code point for an unknown character;
             longer unknown pieces need a speller, e.g. `lambda p: evaluate(speller, letters, p).nats`.

    A vocabulary with markers predicts the first token (after `<s>`) and the end; one without predicts neither.
    Raises ValueError for nothing to predict, block < 1, context < 0 or without a block, and for long unknown pieces
    without `spell`.
    """
    if context < 0 or (context > 0 if block is None else block < 1):
        raise ValueError(f"block is {block} and context {context}: expected a block ≥ 1 and context ≥ 0, or neither")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: expected 1 or more")
    documents = [text] if isinstance(text, str) else text
    pieces = [piece for d in documents for piece in vocab.pieces(d)[0 if vocab.markers else 1 :]]
    nats = _spelling([piece for piece in pieces if piece not in vocab], spell)

    windows = [w for ids in vocab.encode_each(text) for w in _windows(ids, block, context)]
    n_tokens = sum(n_scored for _, n_scored in windows)
    if not n_tokens:
        raise ValueError("there is no token to predict: without markers, a text needs at least two tokens")
    batches = list(_batches(windows, batch_size))
    for (_, n_scored), batch in tqdm(batches, "reading", delay=1, leave=False, disable=block is None):
        with torch.no_grad():
            log_p = model.score(batch[:, :-1], batch[:, 1:])
        nats -= float(log_p[:, -n_scored:].cpu().double().sum())

    protocol = "one pass, context carried over"
    if block is not None:
        protocol = f"blocks of {block}, " + (f"each after {context} tokens" if context else "each from a cold start")
    return Evaluation(nats, n_tokens, sum(map(len, pieces)), protocol)


def _spelling(unknown: list[str], spell: Callable[[list[str]], float] | None) -> float:
    if not unknown:
        return 0.0
    if spell is not None:
        return spell(unknown)
    long = [piece for piece in unknown if len(piece) > 1]
    if long:
        raise ValueError(
            f"{len(long)} pieces are unknown and longer than a character (the first: {long[0]!r}): "
            "pass spell=…, the cost of writing them out, or bits per character would leave them out"
        )
    return len(unknown) * math.log(CODE_POINTS)


def _windows(ids: np.ndarray, block: int | None, context: int) -> Iterator[tuple[np.ndarray, int]]:
    """Cut a sequence: (tokens to read, how many of its last tokens are scored)."""
    n = len(ids) - 1
    for start in range(0, n, block or max(n, 1)):
        end = min(n, start + (block or n))
        yield ids[max(0, start - context) : end + 1], end - start


def _batches(windows: list, batch_size: int) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Windows of equal shape together, so that nothing needs padding."""

    def shape(window: tuple[np.ndarray, int]) -> tuple[int, int]:
        return len(window[0]), window[1]

    for key, group in groupby(sorted(windows, key=shape), key=shape):
        rows = [ids for ids, _ in group]
        for i in range(0, len(rows), batch_size):
            yield key, torch.from_numpy(np.stack(rows[i : i + batch_size]))


def generate(
    model: LanguageModel,
    vocab: Vocabulary,
    prompt: str = "",
    n_tokens: int = 200,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    batch_size: int = 1,
) -> list[str]:
    """Continue a prompt `batch_size` times, by up to `n_tokens` tokens each; stops early at an end marker.

    temperature 0 is greedy: always the most probable token. See `next_token_probabilities` for the others.
    Raises ValueError for an empty prompt where the vocabulary has no begin marker, and for numbers out of range.
    """
    if not (isinstance(n_tokens, Integral) and n_tokens >= 0):
        raise ValueError(f"n_tokens is {n_tokens}: expected a whole number, 0 or more")
    require_sizes(batch_size=batch_size)
    _check_sampling(temperature, top_k, top_p)
    ids, never = _prompt_ids(vocab, prompt), [i for i in (vocab.unknown_id, vocab.begin_id) if i is not None]
    generator, finished, drawn = torch.Generator().manual_seed(seed), torch.zeros(batch_size, dtype=torch.bool), []
    with torch.no_grad():
        state = model.start(batch_size)
        log_p, state = _read(model, state, torch.from_numpy(ids).expand(batch_size, -1))
        if log_p.shape[-1] != len(vocab):
            raise ValueError(
                f"the model knows {log_p.shape[-1]} tokens and the vocabulary {len(vocab)}: expected the vocabulary "
                "that the model was made for"
            )
        for _ in range(n_tokens):
            if drawn:
                log_p, state = model.step(state, drawn[-1])
            log_p = log_p.clone()
            log_p[:, never] = -math.inf  # `<unk>` has no spelling to print, and a text begins but once
            p = next_token_probabilities(log_p, temperature, top_k, top_p)
            token = torch.multinomial(p.cpu(), 1, generator=generator)[:, 0]
            if vocab.end_id is not None:
                token[finished] = vocab.end_id
                finished |= token == vocab.end_id
            drawn.append(token)
            if finished.all():
                break
    rows = torch.stack(drawn, 1).tolist() if drawn else [[]] * batch_size
    return [prompt + vocab.decode(row) for row in rows]


def next_token_probabilities(
    log_p: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """The distribution that a sampler draws from; log_p (B, V) → p (B, V).

    temperature: p^(1/temperature), renormalised; below 1 sharper, above 1 flatter, 0 puts all on the first maximum.
    top_k:       only the k most probable tokens (Fan et al. 2018).
    top_p:       only the most probable tokens that together reach top_p (Holtzman et al. 2020), at least one.
    """
    _check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return torch.nn.functional.one_hot(log_p.argmax(-1), log_p.shape[-1]).to(log_p.dtype)
    ranked, order = (log_p / temperature).sort(dim=-1, descending=True, stable=True)
    p = ranked.softmax(-1)
    if top_k is not None:
        p[:, top_k:] = 0
        p = p / p.sum(-1, keepdim=True)
    if top_p is not None:
        p[p.cumsum(-1) - p >= top_p] = 0
    return torch.zeros_like(p).scatter(-1, order, p / p.sum(-1, keepdim=True))


def _read(model: LanguageModel, state: Any, ids: Tensor) -> tuple[Tensor, Any]:
    """Read a prompt (B, T) → log p of the next token (B, V), and the state after it."""
    if hasattr(model, "read"):
        return model.read(state, ids)
    for column in ids.T:
        log_p, state = model.step(state, column)
    return log_p, state


def _prompt_ids(vocab: Vocabulary, prompt: str) -> np.ndarray:
    if prompt:
        return vocab.encode(prompt)[:-1] if vocab.markers else vocab.encode(prompt)
    if vocab.begin_id is None:
        raise ValueError("the prompt is empty and this vocabulary has no begin marker: give at least one token")
    return np.array([vocab.begin_id])


def _check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if temperature != 0 and not 1e-6 <= temperature < math.inf:
        raise ValueError(f"temperature is {temperature}: expected 0 (greedy), or a finite number of 1e-6 or more")
    if top_k is not None and not (isinstance(top_k, Integral) and top_k >= 1):
        raise ValueError(f"top_k is {top_k}: expected a whole number, 1 or more, or None for all tokens")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}: expected a number above 0 and up to 1, or None for all tokens")
