"""A figure's description says what can be read off the figure."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_lib.alt_text import MOST, describe


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_lines_by_name_from_where_to_where():
    _, axes = plt.subplots()
    axes.plot([0, 10, 20], [3, 1, 2], label="$d_k$ = 4")
    axes.axhline(2.5, label="guessing")
    axes.axvline(4608, label="the limit")
    axes.plot([0, 20], [7, 8])  # without a name, beside others that have one: a helping line
    axes.set(title="Training", xlabel="step", ylabel="loss")
    said = describe(axes.figure)
    lines = "d_k = 4 from 3 to 2, between 1 and 3; guessing at 2.5; the limit upright at 4,608."
    assert said == f"Training: loss against step: {lines}"


def test_lines_that_have_no_name_or_no_numbers():
    _, axes = plt.subplots()
    axes.plot([1, 2, 3])
    axes.plot([np.nan, np.nan], label="_hidden")
    assert describe(axes.figure) == "from 1 to 3; no values."


def test_bars_with_the_names_of_their_ticks_upright_or_not():
    _, (upright, lying) = plt.subplots(1, 2)
    upright.bar(["a", "b"], [0.25, 0.75], label="share")
    lying.barh(["c", "d"], [1, 2])
    assert describe(upright.figure) == "2 charts. share 2 bars a 0.25, b 0.75. 2 bars c 1, d 2."


def test_many_things_are_counted_not_listed():
    figure, axes = plt.subplots(1, MOST + 2)
    axes[0].bar(range(20), range(20))
    for i in range(MOST + 1):
        axes[1].plot([i, i])
    said = describe(figure)
    assert said.startswith(f"{MOST + 2} charts. 20 bars from 0 to 19. {MOST + 1} lines") and said.endswith(
        "and 2 more."
    )


def test_pictures_points_and_no_colour_bars():
    figure, (left, right) = plt.subplots(1, 2)
    figure.colorbar(left.imshow(np.arange(6).reshape(2, 3)), label="weight")
    right.scatter([1, 2, 3], [1, 2, 3], label="test images")
    assert describe(figure) == "2 charts. picture of 2 × 3 values from 0 to 5. test images 3 points."


@pytest.mark.slow
def test_every_figure_of_a_notebook_carries_its_description(run_cells):
    sources = [
        "import matplotlib.pyplot as plt\nfrom course_lib import plots\nplots.use_style()\nplots.use_style()",
        "plt.plot([3, 4], label='a')\nplt.show()",
        "plt.plot([5, 6], label='b');",
        "import torch\nfrom course_lib.contact_sheet import contact_sheet",
        "contact_sheet(torch.zeros(6, 1, 4, 5), columns=3)",
    ]
    notebook = run_cells(*sources)
    pictures = [o for cell in notebook.cells for o in cell.outputs if "image/png" in o.get("data", {})]
    assert [picture.metadata["image/png"]["alt"] for picture in pictures] == [
        "a from 3 to 4.",
        "b from 5 to 6.",
        "6 images of 4 × 5 pixels, 3 in a row",
    ]
