"""A figure to play with: sliders above it in JupyterLab, and the figure alone wherever no kernel answers."""

import base64
import html
import inspect
import io
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display

from course_lib.alt_text import describe

WIDGET = "application/vnd.jupyter.widget-view+json"
HEARD_ONLY = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)"


def explore(draw: Callable[..., None], **controls) -> None:
    """Show the figure that `draw(**values)` draws with pyplot, and above it a control for each of its values.

    draw:     draws one figure; the defaults in its signature are the values shown first.
    controls: what each value may be, in ipywidgets' short forms: (1, 7) or (0.1, 2.0, 0.1) make a slider, a list of
              options a menu, a text a box to type in (read at Enter), or give a widget. Tab and the arrow keys work,
              and who cannot see the figure hears its new description.

    The figure is an output of its own: it stays where no kernel answers, in a stored notebook, an export, papermill.
    An error at the defaults stops the cell, as any error does; one at other values is shown above the figure.
    Raises ValueError if `draw` draws nothing, or not one figure.
    """
    defaults = inspect.signature(draw).parameters
    made = {name: _control(name, control, defaults[name].default) for name, control in controls.items()}
    said = ipywidgets.HTML()
    png, alt = _drawn(draw, {name: control.value for name, control in made.items()})
    box = ipywidgets.VBox([*made.values(), said])
    # No text beside the view: it would be an output to compare, and to read, where there are no widgets.
    display({WIDGET: {"model_id": box.model_id, "version_major": 2, "version_minor": 0}}, raw=True)
    figure = display(_bundle(png, alt), raw=True, metadata=_metadata(alt), display_id=True)

    def redraw(_=None) -> None:
        try:
            png, alt = _drawn(draw, {name: control.value for name, control in made.items()})
        except Exception as error:
            said.value = f'<b role="alert">{html.escape(f"{type(error).__name__}: {error}")}</b>'
        else:
            said.value = f'<span role="status" style="{HEARD_ONLY}">{html.escape(alt)}</span>'
            figure.update(_bundle(png, alt), raw=True, metadata=_metadata(alt))

    for control in made.values():
        control.observe(redraw, "value")


def _bundle(png: str, alt: str) -> dict[str, str]:
    return {"image/png": png, "text/plain": alt}


def _metadata(alt: str) -> dict:
    return {"image/png": {"alt": alt}}


def _control(name: str, control, default) -> ipywidgets.Widget:
    widget = ipywidgets.interactive.widget_from_abbrev(control, default)
    if widget is None:
        raise ValueError(f"{name}={control!r}: expected a range like (1, 7), a list of options, a text, or a widget")
    widget.description = name.replace("_", " ")
    widget.style.description_width = "initial"
    widget.layout.width = "min(36em, 95%)"
    if isinstance(widget, ipywidgets.Text):
        widget.continuous_update = False
    return widget


def _drawn(draw: Callable[..., None], values: dict) -> tuple[str, str]:
    """The figure as PNG (base64), and its description."""
    before = set(plt.get_fignums())
    try:
        draw(**values)
        new = set(plt.get_fignums()) - before
        if len(new) != 1:
            raise ValueError(f"{draw.__name__} drew {len(new)} figures: expected one, by plt.subplots or plt.figure")
        figure, buffer = plt.figure(*new), io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        return base64.b64encode(buffer.getvalue()).decode(), describe(figure)
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
