"""explore(): the figure at its defaults wherever no kernel answers, another one when a control moves."""

import matplotlib.pyplot as plt
import pytest
from ipywidgets import Dropdown, FloatSlider, IntSlider, Text

from course_lib import interactive
from course_lib.interactive import WIDGET, explore

CONTROLS = {"order": (1, 7), "share": (0.0, 1.0, 0.25), "text": "abc", "kind": ["lines", "bars"]}


def draw(order=2, share=0.5, text="abc", kind="bars"):
    """One figure that names its values."""
    plt.figure()
    plt.plot([order, order], label=f"{share} {text} {kind}")
    plt.legend()


class Shown(list):
    """What explore() displayed: (bundle, metadata), updates included."""

    def __call__(self, bundle, raw, metadata=None, display_id=False):
        self.append((bundle, metadata))
        return self

    def update(self, bundle, raw, metadata):
        self(bundle, raw, metadata)


@pytest.fixture
def shown(monkeypatch):
    shown = Shown()
    monkeypatch.setattr(interactive, "display", shown)
    before = len(plt.get_fignums())
    yield shown
    assert len(plt.get_fignums()) == before, "a figure was left open: the notebook would show it twice"


@pytest.fixture
def explored(shown, monkeypatch):
    """A function that calls explore() and returns its controls by name, and what is said below them."""
    boxes, box = [], interactive.ipywidgets.VBox
    monkeypatch.setattr(interactive.ipywidgets, "VBox", lambda children: boxes.append(box(children)) or boxes[-1])

    def explored(*arguments, **controls):
        explore(*arguments, **controls)
        assert shown[-2][0][WIDGET]["model_id"] == boxes[-1].model_id
        *made, said = boxes[-1].children
        return {control.description: control for control in made}, said

    return explored


def test_the_figure_at_the_defaults_of_the_function_is_an_output_of_its_own(shown):
    explore(draw, **CONTROLS)
    (controls, _), (figure, metadata) = shown
    said = "0.5 abc bars at 2."
    assert set(controls) == {WIDGET}
    assert figure["image/png"].startswith("iVBOR") and figure["text/plain"] == said
    assert metadata == {"image/png": {"alt": said}}


def test_each_value_has_a_control_that_starts_at_its_default(explored):
    controls, _ = explored(draw, **CONTROLS)
    kinds = {"order": IntSlider, "share": FloatSlider, "text": Text, "kind": Dropdown}
    assert {name: type(control) for name, control in controls.items()} == kinds
    values = {"order": 2, "share": 0.5, "text": "abc", "kind": "bars"}
    assert {name: control.value for name, control in controls.items()} == values


@pytest.mark.parametrize(
    ("name", "value", "alt"),
    [("order", 7, "at 7."), ("share", 0.25, "0.25 abc"), ("text", "<b>", "<b>"), ("kind", "lines", "lines at 2")],
)
def test_moving_a_control_draws_anew_and_says_so(explored, shown, name, value, alt):
    controls, said = explored(draw, **CONTROLS)
    before = shown[-1][0]["image/png"]
    controls[name].value = value
    figure, metadata = shown[-1]
    assert figure["image/png"] != before and alt in figure["text/plain"]
    assert metadata == {"image/png": {"alt": figure["text/plain"]}}
    assert 'role="status"' in said.value and alt.replace("<", "&lt;").replace(">", "&gt;") in said.value


def test_an_error_at_the_defaults_is_the_cells_and_a_later_one_is_shown_and_passes(explored, shown):
    def inverse(x=0):
        plt.figure()
        plt.plot([1 / x, 1 / x])

    with pytest.raises(ZeroDivisionError):
        explore(inverse, x=(-2, 2))
    assert not shown
    controls, said = explored(lambda x=1: inverse(x), x=(-2, 2))
    controls["x"].value = 0
    assert 'role="alert"' in said.value and "ZeroDivisionError: division by zero" in said.value
    assert shown[-1][0]["text/plain"] == "at 1."
    controls["x"].value = 2
    assert shown[-1][0]["text/plain"] == "at 0.5." and "Error" not in said.value


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


@pytest.mark.slow
def test_in_a_notebook_the_figure_is_stored_and_follows_a_control(run_cells):
    sources = [
        "import matplotlib.pyplot as plt\nfrom course_lib.interactive import explore\nimport ipywidgets\n"
        "slider = ipywidgets.IntSlider(2, 1, 7)\n"
        "def draw(order=2):\n    plt.plot([order, order])\n",
        "explore(draw, order=slider)",
        "slider.value = 5",
    ]
    notebook = run_cells(*sources)
    controls, figure = notebook.cells[1].outputs
    assert set(controls.data) == {WIDGET}
    assert figure.data["text/plain"] == "at 5." and "image/png" in figure.data  # where it stood, it was replaced
