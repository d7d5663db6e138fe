"""The LSTM written out step by step against `torch.nn.LSTM`, and blocks gathered at once against a `DataLoader`.

    python benchmarks/neural.py [repeats]

Each pair computes the same from the same numbers, one thread, each run in a process of its own, turn by turn.
Building, and a first round to warm up, are not timed.
"""

import sys

import numpy as np
import torch
from harness import compare
from torch.utils.data import DataLoader, Dataset

from course_lib.batches import Blocks
from course_lib.neural import LSTM

SHAPES = [(32, 32, 64, 128), (16, 128, 64, 128), (64, 32, 256, 512)]  # batch, steps, d_input, d_hidden
N_TOKENS, LENGTH, BATCH = 1_000_000, 64, 32


def own(B, T, d_input, d_hidden):
    return lstm(LSTM(d_input, d_hidden), B, T)


def torchs(B, T, d_input, d_hidden):
    return lstm(torch.nn.LSTM(d_input, d_hidden, batch_first=True), B, T)


def lstm(layer, B, T):
    """Forwards and backwards; returns the sum of the outputs."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / layer.hidden_size**0.5)
    x = torch.randn(B, T, layer.input_size, generator=generator)

    def once():
        layer.zero_grad()
        total = layer(x)[0].sum()
        total.backward()
        return total.item()

    return once


def gathered():
    """One batch, all its blocks at once; returns the number of tokens."""
    blocks = Blocks(np.arange(N_TOKENS) % 84, LENGTH, BATCH)
    return lambda: blocks()[0].numel()


class Items(Dataset):
    """The blocks one by one, as a map-style dataset has them."""

    def __init__(self):
        self.ids = torch.from_numpy(np.arange(N_TOKENS) % 84)

    def __len__(self):
        return N_TOKENS - LENGTH

    def __getitem__(self, i):
        return self.ids[i : i + LENGTH], self.ids[i + 1 : i + LENGTH + 1]


def loader():
    """One batch of a `DataLoader` that draws items with replacement, in this process."""
    sampler = torch.utils.data.RandomSampler(items := Items(), replacement=True, num_samples=10**9)
    batches = iter(DataLoader(items, BATCH, sampler=sampler))
    return lambda: next(batches)[0].numel()


def main(repeats: int) -> None:
    pairs = [(f"LSTM, batch {B}, {T} steps, {d} → {h}", own, torchs, (B, T, d, h)) for B, T, d, h in SHAPES]
    pairs += [(f"{BATCH} blocks of {LENGTH} tokens", gathered, loader, ())]
    compare(pairs, repeats, ("course_lib", "torch.nn.LSTM or DataLoader"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
