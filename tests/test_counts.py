"""What a language model holds and computes: the formulas against the model itself and PyTorch's counter."""

import dataclasses
import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from course_lib.attention import watch
from course_lib.positions import SCHEMES
from course_lib.training import MuonAdamW, adamw
from course_lib.transformer import Architecture, TransformerLM
from course_lib.transformer.architecture import CHOICES
from course_lib.transformer.counts import (
    cache_bytes,
    forward_flops_per_token,
    muon_flops,
    n_matrix_parameters,
    n_parameters,
    training_bytes,
)

V, B = 11, 3
SIZES = {"d_model": 12, "n_heads": 3, "d_ff": 17, "n_layers": 2, "max_length": 10}
SETTINGS = {
    "textbook": Architecture.textbook(**SIZES),
    "modern": Architecture.modern(**SIZES),
    "deep": Architecture.modern(d_model=8, n_heads=1, n_layers=5, max_length=20),
    "post-norm": Architecture(**SIZES, norm="post", positions="alibi"),
}
every = pytest.mark.parametrize("a", SETTINGS.values(), ids=SETTINGS)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("normalisation", CHOICES["normalisation"])
@pytest.mark.parametrize("norm", CHOICES["norm"])
def test_the_parameters_are_those_of_the_model(scheme, normalisation, norm):
    """For every choice that has some, and other sizes."""
    for bias, qk_norm, tied, shift in itertools.product([False, True], repeat=4):
        a = Architecture(
            16, 2, 20, 2, positions=scheme, norm=norm, normalisation=normalisation, bias=bias, qk_norm=qk_norm,
            max_length=9, tied=tied, token_shift=shift,
        )  # fmt: skip
        assert n_parameters(V, a) == sum(p.numel() for p in TransformerLM(V, a).parameters())


@every
def test_sizes_count_as_they_do_in_the_model(a):
    model = TransformerLM(V, a)
    assert n_parameters(V, a) == sum(p.numel() for p in model.parameters())
    matrices = [p for name, p in model.decoder.named_parameters() if p.ndim == 2 and "positions" not in name]
    assert n_matrix_parameters(V, a) == sum(p.numel() for p in matrices) + model.output.weight.numel()


@every
@pytest.mark.parametrize("length", [1, 10])
def test_operations_are_those_pytorch_counts(a, length):
    """Forwards; and backwards twice as many. The weights are written out, so that the two factors of each product have
    their gradients counted, and nothing is computed again."""
    model, ids = TransformerLM(V, a), torch.randint(V, (B, length))
    with FlopCounterMode(display=False) as counter, watch(model):
        loss = model.loss(ids, ids)
        forward = counter.get_total_flops()
        loss.backward()
    assert forward == B * length * forward_flops_per_token(V, a, length)
    assert counter.get_total_flops() == 3 * forward


def test_longer_blocks_cost_more_by_what_attention_adds():
    a = SETTINGS["modern"]
    matrices = 2 * n_matrix_parameters(V, a)
    assert forward_flops_per_token(V, a, 10) - matrices == 10 * (forward_flops_per_token(V, a, 1) - matrices)


@every
def test_a_full_cache_is_as_large_as_its_tensors(a):
    model = TransformerLM(V, a).float()
    _, state = model.read(model.start(B), torch.randint(V, (B, a.max_length)))
    tensors = [part for cache in state.past for part in cache]
    assert cache_bytes(a, a.max_length, B) == sum(part.nbytes for part in tensors)
    assert cache_bytes(a, 1) * a.max_length * B == cache_bytes(a, a.max_length, B)


@every
def test_training_keeps_weights_gradients_and_two_averages(a):
    model, ids = TransformerLM(V, a), torch.randint(V, (B, 10))
    optimizer = adamw(model, 0.1)
    model.loss(ids, ids).backward()
    optimizer.step()
    weights = list(model.parameters())
    averages = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    kept = sum(t.nbytes for t in [*weights, *(p.grad for p in weights), *averages])
    assert training_bytes(n_parameters(V, a)) == kept


@every
def test_muon_computes_what_the_formula_says(a):
    """Also where d_ff is no multiple of d_model, and below it."""
    for d_ff in (a.d_ff, 5):
        there = dataclasses.replace(a, d_ff=d_ff)
        model, ids = TransformerLM(V, there), torch.randint(V, (B, 10))
        optimizer = MuonAdamW(model, model.output)
        model.loss(ids, ids).backward()
        with FlopCounterMode(display=False) as counted:
            optimizer.step()
        assert muon_flops(there) == counted.get_total_flops()


def test_gpt2_has_as_many_parameters_as_its_checkpoint():
    """124,439,808 in the smallest of Radford et al. (2019)."""
    gpt2 = Architecture.textbook(d_model=768, n_heads=12, n_layers=12, max_length=1024)
    assert n_parameters(50257, gpt2) == 124_439_808
    medium = dataclasses.replace(gpt2, d_model=1024, n_heads=16, d_ff=4096, n_layers=24)
    assert n_parameters(50257, medium) == 354_823_168
