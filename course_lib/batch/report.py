"""What is kept of a run: results.json and results.csv, where it ran, and the table shown at its end."""

import csv
import functools
import io
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

from course_lib.atomic import write_whole
from course_lib.results import encode, show


def save(rows: list[dict], folder: Path) -> None:
    """Write `rows` to <folder>/results.json, and to results.csv with a column for each parameter and result,
    such as parameters.steps and results.perplexity. Non-finite numbers are "NaN", "Infinity", "-Infinity"."""
    rows = encode(rows)
    write_whole(folder / "results.json", (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode())
    flat = [_flatten(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    write_whole(folder / "results.csv", text.getvalue().encode())


def table(rows: list[dict]) -> str:
    """`rows` for a reader, with the first three results of each lesson, and where the notebooks are."""
    lines = [
        (
            row["lesson"],
            row["status"],
            f"{row['seconds']:.1f} s",
            f"{row['peak_mb']} MB",
            ", ".join(f"{name} {show(value)}" for name, value in list(row["results"].items())[:3]),
        )
        for row in rows
    ]
    headers = ("lesson", "status", "time", "peak memory", "results")
    notebooks = "\n".join(row["notebook"] for row in rows)
    return f"{tabulate(lines, headers, disable_numparse=True)}\n\n{notebooks}"


@functools.cache
def provenance() -> dict[str, str]:
    """Versions of Python, PyTorch and the course, and the machine."""
    # In a process of its own: a run must not hold a GPU's memory beside its kernels.
    script = "from course_lib.device import describe; print(describe())"
    described = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True).stdout.strip()
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "course_lib": version("large-models-from-first-principles"),
        "machine": described or "unknown",
    }


def _flatten(row: dict) -> dict:
    flat = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": v for key, v in value.items()}
        else:
            flat[name] = value
    return flat
