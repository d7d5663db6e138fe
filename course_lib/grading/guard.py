"""In the kernel: before each test, undo what a submission may have done to make tests pass without an answer.

Tests and submission share one process, and Python has no walls inside a process: who writes a program that hunts
for the test in memory can still fake a mark. The easy ways are closed, and what closes them fails towards 0.
"""

import builtins
import os
import sys
from types import ModuleType

from IPython import get_ipython

from course_lib.grading.secret import VARIABLE

# What tests lean on. A function of the notebook's found in one of these was put there by the notebook.
LEANED_ON = {"math", "random", "statistics", "fractions", "itertools", "collections", "unittest", "unittest.case"}
LEANED_ON |= {"numpy", "numpy.testing", "numpy.linalg", "torch", "torch.testing", "torch.linalg", "torch.nn.functional"}

FLOOD = 20_000_000  # characters of output, after which a cell is stopped


class Tampered(Exception):
    """The notebook changed what tests are made of."""


class TooMuchOutput(Exception):
    """A cell writes without end; stopped here, before its output fills the memory."""


class Guard:
    """Made before the submission's first cell; `enter` and `leave` go around each test."""

    def __init__(self):
        self.shell = get_ipython()
        self.builtins = dict(vars(builtins))
        self.transformers = list(self.shell.input_transformers_post)
        self.cleaners = list(self.shell.input_transformer_manager.cleanup_transforms)
        self.written = 0
        self.shell.events.register("pre_execute", self.new_cell)
        self.outside: tuple[ModuleType, dict] | None = None

    def new_cell(self) -> None:
        """Let the cell that begins write FLOOD characters; IPython gives each cell a `write` of its own."""
        self.written = 0
        for stream in sys.stdout, sys.stderr:
            if not hasattr(stream.write, "limited"):
                stream.write = self.limited(stream.write)

    def limited(self, write):
        def write_some(text: str) -> int:
            self.written += len(text)
            if self.written > FLOOD:
                raise TooMuchOutput(f"more than {FLOOD:,} characters")
            return write(text)

        write_some.limited = True
        return write_some

    def enter(self, seed: int) -> None:
        """Make ready for a test whose class seed is `seed`. Raises Tampered where that is not possible."""
        sys.settrace(None)
        sys.setprofile(None)
        vars(builtins).update(self.builtins)
        self.shell.ast_transformers.clear()  # one that drops every assert is an old trick
        self.shell.input_transformers_post[:] = self.transformers
        self.shell.input_transformer_manager.cleanup_transforms[:] = self.cleaners
        for found in self.shell.events.callbacks.values():
            found[:] = [callback for callback in found if not self.is_notebooks(callback)]
        self.refuse_replaced()
        for name in [name for name in sys.modules if name.startswith("course_lib.checks")]:
            del sys.modules[name]  # a test imports them anew, as they are on the disk
        self.hide_shadows()
        os.environ[VARIABLE] = str(seed)

    def leave(self, receipt: str) -> bool:
        """Undo `enter`; whether the test ran to its last line, which sets the name `receipt`."""
        os.environ.pop(VARIABLE, None)
        reached = self.shell.user_ns.pop(receipt, False) is True
        if self.outside:
            inside = self.shell.user_ns
            self.shell.user_module, self.shell.user_ns = self.outside
            self.outside = None
            for name, value in inside.items():  # a later test may use what this one imported
                self.shell.user_ns.setdefault(name, value)
        return reached

    def refuse_replaced(self) -> None:
        """Raise Tampered if a function of the notebook's sits in a module that tests use, or in IPython itself."""
        places = {name: vars(module) for name, module in list(sys.modules.items())
                  if name in LEANED_ON or name.split(".")[0] == "course_lib"}  # fmt: skip
        places |= {f"IPython's {kind.__name__}": vars(kind) for kind in type(self.shell).__mro__[:-1]}
        places |= {"IPython": vars(self.shell)}
        if "torch" in sys.modules:
            places["torch.Tensor"] = vars(sys.modules["torch"].Tensor)
        for place, names in places.items():
            for name, value in list(names.items()):
                if self.is_notebooks(value):
                    raise Tampered(f"the notebook replaced {place}.{name}, so this test was not run")

    def is_notebooks(self, value) -> bool:
        """Whether `value` is a function or class that a cell of the notebook defined."""
        if isinstance(value, type):
            return value.__module__ == "__main__"
        return getattr(value, "__globals__", None) is self.shell.user_ns

    def hide_shadows(self) -> None:
        """If the notebook redefined built-in names (`all`, `abs`), give the test a namespace without them.

        The submission's own functions keep theirs.
        """
        names = self.shell.user_ns
        shadows = {name for name, value in names.items() if not name.startswith("_")
                   and name in self.builtins and value is not self.builtins[name]}  # fmt: skip
        if shadows:
            clean = ModuleType("__main__")
            vars(clean).update((name, value) for name, value in names.items() if name not in shadows)
            self.outside = self.shell.user_module, names
            self.shell.user_module, self.shell.user_ns = clean, vars(clean)


guard = Guard()
