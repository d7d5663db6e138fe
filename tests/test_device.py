"""course_lib.device: a device is chosen only if it computes, seeds repeat, the machine is one line."""

import random
import warnings

import numpy as np
import psutil
import pytest
import torch

from course_lib import device

NO_GPU = not torch.cuda.is_available()


def test_auto_gives_a_device_that_computes():
    chosen = device.choose()
    assert (torch.ones(3, device=chosen) * 2).sum().item() == 6
    assert chosen.type == "cuda" or NO_GPU


def test_cpu_is_always_there():
    assert device.choose("cpu") == torch.device("cpu")


@pytest.mark.skipif(not NO_GPU, reason="needs a machine where CUDA does not work")
def test_a_gpu_that_is_present_but_broken_is_passed_over_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.choose() == torch.device("cpu")
    assert capsys.readouterr().out.startswith("Notice: cuda does not work here (")


def test_a_driver_too_old_is_one_line_not_a_warning(monkeypatch, capsys):
    def too_old():
        warnings.warn("The NVIDIA driver on your system is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert device.choose() == torch.device("cpu")
    out = capsys.readouterr().out
    assert "driver on your system is too old" in out and out.count("\n") == 1


def test_the_cpu_alone_needs_no_notice(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.choose() == torch.device("cpu")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:x", ""])
def test_unknown_device(name):
    with pytest.raises(ValueError, match=f"device '{name}': expected 'auto', 'cpu'"):
        device.choose(name)


def test_named_device_that_does_not_work():
    with pytest.raises(RuntimeError, match="device 'cuda:99' does not work here .*; use 'auto' or 'cpu'"):
        device.choose("cuda:99")


def test_seeds_repeat_and_differ():
    def draw(seed):
        device.seed_everything(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()

    first, again, other = draw(1), draw(1), draw(2)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=f"seed {seed}: expected"):
        device.seed_everything(seed)


@pytest.mark.parametrize("amx", [False, True])
def test_a_cpu_has_its_products_in_bfloat16_where_that_is_faster(amx, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    a = torch.full((4, 4), 1.001)
    with device.autocast(torch.device("cpu")):
        inside = a @ a
    assert inside.dtype == (torch.bfloat16 if amx else torch.float32)
    assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize(("kind", "modern", "expected"), [("cuda", True, True), ("cuda", False, False),
                                                          ("mps", True, False)])  # fmt: skip
def test_a_gpu_has_its_products_in_bfloat16_where_it_can(kind, modern, expected, monkeypatch):
    """Emulated on a card before Ampere, it would be slower. Of several cards, the one in use decides."""

    def capability(of):
        return (8, 0) if modern == (of.index == 1) else (7, 5)

    asked = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(torch, "autocast", lambda *args, enabled: asked.append((*args, enabled)))
    device.autocast(torch.device(kind, 1))
    assert asked == [(kind, torch.bfloat16, expected)]


def test_describe_is_one_line_about_this_machine():
    line = device.describe()
    assert "\n" not in line
    assert f"{psutil.cpu_count()} cores" in line and f"torch {torch.__version__}" in line
    assert f"device {device.choose().type}" in line
