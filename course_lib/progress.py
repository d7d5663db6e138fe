"""Which checks a learner has passed: kept on this computer and nowhere else.

One small file for each passed check, named like the check and holding the day, in a folder of the user's own;
`COURSE_PROGRESS` names another folder, and an empty one switches it off. To start afresh, delete the folder.
"""

import contextlib
import datetime
import os
from pathlib import Path

from platformdirs import user_data_path


def progress_folder() -> Path | None:
    """Where progress is kept; None if it is switched off."""
    named = os.environ.get("COURSE_PROGRESS")
    if named is None:
        return user_data_path("large-models-from-first-principles") / "progress"
    return Path(named).expanduser() if named else None


def remember(check: str) -> None:
    """Keep that the answer to this check was right today. Whatever stands in the way, a learner's work goes on."""
    folder = progress_folder()
    if folder:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / check).write_text(f"{datetime.date.today()}\n", encoding="utf-8")


def day_passed(check: str) -> str | None:
    """The day on which the check was last passed, as 2026-01-31; None if it never was, as far as is known."""
    folder = progress_folder()
    try:
        return (folder / check).read_text(encoding="utf-8").strip() if folder else None
    except OSError:
        return None
