"""The page of a sweep says what the rows say, escapes it, and needs nothing from outside."""

import html.parser
import itertools
import math
import re

import pandas as pd
import pytest

from course_lib.batch.frame import frame, summary, varied
from course_lib.batch.page import CATEGORIES, page

EVIL = "<script>alert(\"1\")</script> & '$x_{$'"
VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


def row(seed: int = 0, rate: float = 0.1, loss: object = 1.5, **other) -> dict:
    return {
        "lesson": "train_lm",
        "name": f"train_lm-rate={rate},seed={seed}",
        "status": "ok",
        "seconds": 2.0,
        "peak_mb": 500,
        "profile": "cpu",
        "parameters": {"rate": rate, "steps": 20, "seed": seed, "sizes": [1, 2]},
        "results": {"loss": loss, "note": "fine"},
        "error": "",
        "notebook": f"notebooks/train_lm-rate={rate},seed={seed}.ipynb",
        "python": "3.11.7",
        "torch": "2.15.0",
        "course_lib": "0.1.0",
        "machine": "two cores",
    } | other


def failed(**other) -> dict:
    return row(status="failed", results={}, **other)


LOSSES = {(0.1, 0): 1.0, (0.1, 1): 2.0, (0.1, 2): 4.5, (0.2, 0): 3.0, (0.2, 1): 3.5, (0.2, 2): 1.0}
SWEEP = [row(seed, rate, loss) for (rate, seed), loss in LOSSES.items()]


@pytest.fixture(scope="module")
def sweep() -> str:
    return page(SWEEP, "A sweep")


class Page(html.parser.HTMLParser):
    """A page taken apart; fails where a tag is not closed, or an id is there twice."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.ids, self.texts = [], [], set(), []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            assert attributes["id"] not in self.ids
            self.ids.add(attributes["id"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data.strip()))

    def all(self, tag: str) -> list[dict]:
        return [attributes for found, attributes in self.tags if found == tag]

    def within(self, tag: str) -> list[str]:
        return [text for path, text in self.texts if tag in path and text]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(figure["data-y"], figure["data-x"]) for figure in self.all("figure")]


def test_means_and_standard_deviations_are_those_computed_by_hand(sweep):
    table = summary(SWEEP, "train_lm")
    assert list(table["parameters.rate"]) == [0.1, 0.2] and list(table["seeds"]) == [3, 3]
    assert table["results.loss.mean"][0] == pytest.approx(7.5 / 3)
    assert table["results.loss.sd"][0] == pytest.approx(math.sqrt((1.5**2 + 0.5**2 + 2**2) / 2))  # over n − 1
    assert "2.5 ± 1.8" in Page(sweep).within("td")


def test_one_seed_has_no_spread():
    assert "±" not in " ".join(Page(page([row(rate=0.1), row(rate=0.2)], "A sweep")).within("td"))


def test_a_run_that_diverged_shows_in_the_mean():
    rows = [row(0, loss=1.0), row(1, loss="NaN"), row(2, loss="Infinity"), row(0, 0.2), row(1, 0.2)]
    table = summary(rows, "train_lm")
    assert math.isnan(table["results.loss.mean"][0]) and table["results.loss.mean"][1] == 1.5
    shown = Page(page(rows, "A sweep"))
    assert {"nan", "inf"} <= set(shown.within("td"))
    assert "2 of 5 finished runs have no finite value" in " ".join(shown.within("figcaption"))


def test_a_combination_that_never_finished_is_in_the_summary():
    table = summary([*SWEEP, failed(rate=0.3)], "train_lm")
    assert list(table["seeds"]) == [3, 3, 0] and math.isnan(table["seconds.mean"][2])
    assert "0" in Page(page([row(), row(1), failed(rate=0.3)], "A sweep")).within("td")


def test_only_parameters_that_differ_within_a_lesson_are_varied():
    other = row(lesson="06_cnn", parameters={"width": 4, "rate": 7.0}, results={"accuracy": 0.5})
    assert varied([*SWEEP, other]) == ["rate", "seed"]
    assert varied([other]) == []


def test_a_frame_goes_through_parquet(tmp_path):
    odd = row(parameters={"rate": 0.5, "steps": 20, "seed": 1, "sizes": "none"}, results={"loss": "-Infinity", "n": 2})
    table = frame([failed(), *SWEEP, odd])
    table.to_parquet(tmp_path / "runs.parquet")
    back = pd.read_parquet(tmp_path / "runs.parquet")
    assert list(back["parameters.sizes"].unique()) == ["[1, 2]", "none"]
    assert back["results.loss"].iloc[-1] == -math.inf and back["results.n"].iloc[-1] == 2
    pd.testing.assert_frame_equal(back, table)


def test_failed_runs_come_first_with_their_errors_and_notebooks():
    rows = [
        *SWEEP,
        failed(error="ValueError: too <large>", notebook="notebooks/a#b.ipynb"),
        row(9, status="interrupted"),
    ]
    shown = Page(page(rows, "A sweep"))
    assert "ValueError: too <large>" in shown.within("pre")
    hrefs = [link["href"] for link in shown.all("a")]
    assert hrefs[0] == "notebooks/a%23b.ipynb"
    assert len(hrefs) == len(rows) + 2  # each run, and again what did not finish
    assert {"1 failed", "1 interrupted"} <= set(shown.within("p"))


def test_what_the_rows_say_is_text():
    rows = [
        row(
            seed,
            name=EVIL,
            error=EVIL,
            notebook="javascript:alert(1)",
            lesson=EVIL,
            machine=EVIL,
            status=status,
            parameters={EVIL: EVIL + str(seed), "kind": EVIL[seed:], "same": EVIL, "seed": seed},
            results={EVIL: 1.5 * seed, "text": EVIL},
        )
        for seed in range(3)
        for status in ("ok", "failed")
    ]
    text = page(rows, EVIL)
    shown = Page(text)
    assert len(shown.all("script")) == 1 and "<script>alert" not in text
    assert EVIL in shown.within("h1") and EVIL in shown.within("pre") and EVIL in shown.within("dd")
    assert EVIL in shown.within("option") and EVIL in shown.within("td")
    assert any(label.startswith(EVIL) for label in (svg["aria-label"] for svg in shown.all("svg")))
    assert not any(link["href"].startswith("javascript:") for link in shown.all("a"))


def test_nothing_is_loaded(sweep):
    shown = Page(sweep)
    addresses = [a for _, tag in shown.tags for name, a in tag.items() if name in ("src", "href", "xlink:href", "data")]
    assert addresses and all(a.startswith(("#", "notebooks/")) for a in addresses)
    assert not re.search(r"@import|url\((?!#)", sweep)
    assert not shown.all("link") and not shown.all("iframe")


def test_ids_that_figures_refer_to_are_theirs(sweep):
    shown = Page(sweep)
    wanted = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', sweep))
    assert wanted and {a or b for a, b in wanted} <= shown.ids


def test_each_number_is_drawn_against_each_parameter_that_varies():
    rows = [
        row(seed, results={"loss": 1.0 + seed, "n": 7, "ok": True, "note": "x"}, parameters={"seed": seed, **given})
        for seed in range(2)
        for given in ({"rate": r, "text": t, "tied": b} for r in (1, 2) for t in ("a", "b") for b in (False, True))
    ]
    shown = Page(page(rows, "A sweep"))
    ys, xs = ("loss", "n", "time (s)", "peak memory (MB)"), ("rate", "text", "tied", "seed")
    assert set(shown.pairs) == set(itertools.product(ys, xs))
    assert set(shown.within("option")) == {*ys, *xs}
    for y, x in shown.pairs:
        assert any(svg.get("aria-label", "").startswith(f"{y} against {x}") for svg in shown.all("svg"))
    assert {"a", "b", "True", "False"} <= set(shown.within("svg"))


def test_a_wide_span_gets_a_logarithmic_axis():
    def ticks(rates):
        texts = Page(page([row(rate=rate) for rate in rates], "A sweep")).within("svg")
        return {float(text) for text in texts if re.fullmatch(r"0\.\d+", text)}

    assert {0.001, 0.01, 0.1} <= ticks([0.001, 0.03, 0.1])
    assert 0.15 in ticks([0.02, 0.1, 0.3])  # no tick of a logarithmic one


def test_what_has_no_room_is_named(monkeypatch):
    monkeypatch.setattr("course_lib.batch.page.FIGURES", 10)
    rows = [
        row(
            i,
            parameters={"rate": i % 7, "path": f"{i}.txt", "seed": i},
            results={f"result_{j}": float(i) for j in range(50)} | {"never": "NaN"},
        )
        for i in range(CATEGORIES + 1)
    ]
    shown = Page(page(rows, "A sweep"))
    assert 0 < len(shown.pairs) <= 10
    (note,) = [text for text in shown.within("p") if text.startswith("Without a figure")]
    drawn = {name for pair in shown.pairs for name in pair}
    assert "path" not in drawn  # too many categories
    for name in ("rate", "seed", "path", "never", *(f"result_{j}" for j in range(50))):
        assert (name in drawn) != (name in note.partition(": ")[2].rstrip(".").split(", ")), name


@pytest.mark.parametrize("rows", [[], [row()], [failed(error="no")], [failed(seed=1), failed(seed=2)]])
def test_few_rows_make_a_page_without_figures(rows):
    shown = Page(page(rows, "A sweep"))
    assert not shown.pairs
    assert len(shown.all("a")) == len(rows) + sum(row["status"] == "failed" for row in rows)


def test_lessons_have_tables_of_their_own():
    other = row(lesson="06_cnn", parameters={"width": 4}, results={"accuracy": 0.5})
    shown = Page(page([*SWEEP, other], "A course"))
    assert shown.within("h2") == ["train_lm", "06_cnn"]
    headings = " ".join(shown.within("th"))
    assert headings.count("accuracy") == 1 and "width" in headings  # folded, with what does not vary


def test_the_same_rows_make_the_same_page(sweep):
    assert page(SWEEP, "A sweep") == sweep


def test_a_thousand_runs():
    rows = [row(seed, rate / 10, loss=1.0 + seed) for rate in range(1, 101) for seed in range(10)]
    shown = Page(page(rows, "A sweep"))
    assert len(shown.all("a")) == 1000
    assert ("loss", "rate") in shown.pairs
