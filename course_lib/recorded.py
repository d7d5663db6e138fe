"""Recorded runs: results too long in the making for a lesson, kept with all that is needed to make them again."""

import datetime
import json
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from course_lib.atomic import write_whole
from course_lib.device import describe
from course_lib.paths import ROOT
from course_lib.results import Value, decode, encode

FOLDER = ROOT / "data" / "recorded"


@dataclass(frozen=True)
class Run:
    """parameters: of the run notebook. results: what it recorded. curve: the evaluations made on the way."""

    name: str
    notebook: str
    parameters: dict[str, Value]
    results: dict[str, Value]
    curve: list[dict[str, float]] = field(default_factory=list)
    machine: str = ""
    torch: str = ""
    commit: str = ""
    date: str = ""


def keep(lesson: str, run: Run) -> Path:
    """Write a run to data/recorded/<lesson>/<name>.json, with machine, versions and date of now, and the commit of now
    unless it names the one it began with."""
    now = datetime.datetime.now(datetime.UTC).date().isoformat()
    made = asdict(run) | {
        "machine": describe(),
        "torch": torch.__version__,
        "commit": run.commit or commit(),
        "date": now,
    }
    path = FOLDER / lesson / f"{run.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(encode(made), indent=1, allow_nan=False) + "\n").encode())
    return path


@dataclass(frozen=True)
class Sweep:
    """Many runs of one notebook, as `course sweep` makes them. parameters: those that all runs share. rows: for each
    run the parameters that differ, its results, seconds and peak_mb."""

    name: str
    notebook: str
    parameters: dict[str, Value]
    rows: list[dict[str, Value]]
    machine: str
    torch: str
    commit: str
    date: str


def keep_sweep(lesson: str, name: str, rows: list[dict], commit: str) -> Path:
    """Write the finished rows of a sweep, as `course_lib.batch` has them, to data/recorded/<lesson>/<name>.json. Raises
    ValueError where one has failed."""
    bad = [row["name"] for row in rows if row["status"] != "ok"]
    if bad or not rows:
        raise ValueError(f"{name}: {len(bad)} of {len(rows)} runs failed, {bad[:1]} first; run the sweep again")
    first = rows[0]["parameters"]
    shared = {key: value for key, value in first.items() if all(row["parameters"][key] == value for row in rows)}
    made = Sweep(
        name,
        f"runs/{rows[0]['lesson']}",
        shared,
        [
            {key: value for key, value in row["parameters"].items() if key not in shared}
            | row["results"]
            | {"seconds": row["seconds"], "peak_mb": row["peak_mb"]}
            for row in rows
        ],
        ", ".join(sorted({row["machine"] for row in rows})),
        ", ".join(sorted({row["torch"] for row in rows})),
        commit,
        datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    path = FOLDER / lesson / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n  ".join(json.dumps(row) for row in encode(made.rows))  # a line for each run
    head = json.dumps(encode(asdict(made) | {"rows": "ROWS"}), indent=1, allow_nan=False)
    write_whole(path, (head.replace('"ROWS"', f"[\n  {lines}\n ]") + "\n").encode())
    return path


def recorded_sweep(lesson: str, name: str) -> Sweep:
    """A recorded sweep. Raises FileNotFoundError where there is none."""
    made = json.loads((FOLDER / lesson / f"{name}.json").read_text(encoding="utf-8"))
    return Sweep(**made | {"parameters": decode(made["parameters"]), "rows": [decode(row) for row in made["rows"]]})


def recorded(lesson: str) -> dict[str, Run]:
    """All recorded runs of a lesson, by name; empty where there is none."""
    runs = {}
    for path in sorted((FOLDER / lesson).glob("*.json")):
        made = json.loads(path.read_text(encoding="utf-8"))
        numbers = {name: decode(made[name]) for name in ("parameters", "results")}
        runs[path.stem] = Run(**made | numbers | {"curve": [decode(row) for row in made["curve"]]})
    return runs


def commit() -> str:
    """The commit that runs, "+" where files differ from it (recorded runs aside); empty outside a repository."""
    try:
        here = _git("rev-parse", "--short=10", "HEAD")
        differs = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)data/recorded")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return here + ("+" if differs else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
