"""One HTML page that reports a sweep of runs: it needs no network and no other file, and opens by double-click."""

import collections
import io
import itertools
import re
import statistics
import urllib.parse
import warnings
from collections.abc import Callable
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from course_lib.batch.frame import frame, is_number, numbers, summary, varied
from course_lib.plots import COLORS, MARKERS, use_style
from course_lib.results import decode, show

FIGURES = 30  # on a page, about; those of 1,000 runs take eight seconds and seven megabytes
CATEGORIES = 20  # on an axis
COLOURS = 6  # in a figure
LINES = 30  # in a figure
COSTS = {"seconds": "time (s)", "peak_mb": "peak memory (MB)"}


def page(rows: list[dict], title: str) -> str:
    """The page for `rows`, one for each run: what was run and where, what failed, means over seeds, figures, all runs.

    The links to notebooks are as the rows give them: relative to where the page will lie.
    """
    lessons = {}
    for row in rows:
        lessons.setdefault(row["lesson"], []).append(row | {"results": decode(row["results"])})
    share = FIGURES // max(1, sum(bool(varied(runs)) for runs in lessons.values()))
    ids = itertools.count()
    finished = [row["seconds"] for row in rows if row["status"] == "ok"]
    return _template().render(
        title=title,
        rows=rows,
        counts=collections.Counter(row["status"] for row in rows),
        total=sum(row["seconds"] for row in rows),
        median=statistics.median(finished) if finished else None,
        made_by={
            name: list(dict.fromkeys(str(row[name]) for row in rows if row.get(name)))
            for name in ("profile", "machine", "python", "torch", "course_lib")
        },
        lessons=[_lesson(name, runs, share, ids) for name, runs in lessons.items()],
    )


def _lesson(name: str, rows: list[dict], share: int, ids: itertools.count) -> dict:
    """What the template needs to know of one lesson; `share` is how many figures it may have."""
    table, lines, changing = frame(rows), summary(rows, name), varied(rows)
    return {
        "name": name,
        "rows": rows,
        "varied": changing,
        "fixed": {p: value for row in rows for p, value in row["parameters"].items() if p not in changing},
        "results": list(dict.fromkeys(result for row in rows for result in row["results"])),
        "by": [p for p in changing if p != "seed"],
        "numbers": [_label(column) for column in numbers(table)],
        "lines": lines.to_dict("records"),
        **_plots(table[table["status"] == "ok"], lines, changing, share, ids),
    }


def _plots(done: pd.DataFrame, lines: pd.DataFrame, changing: list[str], share: int, ids: itertools.count) -> dict:
    """Figures of each number against each parameter that varies, and the names of those that got none."""
    if done.empty or not changing:
        return {"xs": [], "ys": [], "figures": [], "left_out": []}
    results = [name for name in numbers(done) if np.isfinite(done[name].astype(float)).any()]
    # The seed comes last: it is the least telling thing to plot against, and the first to go where there is no room.
    xs = [p for p in sorted(changing, key="seed".__eq__) if _fits(done[f"parameters.{p}"])]
    xs = xs[: max(1, share // 5)]
    ys = results[: max(1, share // max(1, len(xs)) - len(COSTS))] + list(COSTS)
    with matplotlib.rc_context(), warnings.catch_warnings():
        use_style()
        matplotlib.rcParams["axes.formatter.useoffset"] = False
        matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
        matplotlib.rcParams["svg.hashsalt"] = "course"  # the same rows make the same page
        matplotlib.rcParams["text.parse_math"] = False  # a dollar in a value is a dollar
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a browser has more fonts than matplotlib
        figures = [_figure(done, lines, x, y, changing, next(ids)) for y in ys for x in xs]
    left_out = [p for p in changing if p not in xs] + [_label(y) for y in numbers(done) if y not in ys]
    return {"xs": xs, "ys": [_label(y) for y in ys], "figures": figures, "left_out": left_out}


def _figure(done: pd.DataFrame, lines: pd.DataFrame, x: str, y: str, changing: list[str], number: int) -> dict:
    """`y` (a column) against the parameter `x`: a dot for each run, lines through the means over seeds."""
    column = f"parameters.{x}"
    shown = done[np.isfinite(done[y].astype(float))]
    others = [f"parameters.{p}" for p in changing if p not in (x, "seed")]
    # The more values are told apart by colour, the fewer lines look alike.
    hue = max((p for p in others if 1 < shown[p].nunique() <= COLOURS), key=lambda p: shown[p].nunique(), default=None)
    rest = [p for p in others if p != hue]
    numeric, repeated = is_number(shown[column]), lines["seeds"].max() > 1
    few = not others or lines.groupby(others, dropna=False).ngroups <= LINES
    with_means = x != "seed" and few and (numeric or repeated)

    figure = Figure()
    axes = figure.add_subplot(xlabel=x, ylabel=_label(y))
    _scale(axes, "y", shown[y])
    place = _place(axes, shown[column])
    means = lines[np.isfinite(lines[f"{y}.mean"])]
    parts = list(shown.groupby(hue, sort=is_number(shown[hue]))) if hue else [(None, shown)]
    handles = []
    for i, (value, part) in enumerate(parts):
        # Beside each other in a category; on an axis of numbers each dot stands where it belongs.
        aside = 0 if numeric else 0.12 * (i - (len(parts) - 1) / 2)
        style = {"color": COLORS[i], "linestyle": "none"}
        handles += axes.plot(place(part[column]) + aside, part[y].astype(float), marker=MARKERS[i], alpha=0.5, **style)
        if not with_means:
            continue
        mine = means[means[hue] == value] if hue else means
        style |= {"marker": "" if numeric else "_", "markersize": 16, "capsize": 3}
        axes.errorbar(place(mine[column]) + aside, mine[f"{y}.mean"], mine[f"{y}.sd"].fillna(0), **style)
        if numeric:
            for _, line in mine.groupby(rest, dropna=False) if rest else [((), mine)]:
                axes.plot(place(line[column]), line[f"{y}.mean"], color=COLORS[i], marker="")
    if hue:
        labels = [_short(value) for value, _ in parts]
        figure.legend(handles, labels, title=_short(_label(hue)), loc="outside right upper")

    label = f"{_label(y)} against {x}" + (f", coloured by {_label(hue)}" if hue else "")
    notes = ["Each dot is a run."]
    if with_means:
        each = f" for each {' × '.join(map(_label, others))}" if others else ""
        means_are = f"{'Lines join' if numeric else 'Dashes are'} the means over seeds{each}"
        notes.append(f"{means_are}; bars: ± standard deviation." if repeated else f"Lines join the runs{each}.")
    if len(shown) < len(done):
        notes.append(f"{len(done) - len(shown)} of {len(done)} finished runs have no finite value to show.")
    return {"x": x, "y": _label(y), "label": label, "notes": notes, "svg": _svg(figure, label, number)}


def _place(axes: Axes, values: pd.Series) -> Callable[[pd.Series], pd.Series]:
    """Make the horizontal axis one for `values`; return where on it such values lie."""
    if is_number(values):
        _scale(axes, "x", values)
        return lambda some: some.astype(float)
    names = list(dict.fromkeys(values))
    crowded = sum(len(_short(name)) for name in names) > 60
    steep = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(range(len(names)), [_short(name) for name in names], **steep)
    axes.set_xlim(-0.5, len(names) - 0.5)
    return lambda some: some.map({name: i for i, name in enumerate(names)}).astype(float)


def _scale(axes: Axes, which: str, values: pd.Series) -> None:
    """A logarithmic axis for `values` that are positive and span a factor of 20; ticks say 0.001, not 10^-3."""
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    low, high = values.astype(float).min(), values.astype(float).max()
    if 0 < low and 20 * low <= high:
        axes.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        axis.set_minor_locator(NullLocator())
    elif pd.api.types.is_integer_dtype(values):
        axis.set_major_locator(MaxNLocator(integer=True))


def _svg(figure: Figure, label: str, number: int) -> Markup:
    """`figure` as an element of a page; its ids begin with f<number>-, since matplotlib calls each figure figure_1."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = re.sub(
        r"<[^>]+>",  # in tags alone, not in what a label says
        lambda tag: re.sub(r'( id="|href="#|url\(#)', rf"\1f{number}-", tag[0]),
        text.getvalue()[text.getvalue().index("<svg ") :],
    )
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))


def _fits(values: pd.Series) -> bool:
    return is_number(values) or values.nunique() <= CATEGORIES


def _label(column: str) -> str:
    """What a reader sees for `results.perplexity` or `seconds`."""
    return COSTS.get(column, column.partition(".")[2])


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 24 else f"{text[:23]}…"


def _number(value: float) -> str:
    """A mean for a reader: a count stays whole."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e9 else show(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # A path is no address: # and ? mean something there. Quoted whole, it cannot be a script either.
    environment.filters |= {"address": urllib.parse.quote, "duration": _duration, "number": _number, "show": show}
    return environment.get_template("page.html.j2")
