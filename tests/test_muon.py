"""Muon against its formula by singular values and against PyTorch's; Muon and AdamW as one optimiser, against the
two run by hand, to the last bit."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from course_lib import device
from course_lib.batches import Blocks
from course_lib.neural import LSTM, MLP, RecurrentLanguageModel
from course_lib.training import GradientStep, checkpoint, train
from course_lib.training.muon import Muon, MuonAdamW, orthogonalised

DEVICES = sorted({"cpu", device.choose().type})
IDS = np.random.default_rng(0).integers(0, 5, 80)
N = 12  # steps


class Normalised(nn.Module):
    """Two matrices of one shape, a normalisation and a table of three dimensions inside; an output without a bias."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.inside, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.cube = nn.Parameter(torch.randn(2, 8, 8))
        self.output = nn.Linear(8, 5, bias=False)

    def loss(self, ids, targets):
        h = self.norm(self.second(self.inside(self.embedding(ids)))) @ self.cube[0] + self.embedding(ids) @ self.cube[1]
        return nn.functional.cross_entropy(self.output(h).flatten(0, 1), targets.flatten())


class Tied(Normalised):
    """The embedding is the output layer too (Press and Wolf 2017)."""

    def __init__(self):
        super().__init__()
        self.output.weight = self.embedding.weight


MODELS = {  # and which of their parameters are matrices inside
    "mlp": (lambda: MLP(5, 2, 3, 8), ["hidden.weight"]),
    "lstm": (lambda: RecurrentLanguageModel(5, LSTM(3, 8)), ["layer.weight_ih_l0", "layer.weight_hh_l0"]),
    "normalised": (Normalised, ["inside.weight", "second.weight"]),
    "tied": (Tied, ["inside.weight", "second.weight"]),
}
ONE_CYCLE = {"total_steps": 30, "cycle_momentum": False}
SCHEDULES = {
    "none": lambda optimizer, lrs: None,
    "warm-up": lambda optimizer, lrs: lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 5)),
    "one cycle": lambda optimizer, lrs: lr_scheduler.OneCycleLR(optimizer, lrs, **ONE_CYCLE),
}


def build(name: str, where: str = "cpu") -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name][0]().to(where)


def batch(step: int, where: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(step)
    return Blocks(IDS, 6, 4, where)()


def step_once(model, step: int, optimizers, schedules=()) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    model.loss(*batch(step, next(model.parameters()).device.type)).backward()
    for part in [*optimizers, *schedules]:
        part.step()


def by_hand(model, name: str, lr: float = 0.02, adamw_lr: float = 0.003, momentum: float = 0.95):
    """The two, with what the docstring says of each."""
    inside = [p for label, p in model.named_parameters() if label in MODELS[name][1]]
    rest = [p for label, p in model.named_parameters() if label not in MODELS[name][1]]
    assert len(inside) == len(MODELS[name][1])
    return (
        Muon(inside, lr=lr, momentum=momentum),
        torch.optim.AdamW(rest, lr=adamw_lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
    )


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def rates(optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


# Muon

SHAPES = [(4, 4), (3, 10), (10, 3), (1, 6), (6, 1), (1, 1)]


def exact(where: str) -> torch.dtype:
    return torch.float32 if where == "mps" else torch.float64


def by_singular_values(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Newton–Schulz leaves U and V as they are, and takes each singular value through a polynomial of its own."""
    U, s, Vh = torch.linalg.svd(matrix.cpu().double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(rounds):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    return U @ s.diag() @ Vh


def close(a, b, where: str = "cpu"):
    torch.testing.assert_close(a.detach().cpu().double(), b.detach().cpu().double(), rtol=0,
                               atol=1e-3 if where == "mps" else 1e-9)  # fmt: skip


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("rounds", [0, 1, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matrices_are_made_orthogonal_by_the_formula(shape, rounds, where):
    """Each of a batch for itself, whatever its length."""
    torch.manual_seed(0)
    lengths = torch.tensor([1.0, 1e-3, 50.0])[:, None, None]
    matrices = (torch.randn(3, *shape, dtype=torch.float64) * lengths).to(where, exact(where))
    found = orthogonalised(matrices, rounds)
    for one, matrix in zip(found, matrices, strict=True):
        close(one, by_singular_values(matrix, rounds), where)


def test_five_rounds_bring_singular_values_near_1():
    torch.manual_seed(0)
    matrices = torch.randn(20, 6, 18)
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert 0.6 < values.min() and values.max() < 1.3
    assert torch.equal(orthogonalised(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


@pytest.mark.parametrize("amx", [False, True])
def test_float32_is_iterated_in_bfloat16_where_that_pays(amx, monkeypatch):
    torch.manual_seed(0)
    matrices = torch.randn(20, 6, 18)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    found = orthogonalised(matrices)
    assert found.dtype == torch.float32
    errors = [(a.double() - by_singular_values(m)).norm() for a, m in zip(found, matrices, strict=True)]
    assert 1e-3 < max(errors) < 0.2 if amx else max(errors) < 1e-4  # of matrices of length √6 or so
    assert torch.equal(found, found.bfloat16().float()) == amx


def moved(make, shapes, n_steps: int, where: str, dtype: torch.dtype) -> list[nn.Parameter]:
    """Parameters that started at 0, after steps with gradients at random."""
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(shape, dtype=dtype, device=where)) for shape in shapes]
    optimizer = make(parameters)
    for _ in range(n_steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(where, dtype)
        optimizer.step()
    return parameters


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize(("lr", "momentum"), [(0.02, 0.95), (0.5, 0.6), (0.1, 0.0)])
def test_steps_are_nesterovs_momentum_made_orthogonal(lr, momentum, where):
    """m ← μ m + (1 − μ) g; step = μ m + (1 − μ) g once more, made orthogonal, times lr √max(1, rows / columns). With
    several matrices of one shape, which are moved at once."""
    shapes = [*SHAPES, (3, 10), (10, 3), (3, 10)]
    parameters = moved(lambda p: Muon(p, lr, momentum), shapes, 4, where, exact(where))
    generator = torch.Generator().manual_seed(0)
    places, averages = ([torch.zeros(shape, dtype=torch.float64) for shape in shapes] for _ in range(2))
    for _ in range(4):
        for i, (m, n) in enumerate(shapes):
            gradient = torch.randn(m, n, generator=generator, dtype=torch.float64)
            averages[i] = momentum * averages[i] + (1 - momentum) * gradient
            ahead = momentum * averages[i] + (1 - momentum) * gradient
            places[i] = places[i] - lr * max(1, m / n) ** 0.5 * by_singular_values(ahead)
    for parameter, place in zip(parameters, places, strict=True):
        close(parameter, place, where)


@pytest.mark.parametrize("where", DEVICES)
def test_it_is_pytorchs_muon_but_for_half_precision(where):
    """PyTorch's iterates in bfloat16, with 8 bits: the ways moved differ by some per cent."""
    makes = [Muon, lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.0)]
    own, theirs = (moved(make, [(8, 8), (4, 12), (12, 4)], 5, where, torch.float32) for make in makes)
    for p, q in zip(own, theirs, strict=True):
        assert (p - q).norm() < 0.05 * q.norm()


@pytest.mark.parametrize("where", DEVICES)
def test_weights_shrink_before_each_step(where):
    """By lr · weight_decay of themselves, each matrix the same; as in PyTorch's Muon, but for half precision."""
    shapes, lr, decay = [(8, 8), (4, 12), (12, 4), (8, 8)], 0.1, 0.5
    start = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i, shape in enumerate(shapes)]

    def walk(make, n_steps):
        parameters = [nn.Parameter(matrix.to(where, copy=True)) for matrix in start]
        optimizer, generator = make(parameters), torch.Generator().manual_seed(7)
        for _ in range(n_steps):
            for p in parameters:
                p.grad = torch.randn(p.shape, generator=generator).to(where)
            optimizer.step()
        return [p.detach().cpu() for p in parameters]

    plain, shrunk = (walk(lambda p, wd=wd: Muon(p, lr, weight_decay=wd), 1) for wd in (0.0, decay))
    for p, q, matrix in zip(plain, shrunk, start, strict=True):
        torch.testing.assert_close(q, p - lr * decay * matrix, atol=1e-5, rtol=0)
    own = walk(lambda p: Muon(p, lr, weight_decay=decay), 5)
    for p, q in zip(own, walk(lambda p: torch.optim.Muon(p, lr=lr, weight_decay=decay), 5), strict=True):
        assert (p - q).norm() < 0.05 * q.norm()


def test_weight_decay_is_of_the_matrices_inside_alone():
    """Where nothing pulls, they shrink by lr · weight_decay a step; the rest stays."""
    model = build("normalised")
    optimizer = MuonAdamW(model, model.output, lr=0.2, adamw_lr=0.1, weight_decay=0.5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    for _ in range(2):
        optimizer.step()
    for name, p in model.named_parameters():
        share = 0.9**2 if name in MODELS["normalised"][1] else 1
        torch.testing.assert_close(p.detach(), before[name] * share)


def test_what_is_no_matrix_is_named():
    for shape in [(3,), (2, 3, 4), ()]:
        with pytest.raises(ValueError) as error:
            Muon([nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(shape))])
        assert f"shape {shape}: Muon is for matrices; give it AdamW" in str(error.value)


# Both as one


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_two_run_by_hand(name, schedule, where):
    """Each parameter by the one that is due to it, both learning rates on the one schedule."""
    model, other = build(name, where), build(name, where)
    optimizer, two = MuonAdamW(model, model.output), by_hand(other, name)
    follow = SCHEDULES[schedule](optimizer, [0.02, 0.003])
    follow_two = [SCHEDULES[schedule](part, lr) for part, lr in zip(two, [0.02, 0.003], strict=True)]
    before = [p.detach().clone() for p in model.parameters()]
    seen = []
    for step in range(N):
        step_once(model, step, [optimizer], [follow] if follow else [])
        step_once(other, step, two, filter(None, follow_two))
        assert rates(optimizer) == [lr for part in two for lr in rates(part)]
        assert same(model, other), step
        seen.append(rates(optimizer)[0])
    assert all((p != q).any() for p, q in zip(model.parameters(), before, strict=True))
    assert (len(set(seen)) > 1) == (schedule != "none")


def test_rates_and_momentum_are_those_asked_for():
    model, other = build("mlp"), build("mlp")
    asked = {"lr": 0.05, "adamw_lr": 0.01, "momentum": 0.7}
    optimizer, two = MuonAdamW(model, model.output, **asked), by_hand(other, "mlp", **asked)
    assert rates(optimizer) == [0.05, 0.01]
    for step in range(3):
        step_once(model, step, [optimizer])
        step_once(other, step, two)
    assert same(model, other)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_it_once(name):
    model = build(name)
    inside = {id(p) for label, p in model.named_parameters() if label in MODELS[name][1]}
    groups = [[id(p) for p in group["params"]] for group in MuonAdamW(model, model.output).param_groups]
    assert set(groups[0]) == inside
    assert sorted(groups[0] + groups[1]) == sorted(id(p) for p in model.parameters())


def test_gradients_are_cleared_everywhere():
    model = build("normalised")
    optimizer = MuonAdamW(model, model.output)
    model.loss(*batch(0)).backward()
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("frozen", ["hidden.weight", "hidden.bias", "embedding.weight"])
@pytest.mark.parametrize("how", ["frozen", "without a gradient"])
def test_what_has_no_gradient_stays_and_the_rest_moves(frozen, how):
    """A frozen parameter, and one that the loss does not depend on."""
    model = build("mlp")
    parameters = dict(model.named_parameters())
    parameters[frozen].requires_grad_(how != "frozen")
    optimizer = MuonAdamW(model, model.output)
    before = {label: p.detach().clone() for label, p in parameters.items()}
    for step in range(3):
        optimizer.zero_grad()
        model.loss(*batch(step)).backward()
        parameters[frozen].grad = None
        optimizer.step()
    assert {label for label, p in parameters.items() if torch.equal(p, before[label])} == {frozen}


# Going on


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_what_is_put_back_goes_on_to_the_last_bit(cut, where, schedule, tmp_path):
    """Through a file, into a new model, optimiser and schedule; learning rates included."""
    model = build("lstm", where)
    optimizer = MuonAdamW(model, model.output)
    follow = SCHEDULES[schedule](optimizer, [0.02, 0.003])
    schedules = [follow] if follow else []
    for step in range(cut):
        step_once(model, step, [optimizer], schedules)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rates": [s.state_dict() for s in schedules],
    }
    checkpoint.save(tmp_path / "c.pt", state)
    for step in range(cut, N):
        step_once(model, step, [optimizer], schedules)

    other = build("lstm", where)
    again = MuonAdamW(other, other.output)
    follow = SCHEDULES[schedule](again, [0.02, 0.003])
    found = checkpoint.load(tmp_path / "c.pt", {})
    other.load_state_dict(found["model"])
    again.load_state_dict(found["optimizer"])
    for part, kept in zip([follow] if follow else [], found["rates"], strict=True):
        part.load_state_dict(kept)
    for step in range(cut, N):
        step_once(other, step, [again], [follow] if follow else [])
    assert same(model, other) and rates(optimizer) == rates(again)


def test_learning_rates_are_put_back_and_changes_still_reach_both():
    model = build("mlp")
    optimizer = MuonAdamW(model, model.output)
    optimizer.load_state_dict(MuonAdamW(model, model.output, lr=0.5, adamw_lr=0.25).state_dict())
    assert rates(optimizer) == [0.5, 0.25]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(model)
    step_once(model, 0, [optimizer])
    assert same(model, before)


class Interrupted(Exception):
    pass


def training(stop_at: int | None = None) -> GradientStep:
    """An update with everything: clipping, dropout and a schedule."""
    torch.manual_seed(0)
    model = MLP(5, 2, 3, 8, dropout=0.3)
    optimizer = MuonAdamW(model, model.output)
    blocks, n_calls = Blocks(IDS, 6, 4), 0

    def loss():
        nonlocal n_calls
        n_calls += 1
        if n_calls - 1 == stop_at:
            raise Interrupted
        return model.loss(*blocks())

    return GradientStep(model, optimizer, loss, SCHEDULES["one cycle"](optimizer, [0.02, 0.003]), clip=0.5)


@pytest.mark.parametrize("stop_at", range(1, N, 3))
def test_a_run_cut_short_ends_as_one_never_stopped(stop_at, tmp_path):
    unbroken, path = training(), tmp_path / "c.pt"
    expected = train(unbroken, N)
    with pytest.raises(Interrupted):
        train(training(stop_at), N, checkpoint=path, checkpoint_every=2)
    update = training()
    history = train(update, N, checkpoint=path, checkpoint_every=2)
    assert history.values == expected.values
    assert same(update.model, unbroken.model)
    assert rates(update.optimizer) == rates(unbroken.optimizer)


def test_settings_tell_one_run_from_another():
    """A checkpoint is of another run where one of them differs."""

    def settings(**asked):
        model = build("mlp")
        return GradientStep(model, MuonAdamW(model, model.output, **asked), lambda: None).settings

    others = [{"lr": 0.1}, {"adamw_lr": 0.1}, {"momentum": 0.5}, {"weight_decay": 0.1}]
    assert len({settings(), *(settings(**other) for other in others)}) == 5
    assert settings() == settings(lr=0.02, adamw_lr=0.003, momentum=0.95, weight_decay=0.0)


@pytest.mark.parametrize("wrong", [{"lr": -1}, {"momentum": 1}, {"momentum": -0.1}, {"weight_decay": -3}], ids=str)
def test_numbers_out_of_range_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value}|{name} {value}"):
        Muon([nn.Parameter(torch.zeros(2, 3))], **wrong)


def test_it_learns():
    """Each token follows from the one before."""
    model, ids = build("normalised"), torch.arange(31)[None] % 5
    optimizer = MuonAdamW(model, model.output)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_an_output_layer_of_another_model_is_refused():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="is no layer of the model"):
        MuonAdamW(model, nn.Linear(4, 2))


@pytest.mark.parametrize("how", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_as_the_original(how):
    """Model and optimiser copied together, as for a sweep or a snapshot."""
    torch.manual_seed(0)
    model = Normalised()
    both = [(model, MuonAdamW(model, model.output, momentum=0.9))]
    ids = torch.randint(5, (2, 4, 6))

    def step(model, optimizer):
        optimizer.zero_grad()
        model.loss(*ids).backward()
        optimizer.step()

    step(*both[0])
    both.append(how(both[0]))
    for model, optimizer in both:
        for group in optimizer.param_groups:
            group["lr"] *= 0.5  # reaches the parts of the copy, too
        step(model, optimizer)
        step(model, optimizer)
    for one, other in zip(both[0][0].parameters(), both[1][0].parameters(), strict=True):
        assert torch.equal(one, other) and one is not other


def test_parameters_added_later_are_refused_and_not_forgotten():
    model = Normalised()
    optimizer = MuonAdamW(model, model.output)
    with pytest.raises(ValueError, match="cannot be added to MuonAdamW later"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2, 2))]})
    with pytest.raises(ValueError, match="no matrix but embeddings and output"):
        small = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
        MuonAdamW(small, small[1])


def test_a_closure_makes_the_gradients():
    ends = []
    for with_closure in (False, True):
        torch.manual_seed(0)
        model, ids = Normalised(), torch.randint(5, (2, 4, 6))
        optimizer = MuonAdamW(model, model.output)

        def closure(model=model, optimizer=optimizer, ids=ids):
            optimizer.zero_grad()
            loss = model.loss(*ids)
            loss.backward()
            return loss

        for _ in range(3):
            if with_closure:
                assert optimizer.step(closure) > 0
            else:
                closure()
                assert optimizer.step() is None
        ends.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*ends)
