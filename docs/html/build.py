"""Build the HTML edition of the course, as `make html` does: `python docs/html/build.py [FOLDER]`.

FOLDER (`build` if none is given) gets `source/`, the pages laid out for Sphinx as they lie in the repository;
`doctrees/`, which makes the next build quicker; and `html/`, the edition. Nothing is executed: lessons are shown
with the outputs stored in them. Problem sets hold their answers, so they stay out.

Environment:
    REPOSITORY   address of the public repository, such as https://github.com/<owner>/<name>: pages then link to
                 their sources, and lessons get buttons that open them on Binder and Colab
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from scripts import scripts

from course_lib.data import DataError
from course_lib.glossary import GLOSSARY
from course_lib.paths import ROOT, lessons

HERE = Path(__file__).parent
PAGES = ["README.md", "docs/batch.md", "docs/teaching.md", "docs/environments.md", "data/README.md"]


def main() -> None:
    """Build, say where the edition is and what it weighs; end with Sphinx's exit code, 1 after any warning."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    try:
        scripts()
    except DataError as error:
        sys.exit(str(error))
    lay_out(folder / "source")
    sphinx = [sys.executable, "-m", "sphinx", "--builder", "html", "--jobs", "auto", "--quiet"]
    strict = ["--fail-on-warning", "--keep-going"]
    paths = ["--conf-dir", HERE, "--doctree-dir", folder / "doctrees", folder / "source", folder / "html"]
    code = subprocess.run([*sphinx, *strict, *paths]).returncode
    if code == 0:
        size = sum(path.stat().st_size for path in (folder / "html").rglob("*") if path.is_file())
        print(f"The HTML edition, {size / 1e6:.0f} MB: {folder / 'html' / 'index.html'}")
    sys.exit(code)


def lay_out(source: Path) -> None:
    """Fill the folder `source` with the pages and their figures. Files keep their times, so that Sphinx
    reads again only what has changed."""
    shutil.rmtree(source, ignore_errors=True)
    for path in [*lessons(), GLOSSARY]:
        copy(path, source / path.relative_to(ROOT))
    for page in PAGES:
        copy(ROOT / page, source / page)
    copy(HERE / "index.md", source / "index.md")
    shutil.copytree(ROOT / "docs" / "figures", source / "docs" / "figures")


def copy(path: Path, to: Path) -> None:
    """Copy a page; a notebook with the marks that JupyterLab needs not."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            mark(cell)
        nbformat.write(notebook, to)
        shutil.copystat(path, to)
    else:
        shutil.copy2(path, to)


def mark(cell: nbformat.NotebookNode) -> None:
    """Fold what JupyterLab folds, by myst-nb's tag, and mark where a link `#cell-id=<id>` to a text leads."""
    if cell.metadata.get("jupyter", {}).get("source_hidden"):
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    if cell.cell_type == "markdown":
        target = f'<div id="cell-id={cell.id}"></div>'
        title, *rest = cell.source.split("\n", 1)
        is_title = title.startswith("# ")  # a page begins with it
        cell.source = "\n\n".join([title, target, *rest] if is_title else [target, cell.source])


if __name__ == "__main__":
    main()
