"""Checks of exercises: the smallest case first, and a failure that names the likely mistake."""

from course_lib.checks.case import Case, CheckFailed

__all__ = ["Case", "CheckFailed"]
