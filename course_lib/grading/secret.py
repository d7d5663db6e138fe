"""The secret of a class: hidden tests draw their inputs from it, so that no answer can be written down beforehand.

The secret stays in the class folder. From it each test gets one number, which is in the kernel's environment only
while that test runs.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from course_lib.atomic import write_whole

VARIABLE = "COURSE_CLASS_SEED"
DEFAULT = 0  # where no class is graded: the author tries the source notebook, or nbgrader validates it


def class_seed() -> int:
    """The seed (0 to 2**32 − 1) from which a hidden test draws its inputs; the same for everybody in a class.

    Called inside a hidden test: `rng = np.random.default_rng(class_seed())`. Outside of grading it is 0.
    """
    return int(os.environ.get(VARIABLE, DEFAULT))


def class_secret(folder: Path) -> bytes:
    """The secret of the class in `folder`, made at the first call."""
    path = folder / "secret"
    if not path.exists():
        write_whole(path, secrets.token_hex(32).encode())
        path.chmod(0o600)
    return path.read_bytes()


def test_seed(secret: bytes, notebook: str, test: str) -> int:
    """The seed of one test cell: it says nothing about the others' or about the secret."""
    digest = hmac.new(secret, f"{notebook}/{test}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:4], "big")


test_seed.__test__ = False  # pytest would take it for a test
