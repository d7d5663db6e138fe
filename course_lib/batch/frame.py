"""The rows of a sweep as tables: every run with its parameters and results, and means over seeds."""

import math

import pandas as pd

from course_lib.results import decode


def frame(rows: list[dict]) -> pd.DataFrame:
    """A line for each run, with columns such as lesson, seconds, `parameters.seed` and `results.perplexity`.

    Lists become text, and so does a column that mixes numbers with text: Parquet has one type for each column.
    """
    lines = [flat(row | {"results": decode(row["results"])}) for row in rows]
    names = dict.fromkeys(name for line in lines for name in line)
    return pd.DataFrame({name: _column([line.get(name) for line in lines]) for name in names})


def varied(rows: list[dict]) -> list[str]:
    """The parameters that have more than one value among the runs of some lesson, in their order."""
    values = {}
    for row in rows:
        for name, value in row["parameters"].items():
            values.setdefault((name, row["lesson"]), set()).add(repr(value))  # lists have no hash
    return list(dict.fromkeys(name for (name, _), seen in values.items() if len(seen) > 1))


def numbers(table: pd.DataFrame) -> list[str]:
    """The columns of a `frame` that hold results which are numbers."""
    return [name for name in table if name.startswith("results.") and is_number(table[name])]


def is_number(column: pd.Series) -> bool:
    """Whether `column` holds numbers; to pandas a bool is one."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def summary(rows: list[dict], lesson: str) -> pd.DataFrame:
    """A line for each combination of the parameters of `lesson` that vary, but for `seed`.

    Columns: these parameters; seeds (how many runs finished); mean and sample standard deviation over seeds of
    every number, as `results.perplexity.mean` and `results.perplexity.sd`, also of seconds and peak_mb; and
    peak_mb.max. The mean is NaN where one of the runs has NaN: a run that diverged is not to be overlooked.
    """
    rows = [row for row in rows if row["lesson"] == lesson]
    table = frame(rows)
    by = [f"parameters.{name}" for name in varied(rows) if name != "seed"]
    group = table.groupby(by, dropna=False).ngroup() if by else pd.Series(0, index=table.index)
    lines = table[by].assign(group=group).drop_duplicates("group").set_index("group").sort_index()
    done = table[table["status"] == "ok"]
    columns = {"seeds": done.groupby(group).size().reindex(lines.index, fill_value=0)}
    for name in (*numbers(table), "seconds", "peak_mb"):
        values = done[name].astype(float).groupby(group)
        complete = values.count() == values.size()
        columns[f"{name}.mean"] = values.mean().where(complete)
        columns[f"{name}.sd"] = values.std().where(complete)
    columns["peak_mb.max"] = done["peak_mb"].groupby(group).max()
    return lines.join(pd.DataFrame(columns)).reset_index(drop=True)


def flat(row: dict) -> dict:
    """A row with names such as `parameters.seed` in the place of nested ones."""
    items = {}
    for name, value in row.items():
        items |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return items


def _column(values: list) -> pd.Series:
    """`values` (None: missing) as whole numbers, floats, bools or, failing that, text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int} and all(abs(value or 0) < 2**63 for value in values):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([math.nan if value is None else float(value) for value in values], dtype="float64")
    return pd.Series([None if value is None else str(value) for value in values], dtype="string")
