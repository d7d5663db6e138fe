"""The most memory that a computation holds at one time."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or the profiler writes its own progress among a lesson's outputs


def peak_memory(call: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Bytes that PyTorch holds for tensors at the highest point of call(), beyond what it held before.

    On the CPU PyTorch's profiler notes each allocation; a CUDA device keeps count itself. Raises ValueError for other
    devices.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    if kind != "cpu":
        raise ValueError(f"device is {device}: peak memory is measured on cpu and cuda")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as noted:
        marker = torch.empty(1)  # tells what was held before
        call()
        del marker
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        noted.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    held = [event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]"]
    return max(held) - held[0]
