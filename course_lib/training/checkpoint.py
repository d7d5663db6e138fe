"""A training run on disk, written whole or not at all, and read back only where it fits."""

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from course_lib.atomic import write_whole


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used."""


def save(path: Path, state: dict) -> None:
    """Write nested dicts and lists of tensors, numbers and strings. The old file stays until the new one is whole."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path, expected: dict) -> dict:
    """Read what `save` wrote, tensors on the CPU; nothing in the file is executed.

    Raises CheckpointError for a file that is damaged or no checkpoint, and where names or shapes differ from those of
    `expected`; OSError where the file cannot be read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(content) as archive:  # PyTorch does not look at the checksums
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
        content.seek(0)
        state = torch.load(content, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # which one depends on where the file is damaged
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{path} is not a whole checkpoint ({reason}): delete it to train from the start, or put back a good copy"
        ) from error
    if found := _mismatch(expected, state):
        raise CheckpointError(
            f"{path} does not fit this model and optimiser ({found}): build them as they were when it was written, "
            "or name another file"
        )
    return state


def _mismatch(expected, found, where: str = "") -> str:
    """Where two nests of dicts and lists first differ in a name or in the shape of a tensor; empty: it fits."""
    if isinstance(expected, Tensor):
        if not isinstance(found, Tensor):
            return f"{where} is missing"
        here, there = tuple(expected.shape), tuple(found.shape)
        return f"{where} has shape {here} here and {there} in the file" if here != there else ""
    if isinstance(expected, list):
        expected, found = dict(enumerate(expected)), dict(enumerate(found)) if isinstance(found, list) else None
    if not isinstance(expected, dict):
        return ""
    if not isinstance(found, dict):
        return f"{where or 'what training keeps'} is missing"
    if not expected or not found and where.endswith(".state"):  # an optimiser before its first step
        return ""
    for name in expected | found:
        place = f"{where}.{name}".lstrip(".")
        if name not in expected:
            return f"{place} is in the file and not here"
        if difference := f"{place} is missing" if name not in found else _mismatch(expected[name], found[name], place):
            return difference
    return ""
