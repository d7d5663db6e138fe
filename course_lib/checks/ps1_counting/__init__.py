"""Checks of problem set 1: counting, smoothing, sampling, and the first gradients."""

from course_lib.checks.ps1_counting.bigram import check_bigram_probabilities
from course_lib.checks.ps1_counting.cross_entropy import check_mean_cross_entropy
from course_lib.checks.ps1_counting.gradient import check_smoothed_gradient
from course_lib.checks.ps1_counting.line_search import check_line_search
from course_lib.checks.ps1_counting.min_p import check_draw_min_p
from course_lib.checks.ps1_counting.mixture import check_mixture_perplexity
from course_lib.checks.ps1_counting.witten_bell import check_witten_bell

__all__ = [  # in the order of the exercises
    "check_bigram_probabilities",
    "check_witten_bell",
    "check_mixture_perplexity",
    "check_draw_min_p",
    "check_mean_cross_entropy",
    "check_smoothed_gradient",
    "check_line_search",
]
