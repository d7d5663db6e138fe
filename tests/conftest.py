"""What several test files use."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import v4

KERNEL = {"name": "python3", "language": "python", "display_name": "Python 3"}


@pytest.fixture(scope="session")
def make_notebook():
    """A function that writes <folder>/<name>.ipynb from the sources of its code cells and returns its path.

    The first cell gets the tag `parameters`, unless `tagged` is false.
    """

    def make(folder: Path, name: str, *sources: str, tagged: bool = True) -> Path:
        cells = [v4.new_code_cell(source, metadata={"tags": []}) for source in sources]
        if tagged:
            cells[0].metadata.tags.append("parameters")
        path = folder / f"{name}.ipynb"
        nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
        return path

    return make


@pytest.fixture(scope="session")
def run_cells():
    """A function that runs cells of code with these sources in one kernel and returns the notebook."""

    def run(*sources: str) -> nbformat.NotebookNode:
        cells = [v4.new_code_cell(source) for source in sources]
        notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
        NotebookClient(notebook).execute()
        nbformat.validate(notebook)
        return notebook

    return run
