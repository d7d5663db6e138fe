"""Lists of documents: names, and Chinese reviews."""

from course_lib.data.fetch import read
from course_lib.data.files import decode
from course_lib.data.split import Split, by_position, shuffled


def first_names() -> Split:
    """Distinct first names, women's and men's, in lower case a–z; shuffled, 80/10/10."""
    return _names("first_names")


def surnames() -> Split:
    """Distinct surnames, in lower case a–z; shuffled, 80/10/10."""
    return _names("surnames")


def _names(name: str) -> Split:
    # A line is "SMITH   1.006  1.006   1": name, share and running share in per cent, rank.
    return by_position(name, shuffled([line.split()[0].lower() for line in _lines(name)]))


def chinese_reviews() -> Split:
    """Distinct paragraphs of Chinese customer reviews, kind and unkind; shuffled, 80/10/10."""
    return by_position("chinese_reviews", shuffled(_lines("chinese_reviews")))


def _lines(name: str) -> list[str]:
    """The lines of all files of a data set, stripped, without the empty ones."""
    text = "\n".join(decode(content, file) for file, content in read(name).items())
    return [line.strip() for line in text.split("\n") if line.strip()]
