"""Builds notebooks/glossary.ipynb from the lessons: `python -m course_lib.glossary`.

A lesson defines a term where it is a bold link to the glossary, `[**perplexity**](glossary.ipynb#cell-id=perplexity)`:
JupyterLab follows links to a cell's id, whatever its heading. Where the words differ from the entry's name, the link's
title has it: `[**gates**](glossary.ipynb#cell-id=gate "gate")`. An entry is the sentence with that link, word for word;
`notebooks/glossary.yaml` says where more sentences belong to it.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
import yaml
from nbformat import v4

from course_lib.atomic import write_whole
from course_lib.notation import symbol_tables
from course_lib.paths import NOTEBOOKS, lessons
from course_lib.prose import Cell, headings, markdown_cells, section, sentences, slug

GLOSSARY = NOTEBOOKS / "glossary.ipynb"
MARKER = re.compile(r'\[\*\*([^*]+)\*\*\]\(glossary\.ipynb#cell-id=([^()\s]+)(?: "([^"]+)")?\)')
INTRODUCTION = """# Glossary

The terms of the course, each with its definition, word for word as the lesson has it, and a link back to its section.
The [symbols](glossary.ipynb#cell-id=notation) of the formulas stand at the end."""
NOTATION = """## Notation

Every symbol of the lessons' formulas. Some letters mean one thing in one lesson and another in the next: then they have
a row for each. $x_i$ is entry $i$ of $x$; an index is listed as a symbol of its own."""


@dataclass(frozen=True)
class Definition:
    """A term, the cell that defines it, the position there, the link that says so and where that leads."""

    term: str
    where: Cell
    position: int
    link: str
    target: str

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
    return [
        Definition(link[3] or link[1], cell, link.start(), link[0], link[2])
        for lesson in lessons(folder)
        for cell in markdown_cells(lesson)
        for link in MARKER.finditer(cell.text)
    ]


def link_to(cell: Cell, position: int) -> str:
    """A link to a cell of a lesson, which names the lesson and the section."""
    title, heading = headings(cell.lesson)[0][-1], section(cell, position)
    return f"[{title if heading == title else f'{title}, {heading}'}]({cell.lesson.name}#cell-id={cell.id})"


def entry(definition: Definition) -> str:
    """One entry: the term as a heading, its definition, the way back."""
    text = definition.text(*settings()["sentences"].get(definition.term, (0, 0)))
    return f"### {definition.term}\n\n{text}\n\n{link_to(definition.where, definition.position)}"


def glossary(folder: Path = NOTEBOOKS) -> nbformat.NotebookNode:
    """The glossary as a notebook, from the lessons of a folder."""
    ordered = sorted(definitions(folder), key=lambda d: (d.term.casefold(), d.term))
    texts = {"introduction": INTRODUCTION, **{slug(d.term): entry(d) for d in ordered}}
    texts |= {"notation": NOTATION, "symbols": symbol_tables(folder)}
    cells = [v4.new_markdown_cell(text, id=name) for name, text in texts.items()]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def main() -> None:
    """Write the glossary."""
    write_whole(GLOSSARY, (nbformat.writes(glossary()) + "\n").encode())


if __name__ == "__main__":
    main()
