"""Two ways to compute the same, timed turn by turn: what the benchmarks share."""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from tabulate import tabulate

from course_lib.device import describe


def compare(
    pairs: list[tuple[str, Callable, Callable, tuple]], repeats: int, names: tuple[str, str], tolerance: float = 1e-3
) -> None:
    """Print milliseconds and ratios. A pair is (what it is, ours, theirs, arguments); ours(*arguments) builds a call
    that computes once and returns a number, which must be theirs as well, but for a relative `tolerance`. One thread, a
    process for each measurement.
    """
    rows = {name: [] for name, *_ in pairs}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for i in range(repeats):
            for name, ours, theirs, arguments in pairs:
                a, b = (pool.submit(measure, build, arguments).result() for build in (ours, theirs))
                assert abs(a["result"] - b["result"]) <= tolerance * max(abs(b["result"]), 1e-9), (
                    "the two compute differently"
                )
                rows[name].append({"ours": a["ms"], "theirs": b["ms"], "ratio": a["ms"] / b["ms"]})
            print(f"run {i + 1} of {repeats}", file=sys.stderr)

    print(describe() + ", 1 thread")
    headers = ["", f"{names[0]}, ms", f"{names[1]}, ms", "ratio, turn by turn"]
    print(tabulate([[name, *(spread(m, k) for k in ("ours", "theirs", "ratio"))] for name, m in rows.items()], headers))


def measure(build: Callable, arguments: tuple, seconds: float = 0.5) -> dict:
    """Median milliseconds of a call, called for `seconds`; the first call warms up, and gives the result."""
    torch.set_num_threads(1)
    call = build(*arguments)
    result, times = call(), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return {"ms": statistics.median(times), "result": result}


def spread(measured: list[dict], key: str) -> str:
    """The median of a column, its least and its greatest value."""
    values = [row[key] for row in measured]
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"
