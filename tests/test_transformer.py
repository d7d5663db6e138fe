"""The Transformer against PyTorch's with copied weights; what is hidden from whom; its language model of targets."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from float64 import close, float64  # noqa: F401
from torch import nn

from course_lib.attention import MaskError, MultiHeadAttention, padding_mask, watch
from course_lib.batches import IGNORED
from course_lib.lm import generate
from course_lib.neural import language_model
from course_lib.positions import SCHEMES, Learned, Rotary, positions
from course_lib.transformer import (
    Architecture,
    Block,
    EncoderDecoder,
    FeedForward,
    GivenSource,
    Residual,
    Stack,
    initialise,
    zero_outputs,
)
from course_lib.transformer.block import SharedDropout
from course_lib.vocab import Characters

D, H, V, W = 12, 3, 7, 9  # W: the size of the source's vocabulary
NORMS = ["pre", "post"]
VOCAB = Characters("abcdefg")
LENGTHS = [5, 2, 3]
SOURCE_MASK = padding_mask(LENGTHS)


def shaken(model: nn.Module) -> nn.Module:
    """Weights far from where they start: norms are not 1, biases not 0."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def architecture(scheme="none", norm="pre", **settings) -> Architecture:
    return Architecture(D, H, d_ff=17, n_layers=2, positions=scheme, norm=norm, max_length=16, **settings)


def encoder_decoder(scheme="none", norm="pre", **settings) -> EncoderDecoder:
    return shaken(EncoderDecoder(W, V, architecture(scheme, norm, **settings)))


@pytest.fixture(params=itertools.product(SCHEMES, NORMS), ids=" ".join)
def kind(request):
    """Positions and norm."""
    return request.param


@pytest.fixture
def source():
    return torch.randint(W, (3, 5))


@pytest.fixture
def target():
    return torch.randint(V, (3, 6))


# Against PyTorch's, with copied weights


def copy_attention(theirs: nn.MultiheadAttention, own: MultiHeadAttention) -> None:
    projections = own.query, own.key, own.value
    theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    theirs.out_proj.load_state_dict(own.output.state_dict())
    theirs.dropout = 0.0  # ours is of what a sub-layer says, not of whom it looks at


@torch.no_grad()
def copy_block(theirs: nn.Module, own: Block, cross: bool) -> None:
    """Of theirs, all dropout but that of the sub-layers' outputs is left out."""
    copy_attention(theirs.self_attn, own.self_attention)
    norms = [own.self_residual, own.feed_forward_residual]
    if cross:
        copy_attention(theirs.multihead_attn, own.cross_attention)
        norms.insert(1, own.cross_residual)
    for i, residual in enumerate(norms, 1):
        getattr(theirs, f"norm{i}").load_state_dict(residual.norm.state_dict())
    theirs.linear1.load_state_dict(own.feed_forward[0].state_dict())
    theirs.linear2.load_state_dict(own.feed_forward[2].state_dict())
    theirs.dropout = nn.Identity()


def pytorchs(own: Stack, a: Architecture, cross: bool = False) -> nn.Module:
    """PyTorch's encoder or decoder with our weights; post-norm has no norm at the end, where `nn.Transformer` has."""
    make_layer = nn.TransformerDecoderLayer if cross else nn.TransformerEncoderLayer
    make = nn.TransformerDecoder if cross else nn.TransformerEncoder
    layer = make_layer(a.d_model, a.n_heads, a.d_ff, a.dropout, batch_first=True, norm_first=a.norm == "pre")
    settings = {} if cross else {"enable_nested_tensor": False}
    theirs = make(layer, a.n_layers, nn.LayerNorm(D) if a.norm == "pre" else None, **settings)
    if a.norm == "pre":
        theirs.norm.load_state_dict(own.norm.state_dict())
    for block, layer in zip(own.blocks, theirs.layers, strict=True):
        copy_block(layer, block, cross)
    return theirs


def hidden(mask: torch.Tensor | None) -> torch.Tensor | None:
    """(B, 1, S), True for a token → (B, S), True for padding."""
    return None if mask is None else ~mask[:, 0]


def later(n: int) -> torch.Tensor:
    return torch.ones(n, n, dtype=torch.bool).triu(1)


@pytest.mark.parametrize("mask", [None, SOURCE_MASK], ids=["no padding", "padding"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_a_stack_is_pytorchs_encoder(norm, causal, mask):
    a = architecture(norm=norm)
    own, x = shaken(Stack(a)), torch.randn(3, 5, D, requires_grad=True)
    theirs = pytorchs(own, a)
    expected = theirs(x, later(5) if causal else None, hidden(mask))
    output, _ = own(x, mask=mask, causal=causal)
    close(output, expected)
    weigh = torch.randn_like(x)
    close(*(torch.autograd.grad((result * weigh).sum(), x)[0] for result in (output, expected)))


@pytest.mark.parametrize("mask", [None, SOURCE_MASK], ids=["no padding", "padding"])
@pytest.mark.parametrize("scheme", ["none", "learned", "sinusoidal"])
@pytest.mark.parametrize("norm", NORMS)
def test_encoder_and_decoder_are_pytorchs(norm, scheme, mask, source, target):
    """`nn.Transformer` on embeddings to which the rows of the places are added beforehand."""
    a, own = architecture(scheme, norm), encoder_decoder(scheme, norm)
    encoder, decoder = pytorchs(own.encoder, a), pytorchs(own.decoder, a, cross=True)
    theirs = nn.Transformer(D, 2, 1, 1, batch_first=True)
    theirs.encoder, theirs.decoder = encoder, decoder  # given as custom_encoder, their weights would be drawn anew

    def embedded(embedding, stack, ids):
        if scheme == "none":
            return embedding(ids)
        table = stack.positions.table.weight if scheme == "learned" else stack.positions.table
        return embedding(ids) + table[: ids.shape[1]]

    h = theirs(
        embedded(own.source_embedding, own.encoder, source),
        embedded(own.target_embedding, own.decoder, target),
        tgt_mask=later(6),
        src_key_padding_mask=hidden(mask),
        memory_key_padding_mask=hidden(mask),
    )
    logits = own(source, target, mask)
    assert logits.shape == (3, 6, V)
    close(logits, own.output(h))
    close(own.encode(source, mask), encoder(embedded(own.source_embedding, own.encoder, source), None, hidden(mask)))


@pytest.mark.parametrize("norm", NORMS)
def test_dropout_is_where_the_paper_has_it(norm, source, target, monkeypatch):
    """Section 5.4: of each sub-layer's output and of the sums of embeddings and positions. A dropout that doubles."""
    a, own = architecture("learned", norm, dropout=0.1), encoder_decoder("learned", norm, dropout=0.1)
    encoder, decoder = pytorchs(own.encoder, a), pytorchs(own.decoder, a, cross=True)
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: 2 * x)
    x = 2 * (own.source_embedding(source) + own.encoder.positions.table.weight[:5])
    y = 2 * (own.target_embedding(target) + own.decoder.positions.table.weight[:6])
    close(own(source, target), own.output(decoder(y, encoder(x), later(6))))


def test_every_dropout_has_the_given_share_and_judging_none(source, target):
    model = encoder_decoder(dropout=0.3)
    shares = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert shares == [0.3] * (2 + 2 * 2 + 2 * 3)  # per stack, per sub-layer of encoder and decoder
    assert not torch.allclose(model(source, target), model(source, target))
    model.eval()
    assert torch.equal(model(source, target), model(source, target))


@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_connection_is_its_formula(norm):
    residual, f = shaken(Residual(architecture(norm=norm))), torch.nn.Linear(D, D)
    x = torch.randn(2, 4, D)

    def normalised(x):
        standard = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        return standard * residual.norm.weight + residual.norm.bias

    expected = x + f(normalised(x)) if norm == "pre" else normalised(x + f(x))
    close(residual.after(x, f(residual.before(x))), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_connection_by_root_mean_squares_is_its_formula(norm):
    residual, f = shaken(Residual(architecture(norm=norm, normalisation="rms"))), torch.nn.Linear(D, D)
    x = torch.randn(2, 4, D)
    assert [name for name, _ in residual.named_parameters()] == ["norm.weight"]  # a gain, no shift

    def normalised(x):
        return x / x.square().mean(-1, keepdim=True).sqrt() * residual.norm.weight

    expected = x + f(normalised(x)) if norm == "pre" else normalised(x + f(x))
    close(residual.after(x, f(residual.before(x))), expected)


ACTIVATIONS = {
    "relu": lambda x: np.maximum(0, x),
    "relu2": lambda x: np.maximum(0, x) ** 2,
    "gelu": np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_feed_forward_is_its_formula(activation):
    layer, x = shaken(FeedForward(3, 5, activation)), torch.randn(2, 4, 3)
    W1, b1, W2, b2 = (p.detach().numpy() for p in layer.parameters())
    assert W1.shape == (5, 3)
    close(layer(x).detach(), ACTIVATIONS[activation](x.numpy() @ W1.T + b1) @ W2.T + b2)


def test_without_biases_there_are_none():
    """But for those of layer normalisation."""
    model = EncoderDecoder(W, V, architecture(bias=False))
    biases = {name for name, _ in model.named_parameters() if name.endswith("bias")}
    assert all("norm" in name for name in biases - {"output.bias"})
    model = EncoderDecoder(W, V, architecture(bias=False, normalisation="rms"))
    assert {name for name, _ in model.named_parameters() if name.endswith("bias")} == {"output.bias"}


def test_every_choice_reaches_every_block(source, target):
    """One model with another choice in the place of each gives other logits from the same weights."""
    changes = [{"norm": "post"}, {"normalisation": "rms"}, {"activation": "gelu"}, {"activation": "relu2"}]
    changes += [{"bias": False}, {"qk_norm": True}]
    model = encoder_decoder()
    expected = model(source, target)
    for change in changes:
        other = EncoderDecoder(W, V, architecture(**change))
        other.load_state_dict(model.state_dict(), strict=False)
        for stack in (other.encoder, other.decoder):
            assert len(stack.blocks) == 2
        assert (other(source, target) - expected).abs().max() > 1e-3, change
    blocks = [block for stack in (other.encoder, other.decoder) for block in stack.blocks]
    attentions = [block.self_attention for block in blocks] + [b.cross_attention for b in other.decoder.blocks]
    assert all(isinstance(attention.query_norm, nn.RMSNorm) for attention in attentions)  # the last change


def test_a_source_and_cross_attention_go_together():
    decoder, encoder, x = Stack(architecture(), cross=True), Stack(architecture()), torch.randn(2, 4, D)
    sources = decoder.look_at(torch.randn(2, 3, D))
    for wrong in (lambda: decoder(x, causal=True), lambda: encoder(x, sources=sources)):
        with pytest.raises(ValueError, match="cross-attention and a source go together"):
            wrong()
    with pytest.raises(ValueError, match="no cross-attention: make it with cross=True"):
        encoder.look_at(x)


def test_zero_outputs_let_every_sub_layer_add_nothing():
    """At first; and they stay free to learn."""
    stack, x = shaken(Stack(architecture())), torch.randn(2, 4, D)
    before = {name: p.detach().clone() for name, p in stack.named_parameters()}
    zero_outputs(stack)
    close(stack(x, causal=True)[0], stack.norm(x))
    for name, parameter in stack.named_parameters():
        last = ".self_attention.output." in name or ".feed_forward.2." in name
        assert last or torch.equal(parameter, before[name]), name
    stack(x)[0].square().sin().sum().backward()
    assert all(block.feed_forward[2].weight.grad.abs().max() > 1e-6 for block in stack.blocks)


# How weights begin


def spread(model: nn.Module) -> dict[str, float]:
    return {name: p.std().item() for name, p in model.named_parameters() if p.ndim == 2}


def test_weights_begin_as_gpt2s():
    """Radford et al. 2019, 2.3: what goes into a residual stream is divided by the root of how many add up; of an
    encoder and a decoder those are all their sub-layers."""
    model = EncoderDecoder(300, 300, Architecture(128, 4, 256, 2, positions="learned", init="gpt2", max_length=200))
    for name, std in spread(model).items():
        last = "attention.output." in name or ".feed_forward.2." in name
        assert std == pytest.approx(0.02 / math.sqrt(2 * 2 + 2 * 3) if last else 0.02, rel=0.05), name
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == ("norm" in name and name.endswith("weight"))).all(), name


def test_unless_told_weights_begin_as_pytorchs_layers_do():
    """Bit by bit those of the same seed, and initialise leaves them."""
    model = EncoderDecoder(200, V, Architecture(128, 4, 256, 1))
    for name, std in spread(model).items():
        inputs = dict(model.named_parameters())[name].shape[1]
        assert std == pytest.approx(1 if "embedding" in name else math.sqrt(1 / (3 * inputs)), rel=0.1), name
    before = [p.detach().clone() for p in model.parameters()]
    initialise(model, "pytorch")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_with_zero_outputs_a_model_begins_as_its_embeddings(bias, source, target):
    """Pre-norm: the residual stream goes through untouched, in encoder and decoder; only last matrices are 0."""
    settings = {"bias": bias, "normalisation": "rms", "qk_norm": True}
    model = EncoderDecoder(W, V, architecture(init="zero_outputs", **settings))
    close(model.encode(source), model.encoder.norm(model.source_embedding(source)))
    close(model(source, target), model.output(model.decoder.norm(model.target_embedding(target))))
    zero = {name.rpartition(".")[0] for name, p in model.named_parameters() if (p == 0).all()}
    assert len(zero) == 2 * 2 + 2 * 3
    assert all(name.endswith(("attention.output", "feed_forward.2")) for name in zero)


# What hides what from whom


@pytest.mark.parametrize("t", [0, 3, 5])
def test_the_future_changes_no_earlier_output(kind, t, source, target):
    model, changed = encoder_decoder(*kind), target.clone()
    changed[:, t] = (changed[:, t] + 1) % V
    before, after = model(source, target), model(source, changed)
    close(before[:, :t], after[:, :t], 1e-12)
    assert ((before - after)[:, t:].abs().amax((0, 2)) > 1e-6).all()


@pytest.mark.parametrize("t", [0, 2, 4])
def test_the_gradient_of_an_output_stops_at_its_place(kind, t):
    stack, x = shaken(Stack(architecture(*kind))), torch.randn(2, 5, D, requires_grad=True)
    grad = torch.autograd.grad(stack(x, causal=True)[0][:, t].square().sum(), x)[0]
    assert (grad[:, t + 1 :] == 0).all()
    assert (grad[:, : t + 1].abs().amax((0, 2)) > 1e-9).all()


def test_without_causality_every_place_sees_all(kind):
    stack, x = shaken(Stack(architecture(*kind))), torch.randn(2, 5, D, requires_grad=True)
    grad = torch.autograd.grad(stack(x)[0][:, 1].square().sum(), x)[0]
    assert (grad.abs().amax((0, 2)) > 1e-9).all()


def test_padding_changes_nothing(kind, source, target):
    """Neither what stands in the padding, nor how long it is, nor that it is there."""
    model = encoder_decoder(*kind)
    expected = model(source, target, SOURCE_MASK)
    other = torch.where(SOURCE_MASK[:, 0], source, (source + 1) % W)
    close(model(other, target, SOURCE_MASK), expected, 1e-12)
    longer = torch.cat([source, torch.ones(3, 4, dtype=int)], 1)
    close(model(longer, target, padding_mask(LENGTHS, 9)), expected, 1e-12)
    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1)
        close(model(source[one, :length], target[one])[0], expected[row], 1e-12)
    assert (model(source, target) - expected)[1:].abs().max() > 1e-3


def test_sequences_of_a_batch_do_not_mix(kind, source, target):
    model = encoder_decoder(*kind)
    together, order = model(source, target, SOURCE_MASK), torch.tensor([2, 0, 1])
    close(model(source[order], target[order], SOURCE_MASK[order]), together[order], 1e-12)
    changed = source.clone()
    changed[1] = (changed[1] + 1) % W
    after = model(changed, target, SOURCE_MASK)
    close(after[[0, 2]], together[[0, 2]], 1e-12)
    assert (after[1] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize("t", range(5))
def test_every_token_of_the_source_is_read(kind, t, source, target):
    model, changed = encoder_decoder(*kind), source.clone()
    changed[:, t] = (changed[:, t] + 1) % W
    assert ((model(source, target) - model(changed, target)).abs().amax((0, 2)) > 1e-6).all()


def test_only_positions_tell_an_encoder_the_order(kind):
    scheme, _ = kind
    stack, x, order = shaken(Stack(architecture(*kind))), torch.randn(2, 5, D), torch.tensor([3, 1, 4, 0, 2])
    if isinstance(stack.positions, Learned):
        nn.init.normal_(stack.positions.table.weight)
    difference = (stack(x[:, order])[0] - stack(x)[0][:, order]).abs().max()
    assert difference < 1e-12 if scheme == "none" else difference > 1e-3


@pytest.mark.parametrize("scheme", ["rotary", "alibi"])
def test_rotary_and_alibi_do_not_know_where_a_text_begins(scheme):
    """A text hidden behind padding on the left is the text; only the distances count."""
    stack, x = shaken(Stack(architecture(scheme))), torch.randn(1, 4, D)
    moved = torch.cat([torch.randn(1, 3, D), x], 1)
    mask = torch.arange(7)[None, None] >= 3
    close(stack(moved, mask=mask)[0][:, 3:], stack(x)[0])


def test_a_pre_norm_stack_ends_in_a_norm_and_a_post_norm_stack_in_that_of_its_last_block():
    x = 5 * torch.randn(2, 4, D)
    for norm in NORMS:
        output, _ = Stack(architecture(norm=norm))(x)
        close(output.mean(-1), torch.zeros(2, 4))
        close(output.var(-1, correction=0), torch.ones(2, 4), 1e-3)
        assert isinstance(Stack(architecture(norm=norm)).norm, nn.LayerNorm) == (norm == "pre")


# The loss


def test_the_loss_is_the_mean_cost_of_the_labels(source, target):
    model, labels = encoder_decoder(), (target + 2) % V
    p = model(source, target, SOURCE_MASK).softmax(-1).detach()
    costs = [-math.log(p[b, t, labels[b, t]]) for b in range(3) for t in range(6)]
    close(model.loss(source, SOURCE_MASK, target, labels).detach(), np.mean(costs))


def test_ignored_labels_and_what_stands_before_them_cost_nothing(source, target):
    """Targets of lengths 4, 6 and 1, padded, cost what they cost one by one, weighed by their tokens."""
    model, lengths = encoder_decoder("rotary"), [4, 6, 1]
    labels = (target + 2) % V
    alone = [
        n * model.loss(source[b : b + 1], SOURCE_MASK[b : b + 1], target[b : b + 1, :n], labels[b : b + 1, :n])
        for b, n in enumerate(lengths)
    ]
    padding = torch.tensor([[t >= n for t in range(6)] for n in lengths])
    labels[padding] = IGNORED
    together = model.loss(source, SOURCE_MASK, target, labels)
    close(together, sum(alone) / sum(lengths))
    others = model.loss(source, SOURCE_MASK, target.masked_fill(padding, 0), labels)
    weights = list(model.parameters())
    for a, b in zip(torch.autograd.grad(together, weights), torch.autograd.grad(others, weights), strict=True):
        close(a, b)


def test_every_weight_learns(kind, source, target):
    model = encoder_decoder(*kind)
    model.loss(source, SOURCE_MASK, target, target).backward()
    turns = kind[0] == "rotary"
    for name, parameter in model.named_parameters():
        # a bias of the keys adds the same to all scores of a query, unless keys are turned: the softmax forgets it
        if name.endswith(".key.bias") and not (turns and "self_attention" in name):
            close(parameter.grad, torch.zeros(D))
        else:
            assert parameter.grad.abs().max() > 1e-8, name


# The language model of targets


@pytest.fixture
def given(kind, source):
    return encoder_decoder(*kind, dropout=0.5).given(source, SOURCE_MASK)


def test_score_is_the_model_itself_without_dropout(given, source, target):
    log_p = given.score(target)
    assert all(module.training for module in given.modules())
    given.eval()
    close(log_p, given.model(source, target, SOURCE_MASK).log_softmax(-1).detach())
    close(given(target), given.model(source, target, SOURCE_MASK))
    targets = (target + 2) % V
    close(given.score(target, targets), log_p.gather(-1, targets[..., None])[..., 0])
    close(given.loss(target, targets), given.model.loss(source, SOURCE_MASK, target, targets))
    assert log_p.std() > 0.1


def test_walking_step_by_step_gives_what_score_gives(given, target):
    """In training mode too: neither the target nor the source is then read with dropout."""
    state, at_once = given.start(3), given.score(target)
    for t in range(target.shape[1]):
        log_p, state = given.step(state, target[:, t])
        assert not log_p.requires_grad
        close(log_p, at_once[:, t])


@pytest.mark.parametrize("cuts", [[6], [1, 5], [4, 2], [2, 1, 3], [1] * 6], ids=str)
def test_any_cut_into_pieces_gives_the_same(given, target, cuts):
    given.eval()
    state, logits = given.start(3), []
    for piece in target.split(cuts, 1):
        out, state = given.advance(state, piece)
        logits.append(out)
    close(torch.cat(logits, 1), given(target))


@pytest.mark.parametrize("piece", [1, 2 * 3 * V, 4 * 3 * V])
def test_pieces_change_no_score(given, target, piece, monkeypatch):
    whole = given.score(target)
    monkeypatch.setattr(language_model, "PIECE", piece)
    advance, widths = given.advance, []
    monkeypatch.setattr(given, "advance", lambda state, ids: widths.append(ids.shape[1]) or advance(state, ids))
    close(given.score(target), whole)
    assert max(widths) == max(1, piece // (3 * V))


@pytest.mark.parametrize("mask", [None, padding_mask([3], 5)], ids=["no padding", "padding"])
def test_one_source_serves_many_rows_and_is_read_once(kind, mask, source, target, monkeypatch):
    model = encoder_decoder(*kind).eval()
    rows = source[:1].expand(3, 5)
    expected = model(rows, target, None if mask is None else mask.expand(3, 1, 5)).log_softmax(-1)
    encode, read = model.encode, []
    monkeypatch.setattr(model, "encode", lambda ids, mask: read.append(tuple(ids.shape)) or encode(ids, mask))
    given = model.given(source[:1], mask)
    close(given.score(target), expected.detach())
    assert read == [(1, 5)]
    state = given.start(3)
    for t in range(3):
        log_p, state = given.step(state, target[:, t])
        close(log_p, expected[:, t].detach())
    close(given.score(target[:1]), expected[:1].detach())


@pytest.mark.parametrize("read", [0, 1, 4])
@pytest.mark.parametrize("rows", [[2, 0, 0, 1], [1], [0, 1, 2]], ids=str)
def test_selected_rows_go_on_as_themselves(given, source, target, read, rows):
    """As beam search asks: rows are taken over with their own source, mask and past."""
    given.eval()
    rows = torch.tensor(rows)
    state = given.start(3)
    if read:
        _, state = given.advance(state, target[:, :read])
    untouched = given.advance(state, target[:, read:])[0]
    logits, _ = given.advance(given.select(state, rows), target[rows, read:])
    whole = given.model(source[rows], target[rows], SOURCE_MASK[rows])
    close(logits, whole[:, read:])
    close(given.advance(state, target[:, read:])[0], untouched)


def test_rows_can_be_selected_without_a_mask(source, target):
    model, rows = encoder_decoder("rotary").eval(), torch.tensor([1, 1, 2, 0])
    given = model.given(source)
    _, state = given.advance(given.start(3), target[:, :2])
    close(given.advance(given.select(state, rows), target[rows, 2:])[0], model(source[rows], target[rows])[:, 2:])


def test_one_mask_for_all_sources_is_one_for_each_row(source, target):
    """(1, 1, S) serves a batch in the model; then it does so here."""
    model, mask, rows = encoder_decoder("rotary").eval(), padding_mask([3], 5), torch.tensor([2, 1])
    given = model.given(source, mask)
    close(given.score(target), model(source, target, mask).log_softmax(-1).detach())
    _, state = given.advance(given.start(3), target[:, :2])
    expected = model(source[rows], target[rows], mask)
    close(given.advance(given.select(state, rows), target[rows, 2:])[0], expected[:, 2:])


def test_a_batch_that_is_not_that_of_the_sources_is_named(source, target):
    given = encoder_decoder().given(source)
    for judge in (lambda: given.start(2), lambda: given.score(target[:2]), lambda: given.score(target[:1])):
        with pytest.raises(ValueError, match="batch_size is [12], but there are 3 sources: expected a row for each"):
            judge()


def test_greedy_text_is_what_the_model_finds_most_probable(kind, source):
    """In training mode, and twice the same; with a source for each text too."""
    model = encoder_decoder(*kind, dropout=0.5)
    texts = generate(model.given(source, SOURCE_MASK), VOCAB, "ab", 8, temperature=0, batch_size=3)
    first = source[:1], SOURCE_MASK[:1]
    assert generate(model.given(*first), VOCAB, "ab", 8, temperature=0, batch_size=2) == [texts[0]] * 2
    assert all(module.training for module in model.modules())
    model.eval()
    for row, text in enumerate(texts):
        assert len(text) == 10
        ids = torch.as_tensor(VOCAB.encode(text))[None]
        logits = model(source[row : row + 1], ids, SOURCE_MASK[row : row + 1])
        assert text[2:] == "".join(VOCAB.tokens[i] for i in logits[0, 1:-1].argmax(-1))


def test_sampled_text_repeats_with_its_seed(source):
    given = encoder_decoder("alibi").given(source[:1])
    texts = [generate(given, VOCAB, "a", 10, seed=seed, batch_size=4) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2] and len(set(texts[0])) > 1


@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist, torch.as_tensor])
def test_a_source_may_be_an_array_or_a_list(make, source, target):
    model = encoder_decoder()
    close(model.given(make(source.numpy())).score(target), model.given(source).score(target))


@pytest.mark.parametrize("scheme", ["learned", "sinusoidal", "rotary"])
def test_a_target_past_the_last_place_is_named(scheme, source):
    given = encoder_decoder(scheme).given(source[:1])
    assert given.score(torch.zeros(1, 16, dtype=int)).shape == (1, 16, V)
    with pytest.raises(ValueError, match="place 16 is past the last, 15: raise max_length"):
        given.score(torch.zeros(1, 17, dtype=int))
    with pytest.raises(ValueError, match="place 16 is past the last, 15: raise max_length"):
        generate(given, VOCAB, "a", 18)
    with pytest.raises(ValueError, match="place 16 is past the last"):
        given.model.encode(torch.zeros(1, 17, dtype=int))


@pytest.mark.parametrize("scheme", ["none", "alibi"])
def test_without_a_table_a_target_may_be_of_any_length(scheme, source):
    assert generate(encoder_decoder(scheme).given(source[:1]), VOCAB, "a", 40, seed=1)[0][40:]


def test_ids_out_of_range_are_named(source):
    given = encoder_decoder().given(source[:1])
    with pytest.raises(ValueError, match=f"ids run from 0 to {V}: this model knows 0 to {V - 1}"):
        given.score(torch.tensor([[0, V]]))


# Watching


def test_watching_shows_the_weights_used(kind, source, target):
    model = encoder_decoder(*kind).eval()
    expected = model(source, target, SOURCE_MASK)
    with watch(model) as seen:
        close(model(source, target, SOURCE_MASK), expected)
    names = [f"{stack}.blocks.{i}.{part}_attention" for stack, i, part in (
        ("encoder", 0, "self"), ("encoder", 1, "self"),
        ("decoder", 0, "self"), ("decoder", 0, "cross"), ("decoder", 1, "self"), ("decoder", 1, "cross"),
    )]  # fmt: skip
    assert list(seen) == names
    for name, (weights,) in seen.items():
        T, S = (5, 5) if "encoder" in name else (6, 6) if "self" in name else (6, 5)
        assert weights.shape == (3, H, T, S)
        close(weights.sum(-1), torch.ones(3, H, T))
        seen_by_all = later(6).logical_not()[None, None] if (T, S) == (6, 6) else SOURCE_MASK[:, None]
        assert torch.equal(weights > 0, seen_by_all.expand(3, H, T, S))


def test_watching_a_language_model_shows_each_step(source, target):
    given = encoder_decoder("rotary", dropout=0.5).given(source, SOURCE_MASK)
    with watch(given) as at_once:
        given.score(target)
    with watch(given) as steps:
        state = given.start(3)
        for t in range(6):
            _, state = given.step(state, target[:, t])
    for name in at_once:
        if "encoder" in name:
            continue
        (whole,) = at_once[name]
        for t, weights in enumerate(steps[name]):
            close(weights[:, :, 0], whole[:, :, t, : weights.shape[-1]])
        assert len(steps[name]) == 6


# What is stored, and precision


def test_a_state_holds_weights_alone_and_loads_across(kind, source, target):
    """No masks, no tables: after training, max_length may grow, and the weights load into another scheme."""
    model = encoder_decoder(*kind)
    state = model.state_dict()
    assert set(state) == {name for name, _ in model.named_parameters(remove_duplicate=False)}
    again = EncoderDecoder(W, V, architecture(*kind))
    again.load_state_dict(state)
    close(again(source, target), model(source, target))
    if kind[0] != "learned":
        longer = EncoderDecoder(W, V, Architecture(D, H, 17, 2, positions=kind[0], norm=kind[1], max_length=40))
        longer.load_state_dict(state)
        close(longer(source, target), model(source, target))
        encoder_decoder("none", kind[1]).load_state_dict(state)


def test_a_model_made_in_float32_and_moved_to_float64_is_close_to_itself(kind, source, target):
    torch.set_default_dtype(torch.float32)
    model = encoder_decoder(*kind)
    single = model(source, target, SOURCE_MASK)
    double = model.double()(source, target, SOURCE_MASK)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    close(single.double(), double, 1e-4)


@pytest.mark.parametrize("watched", [False, True], ids=["fused", "watched"])
def test_mixed_precision_trains_and_writes(kind, watched, source, target):
    torch.set_default_dtype(torch.float32)
    model = EncoderDecoder(W, V, architecture(*kind))
    expected = model.loss(source, SOURCE_MASK, target, target)
    given = model.given(source, SOURCE_MASK)
    at_once = given.score(target)
    with torch.autocast("cpu", torch.bfloat16):
        if watched:
            with watch(model):
                loss = model.loss(source, SOURCE_MASK, target, target)
        else:
            loss = model.loss(source, SOURCE_MASK, target, target)
        state = given.start(3)
        for t in range(6):
            log_p, state = given.step(state, target[:, t])
            close(log_p.float(), at_once[:, t], 0.1)
    close(loss.float(), expected, 0.05)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("watched", [False, True], ids=["fused", "watched"])
def test_a_model_in_half_precision_runs(kind, watched, source, target):
    torch.set_default_dtype(torch.float32)
    model = EncoderDecoder(W, V, architecture(*kind))
    expected, half = model(source, target, SOURCE_MASK), model.bfloat16()
    with watch(half) as seen:
        result = half(source, target, SOURCE_MASK) if watched else None
    result = half(source, target, SOURCE_MASK) if result is None else result
    assert result.dtype == torch.bfloat16 and all(len(calls) == watched for calls in seen.values())
    close(result.float(), expected, 0.15)


def test_the_names_of_weights_are_those_of_stored_models():
    """Checkpoints of an encoder–decoder must still load."""
    attention = [f"{part}.{kind}" for part in ("query", "key", "value", "output") for kind in ("weight", "bias")]
    norm, two = ["norm.weight", "norm.bias"], ["0.weight", "0.bias", "2.weight", "2.bias"]

    def block(*attentions):
        names = [f"{kind}_attention.{name}" for kind in attentions for name in attention]
        names += [f"{kind}_residual.{name}" for kind in (*attentions, "feed_forward") for name in norm]
        return names + [f"feed_forward.{name}" for name in two]

    expected = {"source_embedding.weight", "target_embedding.weight", "output.weight", "output.bias"}
    expected |= {f"{stack}.{name}" for stack in ("encoder", "decoder") for name in norm}
    for i in range(2):
        expected |= {f"encoder.blocks.{i}.{name}" for name in block("self")}
        expected |= {f"decoder.blocks.{i}.{name}" for name in block("self", "cross")}
    assert set(EncoderDecoder(W, V, architecture("rotary")).state_dict()) == expected
    users = ["", *(f"blocks.{i}.self_attention." for i in range(2))]  # one table, under the name of each
    learned = {f"{stack}.{user}positions.table.weight" for stack in ("encoder", "decoder") for user in users}
    assert set(EncoderDecoder(W, V, architecture("learned")).state_dict()) == expected | learned


# The architecture and other bad input


SIZES = {"d_model": 24, "n_heads": 2, "n_layers": 5, "max_length": 33}


def test_the_textbook_is_written_out():
    expected = Architecture(
        d_model=24, n_heads=2, d_ff=96, n_layers=5, positions="learned", norm="pre", normalisation="layer",
        activation="gelu", bias=True, qk_norm=False, dropout=0.0, init="gpt2", max_length=33, tied=True,
        token_shift=False,
    )  # fmt: skip
    assert Architecture.textbook(**SIZES) == expected


def test_the_modern_architecture_is_written_out():
    expected = Architecture(
        d_model=24, n_heads=2, d_ff=96, n_layers=5, positions="rotary", norm="pre", normalisation="rms",
        activation="relu2", bias=False, qk_norm=True, dropout=0.0, init="zero_outputs", max_length=33, tied=False,
        token_shift=True,
    )  # fmt: skip
    assert Architecture.modern(**SIZES) == expected


@pytest.mark.parametrize("make", [Architecture.textbook, Architecture.modern])
def test_a_setting_gives_way_to_what_is_asked_for(make):
    assert make().d_ff == 4 * make().d_model == 4 * Architecture.d_model
    assert make(d_model=32).d_ff == 128
    assert make(d_model=32, d_ff=7).d_ff == 7
    changed = make(**SIZES, positions="alibi", dropout=0.2, tied=False, init="pytorch")
    assert (changed.positions, changed.dropout, changed.tied, changed.init) == ("alibi", 0.2, False, "pytorch")
    with pytest.raises(ValueError, match="d_model is 0: expected a whole number, 1 or more"):
        make(d_model=0)
    with pytest.raises(TypeError, match="d_modle"):
        make(d_modle=3)


@pytest.mark.parametrize("setting", [{"tied": True}, {"token_shift": True}])
def test_what_is_for_language_models_is_refused(setting):
    with pytest.raises(ValueError, match="tied and token_shift are for language models"):
        EncoderDecoder(W, V, architecture(**setting))


def test_an_architecture_makes_the_model_it_names():
    a = Architecture(d_model=8, n_heads=2, d_ff=20, n_layers=3, positions="rotary", max_length=11)
    stack = Stack(a)
    assert len(stack.blocks) == 3 and isinstance(stack.positions, Rotary)
    assert stack.positions.cosine.shape == (11, 2)
    assert all(block.self_attention.positions is stack.positions for block in stack.blocks)
    assert all(isinstance(block.feed_forward[0], nn.Linear) for block in stack.blocks)
    layer = 4 * (8 * 8 + 8) + (8 * 20 + 20) + (20 * 8 + 8) + 2 * 16
    assert sum(p.numel() for p in stack.parameters()) == 3 * layer + 16


def test_the_cross_attention_knows_no_positions():
    for block in Stack(architecture("rotary"), cross=True).blocks:
        assert type(block.cross_attention.positions) is type(positions("none", D, H))


@pytest.mark.parametrize("size", [0, -3, 2.0, "4", None])
@pytest.mark.parametrize("name", ["d_model", "n_heads", "d_ff", "n_layers", "max_length"])
def test_sizes_that_are_none_are_named(name, size):
    with pytest.raises(ValueError, match=f"{name} is {size!r}: expected a whole number, 1 or more"):
        Architecture(**{name: size})


@pytest.mark.parametrize("name", ["source_size", "target_size"])
def test_vocabularies_that_are_none_are_named(name):
    with pytest.raises(ValueError, match=f"{name} is 0: expected a whole number, 1 or more"):
        EncoderDecoder(**{"source_size": 3, "target_size": 3, "architecture": architecture(), name: 0})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"d_model": 10, "n_heads": 4}, "d_model is 10 and n_heads 4: expected a d_model that n_heads divides"),
        ({"positions": "relative"}, "'relative': expected one of none, learned, sinusoidal, rotary, alibi"),
        ({"norm": "batch"}, "norm 'batch': expected 'pre' or 'post'"),
        ({"normalisation": "batch"}, "normalisation 'batch': expected 'layer' or 'rms'"),
        ({"activation": "tanh"}, "activation 'tanh': expected 'relu' or 'gelu' or 'relu2'"),
        ({"init": "zeros"}, "init 'zeros': expected 'pytorch' or 'gpt2' or 'zero_outputs'"),
        ({"init": None}, "init None: expected"),
        ({"dropout": 1.0}, "dropout is 1.0: expected 0 or more, and below 1"),
        ({"dropout": -0.1}, "dropout is -0.1: expected"),
        ({"dropout": math.nan}, "dropout is nan: expected"),
    ],
)
def test_what_makes_no_model_is_named(settings, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        Architecture(**settings)


@pytest.mark.parametrize(
    "settings", [{"d_model": 12, "n_heads": 4}, {"d_model": 9, "n_heads": 3, "positions": "sinusoidal"}]
)
def test_odd_lengths_make_no_pairs(settings):
    with pytest.raises(ValueError, match="(3|9).* even"):
        Stack(Architecture(**settings))


def test_a_source_of_padding_alone_is_named(source, target):
    model, mask = encoder_decoder(), SOURCE_MASK.clone()
    mask[1] = False
    for run in (
        lambda: model(source, target, mask),
        lambda: model.encode(source, mask),
        lambda: model.loss(source, mask, target, target),
        lambda: model.given(source, mask).score(target),
    ):
        with pytest.raises(MaskError, match=r"row \(1, .* of the mask is False everywhere"):
            run()


@pytest.mark.parametrize(
    "mask", [torch.ones(3, 1, 4, dtype=bool), torch.ones(2, 1, 5, dtype=bool), torch.ones(3, 1, 5)]
)
def test_a_mask_that_is_not_the_sources_is_named(mask, source, target):
    with pytest.raises(MaskError, match="the mask has (shape|type)"):
        encoder_decoder()(source, target, mask)


def test_targets_of_another_batch_are_named(source, target):
    with pytest.raises(ValueError, match="expected"):
        encoder_decoder()(source, target[:2])


def test_a_past_of_other_blocks_is_refused():
    stack, x = Stack(architecture()), torch.randn(1, 3, D)
    _, past = stack(x)
    with pytest.raises(ValueError, match="shorter|longer"):
        stack(x, past[:1])


def test_given_is_the_language_model_of_the_model(source):
    model = encoder_decoder()
    given = model.given(source)
    assert isinstance(given, GivenSource) and given.model is model and given.vocab_size == V


# Dropout


def test_shared_dropout_takes_a_coordinate_from_the_whole_sequence():
    """One mask for all places, another for each sequence; what stays grows by 1 / (1 − p); nothing where judged."""
    drop, x = SharedDropout(0.25), torch.randn(400, 9, 50).abs() + 0.1
    y = drop(x)
    kept = y != 0
    assert (kept == kept[:, :1]).all() and not (kept == kept[:1]).all()
    close(y[kept], (x / 0.75)[kept], 1e-12)
    close(kept.double().mean(), 0.75, 0.02)
    assert torch.equal(drop.eval()(x), x)


@pytest.mark.parametrize("shared", [False, True])
def test_an_architecture_has_one_kind_of_dropout_everywhere(shared):
    kinds = {
        type(module)
        for module in Stack(Architecture(12, 3, 17, 2, dropout=0.1, shared_dropout=shared), cross=True).modules()
        if isinstance(module, nn.Dropout)
    }
    assert kinds == {SharedDropout if shared else nn.Dropout}


def test_shared_dropout_keeps_the_future_out():
    """With one mask, the same past gives the same answer, whatever follows."""
    stack = Stack(Architecture(12, 3, 17, 2, dropout=0.3, shared_dropout=True))
    x = torch.randn(2, 8, 12)
    y = x.clone()
    y[:, 5:] += 1
    outputs = []
    for given in (x, y):
        torch.manual_seed(0)
        outputs.append(stack(given, causal=True)[0][:, :5])
    close(*outputs, 1e-12)
