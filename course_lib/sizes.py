"""One check for all sizes."""

from numbers import Integral


def require_sizes(**sizes: int) -> None:
    """Raise ValueError for the first size that is not a whole number of 1 or more."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(f"{name} is {size!r}: expected a whole number, 1 or more")
