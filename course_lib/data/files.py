"""One file at a time: read, check and decode it, and say clearly what is wrong with it."""

import hashlib
from pathlib import Path


class DataError(Exception):
    """Data that cannot be used. The message names the value, what was expected and what to do."""


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; DataError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}. Check the path and your rights to it.") from error


def sha256(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def check(content: bytes, expected: str, what: str, remedy: str) -> None:
    """DataError, with the remedy, unless the SHA-256 of `content` is the expected one."""
    if sha256(content) != expected:
        raise DataError(
            f"{what} is truncated or altered: {len(content):,} bytes with sha256 {sha256(content)[:12]}…, "
            f"expected {expected[:12]}…. {remedy}"
        )


def decode(content: bytes, what: str) -> str:
    """UTF-8 bytes as text with `\\n` line ends and no byte order mark; DataError if they are not UTF-8."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{what} is not UTF-8 text: byte {error.start} is 0x{content[error.start]:02x}. "
            "Open it in an editor and save it again with the encoding UTF-8."
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
