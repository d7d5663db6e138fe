"""Checks of problem set 3: a language model's loss, training step, sampling, schedule and cache."""

from course_lib.checks.ps3_language_model.accumulation import check_accumulated_gradient
from course_lib.checks.ps3_language_model.causal_loss import check_causal_loss
from course_lib.checks.ps3_language_model.next_token import check_next_token
from course_lib.checks.ps3_language_model.rolling_cache import check_rolling_attention
from course_lib.checks.ps3_language_model.schedule import check_wsd_rate
from course_lib.checks.ps3_language_model.training_step import check_training_step
from course_lib.checks.ps3_language_model.typical import check_typical_probabilities

__all__ = [  # in the order of the exercises
    "check_causal_loss",
    "check_next_token",
    "check_training_step",
    "check_typical_probabilities",
    "check_accumulated_gradient",
    "check_wsd_rate",
    "check_rolling_attention",
]
