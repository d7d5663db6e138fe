"""What a committed lesson keeps of a run: nothing that differs from run to run or from machine to machine."""

from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"


class Committed(CoalesceStreamsPreprocessor):
    """nbconvert step for `make outputs`, after execution: keeps outputs and execution counts, except that

    - printed text becomes one piece, however the kernel's buffer happened to cut it;
    - widget views (progress bars) go: their ids are random, and without a kernel they show nothing;
    - of the notebook's metadata only the kernel's name stays, not the Python version nor the widgets' state.
    """

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """The notebook, changed in place, and nbconvert's resources as they came."""
        nb.metadata = {"kernelspec": nb.metadata.kernelspec}
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        return super().preprocess(nb, resources)
