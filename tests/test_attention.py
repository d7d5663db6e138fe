"""Attention against PyTorch's own and loops in NumPy; its masks, its gradients and its several heads."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from float64 import close, float64  # noqa: F401
from torch import nn
from torch.nn import functional as F

from course_lib.attention import MaskError, MultiHeadAttention, attention, causal_mask, fused_attention, padding_mask
from course_lib.attention import watch as watching
from course_lib.positions import SCHEMES, positions


def random_mask(*shape: int) -> torch.Tensor:
    """About half True, and at least the first of every row: what every query may see, also if it is causal."""
    mask = torch.rand(shape) < 0.5
    mask[..., 0] = True
    return mask


def outputs(*given, **settings) -> list[torch.Tensor]:
    """What both ways give."""
    return [attention(*given, **settings)[0], fused_attention(*given, **settings)]


# The formula


def loops(query, key, value, mask, bias, causal):
    """Equation 1 of Vaswani et al. (2017), one query and one key at a time; a hidden key does not come in at all."""
    T, d_k = query.shape[-2:]
    S, d_v = value.shape[-2:]
    lead = query.shape[:-2]
    mask = np.broadcast_to(True if mask is None else mask.numpy(), (*lead, T, S))
    bias = np.broadcast_to(0.0 if bias is None else bias.numpy(), (*lead, T, S))
    query, key, value = query.numpy(), key.numpy(), value.numpy()
    output, weights = np.zeros((*lead, T, d_v)), np.zeros((*lead, T, S))
    for at in itertools.product(*map(range, lead)):
        for t in range(T):
            seen = [s for s in range(S) if mask[at][t, s] and (not causal or s <= S - T + t)]
            scores = [
                sum(query[at][t, i] * key[at][s, i] for i in range(d_k)) / math.sqrt(d_k) + bias[at][t, s] for s in seen
            ]
            total = sum(math.exp(score) for score in scores)
            for s, score in zip(seen, scores, strict=True):
                weights[at][t, s] = math.exp(score) / total
                output[at][t] += weights[at][t, s] * value[at][s]
    return output, weights


MASKS = {
    "no mask": lambda B, H, T, S: None,
    "one mask": lambda B, H, T, S: random_mask(T, S),
    "padding": lambda B, H, T, S: random_mask(B, 1, 1, S),
    "a mask each": lambda B, H, T, S: random_mask(B, H, T, S),
}
BIASES = {
    "no bias": lambda B, H, T, S: None,
    "bias per head": lambda B, H, T, S: torch.randn(H, T, S),
    "a bias each": lambda B, H, T, S: torch.randn(B, H, T, S),
}


@pytest.mark.parametrize("causal", [False, True], ids=["free", "causal"])
@pytest.mark.parametrize(("T", "S"), [(4, 4), (3, 5), (1, 4), (1, 1)])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", MASKS)
def test_attention_is_its_formula_and_pytorchs(mask, bias, T, S, causal):
    B, H = 2, 3
    query, key, value = torch.randn(B, H, T, 5), torch.randn(B, H, S, 5), torch.randn(B, H, S, 2)
    mask, bias = MASKS[mask](B, H, T, S), BIASES[bias](B, H, T, S)
    output, weights = attention(query, key, value, mask, bias, causal)
    fused = fused_attention(query, key, value, mask, bias, causal)

    expected, expected_weights = loops(query, key, value, mask, bias, causal)
    close(output, expected)
    close(weights, expected_weights)
    close(fused, expected)

    added = torch.zeros(B, H, T, S) if bias is None else bias.expand(B, H, T, S).clone()
    if mask is not None:
        added.masked_fill_(~mask, -math.inf)
    if causal:
        added += torch.full((T, S), -math.inf).triu(S - T + 1)
    close(output, F.scaled_dot_product_attention(query, key, value, attn_mask=added))


@pytest.mark.parametrize("lead", [(), (2,), (2, 3, 2)], ids=str)
def test_any_number_of_leading_axes_will_do(lead):
    query, key, value = torch.randn(*lead, 3, 4), torch.randn(*lead, 5, 4), torch.randn(*lead, 5, 2)
    expected, _ = loops(query, key, value, None, None, False)
    for output in outputs(query, key, value):
        close(output, expected)


def test_the_same_queries_may_look_at_many_sources():
    """Leading axes broadcast, also with a mask for each source."""
    query, key, value = torch.randn(3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 2)
    mask = random_mask(2, 3, 5)
    expected, _ = loops(query.expand(2, 3, 4), key, value, mask, None, False)
    for output in outputs(query, key, value, mask):
        close(output, expected)


def test_scores_of_any_size_give_numbers():
    query, key, value = 1e4 * torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    for output in outputs(query, key, value, causal=True):
        assert output.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_a_hidden_value_changes_nothing_bit_for_bit(causal):
    """Neither do its key and its gradient."""
    query, key, value = torch.randn(3, 2, 4, 5)
    mask = torch.tensor([True, True, False, True]).expand(4, 4)
    for attend in (lambda *qkv: attention(*qkv, mask, causal=causal)[0], lambda *qkv: fused_attention(*qkv, mask)):
        before = attend(query, key, value)
        other_key, other_value = key.clone(), value.clone()
        other_key[:, 2], other_value[:, 2] = 100.0, -7.0
        assert torch.equal(attend(query, other_key, other_value), before)
        key.requires_grad_(), value.requires_grad_()
        grads = torch.autograd.grad(attend(query, key, value).square().sum(), (key, value))
        assert all((grad[:, 2] == 0).all() and (grad[:, 1] != 0).all() for grad in grads)
        key, value = key.detach(), value.detach()


@pytest.mark.parametrize("settings", ["nothing", "mask", "bias", "causal", "all"])
def test_gradients_are_differences(settings):
    given = [torch.randn(2, 3, 4), torch.randn(2, 4, 4), torch.randn(2, 4, 2)]
    mask = random_mask(2, 3, 4) if settings in ("mask", "all") else None
    if settings in ("bias", "all"):
        given.append(torch.randn(3, 4))
    causal = settings in ("causal", "all")
    given = [x.requires_grad_() for x in given]

    def run(query, key, value, bias=None):
        fused = fused_attention(query, key, value, mask, bias, causal)
        return *attention(query, key, value, mask, bias, causal), fused

    assert torch.autograd.gradcheck(run, given)


@pytest.mark.parametrize("leads", [((2, 3),) * 3, ((),) * 3, ((2, 1), (3,), (2, 3))], ids=str)
def test_training_in_bfloat16_on_a_cpu_is_the_formula(leads):
    """There `fused_attention` takes a way of its own; what it gives, and all gradients, to bfloat16's 8 bits."""
    given = [torch.randn(*lead, 7, d).bfloat16() for lead, d in zip(leads, (16, 16, 4), strict=True)]
    results = []
    for attend, dtype in ((fused_attention, torch.bfloat16), (lambda *a, **k: attention(*a, **k)[0], torch.float64)):
        qkv = [x.to(dtype).requires_grad_() for x in given]
        output = attend(*qkv, causal=True)
        assert output.dtype == dtype and output.shape[-2:] == (7, 4)
        ramp = torch.linspace(-1, 1, output.numel(), dtype=dtype).view(output.shape)
        results.append([output, *torch.autograd.grad(output, qkv, ramp)])
    for half, exact in zip(*results, strict=True):
        close(half.double(), exact, 0.03)
    qkv = [x.requires_grad_() for x in given]
    early = fused_attention(*qkv, causal=True)[..., 2, :].sum()
    for grad in torch.autograd.grad(early, qkv[1:]):  # nothing of a later place
        assert (grad[..., 3:, :] == 0).all() and (grad[..., :3, :] != 0).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_both_ways_keep_the_type_of_the_queries(dtype):
    """Also with a bias of full precision, as `Alibi` makes it."""
    query, key, value = torch.randn(3, 2, 4, 8).to(dtype)
    bias = torch.randn(4, 4, dtype=torch.float32)
    expected = attention(query.double(), key.double(), value.double(), None, bias, True)[0]
    for output in outputs(query, key, value, None, bias, True):
        assert output.dtype == dtype
        close(output.double(), expected, {torch.bfloat16: 0.05, torch.float16: 0.01}.get(dtype, 1e-5))


# Masks


@pytest.mark.parametrize(("T", "S"), [(1, 1), (4, 4), (2, 5), (1, 3)])
def test_a_causal_mask_shows_the_places_up_to_ones_own(T, S):
    mask = causal_mask(T, S)
    assert mask.tolist() == [[s <= S - T + t for s in range(S)] for t in range(T)]
    assert torch.equal(causal_mask(S), causal_mask(S, S))


def test_a_padding_mask_shows_the_tokens():
    lengths = [3, 1, 4]
    for given in (lengths, torch.tensor(lengths)):
        for told, n_keys in (((), 4), ((6,), 6)):
            mask = padding_mask(given, *told)
            assert mask.tolist() == [[[s < length for s in range(n_keys)]] for length in lengths]


@pytest.mark.parametrize(
    ("lengths", "told", "named"),
    [
        ([0, 2], (), "from 0 to 2: expected 1 to 2"),
        ([2, -1], (), "from -1 to 2: expected 1 to 2"),
        ([0], (3,), "from 0 to 0: expected 1 to 3"),
        ([1, 5], (4,), "from 1 to 5: expected 1 to 4"),
    ],
)
def test_lengths_that_leave_nothing_or_too_much_are_named(lengths, told, named):
    with pytest.raises(MaskError, match=f"lengths run {named}"):
        padding_mask(lengths, *told)


def test_more_queries_than_keys_are_not_the_last_of_them():
    with pytest.raises(ValueError, match="5 queries are not the last of 3 keys"):
        causal_mask(5, 3)
    query, key = torch.randn(2, 5, 4), torch.randn(2, 3, 4)
    for attend in (attention, fused_attention):
        assert attend(query, key, key) is not None
        with pytest.raises(ValueError, match="5 queries are not the last of 3 keys"):
            attend(query, key, key, causal=True)


@pytest.mark.parametrize("sizes", [(0,), (3, 0), (2.0,), (1, "2")])
def test_sizes_of_a_mask_that_are_none_are_named(sizes):
    with pytest.raises(ValueError, match="expected a whole number, 1 or more"):
        causal_mask(*sizes)


def attend_in_heads(query, mask):
    """(2, 4, 6) → 2 heads of 3."""
    heads = MultiHeadAttention(6, 2)
    return heads(query, heads.remember(query), mask)


WAYS = {
    "plain": lambda query, mask: attention(query, query, query, mask),
    "fused": lambda query, mask: fused_attention(query, query, query, mask),
    "heads": attend_in_heads,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_mask_that_is_not_boolean_is_named(way):
    for dtype in (torch.float32, torch.int64, torch.uint8):
        with pytest.raises(MaskError, match=f"{dtype}: expected torch.bool, True where a query may look"):
            WAYS[way](torch.randn(2, 4, 6), torch.ones(4, 4, dtype=dtype))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 4), (3, 1, 4), (2, 4, 5), (2, 1, 1, 4, 4)], ids=str)
def test_a_mask_that_does_not_fit_is_named(way, shape):
    with pytest.raises(MaskError, match="the mask has shape .*: expected one that broadcasts to"):
        WAYS[way](torch.randn(2, 4, 6), torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize("way", WAYS)
def test_a_query_with_nothing_to_look_at_is_named(way):
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    WAYS[way](torch.randn(2, 4, 6), mask)
    mask[1, 2] = False
    with pytest.raises(MaskError, match=r"row \(1,.* 2\) of the mask is False everywhere"):
        WAYS[way](torch.randn(2, 4, 6), mask)


def test_mask_and_causality_together_may_leave_nothing():
    """Padding on the left: the first place could see itself alone, and may not."""
    query = torch.randn(1, 3, 4)
    mask = torch.tensor([False, True, True])
    assert all(output.isfinite().all() for output in outputs(query, query, query, mask))
    for attend in (attention, fused_attention):
        with pytest.raises(MaskError, match=r"row \(0,\) of the mask"):
            attend(query, query, query, mask, causal=True)


@pytest.mark.parametrize("attend", [attention, fused_attention])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("query", "key", "value", "named"),
    [
        ((2, 4, 5), (2, 4, 6), (2, 4, 6), "query and key of one length"),
        ((2, 4, 5), (2, 4, 5), (2, 3, 5), "as many values as keys"),
        ((5,), (4, 5), (4, 5), "expected"),
        ((2, 4, 5), (3, 4, 5), (3, 4, 5), "expected"),
        ((2, 4, 5), (2, 4, 5), (3, 4, 5), "expected"),
    ],
)
def test_shapes_that_do_not_fit_are_named(attend, causal, query, key, value, named):
    with pytest.raises(ValueError, match=named) as error:
        attend(torch.randn(query), torch.randn(key), torch.randn(value), causal=causal)
    assert str(query) in str(error.value) and str(value) in str(error.value)


# Several heads

D, H = 12, 3


def pair(bias: bool = True) -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    """Ours and PyTorch's, with the same weights."""
    own, theirs = MultiHeadAttention(D, H, bias=bias), nn.MultiheadAttention(D, H, bias=bias, batch_first=True)
    projections = own.query, own.key, own.value
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    theirs.out_proj.load_state_dict(own.output.state_dict())
    return own, theirs


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("mask", ["no mask", "causal", "one mask", "padding", "a mask each", "padding, causal"])
@pytest.mark.parametrize("kind", ["self", "cross"])
def test_heads_are_pytorchs(kind, mask, bias):
    """Output, weights of each head, and the gradients of every weight and of what was given."""
    own, theirs = pair(bias)
    B, T, S = 3, 5, 5 if kind == "self" else 7
    x = torch.randn(B, T, D, requires_grad=True)
    source = x if kind == "self" else torch.randn(B, S, D, requires_grad=True)
    causal = "causal" in mask
    if causal and kind == "cross":
        x = x[:, :3]  # then x stands at the last 3 of the source's places
        T = 3
    ours, attn_mask, key_padding_mask = None, None, None
    if causal:
        attn_mask = torch.ones(T, S, dtype=torch.bool).triu(S - T + 1)
    if mask == "one mask":
        ours = random_mask(T, S)
        attn_mask = ~ours
    elif mask == "a mask each":
        ours = random_mask(B, T, S)
        attn_mask = ~ours.repeat_interleave(H, 0)
    elif "padding" in mask:
        lengths = [S, 2, 1]
        ours = padding_mask(lengths, S)
        key_padding_mask = torch.tensor([[s >= n for s in range(S)] for n in lengths])

    expected, expected_weights = theirs(
        x, source, source, key_padding_mask, attn_mask=attn_mask, average_attn_weights=False
    )
    output = own(x, own.remember(source), ours, causal)
    close(output, expected)
    with watching(own) as seen:
        close(own(x, own.remember(source), ours, causal), expected)
    (weights,) = seen[""]
    close(weights, expected_weights.detach())
    close(weights.sum(-1), torch.ones(B, H, T))
    if attn_mask is not None and mask != "a mask each":
        assert (weights.masked_select(attn_mask.expand_as(weights)) == 0).all()

    weigh, given = torch.randn(B, T, D), [x] if kind == "self" else [x, source]
    names = [name for name, _ in own.named_parameters()]
    mine = torch.autograd.grad((output * weigh).sum(), [*given, *own.parameters()])
    reference = torch.autograd.grad((expected * weigh).sum(), [*given, *theirs.parameters()])
    joined = dict(zip([name for name, _ in theirs.named_parameters()], reference[len(given) :], strict=True))
    for a, b in zip(mine[: len(given)], reference, strict=False):
        close(a, b)
    for name, gradient in zip(names, mine[len(given) :], strict=True):
        layer, part = name.split(".")
        if layer == "output":
            close(gradient, joined[f"out_proj.{part}"])
        else:
            close(gradient, joined[f"in_proj_{part}"].chunk(3)[["query", "key", "value"].index(layer)])


def test_gradients_of_heads_are_differences():
    own = MultiHeadAttention(4, 2, positions("rotary", 4, 2))
    x, source = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 4, 4, requires_grad=True)
    weights = {name: p.detach().clone().requires_grad_() for name, p in own.named_parameters()}

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = own

        def forward(self, x, source):
            return self.heads(x, self.heads.remember(source), padding_mask([4, 2]), causal=True)

    def run(x, source, *values):
        named = {f"heads.{name}": value for name, value in zip(weights, values, strict=True)}
        return torch.func.functional_call(Both(), named, (x, source))

    assert torch.autograd.gradcheck(run, (x, source, *weights.values()))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cut", [1, 4, 6])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad], ids=["training", "judging"])
def test_a_memory_of_pieces_is_that_of_the_whole(mode, scheme, cut):
    """x stands at the last places of the memory."""
    with mode():
        pieces_are_the_whole(scheme, cut)


def pieces_are_the_whole(scheme, cut):
    own = MultiHeadAttention(D, H, positions(scheme, D, H, 8))
    x = torch.randn(2, 7, D)
    past = own.remember(x[:, :cut])
    memory = own.remember(x[:, cut:], past)
    for piece, whole in zip(memory, own.remember(x), strict=True):
        assert whole.shape == (2, H, 7, D // H)
        close(piece, whole)
    assert len(past) == cut  # as it was
    close(own(x[:, cut:], memory, causal=True), own(x, own.remember(x), causal=True)[:, cut:])


def test_alibi_is_pytorchs_attention_with_the_bias_as_a_float_mask():
    own, theirs = pair()
    own.positions = positions("alibi", D, H)
    x = torch.randn(2, 5, D)
    bias = torch.tensor(
        [[[-(2 ** (-8 * h / H)) * abs(t - s) for s in range(5)] for t in range(5)] for h in range(1, H + 1)]
    )
    added = bias + torch.full((5, 5), -math.inf).triu(1)
    for causal, attn_mask in ((False, bias), (True, added)):
        expected, _ = theirs(x, x, x, attn_mask=attn_mask.repeat(2, 1, 1))
        close(own(x, own.remember(x), causal=causal), expected)


def test_rotary_turns_queries_and_keys_and_no_values():
    own = MultiHeadAttention(D, H, positions("rotary", D, H, 8))
    x = torch.randn(2, 5, D)

    def heads(projection):
        return projection(x).reshape(2, 5, H, 4).permute(0, 2, 1, 3)

    query, key, value = heads(own.query), heads(own.key), heads(own.value)
    turn = torch.exp(1j * torch.arange(5)[:, None] * torch.tensor([1.0, 10_000**-0.5]))
    q, k = ((torch.complex(*part.chunk(2, -1)) * turn) for part in (query, key))
    scores = (q @ k.conj().mT).real / 2  # √4
    mixed = scores.softmax(-1) @ value
    close(own(x, own.remember(x)), own.output(mixed.permute(0, 2, 1, 3).reshape(2, 5, D)))


@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_queries_and_keys_are_normalised_in_each_head_before_they_are_turned(cross):
    """By its formula: each divided by its root mean square, times a gain of the head's length."""
    scheme = None if cross else positions("rotary", D, H, 8)
    own, x = MultiHeadAttention(D, H, scheme, qk_norm=True), torch.randn(2, 5, D)
    source = torch.randn(2, 7, D) if cross else x
    gains = own.query_norm.weight, own.key_norm.weight
    assert [gain.shape for gain in gains] == [(D // H,)] * 2
    with torch.no_grad():
        for gain in gains:
            gain.copy_(torch.rand(D // H) + 0.5)

    def heads(layer, x):
        return layer(x).reshape(2, -1, H, D // H).transpose(1, 2)

    def unit(x, gain):
        x = x / x.square().mean(-1, keepdim=True).sqrt() * gain
        return own.positions.rotate(x)

    query, key = unit(heads(own.query, x), gains[0]), unit(heads(own.key, source), gains[1])
    value = heads(own.value, source)
    memory = own.remember(source)
    close(memory.key, key)
    close(memory.value, value)
    mixed, _ = attention(query, key, value, causal=not cross)
    close(own(x, memory, causal=not cross), own.output(mixed.transpose(1, 2).flatten(2)))


def test_the_length_of_what_is_normalised_does_not_matter():
    own, x = MultiHeadAttention(D, H, bias=False, qk_norm=True), torch.randn(2, 5, D)
    before = own(x, own.remember(x))
    with torch.no_grad():
        own.query.weight.mul_(100)
        own.key.weight.mul_(0.01)
    close(own(x, own.remember(x)), before)
    assert not hasattr(MultiHeadAttention(D, H).query_norm, "weight")


def test_without_positions_attention_sees_a_set():
    """Permuted queries permute the output, permuted keys and values change nothing."""
    own, x, source = MultiHeadAttention(D, H), torch.randn(2, 5, D), torch.randn(2, 6, D)
    order, sources = torch.randperm(5), torch.randperm(6)
    expected = own(x, own.remember(source))
    close(own(x[:, order], own.remember(source)), expected[:, order])
    close(own(x, own.remember(source[:, sources])), expected)


def test_sequences_of_a_batch_do_not_mix():
    own, x = MultiHeadAttention(D, H), torch.randn(3, 5, D)
    together = own(x, own.remember(x), causal=True)
    for row in range(3):
        one = x[row : row + 1]
        close(own(one, own.remember(one), causal=True)[0], together[row])


def test_a_bias_is_there_unless_left_out():
    with_bias, without = MultiHeadAttention(D, H), MultiHeadAttention(D, H, bias=False)
    assert sum(p.numel() for p in with_bias.parameters()) == 4 * (D * D + D)
    assert sum(p.numel() for p in without.parameters()) == 4 * D * D
    without.load_state_dict({name: p for name, p in with_bias.state_dict().items() if name.endswith("weight")})


# Watching


class Two(nn.Module):
    """Two attentions, one in a container."""

    def __init__(self):
        super().__init__()
        self.first, self.rest = MultiHeadAttention(D, H), nn.ModuleList([MultiHeadAttention(D, H)])

    def forward(self, x):
        for heads in (self.first, *self.rest):
            x = heads(x, heads.remember(x), causal=True)
        return x


def test_watching_collects_the_weights_of_each_call():
    model, x = Two(), torch.randn(2, 5, D, requires_grad=True)
    expected = model(x)
    with watching(model) as seen:
        watched = model(x)
        assert [len(calls) for calls in seen.values()] == [1, 1]
        model(x[:, :3])
    close(watched, expected)
    assert list(seen) == ["first", "rest.0"]
    for calls in seen.values():
        assert [tuple(weights.shape) for weights in calls] == [(2, H, 5, 5), (2, H, 3, 3)]
        for weights in calls:
            assert not weights.requires_grad
            close(weights.sum(-1), torch.ones(weights.shape[:-1]))
            assert (weights.triu(1) == 0).all() and (weights.tril() > 0).sum() == weights.tril().count_nonzero() > 0
    close(seen["first"][0][:, :, :3, :3], seen["first"][1])
    watched.sum().backward()  # what is watched can still be trained
    assert x.grad.abs().max() > 0


def test_watching_leaves_no_trace():
    model, x = Two(), torch.randn(2, 5, D)
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    with watching(model) as seen:
        model(x)
    with pytest.raises(ZeroDivisionError), watching(model) as broken:
        model(x)
        raise ZeroDivisionError
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == before
    model(x)
    assert [len(calls) for calls in (*seen.values(), *broken.values())] == [1] * 4


def test_watching_twice_starts_anew():
    model, x = Two(), torch.randn(2, 5, D)
    for _ in range(2):
        with watching(model) as seen:
            model(x)
        assert [len(calls) for calls in seen.values()] == [1, 1]


def test_watching_a_part_within_the_whole_ends_with_the_part():
    model, x = Two(), torch.randn(2, 5, D)
    with watching(model) as whole:
        with watching(model.first) as part:
            model(x)
        model(x)
    assert len(part[""]) == 1 and len(whole["rest.0"]) == 2
    assert len(whole["first"]) >= 1  # what the inner one watched, the outer one need not


# Bad input


def test_heads_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match="d_model is 10 and n_heads 4"):
        MultiHeadAttention(10, 4)


@pytest.mark.parametrize("size", [0, -3, 2.0, "4", None])
def test_sizes_that_are_none_are_named(size):
    for name, make in (
        ("d_model", lambda n: MultiHeadAttention(n, 2)),
        ("n_heads", lambda n: MultiHeadAttention(4, n)),
    ):
        with pytest.raises(ValueError, match=f"{name} is {size!r}: expected a whole number, 1 or more"):
            make(size)


@pytest.mark.parametrize("shape", [(5, D), (2, 5, D + 1), (2, 3, 5, D)], ids=str)
def test_what_cannot_be_projected_is_named(shape):
    own, x, good = MultiHeadAttention(D, H), torch.randn(shape), torch.randn(2, 5, D)
    for run in (lambda: own.remember(x), lambda: own(x, own.remember(good))):
        with pytest.raises(ValueError, match=re.escape(f"x has shape {shape}: expected (B, T, {D})")):
            run()


def test_a_memory_of_another_batch_is_named():
    own = MultiHeadAttention(D, H)
    with pytest.raises(ValueError, match="expected"):
        own(torch.randn(2, 5, D), own.remember(torch.randn(3, 5, D)))
