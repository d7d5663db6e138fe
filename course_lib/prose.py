"""The lessons' prose: Markdown cells, their headings and their sentences."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

MATHS = r"\$\$.*?\$\$|(?<![\\$])\$[^$\n]+\$"
CODE = r"^```.*?^```|`[^`\n]+`"
LINKS = r"(?<=\])\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?: \"[^\"]*\")?\)"
TAGS = r"</?[a-z][^>]*>"
# A sentence ends at . ! or ? (with what closes after it), where a new one begins after a space.
END = re.compile(r"(?<!\bal)[.!?][.)”\"*]*(?=\s+[^\W\da-z_]|\s+[(“\"*\[$`—…]|\s*$)")
# A blank line ends one, too, but for formulas set apart, which belong to their sentence; so does a list's next item.
BREAK = re.compile(r"(?:\n[ >]*)+\n|\n(?=(?:- |\d+\. |\||#+ |> |<))")


def blanked(text: str, *patterns: str, by: str = " ") -> str:
    """`text` with all that the patterns find overwritten by the character `by`, at the same length."""
    for pattern in patterns:
        text = re.sub(pattern, lambda found: re.sub(r"[^\n]", by, found[0]), text, flags=re.S | re.M)
    return text


@cache
def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of a Markdown text. What stands in round brackets within one never ends it."""
    plain = re.sub(r"(?<=\n)>", " ", blanked(text, CODE, LINKS, TAGS, by="X"))
    plain = re.sub(
        r"\$\$.*?\$\$",
        lambda found: "x" * (len(found[0]) - 1) + ("." if "." in found[0][-9:] else "x"),
        plain,
        flags=re.S,
    )
    plain = blanked(plain, MATHS, by="X")
    spans, start, position = [], 0, 0
    while position < len(plain):
        pause = BREAK.match(plain, position)
        if pause and not _goes_on(text, position, pause.end()):
            spans.append((start, position))
            start = position = pause.end()
            continue
        end = END.match(plain, position)
        if end and plain.count("(", start, end.end()) <= plain.count(")", start, end.end()):
            spans.append((start, end.end()))
            start = position = end.end()
            continue
        position += 1
    spans.append((start, len(text)))
    trimmed = [
        (a + len(text[a:b]) - len(text[a:b].lstrip(" \n>")), b - len(text[a:b]) + len(text[a:b].rstrip()))
        for a, b in spans
    ]
    return [(a, b) for a, b in trimmed if a < b]


def _goes_on(text: str, before: int, after: int) -> bool:
    """Does the sentence go on over this blank line, into or out of a formula set apart?"""
    into = text.startswith("$$", after) and not re.search(r"[.!?]\W*$", text[:before][-3:])
    head = text[:before].rstrip()
    out = head.endswith("$$") and "." not in head[-9:] and re.match(r"[a-z$(\[]", text[after:]) is not None
    return into or out


def slug(term: str) -> str:
    """A term as the id of a cell: `Fréchet distance` becomes `frechet-distance`."""
    letters = unicodedata.normalize("NFKD", term.casefold().replace("–", "-").replace("'", ""))
    return re.sub(r"[^a-z0-9]+", "-", "".join(c for c in letters if not unicodedata.combining(c))).strip("-")


@dataclass(frozen=True)
class Cell:
    """A Markdown cell: its lesson's file and number, its id, its place among all cells, its text."""

    lesson: Path
    id: str
    index: int
    text: str

    @property
    def number(self) -> str:
        return self.lesson.name[:2]

    @property
    def name(self) -> str:
        return f"{self.number}/{self.id}"


@cache
def markdown_cells(lesson: Path) -> list[Cell]:
    """The Markdown cells of a notebook, in order."""
    cells = nbformat.read(lesson, as_version=4).cells
    return [Cell(lesson, c.id, i, c.source) for i, c in enumerate(cells) if c.cell_type == "markdown"]


def headings(cells: list[Cell]) -> Iterator[tuple[int, int, int, str]]:
    """Each heading of a lesson: the cell it is in (place in `cells`), its position there, its level and its text."""
    for i, cell in enumerate(cells):
        for found in re.finditer(r"^(#+) (.+)$", blanked(cell.text, r"^```.*?^```"), re.M):
            yield i, found.start(), len(found[1]), found[2].strip()


def section(cells: list[Cell], cell: int, position: int) -> str:
    """The heading under which this position of this cell stands."""
    return [text for i, at, _, text in headings(cells) if (i, at) <= (cell, position)][-1]
