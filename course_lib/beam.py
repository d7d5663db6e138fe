"""Beam search: look for the most probable whole sequence, not for the most probable next token."""

import math
from typing import NamedTuple

import torch

from course_lib.lm import LanguageModel
from course_lib.sizes import require_sizes
from course_lib.vocab import Vocabulary


class Hypothesis(NamedTuple):
    """A sequence that reached the end marker: its text, and ln p of it all, the end included."""

    text: str
    log_p: float


@torch.no_grad()
def beam_search(
    model: LanguageModel, vocab: Vocabulary, *, width: int, max_tokens: int, batch_size: int = 1
) -> list[list[Hypothesis]]:
    """From the begin marker on, keep the `width` most probable beginnings at each step (Lowerre 1976; in translation,
    Sutskever et al. 2014, section 3.2), until the best one has ended in every row. width 1 is greedy search.

    Returns for each of batch_size rows the sequences that had ended by then, or within max_tokens, best first: at most
    `width`, perhaps none. Their probabilities are not divided by their lengths.
    Raises ValueError for sizes below 1 and for a vocabulary without markers.
    """
    require_sizes(width=width, max_tokens=max_tokens, batch_size=batch_size)
    if vocab.end_id is None:
        raise ValueError("this vocabulary has no markers: beam search needs to know where a sequence begins and ends")
    never = [i for i in (vocab.unknown_id, vocab.begin_id) if i is not None]
    each, V = torch.arange(batch_size)[:, None], len(vocab)
    state = model.select(model.start(batch_size), torch.arange(batch_size).repeat_interleave(width))
    token = torch.full((batch_size * width,), vocab.begin_id)
    scores = torch.full((batch_size, width), -math.inf)
    scores[:, 0] = 0.0  # all rows of a beam are alike at first: count them once
    texts = torch.empty(batch_size, width, 0, dtype=torch.long)
    ended = torch.zeros(batch_size, width, dtype=torch.bool)
    for _ in range(max_tokens):
        log_p, state = model.step(state, token)
        log_p = log_p.cpu().view(batch_size, width, V).index_fill(2, torch.tensor(never), -math.inf)
        log_p[ended] = -math.inf
        log_p[..., vocab.end_id][ended] = 0.0  # what has ended stays as it is
        scores, best = (scores[:, :, None] + log_p).flatten(1).topk(width)
        parent, token = best // V, (best % V).flatten()
        texts = torch.cat([texts[each, parent], token.view(batch_size, width, 1)], 2)
        ended = texts[..., -1] == vocab.end_id
        # A row whose best has ended is done: what has not ended drops out, whatever other rows still need.
        scores = scores.masked_fill(ended[:, :1] & ~ended, -math.inf)
        if ended[:, 0].all():  # going on makes nothing more probable
            break
        state = model.select(state, (each * width + parent).flatten())
    return [
        [
            Hypothesis(vocab.decode(ids[: ids.index(vocab.end_id)]), score)
            for ids, score, end in zip(*row, strict=True)
            if end and score > -math.inf
        ]
        for row in zip(texts.tolist(), scores.tolist(), ended.tolist(), strict=True)
    ]
