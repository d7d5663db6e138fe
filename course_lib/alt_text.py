"""What a figure shows, in words computed from the figure itself: for readers who cannot see it."""

import contextlib
import math
import re
from collections.abc import Callable, Sequence

from IPython import get_ipython
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

MOST = 8  # lines, bars or charts told one by one; of more only how many there are


def describe(figure: Figure) -> str:
    """The figure's charts, one after the other: titles, axes, and from where to where each line or bar goes."""
    charts = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    texts = [_chart(axes) for axes in charts[:MOST]]
    rest = [f"and {len(charts) - MOST} more"] if len(charts) > MOST else []
    heading = [_plain(figure.get_suptitle())] if figure.get_suptitle() else []
    if len(charts) > 1:
        heading.append(f"{len(charts)} charts")
    return ". ".join(filter(None, [*heading, *texts, *rest])) + "."


def add_alt_texts() -> None:
    """From here on every figure that a notebook shows carries its description, as what exports call `alt`.

    So does a picture of Pillow's that says in `info["alt"]` what it is.
    """
    shell = get_ipython()
    if shell is None:
        return
    plt.switch_backend(plt.get_backend())  # settles now how figures are shown, which would replace what follows
    formatter = shell.display_formatter.formatters["image/png"]
    formatter.for_type(Image.Image, lambda picture: (picture._repr_png_(), {"alt": picture.info.get("alt", "picture")}))
    with contextlib.suppress(KeyError):  # no inline figures here
        show = formatter.lookup_by_type(Figure)
        if not hasattr(show, "describes"):
            formatter.for_type(Figure, _described(show))


def _described(show: Callable) -> Callable:
    def show_described(figure: Figure):
        png = show(figure)
        return png and (png, {"alt": describe(figure)})

    show_described.describes = True
    return show_described


def _chart(axes: Axes) -> str:
    title, x, y = (_plain(text) for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()))
    about = f"{y} against {x}" if x and y else x or y
    shown = [*_lines(axes), *_bars(axes), *_points(axes), *_pictures(axes)]
    return ": ".join(filter(None, [title, about, "; ".join(shown)]))


def _lines(axes: Axes) -> list[str]:
    lines = [line for line in axes.get_lines() if line.get_visible() and len(line.get_xdata())]
    named = [line for line in lines if not line.get_label().startswith("_")]
    lines = named or lines
    return [_line(line) for line in lines] if len(lines) <= MOST else [f"{len(lines)} lines"]


def _line(line: Line2D) -> str:
    name = _name(line.get_label())
    xs, ys = ([x for x in map(float, data) if math.isfinite(x)] for data in line.get_data(orig=False))
    if not ys:
        return f"{name}no values"
    if len(xs) > 1 and min(xs) == max(xs):
        return f"{name}upright at {_number(xs[0])}"
    if min(ys) == max(ys):
        return f"{name}at {_number(ys[0])}"
    between = min(ys) < min(ys[0], ys[-1]) or max(ys) > max(ys[0], ys[-1])
    extremes = f", between {_number(min(ys))} and {_number(max(ys))}" if between else ""
    return f"{name}from {_number(ys[0])} to {_number(ys[-1])}{extremes}"


def _bars(axes: Axes) -> list[str]:
    told = []
    for bars in axes.containers:
        if not isinstance(bars, BarContainer) or not bars.patches:
            continue
        upright = bars.orientation != "horizontal"
        lengths = [bar.get_height() if upright else bar.get_width() for bar in bars]
        ticks = [_plain(text.get_text()) for text in (axes.get_xticklabels() if upright else axes.get_yticklabels())]
        name = _name(bars.get_label())
        told.append(f"{name}{_count(len(lengths), 'bar')} {_values(lengths, ticks)}")
    return told


def _points(axes: Axes) -> list[str]:
    counts = [(each.get_label(), len(each.get_offsets())) for each in axes.collections if len(each.get_offsets()) > 1]
    if len(counts) > MOST:
        return [f"{sum(count for _, count in counts)} points of {len(counts)} kinds"]
    return [f"{_name(label)}{_count(n, 'point')}" for label, n in counts]


def _pictures(axes: Axes) -> list[str]:
    told = []
    for image in axes.get_images():
        rows, columns = image.get_array().shape[:2]
        low, high = float(image.get_array().min()), float(image.get_array().max())
        told.append(f"picture of {rows} × {columns} values from {_number(low)} to {_number(high)}")
    return told


def _values(numbers: Sequence[float], names: Sequence[str]) -> str:
    if len(numbers) > MOST:
        return f"from {_number(min(numbers))} to {_number(max(numbers))}"
    if len(names) != len(numbers):
        return ", ".join(map(_number, numbers))
    return ", ".join(f"{name} {_number(number)}" for name, number in zip(names, numbers, strict=True))


def _name(label: str) -> str:
    """A label with a space behind it; nothing for those that matplotlib made up."""
    return "" if label.startswith("_") else _plain(label) + " "


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _plain(text: str) -> str:
    """Text without the marks of mathematics, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"[${}\\]", "", text)).strip()
