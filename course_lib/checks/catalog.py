"""Which checks there are."""

import importlib
import pkgutil

from course_lib import checks


def checks_by_set() -> dict[str, list[str]]:
    """The names of the checks of each problem set, in the order of its exercises: {"ps1_counting": [...]}."""
    sets = sorted(module.name for module in pkgutil.iter_modules(checks.__path__) if module.ispkg)
    return {name: [check.removeprefix("check_") for check in _functions(name)] for name in sets}


def _functions(problem_set: str) -> list[str]:
    return importlib.import_module(f"{checks.__name__}.{problem_set}").__all__
