"""The live curve draws what the history holds, and grows in one place."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib import live_curve
from course_lib.live_curve import LiveCurve
from course_lib.training import History, train

HISTORY = History(
    {"loss": [float(x) for x in np.random.default_rng(0).random(50)]},
    [{"step": s, "seconds": s / 10, "validation": 4.0 - s / 50, "train": 3.0 - s / 50} for s in (0, 20, 40, 50)],
    5.0,
)


@pytest.fixture(autouse=True)
def no_window(monkeypatch):
    matplotlib.use("agg")
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What a notebook is told: ("display" or "update", figure)."""
    seen = []

    class Handle:
        def update(self, figure):
            seen.append(("update", figure))

    def display(figure, display_id):
        assert display_id is True
        seen.append(("display", figure))
        return Handle()

    monkeypatch.setattr(live_curve, "display", display)
    return seen


def drawn(figure) -> dict[str, tuple[list[float], list[float]]]:
    (axes,) = figure.axes
    return {line.get_label(): tuple(map(list, line.get_data())) for line in axes.lines}


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_value_without_bounds_stops_no_training(value):
    evaluations = [*HISTORY.evaluations[:-1], HISTORY.evaluations[-1] | {"validation": value}]
    figure = LiveCurve({"n-gram": 1.5}).draw(History(HISTORY.values, evaluations, 5.0))
    assert all(map(math.isfinite, figure.axes[0].get_ylim()))


def test_it_draws_losses_evaluations_and_levels():
    figure = LiveCurve({"n-gram": 1.5, "chance": 4.2}, unit="bits").draw(HISTORY)
    lines = drawn(figure)
    assert list(lines) == ["training, mean of 20 steps", "validation", "train", "n-gram", "chance"]
    steps, losses = lines["training, mean of 20 steps"]
    assert steps == list(range(1, 51))
    assert losses == pytest.approx([np.mean(HISTORY.values["loss"][max(0, i - 20) : i]) for i in steps])
    for name in ("validation", "train"):
        assert lines[name] == ([0, 20, 40, 50], HISTORY.evaluated(name))
    assert (lines["n-gram"][1], lines["chance"][1]) == ([1.5, 1.5], [4.2, 4.2])
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "bits")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)


def test_levels_are_told_apart():
    curve = LiveCurve({str(i): float(i) for i in range(4)})
    (axes,) = curve.draw(HISTORY).axes
    levels = [line for line in axes.lines if line.get_label().isdigit()]
    assert len({line._dash_pattern[1] and tuple(line._dash_pattern[1]) for line in levels}) == 4


def test_before_the_first_step_there_are_no_losses():
    figure = LiveCurve().draw(History({}, [{"step": 0, "seconds": 0.0, "validation": 4.0}]))
    assert drawn(figure) == {"validation": ([0], [4.0])}


def test_one_picture_grows_and_none_stays_open(shown):
    curve, history = LiveCurve(), History({"loss": []}, [])
    for n in range(3):
        history.values["loss"] += [1.0, 2.0]
        history.evaluations.append({"step": 2 * (n + 1), "seconds": 0.0, "validation": 1.0})
        curve(history)
    assert [how for how, _ in shown] == ["display", "update", "update"]
    assert [len(drawn(figure)["validation"][0]) for _, figure in shown] == [1, 2, 3]
    assert plt.get_fignums() == []


def test_training_shows_it_after_each_evaluation(shown):
    class Update:
        settings = ""

        def __call__(self):
            return {"loss": torch.ones(())}

        def state_dict(self):
            return {}

    train(Update(), 5, evaluate=lambda: {"validation": 2.0}, evaluate_every=2, watch=LiveCurve())
    assert [drawn(figure)["validation"][0] for _, figure in shown] == [[0], [0, 2], [0, 2, 4], [0, 2, 4, 5]]


def test_the_steep_beginning_does_not_press_the_rest_together():
    """Levels and all looks but the first are in sight; the first losses are not."""
    losses = [100.0] * 5 + [2 - i / 1000 for i in range(995)]
    looks = [{"step": s, "seconds": s, "validation": v} for s, v in ((0, 100.0), (500, 1.9), (1000, 1.1))]
    (axes,) = LiveCurve({"n-gram": 2.4}).draw(History({"loss": losses}, looks, 1.0)).axes
    low, high = axes.get_ylim()
    assert 0.9 < low < 1.005 and 2.4 < high < 2.6


@pytest.mark.parametrize(("last", "scale"), [(0.2, "log"), (1.1, "linear"), (0.0, "linear"), (math.nan, "linear")])
def test_values_far_apart_get_a_logarithmic_axis(last, scale):
    evaluations = [{"step": s, "seconds": 0.0, "distance": d} for s, d in ((0, 100.0), (10, 5.0), (20, last))]
    assert LiveCurve({"floor": 0.1}).draw(History({}, evaluations, 1.0)).axes[0].get_yscale() == scale
