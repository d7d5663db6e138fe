"""The lessons' prose: Markdown cells, their headings and their sentences."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

MATHS = r"\$\$.*?\$\$|(?<![\\$])\$[^$\n]+\$"
CODE = r"^```.*?^```|`[^`\n]+`"
LINKS = r"(?<=\])\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?: \"[^\"]*\")?\)"  # where they lead, not their words
TAGS = r"</?[a-z][^>]*>"
HEADINGS = r"^#+ [^\n]*$"
# A blank line ends a sentence, and so does a list's next item; else a full stop, with what closes after it, where a new
# sentence begins after a space.
STOPS = re.compile(
    r"(?P<gap>(?:\n[ >]*)+\n|\n(?=(?:- |\d+\. |\||#+ |> |<)))"
    r"|(?<!\bal)[.!?][.)”\"*]*(?=\s+[^\W\da-z_]|\s+[(“\"*\[—…]|\s*$)"
)


@dataclass(frozen=True)
class Cell:
    """A Markdown cell: its notebook, its id, its place among all cells, its text."""

    lesson: Path
    id: str
    index: int
    text: str

    @property
    def number(self) -> str:
        """The lesson's number, `01`."""
        return self.lesson.name[:2]

    @property
    def name(self) -> str:
        """Lesson and cell, `01/cell-028`."""
        return f"{self.number}/{self.id}"


@cache
def markdown_cells(lesson: Path) -> tuple[Cell, ...]:
    """The Markdown cells of a notebook, in order."""
    cells = nbformat.read(lesson, as_version=4).cells
    return tuple(Cell(lesson, c.id, i, c.source) for i, c in enumerate(cells) if c.cell_type == "markdown")


@cache
def headings(lesson: Path) -> tuple[tuple[int, int, str], ...]:
    """Each heading of a notebook: the place of its cell among all, its position in the cell, and its text."""
    return tuple(
        (cell.index, found.start(), found[0].lstrip("# ").rstrip())
        for cell in markdown_cells(lesson)
        for found in re.finditer(HEADINGS, blanked(cell.text, r"^```.*?^```"), re.M)
    )


def section(cell: Cell, position: int) -> str:
    """The heading under which this position of a cell stands."""
    return [text for index, at, text in headings(cell.lesson) if (index, at) <= (cell.index, position)][-1]


def blanked(text: str, *patterns: str, by: str = " ") -> str:
    """`text` with all that the patterns find overwritten by the character `by`, at the same length."""
    for pattern in patterns:
        text = re.sub(pattern, lambda found: re.sub(r"[^\n]", by, found[0]), text, flags=re.S | re.M)
    return text


@cache
def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of each sentence of a Markdown text.

    What stands in round brackets within a sentence never ends it. A formula set apart belongs to the sentence before it
    and, if neither ends in a full stop, so does what follows.
    """
    plain = re.sub(r"(?<=\n)>", " ", blanked(text, CODE, LINKS, TAGS, by="X"))
    plain = re.sub(r"\$\$.*?\$\$", _set_apart, plain, flags=re.S)
    plain = blanked(plain, MATHS, by="X")
    spans, start = [], 0
    for stop in STOPS.finditer(plain):
        before, after = stop.span()
        if stop["gap"]:
            if _goes_on(text, before, after):
                continue
        elif plain.count("(", start, after) > plain.count(")", start, after):
            continue
        spans.append((start, before if stop["gap"] else after))
        start = after
    spans.append((start, len(text)))
    return tuple((a, b) for a, b in (_trimmed(text, *span) for span in spans) if a < b)


def _set_apart(formula: re.Match) -> str:
    """A formula as a word of its length, with a full stop at its end if it has one."""
    return "x" * (len(formula[0]) - 1) + ("." if "." in formula[0][-9:] else "x")


def _goes_on(text: str, before: int, after: int) -> bool:
    """Does the sentence go on over this gap, into or out of a formula set apart?"""
    head = text[:before].rstrip()
    if text.startswith("$$", after):
        return not re.search(r"[.!?]\W*$", head[-3:])
    return head.endswith("$$") and "." not in head[-9:] and re.match(r"[a-z$(\[]", text[after:]) is not None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Start and end without the space, and the marks of quotation, around."""
    inner = text[start:end].rstrip()
    return start + len(inner) - len(inner.lstrip(" \n>")), start + len(inner)


def slug(term: str) -> str:
    """A term as the id of a cell: `Fréchet distance` becomes `frechet-distance`."""
    letters = unicodedata.normalize("NFKD", term.casefold().replace("–", "-").replace("'", ""))
    return re.sub(r"[^a-z0-9]+", "-", "".join(c for c in letters if not unicodedata.combining(c))).strip("-")
