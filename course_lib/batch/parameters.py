"""A lesson's parameters: those its notebook declares, and a check of the values someone gives for them.

Types in a parameters cell are documentation to papermill: it would run a misspelt name or a text for a number
without a word, after minutes of work or never noticed. Here both are errors before a kernel starts.
"""

import ast
import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
import papermill
import yaml

TYPES = {"int": int, "float": float, "bool": bool, "str": str, "list": list}


class RunError(ValueError):
    """A mistake in what was asked for: one line that says what is wrong and what to do."""


class Parameters(dict[str, tuple[str, object]]):
    """The parameters that a notebook declares: name → (type as written, default value).

    Raises RunError for a file that is no notebook, or a notebook that has no cell tagged `parameters`.
    """

    def __init__(self, notebook: Path):
        self.notebook = notebook
        try:
            cells = nbformat.read(notebook, as_version=4).cells
            declared = papermill.inspect_notebook(for_papermill(notebook))
        except Exception as error:  # nbformat and papermill raise a different one for each way to be no notebook
            raise RunError(f"{notebook}: not a notebook that papermill can read ({_first_line(error)})") from error
        if not any("parameters" in cell.metadata.get("tags", ()) for cell in cells):
            raise RunError(
                f"{notebook}: no cell has the tag 'parameters'; "
                "add the tag in JupyterLab's property inspector, to the cell that sets the parameters"
            )
        super().__init__((name, (p["inferred_type_name"], _literal(p["default"]))) for name, p in declared.items())

    @property
    def defaults(self) -> dict[str, object]:
        return {name: default for name, (_, default) in self.items()}

    def check(self, values: Mapping[str, object], source: str) -> dict[str, object]:
        """`values`, each known to the notebook and of its type; `source` says where they come from.

        Raises RunError, naming the value, for one that is not.
        """
        for name in values:
            if name not in self:
                raise RunError(f"{source}: {self.notebook.stem} has no parameter {name!r}; {near(name, self)}")
        return {name: self._typed(value, self[name][0], f"{source}: {name}") for name, value in values.items()}

    def parse(self, texts: Mapping[str, str], source: str) -> dict[str, object]:
        """As `check`, for values given as text: YAML, but for a `str` parameter taken as it stands."""
        values = {}
        for name, text in texts.items():
            try:
                is_text = name in self and self[name][0] == "str"
                values[name] = text if is_text else yaml.load(text, _YamlWithExponents)
            except yaml.YAMLError as error:
                raise RunError(f"{source}: {name}={text} is not valid YAML ({_first_line(error)})") from error
        return self.check(values, source)

    def parse_many(self, name: str, text: str, source: str) -> list[object]:
        """The values that `text` lists for a parameter, each of its type and none twice: separated by commas, as in a
        YAML list ("1e-3,3e-3", "[1, 2],[3]", "a,'b,c'"); first..last stands for all whole numbers between the two.
        """
        if name not in self:
            self.check({name: text}, source)
        is_text = self[name][0] == "str"
        try:
            items = yaml.load(f"[{text}]", yaml.BaseLoader if is_text else _YamlWithExponents)
        except yaml.YAMLError as error:
            raise RunError(f"{source}: {name}={text} is not a list of values ({_first_line(error)})") from error
        values = []
        for item in items:
            ends = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", str(item)) if not is_text else None
            numbers = range(int(ends[1]), int(ends[2]) + 1) if ends else [item]
            if not numbers:
                raise RunError(f"{source}: {name}={item} is empty; expected first..last, the first not above the last")
            values += [self.check({name: number}, source)[name] for number in numbers]
        for i, value in enumerate(values):
            if value in values[:i]:
                raise RunError(f"{source}: {name}={text} holds {value!r} twice; each value makes a run")
        if not values:
            raise RunError(f"{source}: {name}= names no value; expected some, like {name}=1,2")
        return values

    def _typed(self, value: object, kind: str, name: str) -> object:
        """`value` of the type `kind`, such as "float" or "list[int]"; a whole number passes for a float."""
        outer, _, inner = kind.partition("[")
        if outer not in TYPES:
            raise RunError(f"{name}: {self.notebook.stem} gives it the type {kind}; expected {', '.join(TYPES)}")
        if outer == "float" and type(value) is int:
            return float(value)
        if type(value) is not TYPES[outer]:
            hint = "; YAML reads an exponent only after a point, as in 1.0e-3" if _is_number(value) else ""
            raise RunError(f"{name}={value!r} is of type {type(value).__name__}; expected {kind}{hint}")
        return [self._typed(item, inner[:-1], name) for item in value] if inner else value


def read_profile(file: Path) -> dict[str, object]:
    """The values in a flat YAML file, as `papermill -f` reads them; RunError for anything else in it."""
    try:
        values = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise RunError(f"{file}: not valid YAML ({_first_line(error)})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RunError(f"{file}: expected lines like `steps: 100`, got a {type(values).__name__}")
    return values


def near(name: str, known: Iterable[str]) -> str:
    """What to say of an unknown `name`: the known one that it resembles, else all that are known."""
    known = list(known)
    alike = difflib.get_close_matches(str(name), known, n=2)
    return f"did you mean {' or '.join(alike)}?" if alike else f"there is {', '.join(known) or 'none'}"


def for_papermill(path: Path) -> str:
    """`path` as papermill takes it: there, braces in a path are a format."""
    return str(path).replace("{", "{{").replace("}", "}}")


class _YamlWithExponents(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text; on a command line it is a number."""


_YamlWithExponents.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _literal(default: str) -> object:
    """The value of a default's source code; the source itself where it is no plain value."""
    try:
        return ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return default


def _is_number(value: object) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Arguments like "steps=100" as names and texts. Raises RunError for another form, or a name given twice."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise RunError(f"-p {text}: expected name=value, like -p steps=100")
        if name in pairs:
            raise RunError(f"-p {text}: {name} is given twice")
        pairs[name] = value
    return pairs
