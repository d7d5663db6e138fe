"""Which device a lesson computes on, reproducible random numbers, and one line that describes the machine."""

import platform
import random
import subprocess
import textwrap
import warnings
from pathlib import Path

import numpy as np
import psutil
import torch


def choose(prefer: str = "auto") -> torch.device:
    """The device to compute on. `prefer` is "auto" (cuda, else mps, else cpu) or a device, like "cuda:1".

    A device counts only after a real kernel ran on it: with a driver too old, no memory left, or no kernels
    in this build of PyTorch, it is present and yet of no use. "auto" then says so and goes on without it.
    Raises ValueError for an unknown device, RuntimeError for a named device that does not work here.
    """
    if prefer == "auto":
        device, notices = _auto()
        print(*notices, sep="\n", end="\n" if notices else "")
        return device
    try:
        device = torch.device(prefer)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {prefer!r}: expected 'auto', 'cpu', 'cuda', 'cuda:<number>' or 'mps'")
    if fault := _fault(device):
        raise RuntimeError(f"device {prefer!r} does not work here ({fault}); use 'auto' or 'cpu'")
    return device


def bfloat16_pays(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster on this device: on CUDA from Ampere on, on CPUs with AMX."""
    pays = {"cuda": _cuda_has_bfloat16, "cpu": _cpu_has_amx}
    return device.type in pays and pays[device.type](device)


def autocast(device: torch.device) -> torch.autocast:
    """Where bfloat16 pays, a forward pass within the block has its products in it. Elsewhere nothing changes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16_pays(device))


def image_format(device: torch.device) -> torch.memory_format:
    """The order of images in memory that convolutions like: channels last, but on MPS, where several versions of
    PyTorch then compute wrong gradients of batch normalisation."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch (every device); 0 <= seed < 2**32, else ValueError."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed}: expected a whole number from 0 to 2**32 - 1")
    random.seed(seed)
    np.random.seed(seed)
    # Not `torch.manual_seed`: without CUDA it formats the call stack, up to a millisecond in a notebook, and the
    # training loop seeds every step.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def describe() -> str:
    """One line about this machine: processor, cores, memory, PyTorch's version, the device "auto" chooses."""
    device, _ = _auto()
    name = f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
    memory = psutil.virtual_memory().total / 2**30
    return ", ".join(
        (
            _processor(),
            f"{psutil.cpu_count()} cores",
            f"{memory:.0f} GiB memory",
            f"torch {torch.__version__}",
            f"device {name}",
        )
    )


def _cuda_has_bfloat16(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere; older cards emulate it


def _cpu_has_amx(device: torch.device) -> bool:
    asks = getattr(torch.cpu, "_is_amx_tile_supported", None)  # private: it may go
    return asks is not None and asks()


def _auto() -> tuple[torch.device, list[str]]:
    """The first device that works, and one notice for each that is present but does not."""
    faults = {}
    with warnings.catch_warnings(record=True) as caught:  # a driver too old: PyTorch warns, then answers no
        warnings.simplefilter("always")
        present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if caught:
        faults["cuda"] = _short(caught[0].message)
    chosen = "cpu"
    for kind in (kind for kind in present if present[kind]):
        fault = _fault(torch.device(kind))
        if not fault:
            chosen = kind
            break
        faults[kind] = fault
    notices = [
        f"Notice: {kind} does not work here ({fault}); going on with {chosen}." for kind, fault in faults.items()
    ]
    return torch.device(chosen), notices


def _fault(device: torch.device) -> str:
    """Why a small matrix product fails on `device`; empty where it works."""
    try:
        ones = torch.ones(8, 8, device=device)
        total = (ones @ ones).sum().item()
    except (RuntimeError, AssertionError) as error:  # AssertionError: this build of PyTorch has no CUDA
        return _short(error)
    return "" if total == 8**3 else f"a matrix product gave {total}, expected {8**3}"


def _short(error: object) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" …")


def _processor() -> str:
    """The processor's model name; each system keeps it somewhere else."""
    if platform.system() == "Linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()
