"""explore(): the figure at its defaults wherever no kernel answers, another one when a control moves."""

import matplotlib.pyplot as plt
import pytest
from ipywidgets import HTML, Dropdown, FloatSlider, IntSlider, Text

from course_lib import interactive
from course_lib.interactive import WIDGET, explore


@pytest.fixture
def shown(monkeypatch):
    """What explore() showed: a list of (bundle, metadata)."""
    bundles = []
    monkeypatch.setattr(interactive, "display", lambda bundle, raw, metadata: bundles.append((bundle, metadata)))
    before = len(plt.get_fignums())
    yield bundles
    assert len(plt.get_fignums()) == before, "a figure was left open: the notebook would show it twice"


def draw(order=2, share=0.5, text="abc", kind="bars"):
    """One figure that names its values."""
    plt.figure()
    plt.plot([order, order], label=f"{share} {text} {kind}")
    plt.legend()


CONTROLS = {"order": (1, 7), "share": (0.0, 1.0, 0.25), "text": "abc", "kind": ["lines", "bars"]}


@pytest.fixture
def explored(shown, monkeypatch):
    """A function that calls explore() and returns its controls by name, and the picture below them."""
    boxes, box = [], interactive.ipywidgets.VBox
    monkeypatch.setattr(interactive.ipywidgets, "VBox", lambda children: boxes.append(box(children)) or boxes[-1])

    def explored(*arguments, **controls):
        explore(*arguments, **controls)
        assert shown[-1][0][WIDGET]["model_id"] == boxes[-1].model_id
        *made, picture = boxes[-1].children
        return {control.description: control for control in made}, picture

    return explored


def test_without_a_kernel_the_figure_at_the_defaults_of_the_function_remains(shown):
    explore(draw, **CONTROLS)
    ((bundle, metadata),) = shown
    said = "0.5 abc bars at 2."
    assert bundle["image/png"].startswith("iVBOR") and bundle["text/plain"] == said
    assert metadata == {"image/png": {"alt": said}}


def test_each_value_has_a_control_that_starts_at_its_default(explored):
    controls, picture = explored(draw, **CONTROLS)
    kinds = {"order": IntSlider, "share": FloatSlider, "text": Text, "kind": Dropdown}
    assert {name: type(control) for name, control in controls.items()} == kinds
    assert {name: control.value for name, control in controls.items()} == {
        "order": 2,
        "share": 0.5,
        "text": "abc",
        "kind": "bars",
    }
    assert isinstance(picture, HTML) and 'alt="0.5 abc bars at 2."' in picture.value


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("order", 7, "at 7."), ("share", 0.25, "0.25 abc"), ("text", "<b>", "&lt;b&gt;"), ("kind", "lines", "lines at 2")],
)
def test_moving_a_control_draws_anew(explored, name, value, said):
    controls, picture = explored(draw, **CONTROLS)
    before = picture.value
    controls[name].value = value
    assert picture.value != before and said in picture.value


def test_an_error_at_the_defaults_is_the_cells_and_a_later_one_is_shown_and_passes(explored, shown):
    def inverse(x=0):
        plt.figure()
        plt.plot([1 / x, 1 / x])

    with pytest.raises(ZeroDivisionError):
        explore(inverse, x=(-2, 2))
    assert not shown
    controls, picture = explored(lambda x=1: inverse(x), x=(-2, 2))
    controls["x"].value = 0
    assert "ZeroDivisionError: division by zero" in picture.value and "<img" not in picture.value
    controls["x"].value = 2
    assert "at 0.5." in picture.value and "Error" not in picture.value


def test_what_draws_no_figure_or_two_or_has_no_control_is_refused(shown):
    def two(x=1):
        plt.figure()
        plt.figure()

    with pytest.raises(ValueError, match="drew 0 figures"):
        explore(lambda x=1: None, x=(1, 2))
    with pytest.raises(ValueError, match="two drew 2 figures"):
        explore(two, x=(1, 2))
    with pytest.raises(ValueError, match="x=None: expected a range"):
        explore(two, x=None)
