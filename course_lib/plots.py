"""The look of the course's figures: readable on light and on dark pages, and safe for colour-blind readers."""

import matplotlib.pyplot as plt

from course_lib.alt_text import add_alt_texts

# Distinct under every common form of colour blindness, and each at least three times as dark as the white ground: those of
# Okabe and Ito (2008), whose orange and sky blue are too pale for a thin line and gave way. Markers differ, too.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8329E8", "#6B2305", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def use_style() -> None:
    """Set the style of all figures drawn from here on, and let each carry a description of itself.

    The ground is opaque, so that a dark page cannot hide a line.
    """
    add_alt_texts()
    plt.rcParams.update(
        {
            "figure.figsize": (7.5, 4),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": plt.cycler(color=COLORS, marker=MARKERS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#dddddd",
            "lines.markersize": 5,
            "legend.frameon": False,
            "font.size": 10,
        }
    )
