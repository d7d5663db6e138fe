"""N-gram language models: counting, smoothing, the model."""

from course_lib.ngram.counts import Counts, count_ngrams
from course_lib.ngram.held_out import fit_interpolation
from course_lib.ngram.model import NGram
from course_lib.ngram.smoothing import (
    absolute_discounting,
    additive,
    discounting,
    interpolation,
    kneser_ney,
    maximum_likelihood,
    modified_kneser_ney,
)

__all__ = [
    "Counts",
    "NGram",
    "absolute_discounting",
    "additive",
    "count_ngrams",
    "discounting",
    "fit_interpolation",
    "interpolation",
    "kneser_ney",
    "maximum_likelihood",
    "modified_kneser_ney",
]
