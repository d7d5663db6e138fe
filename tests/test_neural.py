"""Neural language models against PyTorch's layers, formulas written out in NumPy, and what the protocol demands."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import device
from course_lib.lm import evaluate, generate
from course_lib.neural import LSTM, MLP, RNN, Bigram, RecurrentLanguageModel, language_model
from course_lib.neural.recurrent import open_forget_gate
from course_lib.ngram import NGram, count_ngrams, maximum_likelihood
from course_lib.vocab import Characters

DEVICES = sorted({"cpu", device.choose().type})
V = 7
VOCAB = Characters("abcdefg")
TEXT = "abcabdabeacfgadbgcaefbdcabgfeda" * 3 + "a"


def exact(where: str) -> torch.dtype:
    """The precision that tests compute in: float64, where the device has it."""
    return torch.float32 if where == "mps" else torch.float64


def close(a, b, tolerance=1e-10):
    """Equal but for rounding."""
    a, b = torch.as_tensor(a).cpu(), torch.as_tensor(b).cpu()
    tolerance = max(tolerance, 1e-4 if torch.float32 in (a.dtype, b.dtype) else 0)
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance, check_dtype=False)


def bigram() -> Bigram:
    model = Bigram(V)
    nn.init.normal_(model.logits)
    return model


def mlp(window: int) -> MLP:
    return MLP(V, window, d_embedding=3, d_hidden=8, dropout=0.5)


def recurrent(layer, **settings) -> RecurrentLanguageModel:
    return RecurrentLanguageModel(V, layer(3, 8, **settings), dropout=0.5)


MODELS = {
    "bigram": bigram,
    "mlp of window 1": lambda: mlp(1),
    "mlp of window 2": lambda: mlp(2),
    "mlp of window 5": lambda: mlp(5),
    "rnn": lambda: recurrent(RNN),
    "lstm": lambda: recurrent(LSTM),
    "torch's rnn": lambda: recurrent(nn.RNN, batch_first=True),
    "torch's gru": lambda: recurrent(nn.GRU, batch_first=True),
    "torch's lstm": lambda: recurrent(nn.LSTM, batch_first=True),
    "torch's lstm of 2 layers": lambda: recurrent(nn.LSTM, batch_first=True, num_layers=2, dropout=0.5),
}
HAVE_DROPOUT = [name for name in MODELS if name != "bigram"]


def build(name: str, where: str = "cpu"):
    """A model far from uniform, the same each time, in training mode."""
    torch.manual_seed(0)
    model = MODELS[name]().to(where, exact(where))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.fixture(params=itertools.product(MODELS, DEVICES), ids=" on ".join)
def model(request):
    return build(*request.param)


@pytest.fixture
def ids():
    return torch.randint(V, (3, 12), generator=torch.Generator().manual_seed(1))


def device_of(model) -> torch.device:
    return next(model.parameters()).device


# What every model owes to the protocol


def test_every_distribution_sums_to_one(model, ids):
    log_p = model.score(ids)
    assert log_p.shape == (3, 12, V)
    close(log_p.exp().sum(-1), torch.ones(3, 12, dtype=log_p.dtype))
    assert log_p.std() > 0.1  # a model of equal chances would pass most tests here


def test_score_of_targets_is_the_score_of_all_looked_up(model, ids):
    targets = (ids + 2) % V  # not the tokens that follow
    close(model.score(ids, targets), model.score(ids).cpu().gather(-1, targets[..., None])[..., 0])


def test_walking_step_by_step_gives_what_score_gives(model, ids):
    state, at_once = model.start(len(ids)), model.score(ids)
    for t in range(ids.shape[1]):
        log_p, state = model.step(state, ids[:, t])
        close(log_p, at_once[:, t])


@pytest.mark.parametrize("read", [0, 1, 7])
@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 1], [1], [2, 2, 0, 2, 1]], ids=str)
def test_selected_rows_go_on_as_if_they_had_been_read_alone(model, ids, read, rows):
    """As beam search asks: rows in another order, fewer or more of them. The old state serves on."""
    rows, state = torch.tensor(rows), model.start(3)
    for t in range(read):
        _, state = model.step(state, ids[:, t])
    chosen, at_once, of_rows = model.select(state, rows), model.score(ids), model.score(ids[rows])
    for t in range(read, read + 4):
        log_p, chosen = model.step(chosen, ids[rows, t])
        close(log_p, of_rows[:, t])
    if read:  # and rows that part after a choice have nothing more to do with each other
        chosen = model.select(model.select(state, torch.tensor([1, 1])), torch.tensor([1, 0]))
        log_p, _ = model.step(chosen, torch.tensor([0, 3]))
        parted = torch.stack([torch.cat([ids[1, :read], torch.tensor([token])]) for token in (0, 3)])
        close(log_p, model.score(parted)[:, -1])
    close(model.step(state, ids[:, read])[0], at_once[:, read])


@pytest.mark.parametrize("piece", [1, 2, 3 * 5, 3 * 11, 10**6])
def test_pieces_change_no_score(model, ids, piece, monkeypatch):
    whole, of_targets = model.score(ids), model.score(ids, ids.flip(1))
    monkeypatch.setattr(language_model, "PIECE", piece)
    close(model.score(ids), whole)
    close(model.score(ids, ids.flip(1)), of_targets)


def test_score_reads_no_more_than_a_piece_at_a_time(model, ids, monkeypatch):
    monkeypatch.setattr(language_model, "PIECE", 9)
    advance, read = model.advance, []
    monkeypatch.setattr(model, "advance", lambda state, ids: read.append(ids.numel()) or advance(state, ids))
    model.score(ids)
    assert max(read) <= 9 and sum(read) == ids.numel()


@pytest.mark.parametrize("t", [1, 6, 11])
def test_the_future_changes_no_earlier_score(model, ids, t):
    changed = ids.clone()
    changed[:, t] = (changed[:, t] + 1) % V
    before, after = model.score(ids), model.score(changed)
    close(before[:, :t], after[:, :t])
    assert (before[:, t] - after[:, t]).abs().max() > 1e-3


def test_sequences_of_a_batch_do_not_mix(model, ids):
    for row, together in zip(ids, model.score(ids), strict=True):
        close(model.score(row[None])[0], together)


def test_the_loss_is_the_mean_cost_of_the_targets(model, ids):
    targets = (ids + 2) % V
    model.eval()
    close(model.loss(ids.to(device_of(model)), targets.to(device_of(model))), -model.score(ids, targets).mean())


def test_the_gradient_of_the_loss_is_what_was_said_less_what_was_right(model, ids):
    """∂loss / ∂logits = (softmax − one-hot) / number of tokens."""
    logits = []
    model.register_forward_hook(lambda module, read, out: out.retain_grad() or logits.append(out))
    model.loss(ids.to(device_of(model)), ids.roll(1).to(device_of(model))).backward()
    expected = (logits[0].softmax(-1).cpu() - nn.functional.one_hot(ids.roll(1), V)) / ids.numel()
    close(logits[0].grad, expected)


@pytest.mark.parametrize("name", HAVE_DROPOUT)
def test_judging_is_without_dropout_and_leaves_every_mode(name, ids):
    model = build(name)
    model.embedding.eval()  # one part frozen, the rest in training
    modes = [module.training for module in model.modules()]
    score = model.score(ids)
    step = model.step(model.start(3), ids[:, 0])[0]
    assert [module.training for module in model.modules()] == modes
    model.eval()
    close(score, model(ids).log_softmax(-1))
    close(step, model(ids[:, :1])[:, 0].log_softmax(-1))
    model.score(ids)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("name", HAVE_DROPOUT)
def test_an_error_while_judging_leaves_every_mode(name, ids, monkeypatch):
    model = build(name)
    monkeypatch.setattr(model.output, "forward", lambda x: 1 / 0)
    for judge in (lambda: model.score(ids), lambda: model.step(model.start(3), ids[:, 0])):
        with pytest.raises(ZeroDivisionError):
            judge()
        assert all(module.training for module in model.modules())


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("kind", ["mlp", "recurrent"])
def test_training_silences_the_given_share_of_hidden_units(kind, share):
    """With the identity as output layer, the logits are the hidden units themselves."""
    n = 400
    model = MLP(n, 2, 4, n, share) if kind == "mlp" else RecurrentLanguageModel(n, RNN(4, n), share)
    with torch.no_grad():
        model.output.weight.copy_(torch.eye(n))
        model.output.bias.zero_()
    ids = torch.arange(50)[None]
    training, judging = model(ids), model.eval()(ids)
    silent = training == 0
    assert silent.float().mean().item() == pytest.approx(share, abs=0.02)
    close(training, judging * ~silent / (1 - share))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("name", MODELS)
def test_a_judged_model_trains_as_one_never_judged(name, where, mode, ids):
    """The first use may be within no_grad or inference mode, and nothing that it keeps may stop a backward pass."""
    judged, fresh = build(name, where), build(name, where)
    with mode():
        judged.score(ids)
        judged.step(judged.start(3), ids[:, 0])
    evaluate(judged, VOCAB, TEXT)
    generate(judged, VOCAB, "a", 3)
    for model in (judged, fresh):
        model.eval()  # no dropout: nothing random
        model.loss(ids.to(where), ids.to(where)).backward()
    for (label, a), b in zip(judged.named_parameters(), fresh.parameters(), strict=True):
        assert a.grad.abs().max() > 0, label
        close(a.grad, b.grad)


def test_greedy_text_is_what_score_finds_most_probable(model):
    first, second = generate(model, VOCAB, "ab", 12, temperature=0, batch_size=2)
    assert first == second and len(first) == 14
    for i in range(2, len(first)):
        assert VOCAB.tokens[model.score(VOCAB.encode(first[:i])[None])[0, -1].argmax()] == first[i]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_numpy_ids_are_ids(model, ids, dtype):
    array = ids.numpy().astype(dtype)
    close(model.score(array, array[:, ::-1].copy()), model.score(ids, ids.flip(1)))
    close(model.step(model.start(3), array[:, 0])[0], model.score(ids)[:, 0])


def test_every_model_learns_a_text_by_heart(model):
    """Each letter of abcdefg… follows from the one before."""
    ids = torch.arange(29)[None].to(device_of(model)) % V
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        model.eval().loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
    assert evaluate(model, VOCAB, "abcdefg" * 4).nats_per_token < 0.1


# The bigram


def test_a_new_bigram_knows_nothing():
    assert Bigram(V).loss(torch.zeros(1, 4, dtype=int), torch.ones(1, 4, dtype=int)).item() == pytest.approx(
        math.log(V)
    )


def test_the_best_bigram_is_the_counted_one():
    """With log-counts as logits: the counted model's probabilities, and no way down from there."""
    counted = NGram(count_ngrams(VOCAB, TEXT, 2), maximum_likelihood)
    ids = torch.as_tensor(VOCAB.encode(TEXT))[None]
    counts = torch.bincount(V * ids[0, :-1] + ids[0, 1:], minlength=V * V).double().reshape(V, V)
    model = Bigram(V).double()
    model.load_state_dict({"logits": counts.log() + torch.arange(V)[:, None]})  # a constant per row changes nothing
    letters = torch.arange(V)[:, None]
    close(model.score(letters).exp(), counted.score(letters).exp())
    assert evaluate(model, VOCAB, TEXT).nats == pytest.approx(evaluate(counted, VOCAB, TEXT).nats)
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    close(model.logits.grad, torch.zeros(V, V))


# The multi-layer perceptron


def trained_mlp(window: int) -> MLP:
    """A few steps on, with weight decay: what stands for a missing token must have stayed nothing."""
    model = build(f"mlp of window {window}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    ids = torch.as_tensor(VOCAB.encode(TEXT))[None]
    for _ in range(5):
        optimizer.zero_grad()
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("window", [1, 2, 5])
def test_the_perceptron_is_the_formula_of_bengio_et_al(window, ids):
    """y = b + U tanh(d + H x), x = the embeddings of the last tokens side by side, zeros where there is none."""
    model = trained_mlp(window)
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    C, H, U = (weights[f"{layer}.weight"] for layer in ("embedding", "hidden", "output"))
    d, b = weights["hidden.bias"], weights["output.bias"]
    logits = model(ids).detach()
    for row, outputs in zip(ids.tolist(), logits, strict=True):
        for t in range(len(row)):
            x = np.concatenate([C[row[s]] if s >= 0 else np.zeros(3) for s in range(t - window + 1, t + 1)])
            close(b + U @ np.tanh(d + H @ x), outputs[t])


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_token_is_seen_for_as_long_as_the_window_and_no_longer(window, ids):
    model, s = trained_mlp(window), 4
    changed = ids.clone()
    changed[:, s] = (changed[:, s] + 1) % V
    difference = (model.score(ids) - model.score(changed)).abs().amax((0, 2))
    assert (difference > 1e-4).nonzero()[:, 0].tolist() == list(range(s, min(s + window, 12)))


@pytest.mark.parametrize("window", [1, 2, 5])
def test_blocks_after_all_the_window_sees_equal_one_pass(window):
    model = trained_mlp(window)
    whole = evaluate(model, VOCAB, TEXT).nats
    assert evaluate(model, VOCAB, TEXT, block=8, context=window - 1).nats == pytest.approx(whole)
    if window > 1:
        assert evaluate(model, VOCAB, TEXT, block=8, context=window - 2).nats != pytest.approx(whole)


# The recurrent layers

PAIRS = {"rnn": (RNN, nn.RNN), "lstm": (LSTM, nn.LSTM)}


def random_state(kind: str, batch: int, d_hidden: int, **settings):
    h, c = torch.randn(2, 1, batch, d_hidden, **settings).unbind()
    parts = [part.clone().requires_grad_() for part in ((h,) if kind == "rnn" else (h, c))]
    return parts, parts[0] if kind == "rnn" else tuple(parts)


def tensors(state) -> list:
    return [state] if isinstance(state, torch.Tensor) else list(state)


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 7, 2, 5), (2, 20, 4, 3)], ids=str)
@pytest.mark.parametrize("warm", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize("copied_to", ["own", "torch's"])
@pytest.mark.parametrize("kind", PAIRS)
def test_a_layer_equals_torchs_forwards_and_backwards(kind, copied_to, warm, shape, where):
    """Outputs, last state, and the gradients of every parameter, of the input and of the first state."""
    torch.manual_seed(0)
    B, T, d_input, d_hidden = shape
    settings = {"device": where, "dtype": exact(where)}
    own = PAIRS[kind][0](d_input, d_hidden).to(**settings)
    theirs = PAIRS[kind][1](d_input, d_hidden, batch_first=True, **settings)
    if copied_to == "own":
        own.load_state_dict(theirs.state_dict())
    else:
        theirs.load_state_dict(own.state_dict())
    x = torch.randn(B, T, d_input, requires_grad=True, **settings)
    parts, state = random_state(kind, B, d_hidden, **settings) if warm else ([], None)
    weigh_h, weigh_last = torch.randn(B, T, d_hidden, **settings), torch.randn(2, 1, B, d_hidden, **settings)

    results = []
    for layer in (own, theirs):
        outputs, last = layer(x, state) if warm else layer(x)
        loss = (outputs * weigh_h).sum() + sum((w * s).sum() for w, s in zip(weigh_last, tensors(last), strict=False))
        wanted = [x, *parts, *(p for _, p in sorted(layer.named_parameters()))]
        results.append([outputs, *tensors(last), *torch.autograd.grad(loss, wanted)])
    for mine, reference in zip(*results, strict=True):
        assert mine.shape == reference.shape
        close(mine, reference)


@pytest.mark.parametrize("kind", PAIRS)
def test_gradients_are_differences(kind):
    torch.manual_seed(0)
    layer = PAIRS[kind][0](2, 3).double()
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    parts, _ = random_state(kind, 2, 3, dtype=torch.float64)

    def run(x, *rest):
        first, weights = rest[: len(parts)], dict(zip(dict(layer.named_parameters()), rest[len(parts) :], strict=True))
        state = first[0] if kind == "rnn" else first
        outputs, last = torch.func.functional_call(layer, weights, (x, state))
        return outputs, *tensors(last)

    assert torch.autograd.gradcheck(run, (x, *parts, *layer.parameters()))


@pytest.mark.parametrize("kind", PAIRS)
def test_a_layer_starts_as_torchs_does(kind):
    """Uniform between ±1/√d_hidden, every parameter."""
    for layer in (PAIRS[kind][0](60, 100), PAIRS[kind][1](60, 100)):
        for name, p in layer.named_parameters():
            assert 0.09 < p.abs().max() <= 0.1, name
            assert p.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.15), name


@pytest.mark.parametrize("make", [LSTM, nn.LSTM], ids=["own", "torch's"])
@pytest.mark.parametrize("bias", [0.0, 1.0, -2.0])
def test_an_open_forget_gate_keeps_the_cell(make, bias):
    """All weights 0: nothing comes in, and each step keeps the share sigmoid(bias) of the cell, half without it."""
    lstm = make(2, 3)
    for p in lstm.parameters():
        nn.init.zeros_(p)
    open_forget_gate(lstm, bias)
    first = torch.zeros(1, 1, 3), torch.full((1, 1, 3), 2.0)
    x = torch.zeros(1, 4, 2) if make is LSTM else torch.zeros(4, 1, 2)
    _, (_, c) = lstm(x, first)
    close(c, torch.full((1, 1, 3), 2 / (1 + math.exp(-bias)) ** 4))
    assert all(p.requires_grad for p in lstm.parameters())


@pytest.mark.parametrize("make", [LSTM, nn.LSTM], ids=["own", "torch's"])
def test_opening_the_gate_sets_that_gate_alone(make):
    lstm = make(2, 3)
    before = {name: p.detach().clone() for name, p in lstm.named_parameters()}
    for bias in (3.0, 1.0):  # once more does not add up
        open_forget_gate(lstm, bias)
        biases = sum(getattr(lstm, f"bias_{source}_l0").detach() for source in ("ih", "hh")).reshape(4, 3)  # i, f, g, o
        close(biases[1], torch.full((3,), bias))
    for name, parameter in lstm.named_parameters():
        others = [0, 2, 3] if name.startswith("bias") else [0, 1, 2, 3]
        assert all(torch.equal(parameter.chunk(4)[gate], before[name].chunk(4)[gate]) for gate in others)


def test_every_layers_gate_is_opened():
    lstm = nn.LSTM(2, 3, num_layers=2)
    open_forget_gate(lstm, 2.0)
    for layer in (0, 1):
        close(getattr(lstm, f"bias_ih_l{layer}").chunk(4)[1], torch.full((3,), 2.0))


def test_own_and_torchs_layer_make_the_same_language_model(ids):
    for own, theirs in (("rnn", "torch's rnn"), ("lstm", "torch's lstm")):
        own, theirs = build(own), build(theirs)
        own.load_state_dict(theirs.state_dict())
        close(own.score(ids), theirs.score(ids))


# Bad input


@pytest.mark.parametrize("size", [0, -3, 2.0, math.nan, "4", None])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("vocab_size", lambda n: Bigram(n)),
        ("vocab_size", lambda n: MLP(n, 2)),
        ("vocab_size", lambda n: RecurrentLanguageModel(n, RNN(2, 3))),
        ("window", lambda n: MLP(5, n)),
        ("d_embedding", lambda n: MLP(5, 2, d_embedding=n)),
        ("d_hidden", lambda n: MLP(5, 2, d_hidden=n)),
        ("d_input", lambda n: RNN(n, 3)),
        ("d_hidden", lambda n: RNN(3, n)),
        ("d_input", lambda n: LSTM(n, 3)),
        ("d_hidden", lambda n: LSTM(3, n)),
    ],
)
def test_sizes_that_are_none_are_named(name, make, size):
    with pytest.raises(ValueError, match=f"{name} is {size!r}: expected a whole number, 1 or more"):
        make(size)


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_layer_that_reads_time_first_is_refused(layer):
    with pytest.raises(ValueError, match="batch_first=True"):
        RecurrentLanguageModel(5, layer(2, 3))


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_dropout_that_is_no_share_is_named(share):
    for make in (lambda: MLP(5, 2, dropout=share), lambda: RecurrentLanguageModel(5, RNN(2, 3), dropout=share)):
        with pytest.raises(ValueError, match=str(share)):
            make()


@pytest.mark.parametrize(("wrong", "named"), [(-1, "from -1 to 6"), (V, "from 0 to 7"), (99, "from 0 to 99")])
def test_ids_out_of_range_are_named(model, wrong, named):
    """Also one past the last, which an embedding with a row for "nothing" would quietly accept."""
    good, bad = torch.tensor([[0, 6, 3]]), torch.tensor([[0, 6, wrong]])
    for judge in (
        lambda: model.score(bad),
        lambda: model.score(good, bad),
        lambda: model.step(model.start(3), bad[0]),
    ):
        with pytest.raises(ValueError, match=f"{named}: this model knows 0 to 6; encode the text"):
            judge()


@pytest.mark.parametrize("layer", [RNN(2, 3), nn.GRU(2, 3, batch_first=True), nn.LSTM(2, 3, bias=False)])
def test_only_an_lstm_with_biases_has_a_forget_gate_to_open(layer):
    with pytest.raises(TypeError, match=rf"{type(layer).__name__}\(.*no forget gate"):
        open_forget_gate(layer)


@pytest.mark.parametrize("settings", [{"bidirectional": True}, {"proj_size": 2}])
def test_layers_that_cannot_serve_are_refused(settings):
    with pytest.raises(ValueError, match="bidirectional.*proj_size"):
        RecurrentLanguageModel(5, nn.LSTM(2, 3, batch_first=True, **settings))


def test_probabilities_of_a_model_in_half_precision_are_not_rounded():
    model = Bigram(7).to(torch.bfloat16)
    nn.init.normal_(model.logits)
    ids = torch.arange(6)[None]
    for log_p in (model.score(ids), model.step(model.start(1), ids[:, 0])[0]):
        assert log_p.dtype == torch.float32
        assert torch.allclose(log_p.exp().sum(-1), torch.ones(()), atol=1e-5)
