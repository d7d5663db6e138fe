"""What a run was made by: versions, machine, code; and whether two machines run the same."""

import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import course_lib

NOT_WHAT_RUNS = ("batch", "grading", "checks", "cli.py")  # of course_lib: no notebook's results depend on them


@functools.cache
def provenance() -> dict[str, str]:
    """Versions of Python, PyTorch and the course, and the machine."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "course_lib": version("large-models-from-first-principles"),
        "machine": _asked_torch()["machine"],
    }


def gpus() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES knows each CUDA device that kernels would see; [""] for Apple's one."""
    return _asked_torch()["gpus"]


@functools.cache
def library_digest() -> str:
    """A digest of the code of course_lib that notebooks may run."""
    digest = hashlib.sha256()
    root = Path(course_lib.__file__).parent
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if relative.parts[0] not in NOT_WHAT_RUNS:
            digest.update(relative.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """What must be the same wherever the runs of one sweep are made."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": version("torch").partition("+")[0],  # builds for CPU and for CUDA may mix
        "papermill": version("papermill"),
        "course_lib": library_digest()[:12],
    }


def mismatch(mine: dict[str, str], theirs: dict[str, str]) -> str:
    """What differs, for a message; empty where nothing does."""
    return ", ".join(f"{name} {theirs[name]} instead of {mine[name]}" for name in mine if theirs[name] != mine[name])


def to_workers() -> dict[str, str]:
    """An environment that tells worker processes on this machine what it is: asking takes each of them seconds."""
    return {"COURSE_MACHINE": json.dumps(_asked_torch())}


@functools.cache
def _asked_torch() -> dict:
    if "COURSE_MACHINE" in os.environ:
        return json.loads(os.environ["COURSE_MACHINE"])
    # In a process of its own: a run must not hold a GPU's memory beside its kernels.
    script = """
import json, os, torch
from course_lib.device import describe
here = [d for d in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if d]
gpus = [here[i] if here else str(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"machine": describe(), "gpus": gpus or [""] * torch.backends.mps.is_available()}))
"""
    asked = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(asked[-1]) if asked else {"machine": "unknown", "gpus": []}
