"""The HTML edition, built twice: for reading from the disk, and with links to a public repository."""

import copy
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from conftest import KERNEL
from nbformat import v4
from sphinx.search.en import SearchEnglish

from course_lib.glossary import GLOSSARY
from course_lib.paths import NOTEBOOKS, ROOT, lessons

pytestmark = pytest.mark.slow

HTML = ROOT / "docs" / "html"
REPOSITORY = "https://github.com/owner/name"
SHOWN = [*lessons(), GLOSSARY]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

every_notebook = pytest.mark.parametrize("notebook", SHOWN, ids=lambda path: path.stem)


def build(folder: Path, repository: str) -> dict[str, BeautifulSoup]:
    """The pages by their paths, as `make html` builds them."""
    environment = {name: value for name, value in os.environ.items() if name != "REPOSITORY"}
    environment |= {"REPOSITORY": repository} if repository else {}
    command = [sys.executable, HTML / "build.py", folder]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [path for path in (folder / "html").rglob("*.html") if "_static" not in path.parts]
    return {path.relative_to(folder / "html").as_posix(): read(path) for path in pages}


def read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("edition")


@pytest.fixture(scope="session")
def published(folder):
    return build(folder, REPOSITORY)


@pytest.fixture(scope="session")
def pages(folder, published):  # built second: the files on disk are those of this edition
    return build(folder, "")


def page_of(notebook: Path, pages: dict[str, BeautifulSoup]) -> BeautifulSoup:
    return pages[f"notebooks/{notebook.stem}.html"]


def markdown(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def outputs(notebook: Path) -> list:
    return [o for cell in nbformat.read(notebook, as_version=4).cells for o in cell.get("outputs", [])]


def words(text: str) -> str:
    """A text without its blanks: pages break lines elsewhere."""
    return "".join(text.split())


def test_the_pages_are_the_start_the_lessons_and_the_guides(pages):
    guides = ["docs/batch", "docs/environments", "docs/teaching", "data/README", "index", "search"]
    assert set(pages) == {f"notebooks/{path.stem}.html" for path in SHOWN} | {f"{guide}.html" for guide in guides}
    assert (NOTEBOOKS / "00_start_here.ipynb") in SHOWN


def test_one_gets_from_each_lesson_to_the_next_and_back(pages):
    for before, after in zip(lessons(), lessons()[1:], strict=False):
        assert page_of(before, pages).select_one("a.right-next")["href"] == f"{after.stem}.html"
        assert page_of(after, pages).select_one("a.left-prev")["href"] == f"{before.stem}.html"


def test_no_page_asks_another_host(pages, published, folder):
    for edition in (pages, published):
        for name, page in edition.items():
            wanted = [tag.get("src") for tag in page.select("[src]")]
            wanted += [tag.get("href") for tag in page.select("link:not([rel=canonical])")]
            assert wanted and not [url for url in wanted if urlsplit(url).scheme not in ("", "data")], name
            assert not [url for url in wanted if url.startswith("//")], name
    for style in (folder / "html").rglob("*.css"):
        called = re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", style.read_text(encoding="utf-8"))
        assert not called, f"{style} calls {called}"


def test_every_link_within_the_edition_leads_somewhere(pages, folder):
    root, followed = (folder / "html").resolve(), 0
    ids = {name: {tag["id"] for tag in page.select("[id]")} for name, page in pages.items()}
    for name, page in pages.items():
        for tag in page.select("[href], [src]"):
            url = urlsplit(tag.get("href") or tag.get("src"))
            if url.scheme or not (url.path or url.fragment):
                continue
            target = ((root / name).parent / unquote(url.path)).resolve() if url.path else root / name
            assert target.is_file(), f"{name}: no file {url.path}"
            followed += 1
            if url.fragment and target.suffix == ".html":
                there = ids[target.relative_to(root).as_posix()]
                assert unquote(url.fragment) in there, f"{name}: no {url.fragment} in {url.path or 'the page itself'}"
    assert followed > 1000


@every_notebook
def test_headings_have_the_names_by_which_jupyterlab_links_to_them(notebook, pages):
    ids = {tag["id"] for tag in page_of(notebook, pages).select("[id]")}
    headings = re.findall(r"^#{1,6} ([^$`*\[\n]+)$", re.sub(r"```.*?```", "", markdown(notebook), flags=re.S), re.M)
    assert headings and {heading.strip().replace(" ", "-").replace('"', "") for heading in headings} <= ids


@every_notebook
def test_search_knows_the_words_of_each_page(notebook, pages, folder):
    text = (folder / "html" / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    number, stem = index["docnames"].index(f"notebooks/{notebook.stem}"), SearchEnglish({}).stem
    terms = [*index["terms"].items(), *index["titleterms"].items()]
    found = {word for word, where in terms if number in ([where] if isinstance(where, int) else where)}
    prose = re.sub(
        r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|</?\w+[^>]*>", " ", markdown(notebook), flags=re.S
    )
    asked = {stem(word) for word in re.findall(r"(?<![\w-])[a-z]{8,}(?![\w-])", prose)}
    assert len(asked) > 20 and asked - found <= {"yourself"}, sorted(asked - found)  # one that search leaves out


@every_notebook
def test_formulas_are_marked_up_for_the_script_that_is_there(notebook, pages):
    page, formulas = copy.copy(page_of(notebook, pages)), markdown(notebook).count("$$") // 2
    assert len(page.select("div.math")) >= formulas
    if formulas:
        assert page.select_one('script[src$="_static/tex-svg.js"], script[src*="_static/tex-svg.js?"]')
    for code in page.select("pre, code, script, .math"):
        code.extract()
    assert not re.findall(r"\$[^$\n]*[\\_^][^$\n]*\$", page.get_text()), "a formula that nobody marked"


@every_notebook
def test_diagrams_are_there_with_the_scripts_that_draw_them(notebook, pages):
    fences = [source.strip() for source in re.findall(r"^```mermaid\n(.*?)^```", markdown(notebook), re.S | re.M)]
    page = page_of(notebook, pages)
    assert [words(diagram.get_text()) for diagram in page.select("pre.mermaid")] == [words(f) for f in fences]
    scripts = [Path(urlsplit(tag["src"]).path).name for tag in page.select("script[src]")]
    assert (scripts.count("mermaid.min.js"), scripts.count("diagrams.js")) == ((1, 1) if fences else (0, 0))


def test_the_map_of_lessons_is_a_diagram(pages):
    assert "01 · N-gram models" in pages["notebooks/00_start_here.html"].select_one("pre.mermaid").get_text()


@every_notebook
def test_stored_outputs_are_shown_and_pictures_described(notebook, pages):
    page = page_of(notebook, pages)
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    shown = page.select(".cell_output img")
    assert len(shown) == len(pictures)
    for output, img in zip(pictures, shown, strict=True):
        alt = output.metadata.get("image/png", {}).get("alt") or output.metadata.get("alt")
        assert img["alt"] == alt if alt else "Figure" in img["alt"]
    text = words(page.get_text())
    for output in outputs(notebook):
        if output.output_type == "stream":
            assert words(output.text) in text
        elif "application/vnd.course.results+json" in output.get("data", {}):
            assert words(output.data["text/plain"]) in text  # what is for machines falls back to its table
    assert len(page.select("article details:not(.hide)")) == markdown(notebook).count("<details>")


def test_every_picture_has_a_description(pages):
    assert sum(len(page.select("article img")) for page in pages.values()) > 50
    for name, page in pages.items():
        for img in page.select("article img"):
            assert len(img.get("alt", "")) > 10 and not img["alt"].endswith(".png"), f"{name}: {img['src']}"


def test_cells_are_folded_as_in_jupyterlab(pages):
    for notebook in lessons():
        cells = nbformat.read(notebook, as_version=4).cells
        folded = [cell for cell in cells if cell.metadata.get("jupyter", {}).get("source_hidden")]
        assert len(page_of(notebook, pages).select("details.hide")) == len(folded)


def test_no_answer_to_a_problem_set_is_in_the_edition(pages, published, folder):
    answers = []
    for path in (NOTEBOOKS / "assignments").glob("*/*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            answers += re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.S)
            answers += re.findall(r"### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS", cell.source, re.S)
    assert len(answers) > 30
    for edition in (pages, published):
        text = words("".join(page.get_text() for page in edition.values()))
        assert not [answer for answer in answers if len(words(answer)) > 60 and words(answer) in text]
    names = [path.name for path in (folder / "html").rglob("*")]
    assert not [name for name in names if re.search(r"ps\d_", name) or name.endswith(".ipynb")]


def test_a_public_repository_gives_lessons_their_buttons(published):
    for notebook in lessons():
        links = [tag["href"] for tag in page_of(notebook, published).select("a[href]")]
        path = f"notebooks/{notebook.name}"
        assert f"https://colab.research.google.com/github/owner/name/blob/main/{path}" in links
        assert f"https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/{path}" in links
        assert any(link.startswith(f"{REPOSITORY}/blob/main/{path}") for link in links)
    assert published["docs/teaching.html"].select(f'a[href="{REPOSITORY}/tree/main/notebooks/assignments"]')
    assert published["data/README.html"].select(f'a[href="{REPOSITORY}/blob/main/data/sources.toml"]')


def test_without_one_there_are_no_buttons_and_such_links_are_text(pages):
    for name, page in pages.items():
        addresses = " ".join(tag["href"] for tag in page.select("a[href]"))
        assert not re.search(r"github\.com/owner|mybinder|colab\.research", addresses), name
    assert "notebooks/assignments" in pages["docs/teaching.html"].get_text()


# What the extension adds, on a page made for it


@pytest.fixture
def small_edition(tmp_path):
    """A function that builds one notebook with the course's own settings and returns Sphinx's result and the page."""

    def make(*cells) -> tuple[subprocess.CompletedProcess, BeautifulSoup]:
        source = tmp_path / "source"
        source.mkdir()
        nbformat.write(v4.new_notebook(cells=list(cells), metadata={"kernelspec": KERNEL}), source / "index.ipynb")
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", HTML, source, tmp_path / "html"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        return done, read(tmp_path / "html" / "index.html")

    return make


def picture(metadata: dict) -> nbformat.NotebookNode:
    return v4.new_output("display_data", {"image/png": PNG}, metadata=metadata)


def test_pictures_of_one_cell_have_descriptions_of_their_own(small_edition):
    told = [{"image/png": {"alt": 'one "curve"'}}, {"alt": "two bars"}, {}]
    cell = v4.new_code_cell("draw()", outputs=[picture(metadata) for metadata in told])
    done, page = small_edition(v4.new_markdown_cell("# Title"), cell)
    assert done.returncode == 0, done.stderr
    first, second, third = [img["alt"] for img in page.select(".cell_output img")]
    assert (first, second) == ('one "curve"', "two bars") and third.startswith("Figure drawn by the code above")


def test_a_link_to_nowhere_fails_the_build(small_edition):
    links = ["no_such_file.py", "other.ipynb", "#cell-id=none", "index.ipynb#No-such-heading"]
    done, _ = small_edition(v4.new_markdown_cell("# Title"), *[v4.new_markdown_cell(f"[a]({link})") for link in links])
    assert done.returncode == 1
    for link in links:
        assert re.search(f"not found.*{re.escape(link.removeprefix('index.ipynb#').removeprefix('#'))}", done.stderr)


# The scripts it carries


def test_the_scripts_are_the_pinned_ones_and_nothing_else_is_taken(pages, folder):
    sources = tomllib.loads((HTML / "scripts.toml").read_text(encoding="utf-8"))
    carried = {path.name for path in (folder / "html" / "_static").glob("*.js")}
    assert {source["file"] for source in sources.values()} == {"tex-svg.js", "mermaid.min.js"} <= carried


def test_a_damaged_script_is_not_carried(tmp_path):
    """Without an index to ask, the build stops in one line before it writes a page."""
    damaged = tmp_path / "data" / "mathjax" / "tex-svg.js"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("alert(1)")
    environment = {**os.environ, "COURSE_DATA": str(tmp_path / "data"), "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    command = [sys.executable, HTML / "build.py", tmp_path / "edition"]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "tex-svg.js is missing or damaged" in done.stderr and "make html" in done.stderr
    assert not (tmp_path / "edition").exists()
