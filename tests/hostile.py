"""What hostile or unlucky students hand in, the mark that is fair, and a word of the sentence that tells what happened.

Of the toy set's 7 automatic points `test_double` gives 3 and `test_total` 4. Who answers both rightly and does
something silly besides keeps the 7: only what is wrong costs anything.
"""

import os

from toy_set import NOTEBOOK, RIGHT, Student

WRONG = {
    "double": "def double(x):\n    return 2",
    "total": "def total(xs):\n    return 3",
}  # what the visible tests want
LOOK_AROUND = """\
import os
found = []
for place, folders, names in os.walk("/"):
    folders[:] = [folder for folder in folders if folder not in ("proc", "usr", "lib", "site-packages")]
    found += [os.path.join(place, name) for name in names if name in {names}]
raise LookupError(f"found {len(found)}: {found}")"""


def body(lines: str, name: str = "double") -> dict[str, str]:
    """Both answers right, but for the body of one function."""
    indented = "\n".join(f"    {line}" for line in lines.splitlines())
    return RIGHT | {name: f"def {name}(x):\n{indented}"}


# name → (what the student does, the fair mark, words of the sentence)
HOSTILE = {
    "right": (lambda s: s.answer(**RIGHT), 7, ""),
    "untouched": (lambda s: s, 0, "not done yet: `test_double`, `test_total`"),
    "hard_coded": (lambda s: s.answer(**WRONG), 0, "`test_double` failed: AssertionError: double("),
    "infinite_loop": (lambda s: s.answer(**body("while True: pass")), 4, "ran longer than 15 s"),
    "stubborn_loop": (
        lambda s: s.answer(**body("while True:\n    try:\n        while True: pass\n    except BaseException: pass")),
        4,
        "ran longer than 15 s",
    ),
    "fork_bomb": (
        lambda s: s.answer(**RIGHT).insert("import os\nwhile True: os.fork()", "test_double"),
        7,
        "processes behind; all were ended",
    ),
    "memory_eater": (
        lambda s: s.answer(**body("return [bytearray(10**8) for _ in range(100)]")),
        4,
        "ran out of its 1 GB of memory",
    ),
    "memory_eaters": (
        lambda s: s.answer(**RIGHT).insert(
            "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        b = bytearray(b'1') * (3 * 10**8)\n"
            "        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)",
            "test_total",
        ),
        3,
        "more than 1 GB of memory together",
    ),
    "exit_in_a_cell": (
        lambda s: s.answer(**RIGHT).insert("import os; os._exit(0)", "test_double"),
        7,
        "ended the kernel",
    ),
    "exit_in_a_test": (lambda s: s.answer(**body("import os; os._exit(0)")), 4, "ended the kernel"),
    "polite_exit": (lambda s: s.answer(**body("raise SystemExit(0)")), 4, "SystemExit"),
    "deleted_tests": (
        lambda s: [s.answer(**WRONG), s.nb.cells.remove(s["test_double"]), s.nb.cells.remove(s["test_total"])][0],
        0,
        "`test_total` was missing and was put back",
    ),
    "edited_tests": (
        lambda s: s.answer(**WRONG, test_double="pass", test_total="pass"),
        0,
        "`test_double` was edited; the original was used",
    ),
    "edited_points": (
        lambda s: [
            s.answer(**body("return 2")),
            *[s["test_double"].metadata.nbgrader.update(grade=False, points=90) for _ in "1"],
            s["test_total"].metadata.nbgrader.update(points=90),
        ][0],
        4,
        "failed",
    ),  # fmt: skip
    "output_1_gb": (
        lambda s: s.answer(**RIGHT).insert("for _ in range(1000): print('y' * 10**6)", "test_double"),
        7,
        "characters and was stopped",
    ),
    "writes_much": (
        lambda s: s.answer(**RIGHT).insert("for _ in range(300): print('y' * 10**3)", "test_double"),
        7,
        "wrote more than 200,000 characters; the rest was cut",
    ),
    "reads_sources": (
        lambda s: s.answer(**RIGHT).insert(
            LOOK_AROUND.replace("{names}", repr({NOTEBOOK, "gradebook.db", "secret", "ps1_counting.ipynb"})), "double"
        ),
        7,
        "LookupError: found 0: []",
    ),
    "opens_socket": (
        lambda s: s.answer(**RIGHT).insert(
            "import socket; socket.create_connection(('127.0.0.1', PORT), timeout=2)", "double"
        ),
        7,
        "ConnectionRefusedError",
    ),
    "writes_system": (
        lambda s: s.answer(**RIGHT).insert("open(__import__('sys').prefix + '/mine', 'w')", "double"),
        7,
        "Read-only file system",
    ),
    "fills_disk": (
        lambda s: s.answer(**RIGHT).insert(
            "for i in range(99):\n    open(f'/tmp/{i}', 'wb').write(bytes(10**8))", "double"
        ),
        7,
        "No space left on device",
    ),
    "kills_everything": (
        lambda s: s.answer(**RIGHT).insert("import os, signal; os.kill(1, 9); os.kill(-1, 9)", "double"),
        7,
        "ProcessLookupError",
    ),
    "warns": (
        lambda s: s.answer(
            **body("import warnings; warnings.warn('slow'); print('x', file=__import__('sys').stderr)\nreturn 2 * x")
        ),
        7,
        "costs nothing",
    ),  # fmt: skip
    "drops_asserts": (
        lambda s: s.answer(**WRONG).insert(
            "import ast\nclass Drop(ast.NodeTransformer):\n    def visit_Assert(self, node): return ast.Pass()\n"
            "get_ipython().ast_transformers.append(Drop())",
            "test_double",
        ),
        0,
        "failed",
    ),
    "silences_errors": (
        lambda s: s.answer(**WRONG).insert(
            "shell = get_ipython()\nshell.set_custom_exc((Exception,), lambda *a, **k: None)\n"
            "shell.showtraceback = lambda *a, **k: None",
            "test_double",
        ),
        0,
        "replaced IPython",
    ),
    "runs_nothing": (  # every cell seems to run well
        lambda s: s.answer(**WRONG).insert(
            "import functools\nasync def nothing(*a, **k): return False\n"
            "get_ipython().run_ast_nodes = functools.partial(nothing)",
            "test_double",
        ),
        0,
        "did not run to its last line, though no error was shown",
    ),
    "redefines_all": (
        lambda s: s.answer(**RIGHT | {"total": WRONG["total"]}).insert("def all(xs): return True", "test_total"),
        3,
        "`test_total` failed",
    ),
    "own_sum": (  # shadows a built-in and means well
        lambda s: s.answer(
            **RIGHT
            | {"total": "def sum(xs):\n    t = 0\n    for x in xs: t += x\n    return t\ndef total(xs): return sum(xs)"}
        ),
        7,
        "",
    ),  # fmt: skip
    "replaces_builtin": (
        lambda s: s.answer(**RIGHT | {"total": WRONG["total"]}).insert(
            "import builtins; builtins.all = lambda xs: True", "test_total"
        ),
        3,
        "`test_total` failed",
    ),
    "replaces_random": (
        lambda s: s.answer(**WRONG).insert(
            "import random\nclass Fake:\n    def __init__(self, seed): pass\n"
            "    def randrange(self, a, b): return 1\nrandom.Random = Fake",
            "test_double",
        ),
        0,
        "the notebook replaced random.Random",
    ),
    "shows_a_mark": (
        lambda s: s.answer(**body("get_ipython().displayhook(3.0)\nreturn 2")),
        4,
        "`test_double` failed",
    ),
    "copied_cells": (lambda s: s.answer(**RIGHT).copy("test_double").copy("double"), 7, ""),
    "no_notebook": (lambda s: None, 0, "toy.ipynb is not a notebook"),
    "link": (lambda s: None, 0, "toy.ipynb is a link"),
    "two_gb_file": (lambda s: None, 0, "2,000,000,000 bytes"),
    "wrong_name": (lambda s: None, 0, "was not handed in (there is Untitled.ipynb)"),
    "scripts": (
        lambda s: s.answer(**RIGHT, why="<script>alert(1)</script> because").insert(
            "from IPython.display import HTML, display; display(HTML('<script>alert(2)</script>'))", "double"
        ),
        7,
        "",
    ),
}


def hand_in(room, name: str, port: int) -> None:
    """Put one of HOSTILE into the class folder."""
    student = Student(room, name)
    HOSTILE[name][0](student)
    for cell in student.nb.cells:
        cell.source = cell.source.replace("PORT", str(port))
    student.hand_in()
    path = student.folder / NOTEBOOK
    if name == "no_notebook":
        path.write_text("{'cells': ")
    if name == "link":
        path.unlink()
        os.symlink(room / "source" / "toy" / NOTEBOOK, path)
    if name == "two_gb_file":
        with path.open("wb") as file:
            file.truncate(2_000_000_000)
    if name == "wrong_name":
        path.rename(path.with_name("Untitled.ipynb"))
