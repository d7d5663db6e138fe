"""The glossary is what the lessons say, links between them lead there, and no term is used before it is defined."""

import re
from functools import cache

import nbformat
import pytest

from course_lib.glossary import GLOSSARY, Definition, definitions, glossary, settings
from course_lib.paths import lessons
from course_lib.prose import CODE, HEADINGS, LINKS, MATHS, TAGS, Cell, blanked, markdown_cells, section, sentences, slug

LESSONS = lessons()
CELLS = {lesson.name[:2]: markdown_cells(lesson) for lesson in LESSONS}
DEFINITIONS = definitions()
every_lesson = pytest.mark.parametrize("number", CELLS)


@cache
def before(number: str) -> frozenset[str]:
    """The lessons that one may take for granted: those from which arrows of lesson 00's map lead here."""
    (start,) = [cell.text for cell in CELLS["00"] if "```mermaid" in cell.text]
    needed = {a for a, b in re.findall(r"L(\d\d)(?:\[[^]]*\])? --> L(\d\d)", start) if b == number}
    return frozenset(needed.union(*(before(lesson) for lesson in needed)))


# The glossary and the lessons


def test_the_committed_glossary_is_what_the_lessons_give():
    fresh = nbformat.writes(glossary()) + "\n"
    assert GLOSSARY.read_text(encoding="utf-8") == fresh, "run `python -m course_lib.glossary`"


def test_each_term_has_one_definition_and_its_link_names_it():
    terms = [d.term for d in DEFINITIONS]
    assert len(set(terms)) == len(terms) > 100
    assert [d.target for d in DEFINITIONS] == [slug(term) for term in terms]
    assert len({slug(term) for term in terms}) == len(terms)


def test_links_lead_to_the_entry_and_back():
    entries = {cell.id: cell.text for cell in markdown_cells(GLOSSARY)}
    for definition in DEFINITIONS:
        entry = entries[definition.target]
        assert entry.startswith(f"### {definition.term}\n")
        ((lesson, cell),) = re.findall(r"\]\((\d\d_\w+\.ipynb)#cell-id=([\w-]+)\)$", entry)
        assert (lesson, cell) == (definition.where.lesson.name, definition.where.id)
    ids = {p.name: {c.id for c in nbformat.read(p, as_version=4).cells} for p in (*LESSONS, GLOSSARY)}
    for notebook in (*LESSONS, GLOSSARY):
        for cell in markdown_cells(notebook):
            for file, target in re.findall(r"\]\(([\w.]*\.ipynb)#cell-id=([\w-]+)", cell.text):
                assert target in ids[file], (cell.name, target)


def test_settings_are_about_terms_that_there_are():
    terms = {d.term for d in DEFINITIONS}
    assert set(settings()) == {"sentences", "also", "everyday"}
    assert {*settings()["sentences"], *settings()["also"]} <= terms


# No term before its definition


@cache
def bare(term: str) -> str:
    """A term without what is in brackets: `kernel` for `kernel (convolution)`."""
    return re.sub(r" \(.*\)", "", term)


@cache
def pattern(word: str) -> re.Pattern:
    """Finds a word of a term, its plurals, a capital first, and what else is said for it."""
    forms = [word, f"{word}s", f"{word}es", re.sub(r"y$", "ies", word), *settings()["also"].get(word, ())]
    either = [f"[{form[0].upper()}{form[0].lower()}]{re.escape(form[1:])}" for form in forms]
    return re.compile(rf"(?<![\w–-])(?:{'|'.join(sorted(either, key=len, reverse=True))})(?![\w–-])")


def prose(cell: Cell) -> str:
    """A cell's words: code, formulas, addresses of links, tags and headings (they announce) blanked."""
    text = blanked(cell.text, CODE, MATHS, LINKS, TAGS, HEADINGS)
    ends = re.search(r"\*\*Questions to think about|\*\*Read more|\*\*Where to read more", text)
    text = text[: ends.start()] if ends else text
    return re.sub(
        r"^(?:\*\*)?Next:.*$", "", text, flags=re.M
    )  # what is asked and what is read afterwards may reach ahead


WORDS = sorted({bare(d.term) for d in DEFINITIONS}, key=len, reverse=True)


def uses(cell: Cell) -> list[tuple[str, int, str]]:
    """The terms used in a cell, where, and in which form. Within a longer term a shorter one is not used."""
    text, found = prose(cell), []
    for word in WORDS:
        if word[1:-1] not in text and word not in settings()["also"]:
            continue  # saves most of the time
        for use in pattern(word).finditer(text):
            found.append((word, use.start(), use[0]))
            text = text[: use.start()] + " " * len(use[0]) + text[use.end() :]
    return found


def names_the_place(sentence: str, cell: Cell, definition: Definition) -> bool:
    """Does the sentence say where the term comes: `lesson 05`, `lessons 03 to 05`, or this lesson's `section 7`?"""
    named = set(re.findall(r"\b\d\d\b", " ".join(re.findall(r"[Ll]essons? (\d\d(?:(?:,| and| to) \d\d)*)", sentence))))
    for first, last in re.findall(r"[Ll]essons (\d\d) to (\d\d)", sentence):
        named |= {f"{n:02}" for n in range(int(first), int(last) + 1)}
    if any(definition.where.number in {lesson, *before(lesson)} for lesson in named if lesson in CELLS):
        return True
    sections = re.findall(r"[Ss]ections? (\d+(?:\.\d+)?)", sentence)
    return definition.where.number == cell.number and any(
        re.match(rf"{re.escape(number)}\b", section(definition.where, definition.position)) for number in sections
    )


def said_again(cell: Cell, position: int, term: str) -> bool:
    """A lesson that can be studied without the one with the definition explains the term again, in bold."""
    for other in CELLS[cell.number]:
        if other.index <= cell.index:
            text = other.text if other.index < cell.index else other.text[: position + len(term) + 4]
            if any(pattern(term).search(bold) for bold in re.findall(r"\*\*([^*]+)\*\*", text)):
                return True
    return False


@cache
def meanings(form: str) -> list[Definition]:
    """The definitions of a word in the form in which it stands in the text."""
    return [d for d in DEFINITIONS if pattern(bare(d.term)).fullmatch(form)]


def is_defined(definition: Definition, cell: Cell, position: int, end: int) -> bool:
    """Does a reader at this position, in a sentence up to `end`, know the term, or hear where it comes?"""
    where = definition.where
    if where.number == cell.number and (where.index, definition.position) < (cell.index, max(end, position)):
        return True
    skipped = where.number < cell.number and where.number not in before(cell.number)
    return where.number in before(cell.number) or (skipped and said_again(cell, position, bare(definition.term)))


def early_uses() -> dict[tuple[str, str], str]:
    """The uses of terms that no definition precedes, in lessons that one has studied by then: by term and cell."""
    faults = {}
    for cell in (cell for cells in CELLS.values() for cell in cells):
        if cell.id == "cell-000" or "```mermaid\nflowchart TD" in cell.text:
            continue  # a lesson's first cell announces, as does the course's map
        for term, position, form in uses(cell):
            start, end = next(((a, b) for a, b in sentences(cell.text) if a <= position < b), (position, position))
            sentence = cell.text[start:end]
            if not any(
                is_defined(d, cell, position, end) or names_the_place(sentence, cell, d) for d in meanings(form)
            ):
                faults[term, cell.name] = f"{form!r} in {cell.name}: {sentence[:200]}"
    return faults


def test_no_term_is_used_before_its_definition():
    """But for the everyday senses that glossary.yaml lists, each of which must be needed."""
    faults = early_uses()
    allowed = {(term, name) for term, names in settings()["everyday"].items() for name in names}
    assert not faults.keys() - allowed, "\n".join(faults[key] for key in faults.keys() - allowed)
    assert not allowed - faults.keys(), "no longer needed in glossary.yaml"


@every_lesson
def test_a_lesson_asks_for_lessons_that_the_map_puts_before_it(number):
    (asked,) = re.findall(r"\*\*Before:\*\* (.*)$", CELLS[number][0].text, re.M)
    named = set(re.findall(r"lesson (\d\d)\]", asked))
    assert named <= before(number)
    assert named or number in ("00", "01")


# Questions before experiments


@pytest.mark.parametrize("number", [number for number in CELLS if number != "00"])
def test_a_lesson_asks_for_predictions_and_answers_them_folded(number):
    """Three at least; the answer is folded, in the same box or after the cells that it asks about."""
    cells = nbformat.read(CELLS[number][0].lesson, as_version=4).cells
    whole = "".join(cell.source if cell.cell_type == "markdown" else "\N{BULLET}RUN\N{BULLET}" for cell in cells)
    open_ones = re.split(r"> \*\*Predict before you run\.\*\*", whole)[1:]
    boxes = re.split(r"<details><summary><b>Predict before you run:</b> ", whole)[1:]
    for rest in open_ones:
        assert re.match(r".*?\N{BULLET}RUN\N{BULLET}.*?<details><summary>Answer</summary>", rest, re.S), rest[:200]
    for rest in boxes:
        assert re.match(r"[^\n]*</summary>\n+[^<\n].*?</details>.*?\N{BULLET}RUN\N{BULLET}", rest, re.S), rest[:200]
    assert len(open_ones) + len(boxes) >= 3
    assert len(open_ones) + len(boxes) == len(re.findall("Predict before you (?:run|look)[.:]", whole))
