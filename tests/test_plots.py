"""The course's colours can be told apart, and seen, whatever eyes look at them."""

from itertools import combinations

import numpy as np
import pytest

from course_lib.plots import COLORS

# Machado, Oliveira and Fernandes (2009), table 1, severity 1: linear sRGB as it appears without one kind of cone.
VISIONS = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])  # IEC 61966-2-1


def linear(colour: str) -> np.ndarray:
    coded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (1976) of linear sRGB, white D65: a distance of 2 is just visible side by side."""
    ratio = TO_XYZ @ rgb.clip(0, 1) / TO_XYZ.sum(1)
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_colours_differ(vision):
    for one, other in combinations(COLORS, 2):
        distance = np.linalg.norm(lab(VISIONS[vision] @ linear(one)) - lab(VISIONS[vision] @ linear(other)))
        assert distance > 15, (one, other)


@pytest.mark.parametrize("colour", COLORS)
def test_each_colour_stands_out_from_the_ground(colour):
    """WCAG 2.2, 1.4.11: what must be seen to understand a graphic has a contrast of 3 to 1 with its ground."""
    luminance = TO_XYZ[1] @ linear(colour)
    assert 1.05 / (luminance + 0.05) >= 3
