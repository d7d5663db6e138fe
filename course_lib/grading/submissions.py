"""What a student handed in, made fit for nbgrader: a notebook with every test in it, whatever was done to it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4
from nbgrader.utils import parse_utc

MOST = 50_000_000  # bytes of a notebook
NEW = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}

# Words that have no business in an answer. They cost nothing; the teacher gets to see who used them.
WORTH_A_LOOK = re.compile(
    r"get_ipython|_getframe|settrace|setprofile|__globals__|builtins|ctypes|\b_exit|get_objects|\binspect\b|subprocess"
    r"|os\.system|\bfork\b|\bsocket\b|gradebook|class_seed|COURSE_CLASS_SEED|NBGRADER_|HIDDEN TESTS|course_lib\.grading"
)


class Unreadable(ValueError):
    """What was handed in is no notebook."""


@dataclass
class Staged:
    """A submission ready to be graded; `notes` says what had to be mended, `look` which words are worth a look."""

    notes: list[str] = field(default_factory=list)
    look: set[str] = field(default_factory=set)


def stage(submitted: Path, released: Path, into: Path) -> Staged:
    """Write what is in the folder `submitted` to the folder `into`, with the notebooks that `released` has.

    In place of a missing or unreadable notebook stands the untouched copy, which scores 0.
    """
    staged = Staged()
    into.mkdir(parents=True)
    for path in sorted(released.glob("*.ipynb")):
        original = nbformat.read(path, as_version=4)
        try:
            handed_in = read(submitted / path.name)
        except Unreadable as problem:
            staged.notes.append(str(problem))
            handed_in = original
        nb, notes = mend(handed_in, original)
        known = {cell.source for cell in original.cells}
        own = "\n".join(cell.source for cell in nb.cells if cell.source not in known)
        staged.notes += notes
        staged.look |= set(WORTH_A_LOOK.findall(own))
        nbformat.write(nb, into / path.name)
    if time := timestamp(submitted, staged.notes):
        (into / "timestamp.txt").write_text(time)
    return staged


def read(path: Path) -> NotebookNode:
    """The notebook at `path`. Raises Unreadable, with a sentence for its author, for anything else."""
    if path.is_symlink():
        raise Unreadable(f"{path.name} is a link to another file; hand in the notebook itself")
    if not path.is_file():
        found = ", ".join(sorted(other.name for other in path.parent.glob("*.ipynb"))) or "no notebook"
        raise Unreadable(f"{path.name} was not handed in (there is {found})")
    size = path.stat().st_size
    if size > MOST:
        raise Unreadable(f"{path.name} has {size:,} bytes; expected at most {MOST:,}: clear its outputs, hand in again")
    try:
        nb = nbformat.read(path, as_version=4)
        for cell in nb.cells:
            if not isinstance(cell.source, str) or cell.cell_type not in NEW:
                raise ValueError("a cell is neither code nor text")
    except Exception as error:  # json, nbformat and jsonschema have many ways to say no
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise Unreadable(f"{path.name} is not a notebook: {reason}") from error
    return nb


def mend(nb: NotebookNode, original: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """`nb` without outputs, with the metadata, locked cells and tests of `original`; and notes on what was changed."""
    cells, notes, missing = [], [], {grade_id(cell): cell for cell in original.cells if grade_id(cell)}
    order, known = list(missing), {cell.source for cell in original.cells}
    for cell in reversed(nb.cells):  # of copies of a cell the last counts
        model = missing.pop(grade_id(cell), None)
        new = NEW[model.cell_type if model else cell.cell_type](cell.source)
        if new.cell_type != "code" and cell.source not in known:  # no script runs in the teacher's browser
            new.source = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", cell.source)
        if model:
            new.metadata = NotebookNode(nbgrader=NotebookNode(model.metadata.nbgrader))
            if not model.metadata.nbgrader.solution and new.source != model.source:
                notes.append(f"`{grade_id(model)}` was edited; the original was used")
                new.source = model.source
        if new.cell_type == "markdown" and "attachments" in cell:
            new.attachments = cell.attachments
        cells.insert(0, new)
    for name in [name for name in order if name in missing]:
        notes.append(f"`{name}` was missing and was put back")
        before = order[: order.index(name)]
        places = [place for place, cell in enumerate(cells) if grade_id(cell) in before]
        cells.insert(max(places, default=-1) + 1, missing[name])
    metadata = {"kernelspec": original.metadata.get("kernelspec", {"name": "python3", "display_name": "Python 3"})}
    return v4.new_notebook(cells=cells, metadata=metadata), notes


def grade_id(cell: NotebookNode) -> str | None:
    """nbgrader's id of a cell, if it has one."""
    nbgrader = cell.metadata.get("nbgrader")
    found = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return found if isinstance(found, str) else None


def timestamp(submitted: Path, notes: list[str]) -> str:
    """When it was handed in, as nbgrader's collect notes it in timestamp.txt; empty if that is not known."""
    path = submitted / "timestamp.txt"
    if path.is_symlink() or not path.is_file():
        return ""
    try:
        time = path.read_text(encoding="utf-8")[:100].strip()
        parse_utc(time)
        return time
    except (ValueError, OverflowError):
        notes.append("timestamp.txt holds no time, so it counts as handed in on time")
        return ""
