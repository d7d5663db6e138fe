"""Where the course keeps its things. Every other file asks here, so that lessons run from any working directory."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
RUNS = "runs"  # the folder, beside the lessons, of lean notebooks for sweeps and long runs


def lessons(folder: Path = NOTEBOOKS) -> list[Path]:
    """The lessons in a folder, in order: `01_name.ipynb`. Scratch notebooks and JupyterLab's copies are none."""
    return sorted(path for path in folder.glob("*.ipynb") if re.fullmatch(r"\d\d_\w+", path.stem))


def data_folder() -> Path:
    """The folder of fetched data sets: `COURSE_DATA` if set (a shared disk, say), else `data/` of the repository.

    A relative `COURSE_DATA` counts from the repository, whatever the working directory: notebooks have their own.
    """
    return (ROOT / Path(os.environ.get("COURSE_DATA") or "data").expanduser()).resolve()
