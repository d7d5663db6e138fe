"""Checks of problem set 2: attention, its masks and heads, and four variants of it."""

from course_lib.checks.ps2_attention.attention import check_attention
from course_lib.checks.ps2_attention.linear_attention import check_linear_attention
from course_lib.checks.ps2_attention.masks import check_causal_padding_mask
from course_lib.checks.ps2_attention.multi_head import check_multi_head_attention
from course_lib.checks.ps2_attention.relative_bias import check_relative_bias_attention
from course_lib.checks.ps2_attention.several_sources import check_multi_source_attention
from course_lib.checks.ps2_attention.sliding_window import check_sliding_window_attention

__all__ = [  # in the order of the exercises
    "check_attention",
    "check_causal_padding_mask",
    "check_multi_head_attention",
    "check_sliding_window_attention",
    "check_linear_attention",
    "check_relative_bias_attention",
    "check_multi_source_attention",
]
