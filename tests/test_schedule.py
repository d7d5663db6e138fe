"""A warm-up, then a decay: its formula, its ends, its stop and start; AdamW's groups."""

import itertools
import math

import pytest
import torch
from torch import nn

from course_lib.training import GradientStep, MuonAdamW, adamw, train, warm_up_then_decay

PEAKS = [0.5, 0.02]


def optimizer(peaks=PEAKS) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in peaks])


def rates(n_steps: int, **settings) -> list[list[float]]:
    """The learning rates of both groups in each step."""
    descent = optimizer()
    schedule, seen = warm_up_then_decay(descent, n_steps, **settings), []
    for _ in range(n_steps):
        seen.append([group["lr"] for group in descent.param_groups])
        descent.step()
        schedule.step()
    return seen


def by_hand(step: int, n_steps: int, rises: int, decay: str, final: float) -> float:
    """The share of the peak in a step, counted from 0."""
    if step < rises:
        return (step + 1) / rises
    gone = (step - rises) / (n_steps - rises)
    if decay == "linear":
        return 1 - gone * (1 - final)
    return final + (1 - final) * (1 + math.cos(math.pi * gone)) / 2


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    ("n_steps", "warm_up", "rises"), [(40, 0.25, 10), (40, 0.0, 1), (7, 0.3, 2), (10, 0.99, 10), (1, 0.5, 1)]
)
def test_rates_are_the_formula(n_steps, warm_up, rises, decay, final):
    """In every group, from its own peak."""
    for step, found in enumerate(rates(n_steps, warm_up=warm_up, decay=decay, final=final)):
        share = by_hand(step, n_steps, rises, decay, final)
        assert found == pytest.approx([peak * share for peak in PEAKS], abs=1e-12)


def test_unless_told_a_twentieth_rises_and_a_line_falls_to_nothing():
    assert rates(100) == rates(100, warm_up=0.05, decay="linear", final=0.0)
    assert [first for first, _ in rates(100)].index(0.5) == 4


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("final", [0.0, 0.3])
def test_rates_rise_to_the_peak_then_fall_and_end_near_the_final_one(decay, final):
    found = [first for first, _ in rates(60, warm_up=0.2, decay=decay, final=final)]
    assert max(found) == found[11] == found[12] == 0.5  # the last of the rise, the first of the fall
    assert all(a < b for a, b in itertools.pairwise(found[:12]))
    assert all(a > b for a, b in itertools.pairwise(found[12:]))
    step = found[-2] - found[-1]
    assert 0.5 * final < found[-1] < 0.5 * final + 1.5 * step
    assert found[0] > 0  # the first step learns, too


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_steps_beyond_the_end_stay_at_the_final_rate(decay):
    descent = optimizer()
    schedule = warm_up_then_decay(descent, 5, decay=decay, final=0.2)
    for _ in range(9):
        descent.step()
        schedule.step()
    assert descent.param_groups[0]["lr"] == pytest.approx(0.1)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("cut", [1, 4, 11])
def test_a_schedule_goes_on_from_its_state(cut, decay):
    def build():
        descent = optimizer()
        return descent, warm_up_then_decay(descent, 20, 0.3, decay, 0.1)

    def walk(descent, schedule, n):
        for _ in range(n):
            descent.step()
            schedule.step()
        return [group["lr"] for group in descent.param_groups]

    first, schedule = build()
    walk(first, schedule, cut)
    again, resumed = build()
    again.load_state_dict(first.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert walk(again, resumed, 15 - cut) == walk(first, schedule, 15 - cut)


@pytest.mark.parametrize("make", [adamw, lambda model, lr: MuonAdamW(model, model[1], lr)], ids=["AdamW", "Muon"])
def test_a_run_cut_short_ends_as_one_never_stopped(make, tmp_path):
    def update(stop_at=None):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        descent, n_calls = make(model, 0.1), 0

        def loss():
            nonlocal n_calls
            n_calls += 1
            if n_calls - 1 == stop_at:
                raise InterruptedError
            return model(torch.randn(5, 3)).square().mean()

        return GradientStep(model, descent, loss, warm_up_then_decay(descent, 12, 0.3, "cosine"))

    unbroken = update()
    expected = train(unbroken, 12)
    with pytest.raises(InterruptedError):
        train(update(8), 12, checkpoint=tmp_path / "c.pt", checkpoint_every=3)
    resumed = update()
    assert train(resumed, 12, checkpoint=tmp_path / "c.pt", checkpoint_every=3).values == expected.values
    for p, q in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decay": "step"}, "decay 'step': expected 'linear' or 'cosine'"),
        ({"warm_up": 1.0}, "warm_up is 1.0 and final 0.0: expected shares, the first below 1"),
        ({"warm_up": -0.1}, "warm_up is -0.1"),
        ({"warm_up": math.nan}, "warm_up is nan"),
        ({"final": 1.5}, "final 1.5: expected shares"),
        ({"final": -0.5}, "final -0.5"),
        ({"final": math.nan}, "final nan"),
    ],
)
def test_what_is_no_schedule_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        warm_up_then_decay(optimizer(), 10, **settings)


# AdamW


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.inside, self.norm = nn.Embedding(4, 3), nn.Linear(3, 2), nn.LayerNorm(2)
        self.cube = nn.Parameter(torch.randn(2, 2, 2))


@pytest.mark.parametrize("n_steps", [1, 4])
def test_only_what_has_two_axes_or_more_decays(n_steps):
    """By hand (Loshchilov and Hutter 2017, algorithm 2), from gradients at random."""
    torch.manual_seed(0)
    lr, decay, (b1, b2) = 0.05, 0.4, (0.8, 0.95)
    model = Small()
    update = adamw(model, lr, decay, (b1, b2))
    expected = {name: p.detach().double() for name, p in model.named_parameters()}
    m, v = ({name: torch.zeros_like(p) for name, p in expected.items()} for _ in range(2))
    for t in range(1, n_steps + 1):
        for name, p in model.named_parameters():
            p.grad = torch.randn_like(p)
            g = p.grad.double()
            m[name], v[name] = b1 * m[name] + (1 - b1) * g, b2 * v[name] + (1 - b2) * g * g
            shrunk = expected[name] * (1 - lr * decay * (name in ("embedding.weight", "inside.weight", "cube")))
            m_hat, v_hat = m[name] / (1 - b1**t), v[name] / (1 - b2**t)
            expected[name] = shrunk - lr * m_hat / (v_hat.sqrt() + 1e-8)
        update.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach().double(), expected[name], atol=1e-6, rtol=1e-5)


def test_every_parameter_is_in_one_group_and_none_is_empty():
    groups = adamw(Small(), 0.1).param_groups
    assert [len(group["params"]) for group in groups] == [3, 3]
    assert [(group["lr"], group["weight_decay"], group["betas"]) for group in groups] == [
        (0.1, 0.1, (0.9, 0.99)),
        (0.1, 0.0, (0.9, 0.99)),
    ]
    (only,) = adamw(nn.Linear(3, 2, bias=False), 0.1, 0.3).param_groups
    assert only["weight_decay"] == 0.3
    (only,) = adamw(nn.LayerNorm(3), 0.1, 0.3).param_groups
    assert only["weight_decay"] == 0.0


@pytest.mark.parametrize("other", [{"warm_up": 0.2}, {"decay": "cosine"}, {"final": 0.1}, {"n_steps": 30}])
def test_a_step_knows_the_numbers_of_its_schedule(other):
    """A checkpoint of one schedule is not taken for another's: `train` compares the settings."""

    def settings(n_steps=20, **numbers):
        layer = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        return GradientStep(layer, optimizer, None, warm_up_then_decay(optimizer, n_steps, **numbers)).settings

    assert settings() == settings() != settings(**other)
