"""The course as learners meet it: JupyterLab in a real browser opens the lessons, runs them, and answers.

Screenshots and `times.csv` (measured, never judged) go to the folder `COURSE_SCREENSHOTS`, else to pytest's own.
"""

import contextlib
import csv
import os
import re
import shutil
import time
from pathlib import Path

import nbformat
import pytest
import yaml
from command import course
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from ps1_variants import PS1
from variants.problem_set import region

from course_lib.paths import NOTEBOOKS, lessons
from course_lib.results import MIME

pytest.importorskip("playwright", reason="no playwright: pip install -e .[test]")
from lab import (  # noqa: E402
    ERROR,
    SOON,
    WINDOW,
    Lab,
    assert_readable,
    cell,
    find_browser,
    open_notebook,
    run_all,
    run_cell,
    until,
    wait_for_kernel,
)
from playwright.sync_api import expect, sync_playwright  # noqa: E402

pytestmark = pytest.mark.slow
STEMS = [path.stem for path in lessons()]
RUN = ["00_start_here", "01_ngram_models", pytest.param("03_self_attention", marks=pytest.mark.full)]  # the quickest
PLAYED = "01_ngram_models"  # has sliders

# What of a lesson is looked at: the name of the screenshot → where to scroll to.
SIGHTS = {
    "maths": ".jp-MarkdownCell mjx-container[display=true]",
    "mermaid": ".jp-RenderedMermaid",
    "figure": ".jp-CodeCell .jp-OutputArea-output img",
    "table": ".jp-OutputArea-output table",
    "answer": ".jp-MarkdownCell details summary",
    "results": ".jp-CodeCell >> nth=-1",
}


@pytest.fixture(scope="module")
def shots(tmp_path_factory) -> Path:
    folder = Path(os.environ.get("COURSE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def times(shots):
    """A function that writes down one time: what was measured on which lesson, in seconds."""
    rows = [("lesson", "measured", "seconds")]
    yield lambda lesson, measured, seconds: rows.append((lesson, measured, f"{seconds:.1f}"))
    with (shots / "times.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def browser():
    """The browser, one window: pages share its cache. Ends with this module, since playwright keeps an event loop."""
    with sync_playwright() as playwright:
        program = find_browser(playwright)
        if not program:
            pytest.skip("no browser: `python -m playwright install chromium`, or name one in COURSE_BROWSER")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        window = browser.new_context(viewport=WINDOW)
        window.set_default_timeout(SOON * 1000)
        expect.set_options(timeout=SOON * 1000)
        yield window
        browser.close()


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """JupyterLab on a copy of the notebooks: nothing in the repository changes."""
    folder, own = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("own")
    shutil.copytree(NOTEBOOKS, folder, dirs_exist_ok=True)
    assert course("release", PS1.name, "--class", folder / "classroom").exit_code == 0
    with Lab(folder, own) as lab:
        yield lab


@pytest.fixture
def page(browser, lab):
    """A page that must not have an error in its console; what it started ends with it."""
    said = []
    page = browser.new_page()
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    page.close()
    lab.stop_kernels()
    assert said == []


def stored(notebook: Path) -> tuple[str, dict[str, int]]:
    """The title of a lesson, and how many cells, formulas, mermaid diagrams and figures must be seen of it."""
    cells = nbformat.read(notebook, as_version=4).cells
    text = "\n".join(each.source for each in cells if each.cell_type == "markdown")
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    wanted = {
        "cells": len(cells),
        "maths": len(re.findall(r"\$\$.+?\$\$|\$[^$]+?\$", prose, re.DOTALL)),
        "mermaid": text.count("```mermaid"),
        "figures": sum("image/png" in output.get("data", {}) for each in cells for output in each.get("outputs", ())),
    }
    return re.match("# (.+)", cells[0].source)[1], wanted


def take(page, path: Path, what: str | None = None) -> None:
    """A screenshot of the window, scrolled to the first `what`, if there is one; a folded answer is opened."""
    sight = page.locator(f".jp-Notebook {what}").first if what else None
    if sight:
        if not sight.count():
            return
        for _ in range(3):  # what comes into view gets its true height, and pushes the rest away
            sight.evaluate("element => element.scrollIntoView({block: 'center'})")
            page.wait_for_timeout(100)
        if "summary" in what:
            sight.click()
    page.screenshot(path=path)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.full)])
def test_a_lesson_can_be_read(stem, theme, lab, page, shots, times):
    title, wanted = stored(NOTEBOOKS / f"{stem}.ipynb")
    start = time.perf_counter()
    open_notebook(page, lab, f"{stem}.ipynb", theme, at_once=theme == "dark")  # light as it comes; dark is done sooner
    expect(page.locator(".jp-Notebook h1").first).to_contain_text(title)
    page.locator(".jp-Notebook mjx-container").first.wait_for()
    if theme == "light":
        times(stem, "opened and readable", time.perf_counter() - start)
    assert page.locator("body").get_attribute("data-jp-theme-light") == str(theme == "light").lower()
    assert_readable(page, wanted)
    take(page, shots / f"{theme}_{stem}_title.png")
    for sight, where in SIGHTS.items():
        take(page, shots / f"{theme}_{stem}_{sight}.png", where)


def with_smoke_values(stem: str, path: Path) -> int:
    """Write the lesson to `path`, without outputs and with its smoke profile; returns how many cells of code it has."""
    values = yaml.safe_load((NOTEBOOKS / "profiles" / "smoke" / f"{stem}.yaml").read_text(encoding="utf-8"))
    notebook = parameterize_notebook(load_notebook_node(str(NOTEBOOKS / f"{stem}.ipynb")), values)
    code = [each for each in notebook.cells if each.cell_type == "code"]
    for each in code:
        each.outputs, each.execution_count = [], None
    nbformat.write(notebook, path)
    return len(code)


@pytest.mark.parametrize("stem", RUN)
def test_a_lesson_runs(stem, lab, page, shots, times):
    name = f"{stem}_smoke.ipynb"
    n_code = with_smoke_values(stem, lab.folder / name)
    open_notebook(page, lab, name)
    first_figure = run_all(page, lab, name)
    if first_figure:
        times(stem, "from run all to the first figure", first_figure)

    def saved():
        with contextlib.suppress(ValueError):  # half written
            cells = [each for each in nbformat.read(lab.folder / name, as_version=4).cells if each.cell_type == "code"]
            return cells if cells[-1].execution_count else []

    code = until(saved, f"{name} is not saved")
    assert [each.execution_count for each in code] == list(range(1, n_code + 1))
    outputs = [output for each in code for output in each.outputs]
    assert not [each for each in outputs if each.output_type == "error"]
    assert MIME in code[-1].outputs[-1].data
    drawn = sum("image/png" in each.get("data", {}) for each in outputs)
    assert drawn or not stored(NOTEBOOKS / f"{stem}.ipynb")[1]["figures"]
    assert_readable(page, {"figures": drawn})
    assert stem in page.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output").inner_text()
    take(page, shots / f"run_{stem}_results.png", SIGHTS["results"])
    if stem == PLAYED:
        play(page, shots / f"run_{stem}")


def play(page, path) -> None:
    """Move the first slider one step on the keyboard: the figure is another one, and its description is said."""
    played = page.locator(".jp-CodeCell", has=page.locator(".widget-slider")).first
    handle, figure = played.locator(".noUi-handle").first, played.locator(".jp-RenderedImage img")
    take(page, f"{path}_slider_before.png", ".jp-OutputArea-output .widget-slider")
    before = figure.get_attribute("src")
    expect(played.get_by_role("status")).to_have_count(0)
    handle.focus()
    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    expect(figure).not_to_have_attribute("src", before)
    expect(played.get_by_role("status")).to_contain_text("against")
    take(page, f"{path}_slider_after.png")


def test_an_exercise_says_what_is_wrong_and_then_that_it_is_right(lab, page, shots):
    name = "bigram_probabilities"
    open_notebook(page, lab, f"classroom/release/{PS1.name}/{PS1.name}.ipynb")
    wait_for_kernel(page, lab)
    head = PS1.cell(name).source.split("### BEGIN")[0]
    answer, check = cell(page, f"def {name}("), cell(page, f"import check_{name}")
    run_cell(page, cell(page, "import math"))
    right = region("SOLUTION", PS1.cell(name).source)
    wrong = right.replace("return counts / np.maximum(total, 1)", "return counts")
    assert wrong != right

    take(page, shots / "assignment_released.png")
    run_cell(page, answer, head + wrong.strip())
    said = run_cell(page, check)
    expect(said.locator(ERROR)).to_contain_text("CheckFailed: These are counts")
    expect(said.locator(ERROR)).to_contain_text("expected:")
    take(page, shots / "assignment_wrong.png")

    run_cell(page, answer, head + right.strip())
    said = run_cell(page, check)
    expect(said).to_contain_text(f"{name}: all checks passed")
    expect(said.locator(ERROR)).to_have_count(0)
    take(page, shots / "assignment_right.png")
