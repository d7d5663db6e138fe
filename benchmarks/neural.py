"""The LSTM written out step by step against `torch.nn.LSTM`, and blocks gathered at once against a `DataLoader`.

    python benchmarks/neural.py [repeats]

Each pair computes the same from the same numbers, one thread, each run in a process of its own, turn by turn.
Building, and a first round to warm up, are not timed.
"""

import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from tabulate import tabulate
from torch.utils.data import DataLoader, Dataset

from course_lib.batches import Blocks
from course_lib.device import describe
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


def measure(build, arguments, seconds: float = 0.5) -> dict:
    """Median milliseconds of a call, called for `seconds`."""
    torch.set_num_threads(1)
    call = build(*arguments)
    result, times = call(), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return {"ms": statistics.median(times), "result": result}


def main(repeats: int) -> None:
    pairs = [(f"LSTM, batch {B}, {T} steps, {d} → {h}", own, torchs, (B, T, d, h)) for B, T, d, h in SHAPES]
    pairs += [(f"{BATCH} blocks of {LENGTH} tokens", gathered, loader, ())]
    rows = {name: [] for name, *_ in pairs}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for i in range(repeats):
            for name, ours, theirs, arguments in pairs:
                a, b = (pool.submit(measure, build, arguments).result() for build in (ours, theirs))
                assert abs(a["result"] - b["result"]) <= 1e-3 * max(1, abs(a["result"])), "the two compute differently"
                rows[name].append({"ours": a["ms"], "theirs": b["ms"], "ratio": a["ms"] / b["ms"]})
            print(f"run {i + 1} of {repeats}", file=sys.stderr)

    def spread(measured, key):
        values = [row[key] for row in measured]
        return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"

    print(describe() + ", 1 thread")
    headers = ["", "course_lib, ms", "torch.nn.LSTM or DataLoader, ms", "ratio, turn by turn"]
    print(tabulate([[name, *(spread(m, k) for k in ("ours", "theirs", "ratio"))] for name, m in rows.items()], headers))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
