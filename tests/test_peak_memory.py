"""Peak memory against what is known to be held."""

import pytest
import torch

from course_lib.peak_memory import peak_memory

MB = 250_000  # float32 numbers


def test_what_is_held_at_one_time_counts():
    def one_after_the_other():
        for _ in range(5):
            torch.zeros(4 * MB)

    def all_at_once():
        return [torch.zeros(4 * MB) for _ in range(5)]

    assert peak_memory(one_after_the_other) == pytest.approx(4e6, rel=0.01)
    assert peak_memory(all_at_once) == pytest.approx(20e6, rel=0.01)


def test_what_was_there_before_does_not_count():
    kept = torch.zeros(40 * MB)
    assert peak_memory(lambda: kept[:MB] + 1) == pytest.approx(1e6, rel=0.01)
    assert peak_memory(lambda: None) < 1000


def test_a_backward_pass_holds_what_it_needs():
    x = torch.randn(500, 500, requires_grad=True)  # 1 MB; exp keeps its result, the product both factors
    forward = peak_memory(lambda: x.exp().exp().sum())
    assert forward == pytest.approx(2e6, rel=0.05)
    assert peak_memory(lambda: x.exp().exp().sum().backward()) >= 3e6


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="meta"):
        peak_memory(lambda: None, "meta")
