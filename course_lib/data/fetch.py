"""Bring a data set to disk from where data/sources.toml says, and read it back, every file checked."""

import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from course_lib.atomic import write_whole
from course_lib.data import archive
from course_lib.data.files import DataError, check, read_bytes, sha256
from course_lib.paths import ROOT, data_folder

SOURCES = ROOT / "data" / "sources.toml"


def sources() -> dict[str, dict]:
    """What data/sources.toml says, by data set."""
    return tomllib.loads(SOURCES.read_text(encoding="utf-8"))


def on_disk() -> list[str]:
    """The fetched data sets with all their files in place (`read` checks what is in them)."""
    return [name for name, source in sources().items() if not _missing(name, source)]


def _missing(name: str, source: dict) -> list[str]:
    return [file for file in source["files"] if not (data_folder() / name / file).is_file()]


def read(name: str) -> dict[str, bytes]:
    """All files of the data set `name`, every SHA-256 checked; fetched first where one is missing.

    Raises DataError for a file that is not the expected one, and for what `fetch` does.
    """
    source = sources()[name]
    if _missing(name, source):
        fetch(name)
    contents = {}
    for file, digest in source["files"].items():
        path = data_folder() / name / file
        contents[file] = read_bytes(path)
        check(contents[file], digest, str(path), f"Run `course data {name}` to fetch it again.")
    return contents


def fetch(name: str) -> list[str]:
    """Bring the files of the data set `name` to disk; return those fetched, none if all were there and good.

    Each file is written whole or not at all. Raises DataError without a network, for a download that is not
    the expected one, and for a folder that cannot be written.
    """
    source, folder = sources()[name], data_folder() / name
    bad = _missing(name, source)
    bad += [f for f in source["files"] if f not in bad and sha256(read_bytes(folder / f)) != source["files"][f]]
    try:
        if bad:
            folder.mkdir(parents=True, exist_ok=True)
        if bad and "url" in source:
            _fetch_file(name, source, folder)
        elif bad:
            _fetch_members(name, source, folder, bad)
    except requests.RequestException as error:  # an OSError too, so it comes first
        host = urlsplit(source.get("url") or archive.index_url()).hostname  # the whole URL may hold a password
        reason = type(error).__name__ if error.response is None else f"HTTP {error.response.status_code}"
        offline = ["python_docs", *(other for other in on_disk() if other != name)]
        raise DataError(
            f"data set {name!r} is missing or damaged on disk, and fetching it from {host} failed ({reason}). When you "
            f"are online, run `course data {name}`. Without a network these work: {', '.join(offline)}, and any text "
            "file of yours by its path."
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot write data set {name!r} to {folder}: {error.strerror or error}. Files already complete are "
            "kept. Make room, or set COURSE_DATA to a folder that you can write to; then run "
            f"`course data {name}`."
        ) from error
    return bad


def _fetch_file(name: str, source: dict, folder: Path) -> None:
    [(file, digest)] = source["files"].items()
    try:
        pooch.retrieve(source["url"], f"sha256:{digest}", fname=file, path=folder, progressbar=True)
    except requests.RequestException:  # some are a ValueError too
        raise
    except ValueError as error:
        raise DataError(
            f"{source['url']} is truncated or altered: its sha256 is not the expected {digest[:12]}…. Nothing of "
            f"it was kept. Run `course data {name}` to try again."
        ) from error


def _fetch_members(name: str, source: dict, folder: Path, files: list[str]) -> None:
    again = f"Run `course data {name}` to try again"
    with tempfile.TemporaryDirectory(dir=folder) as temporary:  # so that only one disk can be full
        path = Path(temporary) / source["filename"]
        archive.download(source["project"], path)
        remedy = f"Nothing of it was kept. {again}; if it stays so, ask another index (PIP_INDEX_URL)."
        check(path.read_bytes(), source["sha256"], f"the downloaded {path.name}", remedy)
        absent = set(files)
        for file, content in archive.members(path, source["folder"], files):
            remedy = f"Restore data/sources.toml. {again}."
            check(content, source["files"][file], f"{file} in {path.name}", remedy)
            write_whole(folder / file, content)
            absent.discard(file)
    if absent:
        raise DataError(
            f"{path.name} has no {', '.join(sorted(absent))} in {source['folder']}. Restore data/sources.toml. {again}."
        )
