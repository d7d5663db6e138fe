"""Fetch the two scripts that the HTML edition carries along: MathJax for formulas, mermaid for diagrams."""

import tempfile
import tomllib
from pathlib import Path

import requests

from course_lib.atomic import write_whole
from course_lib.data import DataError, archive
from course_lib.data.files import check, sha256
from course_lib.paths import data_folder

SCRIPTS = tomllib.loads(Path(__file__).with_name("scripts.toml").read_text(encoding="utf-8"))


def scripts() -> list[Path]:
    """The scripts on disk, beside the data sets: `data/<name>/<file>`. What is missing or damaged is fetched.

    Raises DataError without a network, and for an archive or a file that is not the expected one.
    """
    paths = []
    for name, source in SCRIPTS.items():
        path = data_folder() / name / source["file"]
        if not path.is_file() or sha256(path.read_bytes()) != source["file_sha256"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_whole(path, fetch(source))
            except requests.RequestException as error:
                raise DataError(
                    f"{path} is missing or damaged, and fetching it failed ({type(error).__name__}). Run `make html` "
                    "when you are online, or copy this file from a machine that has it."
                ) from error
        paths.append(path)
    return paths


def fetch(source: dict) -> bytes:
    """The one file of an archive that scripts.toml names; both are checked."""
    remedy = "Nothing of it was kept. Run `make html` again; if it stays so, ask another index (PIP_INDEX_URL)."
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / source["filename"]
        archive.download(source["project"], path)
        check(path.read_bytes(), source["sha256"], f"the downloaded {path.name}", remedy)
        content = dict(archive.members(path, source["folder"], [source["file"]]))[source["file"]]
    check(content, source["file_sha256"], f"{source['file']} in {path.name}", "Restore docs/html/scripts.toml.")
    return content
