"""The training loop: what it keeps, when it stops, and that a run cut short anywhere ends as one never stopped."""

import errno
import math
import multiprocessing
import os
import pickle
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.batches import Blocks
from course_lib.neural import LSTM, MLP, Bigram, RecurrentLanguageModel
from course_lib.training import CheckpointError, EarlyStop, GradientStep, History, TrainingDiverged, loop, train

IDS = np.random.default_rng(0).integers(0, 5, 60)  # noise: what is learned of it does not hold elsewhere
HELD_OUT = torch.as_tensor(np.random.default_rng(1).integers(0, 5, (1, 60)))
N = 20  # steps


class Interrupted(Exception):
    pass


class Walk:
    """An update of one number, moved by all three generators; `losses` plans what the calls return."""

    settings = "a walk"

    def __init__(self, losses=None):
        self.x, self.losses, self.n_calls, self.moves = torch.zeros(()), losses, 0, []

    def __call__(self):
        loss = self.x.clone() if self.losses is None else torch.tensor(float(self.losses[self.n_calls]))
        assert self.n_calls < 100, "this run does not end"
        self.moves.append((torch.rand(()).item(), random.random(), np.random.rand()))
        self.x = self.x / 2 + sum(self.moves[-1])
        self.n_calls += 1
        return {"loss": loss}

    def state_dict(self):
        return {"first": {"one": torch.ones(2)}, "walk": {"one": torch.ones(2), "x": self.x}}

    def load_state_dict(self, state):
        self.x = state["walk"]["x"].clone()


OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
}


def network(n_steps=N, optimizer="adam", make=lambda: MLP(5, 2, 3, 8, dropout=0.3)) -> GradientStep:
    """An update in which everything has a state: dropout, random batches, moments, a schedule."""
    torch.manual_seed(0)
    model = make()
    optimizer = OPTIMIZERS[optimizer](model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=n_steps)
    blocks = Blocks(IDS, 6, 4)
    return GradientStep(model, optimizer, lambda: model.loss(*blocks()), schedule, clip=0.5)


def run(update: GradientStep, path=None, n_steps=N, seed=0, patience=4) -> History:
    """Train `update` with an early stop; the evaluation disturbs the generators and the model's mode."""

    def evaluate():
        torch.rand(3), random.random(), np.random.rand()
        update.model.eval()
        return {"held out": -update.model.score(HELD_OUT[:, :-1], HELD_OUT[:, 1:]).mean().item()}

    stop = EarlyStop("held out", patience)
    return train(update, n_steps, seed=seed, evaluate=evaluate, evaluate_every=2, early_stop=stop, checkpoint=path,
                 checkpoint_every=5)  # fmt: skip


def outcome(update, history: History) -> list:
    """All that a run ends with, but the time it took."""
    evaluations = [{name: value for name, value in row.items() if name != "seconds"} for row in history.evaluations]
    return [update.state_dict(), history.values, evaluations]


def same(a, b) -> bool:
    """Equal to the last bit, in nested dicts, lists and tensors."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def in_file(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def weights(update: GradientStep) -> dict:
    return {name: value.clone() for name, value in update.model.state_dict().items()}


def cut_before(update: GradientStep, step: int):
    """The update, raising Interrupted in the call after `step` calls; given back, it goes on as before."""
    loss, n_calls = update.loss, 0

    def cut_loss():
        nonlocal n_calls
        if n_calls == step:
            update.loss = loss
            raise Interrupted
        n_calls += 1
        return loss()

    update.loss = cut_loss
    return update


@pytest.fixture(scope="module", params=OPTIMIZERS)
def never_stopped(request):
    update = network(optimizer=request.param)
    result = outcome(update, run(update))
    assert 10 < len(result[1]["loss"]) < N, "the early stop should end this run before its last step"
    return request.param, result


# What a run leaves behind


@pytest.mark.parametrize("look_seconds", [0, math.inf])
def test_the_history_holds_what_each_update_returned(look_seconds, monkeypatch):
    monkeypatch.setattr(loop, "LOOK_SECONDS", look_seconds)
    walk = Walk(range(50, 57))
    assert train(walk, 7).values == {"loss": [50, 51, 52, 53, 54, 55, 56]}
    assert walk.n_calls == 7


def test_everything_an_update_returns_is_kept():
    class Two(Walk):
        def __call__(self):
            return super().__call__() | {"length": torch.tensor(float(self.n_calls))}

    assert train(Two([5, 6, 7]), 3).values == {"loss": [5, 6, 7], "length": [1, 2, 3]}


@pytest.mark.parametrize(
    ("n_steps", "every", "steps"),
    [(10, 3, [0, 3, 6, 9, 10]), (9, 3, [0, 3, 6, 9]), (2, 100, [0, 2]), (3, 1, [0, 1, 2, 3]), (1, 1, [0, 1])],
)
def test_evaluations_are_at_the_start_regularly_and_at_the_end(n_steps, every, steps):
    walk = Walk()
    history = train(walk, n_steps, evaluate=lambda: {"calls": walk.n_calls}, evaluate_every=every)
    assert history.evaluated("step") == history.evaluated("calls") == steps
    seconds = history.evaluated("seconds")
    assert seconds == sorted(seconds) and seconds[0] == 0 and 0 < seconds[-1] <= history.seconds


def test_only_updates_count_as_time(tmp_path, monkeypatch):
    """On a clock that only updates (1 s) and evaluations (100 s) move; a resumed run goes on counting."""
    clock = 0

    class Slow(Walk):
        def __call__(self):
            if self.n_calls == 8:
                raise Interrupted
            nonlocal clock
            clock += 1
            return super().__call__()

    def evaluate():
        nonlocal clock
        clock += 100
        return {}

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    settings = {"evaluate": evaluate, "evaluate_every": 2, "checkpoint": tmp_path / "c.pt", "checkpoint_every": 3}
    with pytest.raises(Interrupted):
        train(Slow(), 10, **settings)
    history = train(Slow(), 10, **settings)
    assert history.seconds == 10
    assert history.evaluated("seconds") == history.evaluated("step") == [0, 2, 4, 6, 8, 10]


@pytest.fixture
def bars(monkeypatch):
    """Stand-ins for the progress bars, as (settings, counts, what stands behind the bar at last)."""
    made = []

    class Bar:
        def __init__(self, **settings):
            self.counts = []
            self.shown = {}
            made.append((settings, self.counts, self.shown))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, n):
            self.counts.append(n)

        def set_postfix(self, values):
            self.shown.update(values)

    monkeypatch.setattr(loop, "tqdm", Bar)
    return made


@pytest.mark.parametrize(("unit", "per_step"), [(("tokens", 96), 96), (None, 1)])
def test_progress_is_counted_in_the_unit_asked_for(unit, per_step, bars, tmp_path):
    """All of it, after a resume as well."""
    settings = {"label": "a model"} | ({} if unit is None else {"unit": unit})
    with pytest.raises(IndexError):
        train(Walk([1] * 4), 7, checkpoint=tmp_path / "c.pt", checkpoint_every=3, **settings)
    losses = train(Walk([1] * 4), 7, checkpoint=tmp_path / "c.pt", **settings).values["loss"]
    for (given, counts, shown), begin, end in zip(bars, (0, 3), (3, 7), strict=True):
        assert float(shown["loss"]) == pytest.approx(losses[end - 1], rel=1e-3)
        assert (given["total"], given["initial"]) == (7 * per_step, begin * per_step)
        assert (given["desc"], given["unit"].strip()) == ("a model", "steps" if unit is None else "tokens")
        assert sum(counts) == (end - begin) * per_step


def test_the_history_is_shown_after_each_evaluation(tmp_path):
    """With all that was known by then; without evaluations there is nothing to show. A finished run shows its last."""
    shown = []

    def watch(history):
        shown.append((history.evaluated("step"), len(history.values.get("loss", ()))))

    stop = EarlyStop("m", 2)
    train(Walk(), 7, evaluate=lambda: {"m": 1.0}, evaluate_every=3, watch=watch)
    assert shown == [([0], 0), ([0, 3], 3), ([0, 3, 6], 6), ([0, 3, 6, 7], 7)]
    shown.clear()
    train(Walk(), 7, evaluate=lambda: {"m": 1.0}, evaluate_every=1, early_stop=stop, watch=watch)
    assert [steps[-1] for steps, _ in shown] == [0, 1, 2]  # the one that ends the run is shown, too
    shown.clear()
    train(Walk(), 7, watch=watch)
    assert shown == []
    options = {"evaluate": lambda: {"m": 1.0}, "checkpoint": tmp_path / "run.pt"}
    train(Walk(), 7, **options)
    train(Walk(), 7, **options, watch=watch)
    assert shown == [([0, 7], 7)]


@pytest.mark.parametrize("width", [1, 2, 5, 100])
def test_smoothing_is_a_mean_of_the_last_steps(width):
    values = np.random.default_rng(0).normal(size=30).tolist()
    by_hand = [np.mean(values[max(0, i - width + 1) : i + 1]) for i in range(30)]
    np.testing.assert_allclose(History({"loss": values}).smooth(width=width), by_hand, atol=1e-12)


# What is random


def test_every_step_draws_anew_and_by_its_number_and_the_seed_alone():
    first, again, long, other = Walk(), Walk(), Walk(), Walk()
    train(first, 5, seed=1)
    train(again, 5, seed=1)
    train(long, 9, seed=1)
    train(other, 5, seed=2)
    assert first.moves == again.moves == long.moves[:5]
    draws = [draw for move in long.moves + other.moves for draw in move]
    assert len(set(draws)) == len(draws)  # no step of one seed repeats one of another, either


def test_nothing_outside_changes_a_run(never_stopped, monkeypatch):
    optimizer, expected = never_stopped
    for look_seconds in (0, math.inf):
        monkeypatch.setattr(loop, "LOOK_SECONDS", look_seconds)
        update = network(optimizer=optimizer)
        torch.manual_seed(99), random.seed(99), np.random.seed(99)
        assert same(outcome(update, run(update)), expected)


def test_an_evaluation_may_draw_and_leave_the_model_in_evaluation_mode():
    quiet, drawing, modes = network(), network(), []

    def evaluate():
        modes.append(drawing.model.training)
        drawing.model.eval()
        return {"draw": torch.rand(()).item()}

    without = train(quiet, N)
    with_ = train(drawing, N, evaluate=evaluate, evaluate_every=3)
    assert same(outcome(quiet, without)[:2], outcome(drawing, with_)[:2])
    assert all(modes[1:])  # dropout was on again after each


@pytest.mark.parametrize("make", [lambda: Bigram(87), lambda: MLP(87, 4, 8, 16),
                                  lambda: RecurrentLanguageModel(87, LSTM(8, 16))])  # fmt: skip
def test_a_run_on_two_threads_gives_the_same_weights_each_time(make):
    """Batches so large that PyTorch divides the work: a sum in no fixed order would show in the last bits."""
    n_threads, ids = torch.get_num_threads(), np.random.default_rng(0).integers(0, 87, 20_000)

    def trained():
        torch.manual_seed(0)
        model = make()
        blocks, adam = Blocks(ids, 64, 64), torch.optim.Adam(model.parameters(), lr=0.1)
        train(GradientStep(model, adam, lambda: model.loss(*blocks())), 8)
        return [p.detach().clone() for p in model.parameters()]

    torch.set_num_threads(2)
    try:
        first, *others = (trained() for _ in range(3))
    finally:
        torch.set_num_threads(n_threads)
    assert all(same(first, other) for other in others)


def test_another_seed_trains_otherwise():
    a, b = network(), network()
    train(a, 5, seed=0)
    train(b, 5, seed=1)
    assert not same(a.state_dict(), b.state_dict())


# Stopped anywhere, a run ends as one never stopped


@pytest.mark.parametrize("objects", ["built anew", "as they were left"])
def test_a_run_cut_short_at_any_step_ends_as_one_never_stopped(objects, never_stopped, tmp_path):
    """`as they were left`: a learner interrupts a cell and runs it again."""
    optimizer, expected = never_stopped
    for step in range(len(expected[1]["loss"])):
        path, update = tmp_path / f"{step}.pt", cut_before(network(optimizer=optimizer), step)
        with pytest.raises(Interrupted):
            run(update, path)
        if objects == "built anew":
            update = network(optimizer=optimizer)
        assert same(outcome(update, run(update, path)), expected), f"cut before step {step}"


def test_a_run_cut_again_and_again_ends_as_one_never_stopped(never_stopped, tmp_path):
    optimizer, expected = never_stopped
    for _ in range(10):
        update = cut_before(network(optimizer=optimizer), 6)  # one checkpoint further each time
        try:
            history = run(update, tmp_path / "c.pt")
            break
        except Interrupted:
            pass
    assert same(outcome(update, history), expected)


def train_until_killed(path: Path, moment: str, sender) -> None:
    """In a process of its own: says which step it is at, and which checkpoint it is about to put in place."""
    update, replace, n_replaced = network(), os.replace, 0
    loss = update.loss

    def telling_loss():
        sender.send(step := f"step {update.schedule.last_epoch}")
        time.sleep(600 if step == moment else 0)
        return loss()

    def slow_replace(part, whole):
        nonlocal n_replaced
        n_replaced += 1
        sender.send(f"checkpoint {n_replaced}")
        if moment == f"checkpoint {n_replaced}":
            time.sleep(600)
        replace(part, whole)

    update.loss, os.replace = telling_loss, slow_replace
    run(update, path)


@pytest.mark.slow
def test_a_killed_run_ends_as_one_never_stopped(tmp_path):
    """SIGKILL (on Windows, TerminateProcess): in an early step, while a checkpoint is being written, in a late step."""
    processes, runs = multiprocessing.get_context("spawn"), []
    for moment, at_step in [("step 6", 5), ("checkpoint 3", 5), ("step 11", 10)]:
        path = tmp_path / "a folder" / f"killed at {moment}.pt"
        receiver, sender = processes.Pipe(duplex=False)
        process = processes.Process(target=train_until_killed, args=(path, moment, sender))
        process.start()
        sender.close()
        runs.append((moment, at_step, path, receiver, process))
    unbroken = network()
    expected = outcome(unbroken, run(unbroken))
    for moment, at_step, path, receiver, process in runs:
        while receiver.recv() != moment:
            pass
        process.kill()
        process.join()
        assert process.exitcode < 0
        assert in_file(path)["progress"]["step"] == at_step
        update = network()
        assert same(outcome(update, run(update, path)), expected), moment


def test_a_finished_run_comes_back_at_once(never_stopped, tmp_path, capsys):
    optimizer, expected = never_stopped
    update = network(optimizer=optimizer)
    run(update, tmp_path / "c.pt")
    again = cut_before(network(optimizer=optimizer), 0)
    history = train(again, N, checkpoint=str(tmp_path / "c.pt"), evaluate=lambda: 1 / 0,
                    early_stop=EarlyStop("held out", 4))  # fmt: skip
    assert same(outcome(again, history), expected)
    assert "finished at step" in capsys.readouterr().out


def test_a_checkpoint_is_kept_every_so_often_and_at_the_end(tmp_path):
    path, at = tmp_path / "new folder" / "c.pt", []

    class Watched(Walk):
        def __call__(self):
            at.append(in_file(path)["progress"]["step"])
            return super().__call__()

    train(Watched(), 8, checkpoint=path, checkpoint_every=3)
    assert at == [0, 0, 0, 3, 3, 3, 6, 6]
    assert in_file(path)["progress"]["step"] == 8
    assert [file.name for file in path.parent.iterdir()] == ["c.pt"]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path, write, full = tmp_path / "c.pt", Path.write_bytes, False

    def write_half(self, content):
        if not full:
            return write(self, content)
        write(self, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    class Filling(Walk):
        def __call__(self):
            nonlocal full
            full = self.n_calls == 7
            return super().__call__()

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="No space left"):
        train(Filling(), 12, checkpoint=path, checkpoint_every=4)
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]
    full, update, unbroken = False, Walk(), Walk()
    history = train(update, 12, checkpoint=path, checkpoint_every=4)
    assert update.n_calls == 8  # from step 4 on
    assert same(outcome(update, history), outcome(unbroken, train(unbroken, 12)))


# A loss that is no number


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("look_seconds", "most_calls"), [(0, 8), (math.inf, 10)])
def test_a_loss_that_is_no_number_is_named_and_the_good_checkpoint_kept(
    bad, look_seconds, most_calls, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "LOOK_SECONDS", look_seconds)
    path, walk = tmp_path / "c.pt", Walk([1.0] * 7 + [bad, 2, math.nan] + [1.0] * 90)
    with pytest.raises(TrainingDiverged) as error:
        train(walk, 20, checkpoint=path, checkpoint_every=5)
    assert all(word in str(error.value) for word in (f"loss is {bad} at step 7 of 20", "c.pt", "after 5 steps"))
    assert walk.n_calls <= most_calls
    good, unbroken = Walk([1.0] * 100), Walk([1.0] * 100)
    history = train(good, 20, checkpoint=path, checkpoint_every=5)
    assert good.n_calls == 15
    assert same(outcome(good, history), outcome(unbroken, train(unbroken, 20)))


def test_a_network_that_diverges_can_be_resumed_with_better_settings(tmp_path):
    path, bad = tmp_path / "c.pt", network()
    loss = bad.loss
    bad.loss = lambda: loss() * (math.nan if bad.schedule.last_epoch == 12 else 1)
    with pytest.raises(TrainingDiverged, match="loss is nan at step 12 of 20"):
        train(bad, N, checkpoint=path, checkpoint_every=5)
    assert in_file(path)["progress"]["step"] == 10
    resumed, unbroken = network(), network()
    history = train(resumed, N, checkpoint=path)
    assert same(outcome(resumed, history), outcome(unbroken, train(unbroken, N)))


@pytest.mark.parametrize("at", [3, 7, 9])
def test_weights_that_are_no_numbers_never_reach_a_checkpoint(at, tmp_path):
    """The loss stays finite, here since it does not ask the weights."""

    class Burst(Walk):
        def __call__(self):
            loss = super().__call__()
            self.x = self.x * (math.nan if self.n_calls > at else 1)
            return loss

    path = tmp_path / "c.pt"
    with pytest.raises(TrainingDiverged, match=r"walk\.x is no longer finite after \d+ steps"):
        train(Burst([1.0] * 10), 10, checkpoint=path, checkpoint_every=4)
    assert in_file(path)["progress"]["step"] == at // 4 * 4
    assert math.isfinite(in_file(path)["update"]["walk"]["x"])


def test_without_a_checkpoint_the_message_speaks_of_none():
    with pytest.raises(TrainingDiverged, match="loss is nan at step 2 of 3") as error:
        train(Walk([1, 1, math.nan]), 3)
    assert "None" not in str(error.value)


# Checkpoints of no use


class Code:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def spoil(kind: str, path: Path, good: bytes) -> None:
    noise = random.Random(0).randbytes(5000)
    plain = {
        "empty": b"",
        "noise": noise,
        "noise after a good start": good[:100] + noise,
        "text": b"# Notes\n\nA learning rate of 0.1 was too high.\n" * 20,
        "figures": b"step,loss\n0,3.2\n1,2.9\n",
        "a line": b"seed 0\n",
        "a list, pickled": pickle.dumps([1, 2, 3]),
        "an image": b"\x89PNG\r\n\x1a\n" + noise,
    }
    if kind in plain:
        path.write_bytes(plain[kind])
    elif kind == "code, pickled":
        path.write_bytes(pickle.dumps(Code(path.with_name("executed"))))
    elif kind == "code in a checkpoint":
        torch.save(in_file(path) | {"progress": Code(path.with_name("executed"))}, path)
    else:
        saved = {"a tensor": torch.ones(3), "a list": [1], "nothing": None, "an empty dict": {},
                 "weights alone": in_file(path)["update"]["model"]}  # fmt: skip
        torch.save(saved[kind], path)


BAD_FILES = ["empty", "noise", "noise after a good start", "text", "figures", "a line", "a list, pickled", "an image",
             "code, pickled", "code in a checkpoint", "a tensor", "a list", "nothing", "an empty dict",
             "weights alone"]  # fmt: skip


@pytest.fixture
def half_way(tmp_path):
    """The checkpoint of a run cut short: at step 10 of 20."""
    path = tmp_path / "half way.pt"
    with pytest.raises(Interrupted):
        run(cut_before(network(), 11), path)
    assert in_file(path)["progress"]["step"] == 10
    return path


def refused(update: GradientStep, path: Path, **settings) -> str:
    """The message of the CheckpointError; nothing was trained or changed."""
    before = weights(update)
    with pytest.raises(CheckpointError) as error:
        run(cut_before(update, 0), path, **settings)
    assert same(weights(update), before), "the weights were changed"
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_checkpoint_is_refused(kind, half_way):
    spoil(kind, half_way, half_way.read_bytes())
    refused(network(), half_way)
    assert not half_way.with_name("executed").exists()


def test_a_truncated_checkpoint_is_refused_wherever_it_was_cut(half_way):
    good, update = half_way.read_bytes(), network()
    for length in [*range(0, len(good), 97), len(good) - 100, len(good) - 22, len(good) - 1]:
        half_way.write_bytes(good[:length])
        refused(update, half_way)


def mlp(vocab_size=5, window=2, **settings):
    return lambda: MLP(vocab_size, window, **{"d_embedding": 3, "d_hidden": 8, **settings})


class Deeper(MLP):
    def __init__(self):
        super().__init__(5, 2, 3, 8)
        self.more = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (mlp(d_hidden=9), "hidden"),
        (mlp(window=3), "hidden"),
        (mlp(vocab_size=6), "embedding"),
        (mlp(d_embedding=4), "embedding"),
        (lambda: Bigram(5), "update.model."),
        (lambda: RecurrentLanguageModel(5, LSTM(3, 8)), "update.model."),
        (Deeper, "more"),
    ],
    ids=["hidden", "window", "vocabulary", "embedding", "bigram", "lstm", "one layer more"],
)
def test_a_checkpoint_of_another_model_is_refused(make, word, half_way, tmp_path):
    """In both directions: the file has what the model lacks, or the model what the file lacks."""
    assert word in refused(network(make=make), half_way)
    other = tmp_path / "other.pt"
    with pytest.raises(Interrupted):
        run(cut_before(network(make=make), 7), other)
    refused(network(), other)


def test_a_deeper_recurrent_model_is_not_taken_for_a_shallower(tmp_path):
    def layers(n):
        return network(make=lambda: RecurrentLanguageModel(5, nn.LSTM(3, 8, num_layers=n, batch_first=True)))

    for n, m in ((1, 2), (2, 1)):
        path = tmp_path / f"{n}.pt"
        with pytest.raises(Interrupted):
            run(cut_before(layers(n), 7), path)
        assert "l1" in refused(layers(m), path)


def test_a_checkpoint_of_another_run_is_refused(half_way):
    assert "n_steps is 20, here it is 30" in refused(network(30), half_way, n_steps=30)
    assert "seed is 0, here it is 4" in refused(network(), half_way, seed=4)
    assert "early_stop is held out, 4, here it is held out, 7" in refused(network(), half_way, patience=7)


@pytest.mark.parametrize("setting", ["lr", "weight_decay", "clip"])
def test_a_checkpoint_of_other_settings_is_refused(setting, half_way):
    """What was learned at one rate must not be taken for another's result."""
    model = network().model
    rates = {"lr": 0.1, "weight_decay": 0.0} | ({setting: 0.01} if setting != "clip" else {})
    adam = torch.optim.Adam(model.parameters(), **rates)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, rates["lr"], total_steps=N)
    clip = 0.5 if setting != "clip" else 0.7
    update = GradientStep(model, adam, lambda: model.loss(*Blocks(IDS, 6, 4)()), schedule, clip)
    assert "settings" in refused(update, half_way)


def test_a_checkpoint_that_cannot_be_read_is_the_machines_trouble(half_way):
    half_way.unlink()
    half_way.mkdir()
    with pytest.raises(OSError, match="half way"):
        run(network(), half_way)


def test_a_checkpoint_of_another_optimizer_is_refused(half_way):
    refused(network(optimizer="momentum"), half_way)


def test_a_checkpoint_with_other_groups_of_parameters_is_refused(half_way):
    update = network()
    update.optimizer = torch.optim.Adam([{"params": [p]} for p in update.model.parameters()], lr=0.1)
    update.schedule = torch.optim.lr_scheduler.OneCycleLR(update.optimizer, 0.1, total_steps=N)
    refused(update, half_way)


@pytest.mark.parametrize("schedule", [None, lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3)])
def test_a_checkpoint_with_another_schedule_is_refused(schedule, half_way):
    update = network()
    update.schedule = schedule and schedule(update.optimizer)
    refused(update, half_way)


# Early stop


def stop_on(metrics, n_steps=20, patience=2, stop=None):
    """A walk evaluated after each step, to planned metrics → (walk, history)."""
    walk, planned = Walk(), iter(metrics)
    stop = stop or EarlyStop("m", patience)
    return walk, train(walk, n_steps, evaluate=lambda: {"m": next(planned)}, evaluate_every=1, early_stop=stop)


@pytest.mark.parametrize(
    ("metrics", "patience", "last", "best"),
    [
        ([5, 4, 3, 4, 5], 2, 4, 2),
        ([5, 4, 3, 4, 2, 3, 3], 2, 6, 4),  # waiting starts anew with each best
        ([5, 6, 6, 6], 3, 3, 0),
        ([3, 3, 3], 2, 2, 0),  # as good is no better
        ([5, 4, 4.5], 1, 2, 1),
        ([5, math.nan, 4, math.inf, math.nan], 2, 4, 2),
    ],
)
def test_early_stop_waits_as_long_as_told_and_puts_back_the_best(metrics, patience, last, best):
    walk, history = stop_on(metrics, patience=patience)
    reached = Walk()
    if best:
        train(reached, best)
    assert walk.n_calls == last == history.evaluations[-1]["step"]
    assert walk.x == reached.x
    assert len(history.values["loss"]) == last


def test_the_best_is_put_back_at_the_end_of_the_steps_too():
    walk, _ = stop_on([5, 4, 3, 4, 3.5], n_steps=4, patience=9)
    reached = Walk()
    train(reached, 2)
    assert walk.x == reached.x


def test_an_early_stop_used_again_begins_anew():
    stop = EarlyStop("metric", 2)
    for metrics in ([1.0, 0.5, 0.7, 0.8], [3.0, 2.0, 2.5, 2.6]):
        values = iter(metrics)
        history = train(Walk(), 30, evaluate=lambda values=values: {"metric": next(values)}, evaluate_every=1,
                        early_stop=stop)  # fmt: skip
        assert history.evaluated("metric") == metrics and stop.best == metrics[1]


@pytest.mark.parametrize("name", ["step", "seconds"])
def test_an_evaluation_cannot_overwrite_what_the_history_fills_in(name):
    with pytest.raises(ValueError, match=f"{name!r}.*another name"):
        train(Walk(), 3, evaluate=lambda: {name: 1.0})


def test_an_early_stop_whose_metric_is_never_a_number_still_ends():
    """Then no weights were best, and those of the last step stay."""
    walk, _ = stop_on([math.nan] * 30, n_steps=5, patience=2)
    assert torch.isfinite(walk.x)


# One step


def line(gradient, clip=None, schedule=None):
    """A model whose gradient is `gradient`, trained with learning rate 1: → update."""
    model = nn.ParameterList([nn.Parameter(torch.zeros(n)) for n in (2, 1)])
    flat = torch.tensor(gradient, dtype=torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return GradientStep(
        model, optimizer, lambda: torch.cat(list(model)) @ flat + 7, schedule and schedule(optimizer), clip
    )


def place(update) -> list[float]:
    return torch.cat(list(update.model)).tolist()


@pytest.mark.parametrize(
    ("clip", "step"),
    [(None, [2, 3, 6]), (0.7, [0.2, 0.3, 0.6]), (3.5, [1, 1.5, 3]), (7.1, [2, 3, 6]), (math.inf, [2, 3, 6])],
)
def test_a_longer_gradient_is_scaled_down_as_one_vector(clip, step):
    """(2, 3, 6), spread over two parameters, is 7 long."""
    update = line([2, 3, 6], clip)
    update()
    assert place(update) == pytest.approx([-s for s in step], rel=1e-5)


def test_gradients_do_not_pile_up_and_the_schedule_steps_after_each_update():
    update = line([1, 2, 4], schedule=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5))
    update.model.eval()
    returned = [update()["loss"] for _ in range(3)]  # learning rates 1, 0.5, 0.25
    assert place(update) == pytest.approx([-1.75, -3.5, -7])
    assert [loss.item() for loss in returned] == pytest.approx([7, 7 - 21, 7 - 31.5])  # each before its change
    assert not any(loss.requires_grad for loss in returned)
    assert update.model.training


# Bad input


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_steps": 0}, ["n_steps is 0", "1 or more"]),
        ({"n_steps": -1}, ["n_steps is -1"]),
        ({"n_steps": 2.5}, ["n_steps is 2.5"]),
        ({"n_steps": math.nan}, ["n_steps is nan"]),
        ({"evaluate_every": 0}, ["evaluate_every is 0", "1 or more"]),
        ({"checkpoint_every": 0}, ["checkpoint_every is 0", "1 or more"]),
        ({"checkpoint_every": -5}, ["checkpoint_every is -5"]),
        ({"seed": -1}, ["seed is -1", "0 or more"]),
        ({"early_stop": EarlyStop("m", 1)}, ["early_stop needs `evaluate`"]),
    ],
)
def test_numbers_out_of_range_are_named_before_any_step(settings, words):
    walk = Walk()
    with pytest.raises(ValueError) as error:
        train(walk, **{"n_steps": 3, **settings})
    assert all(word in str(error.value) for word in words), error.value
    assert walk.n_calls == 0


def test_an_unknown_metric_is_named_before_any_step():
    walk = Walk()
    with pytest.raises(KeyError, match="'loss'.*validation, test"):
        train(walk, 3, evaluate=lambda: {"validation": 1, "test": 2}, early_stop=EarlyStop("loss", 1))
    assert walk.n_calls == 0


@pytest.mark.parametrize("clip", [0, -1, math.nan])
def test_a_clip_that_is_no_length_is_named(clip):
    with pytest.raises(ValueError, match=f"clip is {clip}: expected a length above 0"):
        line([1, 1, 1], clip)


@pytest.mark.parametrize("patience", [0, -2])
def test_a_patience_below_one_is_named(patience):
    with pytest.raises(ValueError, match=f"patience is {patience}: expected 1 or more"):
        EarlyStop("m", patience)
