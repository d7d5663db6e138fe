"""The symbols of the lessons' formulas: finds them, and makes the glossary's tables of `notebooks/notation.yaml`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from course_lib.paths import NOTEBOOKS, lessons
from course_lib.prose import CODE, HEADINGS, MATHS, Cell, blanked, markdown_cells, section

GREEK = set(
    "alpha beta gamma Gamma delta Delta epsilon varepsilon zeta eta theta Theta iota kappa lambda Lambda mu nu xi Xi "
    "pi Pi rho sigma Sigma tau upsilon phi varphi Phi chi psi Psi omega Omega".split()
)
SIGNS = {  # how a sign is shown in the table
    "odot": r"a \odot b", "circ": r"a \circ b", "bullet": r"\bullet", "partial": r"\partial", "nabla": r"\nabla",
    "lVert": r"\lVert x \rVert", "lfloor": r"\lfloor x \rfloor", "lceil": r"\lceil x \rceil",
}  # fmt: skip
PIECES = re.compile(
    r"\\(?:text|operatorname|mathrm|begin|end)\{[^}]*\}"  # words and names of functions are no symbols
    r"|(?P<mean>\\mathbb\{E\})"
    r"|\\(?P<mark>bar|hat)(?: |\{)?(?P<marked>\\?[A-Za-z]+)\}?"
    r"|\\(?P<command>[A-Za-z]+)|(?P<letter>[A-Za-z])"
)


@dataclass(frozen=True)
class Symbol:
    """An entry: a symbol, what it means, its shape or unit, and the section of each lesson where it comes first."""

    symbol: str
    meaning: str
    kind: str
    lessons: dict[str, str]


@dataclass(frozen=True)
class Use:
    """A symbol in a lesson: which, in which cell, and the heading of its section."""

    symbol: str
    cell: Cell
    section: str


@cache
def notation() -> list[Symbol]:
    """The entries of `notebooks/notation.yaml`."""
    said = yaml.safe_load((NOTEBOOKS / "notation.yaml").read_text(encoding="utf-8"))
    return [
        Symbol(symbol, e["meaning"], e.get("kind", ""), e["lessons"]) for symbol, all_ in said.items() for e in all_
    ]


def symbols(formula: str, known: set[str] = frozenset()) -> Iterator[str]:
    r"""The symbols of a formula, in order: letters, bare of indices, which are symbols in their turn; and signs.

    `known` holds those that are one symbol with their index or sign, such as `d_k`, `W^Q` or `h'`.
    """
    formula = re.sub(r"_\{(\\text\{\w+\})\}", r"_\1", formula)
    longest = sorted((name for name in known if re.search(r"['_^]", name)), key=len, reverse=True)
    position = 0
    while position < len(formula):
        whole = next((name for name in longest if formula.startswith(name, position)), None)
        piece = PIECES.match(formula, position)
        if whole:
            yield whole
        elif piece and piece["mark"]:
            yield rf"\{piece['mark']} {piece['marked']}"
        elif piece and (piece["letter"] or piece["mean"] or piece["command"] in GREEK | set(SIGNS)):
            yield piece[0]
        position += len(whole) if whole else piece.end() - position if piece else 1


@cache
def uses(lesson: Path) -> list[Use]:
    """The symbols in the formulas of a lesson's text, in order. Its first cell and headings announce: not theirs."""
    known, found = {entry.symbol for entry in notation()}, []
    for cell in markdown_cells(lesson)[1:]:
        text = blanked(cell.text, CODE, HEADINGS)
        for formula in re.finditer(MATHS, text, re.S | re.M):
            where = section(cell, formula.start())
            found += [Use(symbol, cell, where) for symbol in symbols(formula[0].strip("$"), known)]
    return found


def introduced(entry: Symbol, number: str, folder: Path = NOTEBOOKS) -> Use:
    """An entry's first use in the section of a lesson that it names. Raises LookupError if there is none."""
    (lesson,) = [path for path in lessons(folder) if path.name[:2] == number]
    for use in uses(lesson):
        if use.symbol == entry.symbol and is_section(use.section, entry.lessons[number]):
            return use
    raise LookupError(f"notation.yaml: {entry.symbol} is not in section {entry.lessons[number]} of lesson {number}")


def is_section(heading: str, name: str) -> bool:
    """Is this the heading of the section with this number, or this name?"""
    return heading == name or heading.startswith(f"{name} ·")


def shown(symbol: str) -> str:
    """A symbol as the table shows it."""
    return f"${ {'^T': 'A^T'}.get(symbol) or SIGNS.get(symbol[1:], symbol) }$"


def symbol_tables(folder: Path = NOTEBOOKS) -> str:
    """The notation as Markdown: a table of letters, one of Greek letters, one of signs."""
    tables = {"Letters": [], "Greek letters": [], "Signs": []}
    for entry in notation():
        plain = re.sub(r"^\\(?:bar|hat) ", "", entry.symbol)
        group = "Letters" if plain[0].isalpha() else "Greek letters" if plain[1:] in GREEK else "Signs"
        uses_of = {number: introduced(entry, number, folder) for number in entry.lessons}
        places = "; ".join(
            f"[{number}, {entry.lessons[number]}]({use.cell.lesson.name}#cell-id={use.cell.id})"
            for number, use in uses_of.items()
        )
        letter = plain.lstrip("\\")[: 1 if group == "Letters" else None]
        row = f"| {shown(entry.symbol)} | {entry.meaning} | {entry.kind} | {places} |"
        tables[group].append((letter.casefold(), letter.isupper(), entry.symbol, min(entry.lessons), row))
    return "\n\n".join(
        f"### {name}\n\n| | meaning | shape or unit | lesson, section |\n|---|---|---|---|\n"
        + "\n".join(row for *_, row in sorted(rows))
        for name, rows in tables.items()
    )
