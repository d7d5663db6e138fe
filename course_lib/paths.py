"""Where the course keeps its things. Every other file asks here, so that lessons run from any working directory."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
PROFILES = NOTEBOOKS / "profiles"


def data_folder() -> Path:
    """The folder of fetched data sets: `COURSE_DATA` if set (a shared disk, say), else `data/` of the repository."""
    return Path(os.environ.get("COURSE_DATA") or ROOT / "data").resolve()
