"""What is kept of runs: results.json and results.csv, and the table shown at the end."""

import csv
import io
import json
import re
from pathlib import Path

from tabulate import tabulate

from course_lib.atomic import write_whole
from course_lib.batch.execute import Outcome
from course_lib.batch.frame import flat, frame, summary
from course_lib.batch.page import page
from course_lib.batch.plan import Job
from course_lib.results import encode, show


def row(job: Job, outcome: Outcome, notebook: str, provenance: dict[str, str]) -> dict:
    """What is kept of a run."""
    return {
        "lesson": job.lesson,
        "name": job.name,
        "status": outcome.status,
        "seconds": outcome.seconds,
        "peak_mb": outcome.peak_mb,
        "profile": job.profile,
        "parameters": job.parameters,
        "results": outcome.results,
        "error": outcome.error,
        "notebook": notebook,
        **provenance,
    }


def save(rows: list[dict], folder: Path) -> None:
    """Write `rows` to <folder>/results.json, and to results.csv with a column for each parameter and result,
    such as parameters.steps and results.perplexity. Non-finite numbers are "NaN", "Infinity", "-Infinity"."""
    rows = encode(rows)
    write_whole(folder / "results.json", (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode())
    lines = [flat(row) for row in rows]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_whole(folder / "results.csv", text.getvalue().encode())


def write(rows: list[dict], folder: Path) -> None:
    """What `save` writes, results.parquet with the same columns, and report.html. May raise OSError."""
    save(rows, folder)
    parquet = io.BytesIO()
    frame(rows).to_parquet(parquet)
    write_whole(folder / "results.parquet", parquet.getvalue())
    write_whole(folder / "report.html", page(rows, folder.name).encode())


def summary_table(rows: list[dict]) -> str:
    """For a reader: a line for each combination of parameters, with the means of the first three results over seeds (±
    their standard deviation) and of the time."""
    tables = []
    for lesson in dict.fromkeys(row["lesson"] for row in rows):
        lines = summary(rows, lesson)
        by = [name for name in lines if name.startswith("parameters.")]
        numbers = [name.removesuffix(".mean") for name in lines if re.fullmatch(r"results\..*\.mean", name)][:3]
        shown = {name.removeprefix("parameters."): lines[name] for name in by} | {"seeds": lines["seeds"]}
        for name in (*numbers, "seconds"):
            pairs = zip(lines[f"{name}.mean"], lines[f"{name}.sd"], strict=True)
            shown[name.removeprefix("results.")] = [_mean_sd(mean, sd) for mean, sd in pairs]
        tables.append(f"{lesson}\n{tabulate(shown, headers='keys', disable_numparse=True)}")
    failed = sum(row["status"] != "ok" for row in rows)
    return "\n\n".join(tables) + (f"\n\n{failed} of {len(rows)} runs failed" if failed else "")


def _mean_sd(mean: float, sd: float) -> str:
    return show(float(mean)) + (f" ± {sd:.2g}" if sd == sd else "")


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
