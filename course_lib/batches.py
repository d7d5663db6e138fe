"""Training batches: blocks of a running text from random places, pairs of a source and a target, and images."""

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.data.images import Images, scaled
from course_lib.device import image_format
from course_lib.sizes import require_sizes


class Blocks:
    """Blocks of `length` tokens of a text of ids (N,), each with the tokens that follow: what language models train on.

    Every call draws `batch_size` starting places from `device`'s global generator, all equally likely, and gathers the
    blocks there at once: no Python loop, nothing to copy.
    Raises ValueError for a length or batch size below 1, and for a text too short for one block and its next token.
    """

    def __init__(self, ids: np.ndarray | Tensor, length: int, batch_size: int, device: torch.device | str = "cpu"):
        require_sizes(length=length, batch_size=batch_size)
        ids = torch.as_tensor(ids, device=device)
        if ids.ndim != 1 or ids.is_floating_point():
            raise ValueError(
                f"ids have shape {tuple(ids.shape)} and type {ids.dtype}: expected one row of whole numbers"
            )
        if len(ids) <= length:
            raise ValueError(
                f"the text has {len(ids)} tokens: a block of length {length} and the token after it need "
                f"{length + 1}; take a longer text or a length of {max(len(ids) - 1, 0)} or less"
            )
        self.ids, self.batch_size = ids.long(), batch_size
        self.offsets = torch.arange(length + 1, device=device)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """ids (B, T) and targets (B, T), the token after each."""
        n_starts = len(self.ids) - len(self.offsets) + 1
        starts = torch.randint(n_starts, (self.batch_size, 1), device=self.ids.device)
        blocks = self.ids[starts + self.offsets]
        return blocks[:, :-1], blocks[:, 1:]


IGNORED = -100  # stands for padding among the labels: `F.cross_entropy` leaves it out


class PairBatch(NamedTuple):
    """source (B, S) and target (B, T), what the decoder has read at each step; labels (B, T), what it is to say there,
    IGNORED where the target is padded. source_mask (B, 1, S) is True where a token stands; None: nothing is padded.
    """

    source: Tensor
    source_mask: Tensor | None
    target: Tensor
    labels: Tensor


class Pairs:
    """Batches of pairs of about equal length, for an encoder–decoder. Pass after pass over all pairs, in another order
    each time; which pairs a batch holds depends on `seed` and on the number of the step alone.

    sources, targets: ids, one row per pair. A target begins with the begin marker and ends with the end marker.
    per_pass: how many batches a pass has.
    Raises ValueError where sources and targets do not go together, and for one without tokens to read or to predict.
    """

    POOL = 32  # a batch is cut from this many batches' worth of pairs, sorted by length, so that little is padded

    def __init__(
        self,
        sources: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ):
        require_sizes(batch_size=batch_size)
        if len(sources) != len(targets) or not len(sources):
            raise ValueError(f"{len(sources)} sources and {len(targets)} targets: expected one target for each source")
        if not isinstance(seed, Integral) or seed < 0:
            raise ValueError(f"seed is {seed!r}: expected a whole number, 0 or more")
        self.source_lengths = np.array([len(ids) for ids in sources])
        self.target_lengths = np.array([len(ids) for ids in targets])
        if self.source_lengths.min() < 1 or self.target_lengths.min() < 2:
            raise ValueError("a source has no token, or a target fewer than 2 (its begin and end): leave it out")
        self.sources = _padded(sources, self.source_lengths, 0).to(device)
        self.targets = _padded(targets, self.target_lengths, IGNORED).to(device)
        self.batch_size, self.seed, self.per_pass = batch_size, seed, -(-len(sources) // batch_size)
        self._pass, self._batches = None, []

    def batch(self, step: int) -> PairBatch:
        """The batch of a step, counted from 0."""
        rows = self._order(step // self.per_pass)[step % self.per_pass]
        lengths = self.source_lengths[rows]
        longest, end = lengths.max(), self.target_lengths[rows].max()
        rows = torch.from_numpy(rows).to(self.sources.device)
        source, target = self.sources[rows, :longest], self.targets[rows, :end]
        mask = None
        if lengths.min() < longest:
            mask = torch.from_numpy(np.arange(longest) < lengths[:, None])[:, None].to(source.device)
        return PairBatch(source, mask, target[:, :-1].clamp(min=0), target[:, 1:])

    def _order(self, number: int) -> list[np.ndarray]:
        """The batches of a pass, as row numbers."""
        if number != self._pass:
            rng = np.random.default_rng([self.seed, number])
            order, pool = rng.permutation(len(self.sources)), self.POOL * self.batch_size
            batches = []
            for some in (order[i : i + pool] for i in range(0, len(order), pool)):
                by_length = some[np.lexsort((self.target_lengths[some], self.source_lengths[some]))]
                batches += [by_length[i : i + self.batch_size] for i in range(0, len(by_length), self.batch_size)]
            rng.shuffle(batches)
            self._pass, self._batches = number, batches
        return self._batches


def _padded(rows: Sequence[np.ndarray], lengths: np.ndarray, padding: int) -> Tensor:
    """All rows in one table, filled up with `padding`."""
    table = np.full((len(rows), lengths.max()), padding)
    table[np.arange(lengths.max()) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(table)


class ImageBatches:
    """Batches of images and their labels: each call draws `batch_size` of them from `device`'s global generator, all
    equally likely, and gathers them there: images (N, C, H, W), −1 … 1, and labels (N,).

    Raises ValueError for no images and for batches of fewer than 2: batch normalisation compares the images of a batch.
    """

    def __init__(self, images: Images, batch_size: int, device: torch.device | str = "cpu"):
        if not len(images):
            raise ValueError("there are no images: expected 1 or more to draw batches from")
        if batch_size < 2:
            raise ValueError(
                f"batch_size is {batch_size}: batch normalisation compares the images of a batch, so it needs 2 or more"
            )
        self.pixels = images.pixels.to(device, memory_format=image_format(torch.device(device)))
        self.labels, self.batch_size = images.labels.to(device), batch_size

    def __call__(self) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(self.labels), (self.batch_size,), device=self.labels.device)
        return scaled(self.pixels[rows]), self.labels[rows]
