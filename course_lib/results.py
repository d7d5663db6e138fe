"""`record(...)`: a lesson states its numbers once. A reader gets a small table, a machine gets JSON."""

import json
import math
import os
import re
from pathlib import Path

from IPython.display import display
from tabulate import tabulate

from course_lib.atomic import write_whole

MIME = "application/vnd.course.results+json"
Value = bool | int | float | str

# JSON has no NaN and no infinity; they are stored under these names, as protocol buffers store them in JSON.
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def record(lesson: str, **values) -> None:
    """State the results of `lesson`, named like its notebook without ".ipynb"; called once, at its end.

    Each value is a number, a bool or a string; scalars of NumPy and PyTorch count as what they hold. Floats
    keep six significant digits, since further ones differ between machines; NaN and infinity are kept. The
    values are shown as a table, stored as JSON in the same output of the notebook, and, where the environment
    variable COURSE_RESULTS names a folder, written to <COURSE_RESULTS>/<lesson>.json.
    Raises TypeError or ValueError, naming the value, for anything else.
    """
    if not re.fullmatch(r"[\w-]+", lesson):
        raise ValueError(f"lesson {lesson!r}: expected the notebook's name without .ipynb, like '01_ngram_models'")
    if not values:
        raise ValueError(f"{lesson}: no results given; state at least one, like record({lesson!r}, perplexity=4.7)")
    results = {name: _plain(name, value) for name, value in values.items()}
    data = {"lesson": lesson, "order": list(results), "results": encode(results)}  # notebooks sort their keys
    folder = os.environ.get("COURSE_RESULTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        content = json.dumps(data, indent=1, allow_nan=False) + "\n"
        write_whole(Path(folder) / f"{lesson}.json", content.encode())
    rows = [(name, show(value)) for name, value in results.items()]
    table = tabulate(rows, headers=("result", lesson), disable_numparse=True)
    display({MIME: data, "text/plain": table}, raw=True)


def read(notebook: Path | str) -> dict[str, Value]:
    """The results that the executed `notebook` (a path) recorded, in order; empty where it recorded none.

    Raises ValueError for a notebook that recorded more than once: which of them would count?
    """
    import nbformat  # slow to import, and lessons only record

    found = [
        output.data[MIME]
        for cell in nbformat.read(notebook, as_version=4).cells
        for output in cell.get("outputs", ())
        if MIME in output.get("data", {})
    ]
    if len(found) > 1:
        raise ValueError(f"{notebook} records results {len(found)} times; call record() once, at the end")
    return decode({name: found[0]["results"][name] for name in found[0]["order"]}) if found else {}


def encode(value):
    """`value`, however nested, with NaN and the infinities as "NaN", "Infinity", "-Infinity": valid JSON."""
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def decode(results: dict[str, Value]) -> dict[str, Value]:
    """Encoded `results` with their non-finite numbers as numbers again."""
    return {name: _NUMBERS.get(value, value) if isinstance(value, str) else value for name, value in results.items()}


def show(value: Value) -> str:
    """`value` for a reader: floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(name: str, value) -> Value:
    """`value` as a bool, int, float or str of Python."""
    if getattr(value, "ndim", None) == 0:  # a scalar of NumPy or PyTorch
        value = value.item()
    if isinstance(value, str) and value in _NUMBERS:
        raise ValueError(f"result {name}={value!r}: this text stands for a number; record the number itself")
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}")
    raise TypeError(f"result {name}: expected a number, a bool or a string, got {type(value).__name__}")
