"""How fast a lesson feels: the first figure after "run all", and the longest time a cell says nothing.

    python benchmarks/felt.py [LESSON ...]

A cell is silent while neither text nor a figure nor a move of a progress bar reaches the reader. The aims: a first
figure within 10 s, and no silence of more than 2 s. The kernel is running when the clock starts, as it is in JupyterLab
once a lesson is open. Two threads, no GPU.
"""

import os
import sys
import time

import nbformat
from nbclient import NotebookClient
from tabulate import tabulate

from course_lib.device import describe
from course_lib.paths import NOTEBOOKS, lessons

FIXED = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""}
HEARD = {"stream", "display_data", "execute_result", "update_display_data", "comm_open", "comm_msg"}
SILENT = 2.0  # seconds


class Listener(NotebookClient):
    """Runs a notebook and notes when the reader hears something."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.heard: dict[int, list[float]] = {}  # moments, by cell
        self.first_figure: float | None = None
        self.on_cell_start = lambda cell, cell_index: self.hear(cell_index)
        self.on_cell_executed = lambda cell, cell_index, execute_reply: self.hear(cell_index)

    def hear(self, cell_index: int) -> None:
        self.heard.setdefault(cell_index, []).append(time.perf_counter())

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in HEARD:
            self.hear(cell_index)
            if self.first_figure is None and "image/png" in msg["content"].get("data", {}):
                self.first_figure = time.perf_counter()
        return super().process_message(msg, cell, cell_index)

    def silences(self) -> dict[int, float]:
        """The longest silence of each cell, in seconds."""
        gaps = {i: [b - a for a, b in zip(at, at[1:], strict=False)] for i, at in self.heard.items()}
        return {i: max(each, default=0.0) for i, each in gaps.items()}


def main() -> None:
    os.environ.update(FIXED)
    chosen = [path for path in lessons() if not sys.argv[1:] or any(path.stem.startswith(a) for a in sys.argv[1:])]
    rows, silent = [], []
    for path in chosen:
        notebook = nbformat.read(path, as_version=4)
        client = Listener(notebook, timeout=900, resources={"metadata": {"path": str(NOTEBOOKS)}})
        with client.setup_kernel():
            start = time.perf_counter()
            for i, cell in enumerate(notebook.cells):
                client.execute_cell(cell, i)
            whole = time.perf_counter() - start
        longest = client.silences()
        figure = f"{client.first_figure - start:.1f}" if client.first_figure else "none"
        rows.append((path.stem, f"{whole:.0f}", figure, f"{max(longest.values()):.1f}"))
        for i, seconds in longest.items():
            if seconds > SILENT:
                silent.append((path.stem, i, f"{seconds:.1f}", notebook.cells[i].source.split("\n")[0][:60]))
    print(describe())
    print(tabulate(rows, ["lesson", "seconds", "first figure", "longest silence"], disable_numparse=True))
    print(tabulate(silent, ["silent", "cell", "seconds", "begins"], disable_numparse=True))


if __name__ == "__main__":
    main()
