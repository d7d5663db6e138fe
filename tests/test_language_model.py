"""The Transformer language model against PyTorch's and against its formulas, and against what its window holds."""

import itertools
import math

import pytest
import torch
from float64 import close, float64  # noqa: F401
from torch import nn
from torch.nn import functional as F

from course_lib.device import choose
from course_lib.lm import evaluate, generate
from course_lib.neural import language_model as neural
from course_lib.positions import SCHEMES
from course_lib.training import CheckpointError, GradientStep, MuonAdamW, adamw, train
from course_lib.transformer import Architecture, TransformerLM, language_model
from course_lib.transformer.architecture import CHOICES
from course_lib.vocab import Characters

D, H, V, N = 12, 3, 7, 2  # N layers
SETTINGS = {"textbook": Architecture.textbook, "modern": Architecture.modern}
WINDOWS = [1, 2, 5, 8]
VOCAB = Characters("abcdefg")


def shaken(model: nn.Module) -> nn.Module:
    """Weights far from where they start: norms are not 1, biases and outputs not 0."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def language_model_of(setting: str, window: int = 8, **choices) -> TransformerLM:
    sizes = {"d_model": D, "n_heads": H, "d_ff": 17, "n_layers": N, "max_length": window}
    return shaken(TransformerLM(V, SETTINGS[setting](**sizes | choices)))


def text(length: int, batch_size: int = 3) -> torch.Tensor:
    return torch.randint(V, (batch_size, length))


def later(n: int) -> torch.Tensor:
    return torch.ones(n, n, dtype=torch.bool).triu(1)


both = pytest.mark.parametrize("setting", SETTINGS)
every_window = pytest.mark.parametrize("window", WINDOWS)


@pytest.fixture(params=itertools.product(SETTINGS, SCHEMES), ids=" ".join)
def kind(request):
    """A setting, with each scheme of positions in the place of its own."""
    setting, scheme = request.param
    return {"setting": setting, "positions": scheme}


# Against PyTorch's, with copied weights


@torch.no_grad()
def pytorchs_gpt(own: TransformerLM) -> nn.TransformerEncoder:
    """PyTorch's encoder with the weights of a textbook decoder."""
    layer = nn.TransformerEncoderLayer(D, H, 17, 0.0, "gelu", batch_first=True, norm_first=True)
    theirs = nn.TransformerEncoder(layer, N, nn.LayerNorm(D), enable_nested_tensor=False)
    theirs.norm.load_state_dict(own.decoder.norm.state_dict())
    for block, layer in zip(own.decoder.blocks, theirs.layers, strict=True):
        attention = block.self_attention
        projections = attention.query, attention.key, attention.value
        layer.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        for ours, copy in [
            (attention.output, layer.self_attn.out_proj),
            (block.self_residual.norm, layer.norm1),
            (block.feed_forward_residual.norm, layer.norm2),
            (block.feed_forward[0], layer.linear1),
            (block.feed_forward[2], layer.linear2),
        ]:
            copy.load_state_dict(ours.state_dict())
    return theirs


def test_the_textbook_model_is_gpt_of_pytorchs_parts():
    own, ids, targets = language_model_of("textbook"), text(8), text(8)
    theirs, embedding = pytorchs_gpt(own), own.embedding.weight
    x = embedding[ids] + own.decoder.positions.table.weight
    logits = theirs(x, later(8)) @ embedding.T
    assert own(ids).shape == (3, 8, V)
    close(own(ids), logits)
    expected = F.cross_entropy(logits.reshape(-1, V), targets.reshape(-1))
    close(own.loss(ids, targets), expected)
    close(*(torch.autograd.grad(loss, embedding)[0] for loss in (own.loss(ids, targets), expected)))


def modern_by_hand(w: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    """The formulas, one by one, with no module: weights by name, ids (T,) → logits (T, V)."""

    def rms(x, gain):
        return x / (x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt() * gain

    def rotated(x):
        """Coordinates i and i + d/2 of a head are one complex number, turned by place · 10000^(−2i/d)."""
        T, d = x.shape[-2:]
        turn = torch.outer(torch.arange(T), 10_000.0 ** (-2 * torch.arange(d // 2) / d))
        z = torch.complex(x[..., : d // 2], x[..., d // 2 :]) * torch.polar(torch.ones_like(turn), turn)
        return torch.cat([z.real, z.imag], -1)

    T = len(ids)
    embedded = w["embedding.weight"][ids]
    x = embedded.clone()
    x[1:] += w["shift"] * embedded[:-1]
    for i in range(N):
        b = {name.split(f"blocks.{i}.")[1]: v for name, v in w.items() if f"blocks.{i}." in name}
        h = rms(x, b["self_residual.norm.weight"])
        q, k, v = (
            (h @ b[f"self_attention.{name}.weight"].T).reshape(T, H, D // H).transpose(0, 1)
            for name in ("query", "key", "value")
        )
        q = rotated(rms(q, b["self_attention.query_norm.weight"]))
        k = rotated(rms(k, b["self_attention.key_norm.weight"]))
        scores = (q @ k.mT / math.sqrt(D // H)).masked_fill(later(T), -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(T, D)
        x = x + mixed @ b["self_attention.output.weight"].T
        h = rms(x, b["feed_forward_residual.norm.weight"]) @ b["feed_forward.0.weight"].T
        x = x + h.clamp(min=0) ** 2 @ b["feed_forward.2.weight"].T
    return rms(x, w["decoder.norm.weight"]) @ w["output.weight"].T


def test_the_modern_model_is_its_formulas():
    own, ids = language_model_of("modern"), text(8)
    weights = dict(own.named_parameters())
    expected = torch.stack([modern_by_hand(weights, row) for row in ids])
    close(own(ids), expected)
    weigh = torch.randn_like(expected)
    loss, by_hand = ((logits * weigh).sum() for logits in (own(ids), expected))
    gradients = (torch.autograd.grad(total, list(weights.values())) for total in (loss, by_hand))
    for name, a, b in zip(weights, *gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-9), name


# Weights and loss


@both
def test_the_loss_is_the_mean_cost_of_the_targets(setting):
    model, ids, targets = language_model_of(setting), text(6), text(6)
    p = model(ids).softmax(-1).detach()
    costs = [-math.log(p[b, t, targets[b, t]]) for b in range(3) for t in range(6)]
    close(model.loss(ids, targets).detach(), sum(costs) / 18)


@both
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_tied_weights_are_one(setting, tied):
    """One storage, one gradient that both uses add to, one entry in an optimiser; they stay one through a state."""
    model, ids = language_model_of(setting, tied=tied), text(6)
    embedding, output = model.embedding.weight, model.output.weight
    assert (embedding is output) == (embedding.data_ptr() == output.data_ptr()) == tied
    model.loss(ids, ids).backward()
    apart = language_model_of(setting, tied=False)
    apart.load_state_dict(model.state_dict())
    apart.loss(ids, ids).backward()
    parts = apart.embedding.weight.grad, apart.output.weight.grad
    close(embedding.grad, parts[0] + parts[1] if tied else parts[0])
    for optimizer in (adamw(model, 0.1), MuonAdamW(model, model.output)):
        listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert sorted(listed) == sorted({id(p) for p in model.parameters()})
    again = language_model_of(setting, tied=tied)
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        again.embedding.weight.add_(1)
    assert torch.equal(again.output.weight, again.embedding.weight) == tied


def test_an_untrained_modern_model_knows_nothing():
    """Every token has probability 1/V; the output layer is the first to learn, then all the rest."""
    model, ids, targets = TransformerLM(V, Architecture.modern(d_model=D, n_heads=H, n_layers=N)), text(9), text(9)
    close(model.score(ids), torch.full((3, 9, V), -math.log(V)), 1e-14)
    close(model.loss(ids, targets).detach(), math.log(V), 1e-14)
    model.loss(ids, targets).backward()
    assert {name for name, p in model.named_parameters() if p.grad.abs().max() > 0} == {"output.weight"}


def test_a_tied_model_cannot_begin_with_zero_outputs_without_losing_its_embeddings():
    """So only its sub-layers begin at 0."""
    model = TransformerLM(V, Architecture.modern(d_model=D, n_heads=H, tied=True))
    assert model.embedding.weight.std() > 0.01
    assert all((block.feed_forward[2].weight == 0).all() for block in model.decoder.blocks)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_however_weights_begin_the_model_begins_near_guessing(tied, scheme):
    """Another choice must not be judged by a bad start: at the least one nat above ln V."""
    ids, targets = torch.randint(80, (2, 4, 32))
    for setting, init, norm in itertools.product(SETTINGS.values(), CHOICES["init"], CHOICES["norm"]):
        a = setting(d_model=128, n_layers=2, max_length=32, tied=tied, positions=scheme, init=init, norm=norm)
        first = TransformerLM(80, a).loss(ids, targets).item()
        assert abs(first - math.log(80)) < 1, (init, norm, first)


@pytest.mark.parametrize("tied", [False, True])
@both
def test_learned_places_begin_at_the_scale_of_the_embeddings(setting, tied):
    a = SETTINGS[setting](d_model=64, n_layers=1, max_length=500, tied=tied, positions="learned")
    model = TransformerLM(500, a)
    scale = 0.02 if tied or setting == "textbook" else 1.0
    for table in (model.embedding, model.decoder.positions.table):
        close(table.weight.std().detach() / scale, 1.0, 0.03)


# What is no text


@both
def test_what_is_no_text_is_named(setting):
    model = language_model_of(setting)
    for call in (model.score, lambda ids: model.read(model.start(3), ids)):
        with pytest.raises(ValueError, match="there are no ids to"):
            call(text(0))
        with pytest.raises(ValueError, match="ids are torch.float64: expected whole numbers"):
            call(text(4).double())
    with pytest.raises(ValueError, match="2 rows of ids continue a state of 1"):
        model.read(model.start(1), text(4, 2))


@both
def test_a_text_read_in_other_numbers_is_not_continued(setting):
    """Reading in half precision and writing in full would crash in attention, or lose digits unseen."""
    torch.set_default_dtype(torch.float32)
    model, ids = language_model_of(setting), text(4)
    for inside in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            _, state = model.read(model.start(3), ids)
        with torch.autocast("cpu", torch.bfloat16, enabled=not inside):
            with pytest.raises(ValueError, match="continues a cache in .* both within `autocast` or both outside"):
                model.step(state, ids[:, 0])


@both
def test_what_was_read_in_inference_mode_can_be_continued_outside(setting):
    model, ids = language_model_of(setting), text(6)
    with torch.inference_mode():
        _, state = model.read(model.start(3), ids[:, :3])
        _, state = model.step(state, ids[:, 3])
    log_p, state = model.step(state, ids[:, 4])
    log_p, _ = model.step(state, ids[:, 5])
    close(log_p, model.score(ids)[:, -1], 1e-12)


def test_gains_follow_the_numbers_of_autocast(monkeypatch):
    """With a gain of 32 bits on numbers of 16, PyTorch warns and leaves its fused kernel."""
    torch.set_default_dtype(torch.float32)
    model, seen, kernel = language_model_of("modern"), set(), F.rms_norm

    def watched(x, shape, gain, eps):
        seen.add((x.dtype, gain.dtype))
        return kernel(x, shape, gain, eps)

    monkeypatch.setattr(F, "rms_norm", watched)
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(text(8), text(8)).backward()
    assert (torch.bfloat16, torch.bfloat16) in seen and all(x == gain for x, gain in seen)


def test_textbook_weights_begin_as_gpt2s():
    """Radford et al. 2019, 2.3: σ = 0.02, what goes into the residual stream divided by the root of how many do."""
    model = TransformerLM(2000, Architecture.textbook(d_model=128, n_layers=2, max_length=200))
    for name, parameter in model.named_parameters():
        last = ".self_attention.output." in name or ".feed_forward.2." in name
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            close(parameter.std().detach(), 0.02 / math.sqrt(4) if last else 0.02, 0.001)
            close(parameter.mean().detach(), 0.0, 0.001)
    assert model.output.weight is model.embedding.weight


def test_every_weight_learns(kind):
    model = language_model_of(**kind)
    model.loss(text(8), text(8)).backward()
    for name, parameter in model.named_parameters():
        # a bias of the keys adds the same to all scores of a query, unless keys are turned: the softmax forgets it
        if name.endswith(".key.bias") and kind["positions"] != "rotary":
            close(parameter.grad, torch.zeros(D))
        else:
            assert parameter.grad.abs().max() > 1e-8, name


# What is hidden


@pytest.mark.parametrize("t", [0, 3, 7])
def test_the_future_changes_no_earlier_output(kind, t):
    model, ids = language_model_of(**kind), text(8)
    changed = ids.clone()
    changed[:, t] = (changed[:, t] + 1) % V
    before, after = model(ids), model(changed)
    close(before[:, :t], after[:, :t], 1e-12)
    assert ((before - after)[:, t:].abs().amax((0, 2)) > 1e-7).all()


@both
def test_rows_of_a_batch_do_not_mix(setting):
    model, ids, order = language_model_of(setting), text(20), torch.tensor([2, 0, 1])
    close(model.score(ids[order]), model.score(ids)[order], 1e-12)
    close(model.score(ids[1:2]), model.score(ids)[1:2], 1e-12)


@both
def test_the_shift_looks_one_token_back(setting):
    """A model of embeddings alone: what the first token adds to the second, and nothing beyond."""
    model = language_model_of(setting, token_shift=True, positions="none")
    for block in model.decoder.blocks:
        for last in (block.self_attention.output, block.feed_forward[2]):
            nn.init.zeros_(last.weight)
            if last.bias is not None:
                nn.init.zeros_(last.bias)
    ids, e = text(6), model.embedding.weight
    shifted = e[ids] + model.shift * torch.cat([torch.zeros(3, 1, D), e[ids[:, :-1]]], 1)
    close(model(ids), model.output(model.decoder.norm(shifted)))
    assert language_model_of(setting, token_shift=False).shift is None


# The protocol, by the definition of the window


@torch.no_grad()
def by_definition(model: TransformerLM, ids: torch.Tensor) -> torch.Tensor:
    """log p after each token: the window is full → its older half is forgotten; then all it holds is read anew."""
    held, rows = [], []
    for token in ids.T:
        if len(held) == model.window:
            held = held[len(held) - len(held) // 2 :]
        held.append(token)
        rows.append(model(torch.stack(held, 1))[:, -1].log_softmax(-1))
    return torch.stack(rows, 1)


def walked(model: TransformerLM, ids: torch.Tensor, state=None) -> torch.Tensor:
    state, rows = model.start(len(ids)) if state is None else state, []
    for token in ids.T:
        log_p, state = model.step(state, token)
        rows.append(log_p)
    return torch.stack(rows, 1)


def cuts(length: int, window: int) -> list[list[int]]:
    """Ways to cut a text: shorter than a window, as long, longer than several, with other remainders."""
    ways = []
    for piece in (2 * window + 1, window + 1, window // 2 + 1):
        ways.append([piece] * (length // piece) + [length % piece] * (length % piece > 0))
    return [[length], *ways]


@every_window
def test_all_ways_to_read_are_the_definition(kind, window):
    model, T = language_model_of(**kind, window=window), 3 * window + 2
    ids, targets = text(T), text(T)
    expected = by_definition(model, ids)
    close(model.score(ids), expected)
    close(model.score(ids, targets), expected.gather(-1, targets[..., None])[..., 0])
    close(walked(model, ids), expected)
    for way in cuts(T, window):
        state, parts = model.start(3), []
        for piece in ids.split(way, 1):
            logits, state = model.advance(state, piece)
            parts.append(logits)
            assert len(state.past[0]) == state.ids.shape[1] <= window
        close(torch.cat(parts, 1).log_softmax(-1).detach(), expected)
    state, end = model.start(3), 0
    for piece in ids.split(way, 1):
        log_p, state = model.read(state, piece)
        end += piece.shape[1]
        close(log_p, expected[:, end - 1])


@both
@every_window
def test_texts_of_any_length_are_scored(setting, window):
    """All remainders of windows, whole or begun."""
    model = language_model_of(setting, window=window)
    ids, targets = text(3 * window + 1, 2), text(3 * window + 1, 2)
    whole = by_definition(model, ids)
    for T in range(1, ids.shape[1] + 1):
        expected = whole[:, :T]
        close(model.score(ids[:, :T]), expected)
        close(model.score(ids[:, :T], targets[:, :T]), expected.gather(-1, targets[:, :T, None])[..., 0])


def test_as_soon_as_there_is_half_a_window_every_token_sees_one():
    """And none sees more than a window: by gradients with respect to what was embedded."""
    model, seen = language_model_of("textbook", window=6), []
    ids, embed = text(20, 1), model.embedding.forward
    for t in range(20):
        traces = []
        model.embedding.forward = lambda ids, traces=traces: traces.append(embed(ids)) or traces[-1]
        logits, state = model.advance(model.start(1), ids[:, : t + 1])
        model.embedding.forward = embed
        gradients = torch.autograd.grad(logits[0, -1].square().sum(), traces, allow_unused=True)
        seen.append(sum(int((g.abs().amax((0, 2)) > 0).sum()) for g in gradients if g is not None))
    assert seen == [1, 2, 3, 4, 5, 6] + [4, 5, 6] * 4 + [4, 5]


@both
@pytest.mark.parametrize("piece", [1, 8 * 17 * 2, 8 * 17 * 5])
def test_how_many_windows_are_computed_at_a_time_changes_nothing(setting, piece, monkeypatch):
    model, ids, targets = language_model_of(setting), text(43), text(43)
    whole, forward, sizes = model.score(ids), model.decoder.forward, []
    monkeypatch.setattr(language_model, "PIECE", piece)
    monkeypatch.setattr(model.decoder, "forward", lambda x, *a, **k: sizes.append(len(x)) or forward(x, *a, **k))
    close(model.score(ids), whole)
    assert max(sizes[:-1]) == max(1, piece // (8 * 17))  # the last is what remains, a row for each text
    close(model.score(ids, targets), whole.gather(-1, targets[..., None])[..., 0])
    monkeypatch.setattr(neural, "PIECE", 40)
    close(model.score(ids[:, :8]), by_definition(model, ids[:, :8]))


@both
@pytest.mark.parametrize("read", [0, 1, 4, 5, 13])
@pytest.mark.parametrize("rows", [[2, 0, 0, 1], [1]], ids=str)
def test_selected_rows_go_on_as_themselves(setting, read, rows):
    model, ids, rows = language_model_of(setting, window=5), text(read + 9), torch.tensor(rows)
    expected = by_definition(model, ids)
    state = model.start(3)
    for token in ids[:, :read].T:
        _, state = model.step(state, token)
    chosen = model.select(state, rows)
    close(walked(model, ids[rows, read:], chosen), expected[rows, read:])
    close(walked(model, ids[:, read:], state), expected[:, read:])  # and the old state goes on, too


def test_rows_picked_again_and_again(kind):
    """As beam search does: after each token other rows, some of them twice."""
    model, ids = language_model_of(**kind, window=5), text(3)
    state, histories = model.start(3), torch.empty(3, 0, dtype=int)
    for _ in range(9):
        token, rows = torch.randint(V, (3,)), torch.randint(3, (3,))
        log_p, state = model.step(state, token)
        histories = torch.cat([histories, token[:, None]], 1)
        close(log_p, by_definition(model, histories)[:, -1])
        state, histories = model.select(state, rows), histories[rows]
    close(walked(model, ids, state), by_definition(model, torch.cat([histories, ids], 1))[:, -3:])


@both
@pytest.mark.parametrize("read", [0, 1, 3, 4, 6, 8])
def test_a_state_may_be_continued_more_than_once(setting, read):
    """Three texts that share their first tokens, told in turns, one of them with its rows in another order."""
    model, start, order = language_model_of(setting), text(read), torch.tensor([1, 2, 0])
    state = model.start(3)
    for token in start.T:
        _, state = model.step(state, token)
    ends = [text(7) for _ in range(3)]
    expected = [by_definition(model, torch.cat([start, end], 1))[:, read:] for end in ends[:2]]
    expected.append(by_definition(model, torch.cat([start[order], ends[2]], 1))[:, read:])
    states = [state, state, model.select(state, order)]
    for t in range(7):
        for i in range(3):
            log_p, states[i] = model.step(states[i], ends[i][:, t])
            close(log_p, expected[i][:, t])
    close(walked(model, ends[0], state), expected[0])


@pytest.mark.parametrize("n_prompt", [1, 7, 8, 13])
def test_greedy_text_with_a_cache_is_that_without(kind, n_prompt):
    """Three prompts at once, recomputed from their tokens alone; and the first by itself."""
    model, prompts = language_model_of(**kind), text(n_prompt)
    log_p, state = model.read(model.start(3), prompts)
    ids = prompts
    for _ in range(10):
        token = log_p.argmax(-1)
        ids = torch.cat([ids, token[:, None]], 1)
        log_p, state = model.step(state, token)
    best = by_definition(model, ids).argmax(-1)
    assert torch.equal(ids[:, n_prompt:], best[:, n_prompt - 1 : -1])
    given, whole = VOCAB.decode(prompts[0].tolist()), VOCAB.decode(ids[0].tolist())
    assert generate(model, VOCAB, given, 10, temperature=0, batch_size=3) == [whole] * 3


@both
def test_a_long_text_is_evaluated_window_by_window(setting):
    model, ids = language_model_of(setting), text(60, 1)
    letters = VOCAB.decode(ids[0].tolist())
    targets = ids[:, 1:, None]
    carried = -by_definition(model, ids[:, :-1]).gather(-1, targets).sum().item()
    assert evaluate(model, VOCAB, letters).nats == pytest.approx(carried, abs=1e-8)
    cold = sum(
        -model(ids[:, i : i + 8][:, : 59 - i]).log_softmax(-1).gather(-1, targets[:, i : i + 8]).sum().item()
        for i in range(0, 59, 8)
    )
    assert evaluate(model, VOCAB, letters, block=8).nats == pytest.approx(cold, abs=1e-8)
    assert abs(cold - carried) > 0.01


def test_ids_may_be_numpys():
    """Of any integer type, targets as well."""
    model, ids = language_model_of("modern"), text(21)
    for short in (ids.numpy().astype(kind) for kind in ("int16", "uint16")):
        close(model.score(short, short), model.score(ids, ids))
        close(model.read(model.start(3), short)[0], model.score(ids)[:, -1])
        close(model.step(model.start(3), short[:, 0])[0], model.score(ids)[:, 0])


@both
def test_judging_is_without_dropout_and_leaves_every_mode(setting):
    model, ids = language_model_of(setting, dropout=0.5), text(20)
    log_p, steps = model.score(ids), walked(model, ids)
    assert all(module.training for module in model.modules())
    assert not torch.allclose(model(ids[:, :8]), model(ids[:, :8]))  # training has it
    model.eval()
    close(log_p, by_definition(model, ids))
    close(steps, log_p)
    read, state = model.read(model.start(3), ids)
    assert not any(found.requires_grad for found in (log_p, steps, read, *state.past[0]))


@both
def test_a_judged_model_trains_as_one_never_judged(setting):
    model, ids = language_model_of(setting), text(8)
    model.loss(ids, ids).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    for use in (lambda: model.score(text(30)), lambda: walked(model, text(12))):
        model.zero_grad()
        use()
        model.loss(ids, ids).backward()
        assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected, strict=True))


@both
def test_gradients_pass_through_the_cache(setting):
    """A block read in pieces has the gradients of the block."""
    model, ids, targets = language_model_of(setting), text(8), text(8)
    state, parts = model.start(3), []
    for piece in ids.split([3, 1, 4], 1):
        logits, state = model.advance(state, piece)
        parts.append(logits)
    pieces = F.cross_entropy(torch.cat(parts, 1).flatten(0, 1), targets.flatten())
    weights = list(model.parameters())
    for a, b in zip(*(torch.autograd.grad(loss, weights) for loss in (model.loss(ids, targets), pieces)), strict=True):
        close(a, b)


# Precision, states


def test_half_precision_reads_and_trains(kind):
    torch.set_default_dtype(torch.float32)
    model, ids = language_model_of(**kind), text(8)
    expected = model.score(ids)
    with torch.autocast("cpu", torch.bfloat16):
        close(walked(model, ids), expected, 0.3)
        loss = model.loss(ids, ids)
    close(loss.detach(), model.loss(ids, ids).detach(), 0.1)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_state_holds_weights_alone(kind):
    """No masks, no tables of sines: after training the window may be another, but for learned positions."""
    model, ids = language_model_of(**kind), text(8)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if kind["positions"] != "learned":
        longer = language_model_of(**kind, window=11)
        longer.load_state_dict(model.state_dict())
        close(longer(ids), model(ids))


# Bad input


@both
def test_a_block_longer_than_the_window_is_named(setting):
    model = language_model_of(setting)
    for use in (lambda: model(text(9)), lambda: model.loss(text(9), text(9))):
        with pytest.raises(ValueError, match="blocks of 9 tokens are longer than the window of 8: train on shorter"):
            use()


def test_ids_out_of_range_are_named():
    model, wrong = language_model_of("modern"), torch.tensor([[0, V]])
    for use in (
        lambda: model.score(wrong),
        lambda: model.score(torch.zeros(1, 30, dtype=int), torch.full((1, 30), V)),
        lambda: model.read(model.start(1), wrong),
        lambda: model.step(model.start(2), wrong[0]),
    ):
        with pytest.raises(ValueError, match=f"ids run from .* to {V}: this model knows 0 to {V - 1}"):
            use()


@pytest.mark.parametrize("length", [5, 21], ids=["within the window", "beyond"])
def test_ids_and_targets_of_other_shapes_are_named(length):
    model, ids = language_model_of("modern"), text(length)
    for targets in (ids[:, 1:], ids[:1]):
        with pytest.raises(ValueError, match=r"targets have shape .* and ids .*: expected a target for each id"):
            model.score(ids, targets)
    for wrong, named in ((ids[0], r"ids have shape \(\d+,\): expected \(B, T\)"), (ids > 3, "ids are torch.bool")):
        for use in (lambda wrong=wrong: model.score(wrong), lambda wrong=wrong: model.read(model.start(3), wrong)):
            with pytest.raises(ValueError, match=named):
                use()


def test_a_vocabulary_of_another_model_is_named():
    with pytest.raises(ValueError, match=f"the model knows {V} tokens and the vocabulary 3: expected the vocabulary"):
        generate(language_model_of("modern"), Characters("abc"), "a", 5)


OTHERS = [{"n_heads": 2}, {"positions": "alibi"}, {"activation": "gelu"}, {"dropout": 0.5}, {"max_length": 32}]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_a_checkpoint_of_another_architecture_is_refused(other, tmp_path):
    """Its weights would fit: only its choices differ. The message names them, and is short enough to read."""

    def run(**changed):
        choices = {"d_model": D, "n_heads": 1, "d_ff": 17, "max_length": 8, "qk_norm": False} | changed
        model = TransformerLM(V, Architecture.modern(**choices))
        step = GradientStep(model, adamw(model, 0.01), lambda: model.loss(text(8), text(8)))
        return train(step, 2, checkpoint=tmp_path / "c.pt")

    run()
    run()  # the same comes back
    with pytest.raises(CheckpointError, match="is of another run: its settings is .*Architecture") as error:
        run(**other)
    assert len(str(error.value)) < 1200


@pytest.mark.parametrize("where", sorted({"cpu", choose().type}))
@both
def test_it_trains_and_writes_where_there_is_an_accelerator(setting, where):
    """In single precision: the loss falls, and the cache changes no token, within and beyond the window."""
    torch.set_default_dtype(torch.float32)
    model, ids = language_model_of(setting).to(where), text(9).to(where)
    step = GradientStep(model, MuonAdamW(model, model.output, 0.02, 0.01), lambda: model.loss(ids[:, :-1], ids[:, 1:]))
    losses = train(step, 40).values["loss"]
    assert losses[-1] < 0.7 * losses[0]
    log_p, state = model.read(model.start(3), ids)
    for _ in range(10):
        ids = torch.cat([ids, log_p.argmax(-1, keepdim=True)], 1)
        log_p, state = model.step(state, ids[:, -1])
        torch.testing.assert_close(log_p, model.score(ids)[:, -1], atol=1e-3, rtol=1e-3)


def test_a_vocabulary_that_is_none_is_named():
    with pytest.raises(ValueError, match="vocab_size is 0: expected a whole number, 1 or more"):
        TransformerLM(0, Architecture())
