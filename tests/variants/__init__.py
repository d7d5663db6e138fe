"""Problem sets as the tests see them: right answers, classic bugs, and what students may hand in."""

from variants.problem_set import ProblemSet
from variants.registry import Exercise

__all__ = ["Exercise", "ProblemSet"]
