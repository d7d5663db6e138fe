"""The tables have the symbols of the lessons, all and no others, and none is used before the section it comes from."""

import re

import pytest

from course_lib.notation import introduced, is_section, notation, shown, symbol_tables, symbols, uses
from course_lib.paths import lessons

LESSONS = {path.name[:2]: path for path in lessons()}
every_lesson = pytest.mark.parametrize("number", LESSONS)


def of(number: str) -> dict[str, list[str]]:
    """The entries that are about a lesson: for each symbol, the sections that introduce it."""
    found = {}
    for entry in notation():
        if number in entry.lessons:
            found.setdefault(entry.symbol, []).append(entry.lessons[number])
    return found


@pytest.mark.parametrize(
    ("formula", "found"),
    [
        (r"p(w \mid h) = \frac{c(hw)}{c(h)}", "p w h c h w c h"),
        (r"\frac{QK^T}{\sqrt{d_k}} \text{ for all}", "Q K ^T d_k"),
        (r"x W^Q_h + d_{\text{model}} + d_\text{model}", r"x W^Q h d_\text{model} d_\text{model}"),
        (r"\hat H = -\frac1T \sum_{t=1}^{T} \ln q(w_t)", r"\hat H|T|t|T|q|w|t"),
        (r"\bar{\mu} \leftarrow \mathbb{E} \lVert x_{i+a} \rVert", r"\bar \mu|\mathbb{E}|\lVert|x|i|a"),
        (r"\operatorname{softmax}(z)_i \cdot \mathrm{PE}(t)", "z i t"),
    ],
)
def test_symbols_of_a_formula(formula, found):
    assert list(symbols(formula, {entry.symbol for entry in notation()})) == re.split(
        r"\|" if "|" in found else " ", found
    )


@every_lesson
def test_every_symbol_of_a_lesson_is_in_the_table_and_not_used_before_its_section(number):
    first, entries = {}, of(number)
    for use in uses(LESSONS[number]):
        first.setdefault(use.symbol, use)
    assert set(first) - set(entries) == set()
    for symbol, use in first.items():
        introduces = [name for name in entries[symbol] if is_section(use.section, name)]
        assert introduces, (
            f"{symbol} is used in {use.section!r} of {use.cell.name}, and introduced in {entries[symbol]}"
        )


def test_every_entry_is_used_where_it_says():
    for entry in notation():
        assert entry.meaning and set(entry.lessons) <= set(LESSONS)
        for number in entry.lessons:
            introduced(entry, number)


def test_no_entry_is_there_twice():
    entries = [(entry.symbol, entry.meaning) for entry in notation()]
    assert len(set(entries)) == len(entries) > 200


def test_the_tables_have_a_row_for_each_entry():
    rows = re.findall(r"^\| (\$.*?\$) \|", symbol_tables(), re.M)
    assert sorted(rows) == sorted(shown(entry.symbol) for entry in notation())
