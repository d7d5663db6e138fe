"""Order-6 modified Kneser–Ney on the works of Shakespeare: arrays and one sort against dictionaries of counts.

    python benchmarks/ngram.py [repeats]

Both fit the training text (4.57 M characters) and score validation and test; each run in a process of its own,
turn by turn. Reading the files and importing libraries is not timed; everything from the text on is.
"""

import math
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import psutil
from dictionary_ngram import DictionaryNGram
from tabulate import tabulate

from course_lib import data
from course_lib.device import describe
from course_lib.lm import evaluate
from course_lib.ngram import NGram, count_ngrams
from course_lib.vocab import Characters

ORDER = 6


def arrays(split):
    vocab = Characters(split.train, markers=True, unknown=True)
    model = NGram(count_ngrams(vocab, split.train, ORDER))
    yield
    for text in (split.validation, split.test):
        yield evaluate(model, vocab, text).perplexity


def dictionaries(split):
    model = DictionaryNGram(split.train, ORDER)
    yield
    for text in (split.validation, split.test):
        p = model.probabilities(text)
        yield math.exp(-math.fsum(map(math.log, p)) / len(p))


def peak_memory() -> float:
    """Of this process so far, in GB."""
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return info.peak_wset / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure(implementation) -> dict:
    steps = implementation(data.load("shakespeare"))
    start = time.perf_counter()
    next(steps)
    fitted = time.perf_counter()
    perplexities = list(steps)
    end = time.perf_counter()
    seconds = {"fit": fitted - start, "score": end - fitted, "total": end - start}
    return seconds | {"GB": peak_memory(), "perplexities": perplexities}


def main(repeats: int) -> None:
    runs = {arrays: [], dictionaries: []}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for i in range(repeats):
            for implementation, measured in runs.items():
                measured.append(pool.submit(measure, implementation).result())
                seconds = measured[-1]["total"]
                print(f"run {i + 1} of {repeats}: {implementation.__name__} {seconds:.2f} s", file=sys.stderr)

    def spread(rows, key):
        values = [row[key] for row in rows]
        return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"

    print(describe())
    table = [[f.__name__] + [spread(rows, k) for k in ("fit", "score", "total", "GB")] for f, rows in runs.items()]
    print(tabulate(table, ["", "fit, s", "score, s", "total, s", "peak memory, GB"]))
    ratios = [{"ratio": b["total"] / a["total"]} for a, b in zip(*runs.values(), strict=True)]
    print(f"dictionaries / arrays, turn by turn: {spread(ratios, 'ratio')}")
    a, b = (rows[0]["perplexities"] for rows in runs.values())
    assert all(math.isclose(x, y, rel_tol=1e-9) for x, y in zip(a, b, strict=True)), "the two are not the same model"
    print(f"perplexity, both: validation {a[0]:.5f}, test {a[1]:.5f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
