"""Builds notebooks/glossary.ipynb from the lessons: `python -m course_lib.glossary`.

A lesson defines a term where it is a bold link to the glossary, `[**perplexity**](glossary.ipynb#cell-id=perplexity)`. Where the
words differ from the entry's heading, the link's title has the heading: `[**gates**](glossary.ipynb#cell-id=gate "gate")`.
An entry is the sentence with that link, word for word; `notebooks/glossary.yaml` says where more sentences belong to it.
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import nbformat
import yaml
from nbformat import v4

from course_lib.atomic import write_whole
from course_lib.notation import symbol_table
from course_lib.paths import NOTEBOOKS, lessons
from course_lib.prose import Cell, headings, markdown_cells, section, sentences, slug

GLOSSARY = NOTEBOOKS / "glossary.ipynb"
MARKER = re.compile(r'\[\*\*([^*]+)\*\*\]\(glossary\.ipynb#cell-id=([^()\s]+)(?: "([^"]+)")?\)')
INTRODUCTION = """# Glossary

The terms of the course, each with its definition, word for word as the lesson has it, and a link back to its section. The \
symbols of the formulas stand at the [end](glossary.ipynb#cell-id=notation).

This file is made of the lessons by `python -m course_lib.glossary`: change a definition there, not here."""


@dataclass(frozen=True)
class Definition:
    """A term, and where it is defined: the lesson's cells, which of them, the position in it, and the link's own text."""

    term: str
    cells: tuple[Cell, ...]
    cell: int
    position: int
    link: str
    target: str

    @property
    def where(self) -> Cell:
        return self.cells[self.cell]

    @cached_property
    def section(self) -> str:
        return section(list(self.cells), self.cell, self.position)

    def text(self, before: int = 0, after: int = 0) -> str:
        """The sentence of the definition with so many before and after it, the link made plain bold."""
        spans = sentences(self.where.text)
        (at,) = [i for i, (start, end) in enumerate(spans) if start <= self.position < end]
        source = self.where.text[spans[max(at - before, 0)][0] : spans[min(at + after, len(spans) - 1)][1]]
        return re.sub(r"^(?:[-#] |\d+\. )", "", source).replace(self.link, f"**{MARKER.fullmatch(self.link)[1]}**")


@cache
def settings() -> dict:
    """What `notebooks/glossary.yaml` says."""
    return yaml.safe_load((NOTEBOOKS / "glossary.yaml").read_text(encoding="utf-8"))


def definitions(folder: Path = NOTEBOOKS) -> list[Definition]:
    """All definitions of the lessons, in the order of the course."""
    found = []
    for lesson in lessons(folder):
        cells = tuple(markdown_cells(lesson))
        for i, cell in enumerate(cells):
            for link in MARKER.finditer(cell.text):
                found.append(Definition(link[3] or link[1], cells, i, link.start(), link[0], link[2]))
    return found


def title(lesson: Path) -> str:
    """A lesson's first heading: `01 · N-gram models`."""
    return next(text for *_, text in headings(markdown_cells(lesson)))


def link_to(cell: Cell, heading: str) -> str:
    """A link to a cell of a lesson, which names the section that it stands in."""
    name = title(cell.lesson)
    return f"[{name if heading == name else f'{name}, {heading}'}]({cell.lesson.name}#cell-id={cell.id})"


def entry(definition: Definition) -> str:
    """One entry: the term as a heading, its definition, the way back."""
    text = definition.text(*settings()["sentences"].get(definition.term, (0, 0)))
    return f"### {definition.term}\n\n{text}\n\n{link_to(definition.where, definition.section)}"


def glossary(folder: Path = NOTEBOOKS) -> nbformat.NotebookNode:
    """The glossary as a notebook, from the lessons of a folder."""
    ordered = sorted(definitions(folder), key=lambda d: (d.term.casefold(), d.term))
    texts = {"introduction": INTRODUCTION} | {slug(d.term): entry(d) for d in ordered}
    cells = [v4.new_markdown_cell(text, id=name) for name, text in (texts | {"notation": symbol_table(folder)}).items()]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def main() -> None:
    """Write the glossary."""
    write_whole(GLOSSARY, (nbformat.writes(glossary()) + "\n").encode())


if __name__ == "__main__":
    main()
