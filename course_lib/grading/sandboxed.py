"""In place of nbgrader's Execute: the notebook's cells run in a sandbox, and only bounded, plain outputs come back."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.utils import is_grade, is_solution

from course_lib.grading import sandbox
from course_lib.grading.classroom import GradingError
from course_lib.grading.kernel import FLOOD, MANY
from course_lib.grading.secret import class_secret, test_seed

PLAIN = ("text/plain", "image/png", "image/jpeg")  # what cannot run in the teacher's browser


class Sandboxed(Preprocessor):
    """Executes the code cells of a notebook with nbgrader's metadata; `notes` then tells what was unusual.

    A test passes if it runs to its last line: warnings cost nothing, and a numeric last line is no partial credit.
    """

    def __init__(
        self,
        limits: sandbox.Limits | None = None,
        unsafe: bool = False,
        waiting: Callable[[], AbstractContextManager] = nullcontext,
        **traits,
    ):
        """`waiting` is entered while the sandbox runs: others may have the database in the meantime."""
        super().__init__(enabled=True, **traits)
        self.limits, self.unsafe, self.waiting = limits or sandbox.Limits(), unsafe, waiting
        self.notes: list[str] = []

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        if not self.unsafe and sandbox.why_not():
            raise GradingError(f"no sandbox: {sandbox.why_not()}")
        folder = Path(resources["nbgrader"]["db_url"].removeprefix("sqlite:///")).parent
        secret, notebook = class_secret(folder), resources["nbgrader"]["notebook"]
        code = [cell for cell in nb.cells if cell.cell_type == "code"]
        cells = [
            {"source": c.source, "test": test_seed(secret, notebook, name(c)) if is_test(c) else None} for c in code
        ]
        with self.waiting():
            answer = sandbox.run(cells, self.limits, folder, self.unsafe)
        for number, cell in enumerate(code):
            self.fill(cell, answer.cells.get(number))
        undone = [f"`{name(cell)}`" for cell in code if is_test(cell) and _undone(cell)]
        if undone:
            self.notes.append(f"not done yet: {', '.join(undone)}")
        if answer.ended:
            self.notes.append(f"it was stopped, because {answer.ended}; the cells after that did not run")
        if self.notes:
            said = "\n".join(f"- {note.replace('<', '&lt;')}" for note in self.notes)
            nb.cells.insert(0, new_markdown_cell(f"**What happened to your answers**\n\n{said}"))
            nb.nbformat_minor = 5  # the version in which cells have ids
        return nb, resources

    def fill(self, cell: NotebookNode, ran: dict | None) -> None:
        """Put the outputs of a cell where nbgrader looks for them, and note what was unusual about it."""
        cell.execution_count = None
        if ran is None:
            cell.outputs = [error("NotRun", "this cell did not run")] if is_test(cell) else []
            return
        outputs = [plain(NotebookNode(output)) for output in ran["outputs"]]
        self.notes += [f"`{name(cell)}` {what}" for what in [self.unusual(cell, ran)] if what]
        if is_test(cell):
            failed = [output for output in outputs if output.output_type == "error"]
            for output in outputs:
                if output.output_type == "execute_result":  # nbgrader would take it for a mark
                    output.output_type = "display_data"
                    del output["execution_count"]
                if output.output_type == "stream":
                    output.name = "stdout"  # on stderr it would cost the mark
            if ran["ok"]:
                outputs = [output for output in outputs if output.output_type != "error"]
            elif not failed:
                outputs.append(error("Failed", self.unusual(cell, ran) or "did not run to its last line"))
        cell.outputs = outputs

    def unusual(self, cell: NotebookNode, ran: dict) -> str:
        """What a teacher should know about this cell's run, after "`cell` …"; empty if nothing."""
        text = ran["error"] + "".join(o["text"] for o in ran["outputs"] if o.get("name") == "stderr")
        said = (ran["error"].splitlines() or [""])[0]
        kind, _, reason = said.partition(": ")
        if ran["strays"] > MANY:
            return f"left {ran['strays']} processes behind; all were ended, and the cell was left out"
        if ran["ended"] == "time":
            return f"ran longer than {self.limits.seconds:g} s and was stopped"
        if ran["ended"] == "output" or kind == "TooMuchOutput":
            return f"wrote more than {FLOOD:,} characters and was stopped"
        if ran["ended"]:
            return "ended the kernel; the cells after it ran in a new one, without it"
        if "MemoryError" in text:
            return f"ran out of its {self.limits.gigabytes:g} GB of memory"
        if ran["cut"]:
            return f"wrote more than {self.limits.keep:,} characters; the rest was cut"
        if kind == "Tampered":
            return f"was not run: {reason}"
        if kind and "NotImplementedError" not in said:
            return f"failed: {said}" if is_test(cell) else f"raised {said}"
        if is_test(cell) and not ran["ok"]:
            return "" if kind else "did not run to its last line, though no error was shown"
        if is_test(cell) and text:
            return "passed; it warned on stderr, which costs nothing"
        return ""


def is_test(cell: NotebookNode) -> bool:
    """Whether the cell is a test: marks depend on how it runs."""
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


def name(cell: NotebookNode) -> str:
    """What to call a cell: nbgrader's id of it, or its first line."""
    lines = cell.source.strip().splitlines() or ["an empty cell"]
    return cell.metadata.get("nbgrader", {}).get("grade_id") or lines[0][:60].replace("`", "'")


def plain(output: NotebookNode) -> NotebookNode:
    """`output` without HTML, SVG or scripts."""
    if "data" in output:
        output.data = NotebookNode({kind: value for kind, value in output.data.items() if kind in PLAIN})
        output.metadata = NotebookNode()
    return output


def _undone(cell: NotebookNode) -> bool:
    return any("NotImplementedError" in output.get("ename", "") + output.get("evalue", "") for output in cell.outputs)


def error(kind: str, text: str) -> NotebookNode:
    """An output that nbgrader counts as a failed test."""
    return new_output("error", ename=kind, evalue=text, traceback=[f"{kind}: {text}"])
