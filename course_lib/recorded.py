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
