"""Positions against the formulas of their papers, and what each promises about distance."""

import cmath
import math

import float64 as exact
import numpy as np
import pytest
import torch
from float64 import float64  # noqa: F401

from course_lib.positions import (
    MAX_LENGTH,
    SCHEMES,
    Alibi,
    Learned,
    Positions,
    Rotary,
    Sinusoidal,
    angles,
    positions,
    sinusoids,
    turned,
)


def close(a, b, tolerance=1e-12):
    exact.close(a, b, tolerance)


def rate(i: int, d: int) -> float:
    """The angle from one place to the next in the i-th pair of coordinates."""
    return 10_000 ** (-2 * i / d)


# Sinusoids


@pytest.mark.parametrize("d", [2, 6, 8])
def test_sinusoids_are_the_papers_formula(d):
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i + 1) = cos(…)."""
    table = sinusoids(torch.arange(40), d)
    assert table.shape == (40, d)
    for place, row in enumerate(table.tolist()):
        for i in range(d // 2):
            assert row[2 * i] == pytest.approx(math.sin(place * rate(i, d)), abs=1e-12)
            assert row[2 * i + 1] == pytest.approx(math.cos(place * rate(i, d)), abs=1e-12)


@pytest.mark.parametrize("shift", [1, 7, -5])
def test_a_shift_of_sinusoids_is_a_rotation(shift):
    """The same matrix takes any place p to p + shift, as section 3.5 hopes."""
    d, places = 8, torch.arange(10, 30)
    rotation = torch.zeros(d, d)
    for i in range(d // 2):
        c, s = math.cos(shift * rate(i, d)), math.sin(shift * rate(i, d))
        rotation[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = torch.tensor([[c, s], [-s, c]])
    close(sinusoids(places, d) @ rotation.T, sinusoids(places + shift, d))


def test_angles_grow_with_the_place_at_falling_rates():
    expected = [[place * rate(i, 6) for i in range(3)] for place in (0, 1, 5)]
    close(angles(torch.tensor([0, 1, 5]), 6), torch.tensor(expected))


# Rotary


def complex_pairs(x: torch.Tensor) -> np.ndarray:
    """Coordinates i and i + d/2 as one complex number."""
    first, second = x.chunk(2, -1)
    return first.numpy() + 1j * second.numpy()


def test_turning_is_multiplying_complex_numbers():
    x, theta = torch.randn(2, 3, 5, 8), torch.randn(5, 4)
    expected = complex_pairs(x) * np.exp(1j * theta.numpy())
    close(complex_pairs(turned(x, theta.cos(), theta.sin())), expected)


@pytest.mark.parametrize("start", [0, 1, 6])
def test_rotary_turns_by_the_place(start):
    x = torch.randn(2, 3, 4, 6)
    result = complex_pairs(Rotary(6, 10).rotate(x, start))
    for t in range(4):
        for i in range(3):
            expected = complex_pairs(x)[..., t, i] * cmath.exp(1j * (start + t) * rate(i, 6))
            close(result[..., t, i], expected)


def test_rotary_scores_depend_on_the_distance_alone():
    rotary, query, key = Rotary(8, 64), torch.randn(8), torch.randn(8)
    q, k = (rotary.rotate(x.expand(1, 1, 64, 8))[0, 0] for x in (query, key))
    scores = q @ k.T
    for distance in range(-63, 64):
        along = scores.diagonal(distance)
        close(along, along[0].expand_as(along))
    assert scores[0].std() > 0.1  # the distance does matter
    close(scores.diagonal(), (query @ key).expand(64))
    assert (scores[0, 1:] - scores[1:, 0]).abs().max() > 0.1  # and so does its direction


def test_rotary_is_that_of_the_paper_but_for_the_order_of_coordinates():
    """Equation 15 of Su et al. (2021): neighbours are paired, in a block-diagonal matrix for each place."""
    d, T = 6, 5
    query, key = torch.randn(2, T, d)
    rotated = []
    for x in (query, key):
        rows = []
        for place, row in enumerate(x):
            matrix = torch.zeros(d, d)
            for i in range(d // 2):
                c, s = math.cos(place * rate(i, d)), math.sin(place * rate(i, d))
                matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = torch.tensor([[c, -s], [s, c]])
            rows.append(matrix @ row)
        rotated.append(torch.stack(rows))
    order = [0, 2, 4, 1, 3, 5]  # first all of the first of a pair
    q, k = (Rotary(d, T).rotate(x[:, order][None, None])[0, 0] for x in (query, key))
    close(q @ k.T, rotated[0] @ rotated[1].T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_rotary_keeps_type_and_length(dtype):
    x = torch.randn(2, 3, 5, 8).to(dtype)
    result = Rotary(8, 5).rotate(x)
    assert result.dtype == dtype
    close(result.double().norm(dim=-1), x.double().norm(dim=-1), {torch.bfloat16: 0.1}.get(dtype, 1e-5))


# ALiBi


@pytest.mark.parametrize("n_heads", [1, 2, 4, 8, 16])
@pytest.mark.parametrize(("n_queries", "n_keys"), [(1, 1), (5, 5), (1, 6), (2, 7)])
def test_alibi_is_its_definition(n_heads, n_queries, n_keys):
    """Where n is a power of two, head h = 1 … n has the slope 2^(−8h/n)."""
    bias = Alibi(n_heads).bias(n_queries, n_keys)
    assert bias.shape == (n_heads, n_queries, n_keys)
    for h in range(n_heads):
        for t in range(n_queries):
            place = n_keys - n_queries + t
            for s in range(n_keys):
                close(bias[h, t, s], torch.tensor(-(2 ** (-8 * (h + 1) / n_heads)) * abs(place - s)))


def test_alibis_slopes_for_eight_heads_are_the_papers():
    """1/2, 1/4, … 1/256 (Press et al. 2022, section 3)."""
    close(Alibi(8).slopes.flatten(), 0.5 ** torch.arange(1, 9))


# Added to the embeddings


@pytest.mark.parametrize("make", [Learned, Sinusoidal])
@pytest.mark.parametrize("start", [0, 3])
def test_rows_are_added_at_their_places(make, start):
    scheme, x = make(6, 8), torch.randn(2, 5, 6)
    table = scheme.table.weight if make is Learned else scheme.table
    result = scheme.embed(x, start)
    for t in range(5):
        close(result[:, t] - x[:, t], table[start + t].expand(2, 6))


def test_the_sinusoidal_table_is_that_of_the_places():
    close(Sinusoidal(6, 9).table, sinusoids(torch.arange(9), 6))


def test_learned_rows_learn_where_tokens_stood():
    scheme = Learned(4, 8)
    scheme.embed(torch.zeros(3, 2, 4), 5).sum().backward()
    close(scheme.table.weight.grad, torch.zeros(8, 4).index_fill(0, torch.tensor([5, 6]), 3.0))


def test_learned_rows_start_small():
    assert Learned(100, 100).table.weight.std().item() == pytest.approx(0.02, rel=0.05)


# The interface


def hooks(scheme: Positions) -> set[str]:
    """Which of the three hooks do something."""
    x, heads = torch.randn(1, 3, 8), torch.randn(1, 2, 3, 4)
    does = {
        "embed": scheme.embed(x, 1) is not x,
        "rotate": scheme.rotate(heads, 1) is not heads,
        "bias": scheme.bias(3, 3) is not None,
    }
    return {name for name, done in does.items() if done}


@pytest.mark.parametrize(
    ("name", "kind", "uses"),
    [
        ("none", Positions, set()),
        ("learned", Learned, {"embed"}),
        ("sinusoidal", Sinusoidal, {"embed"}),
        ("rotary", Rotary, {"rotate"}),
        ("alibi", Alibi, {"bias"}),
    ],
)
def test_a_scheme_by_name_uses_its_hook_alone(name, kind, uses):
    scheme = positions(name, d_model=8, n_heads=2, max_length=5)
    assert type(scheme) is kind and hooks(scheme) == uses and name in SCHEMES


def test_schemes_are_as_long_as_told():
    """And each is for MAX_LENGTH places, unless told."""
    for told, n in (({"max_length": 5}, 5), ({}, MAX_LENGTH)):
        learned, sinusoidal, rotary = (positions(name, 8, 2, **told) for name in ("learned", "sinusoidal", "rotary"))
        assert learned.table.weight.shape == sinusoidal.table.shape == (n, 8)
        assert rotary.cosine.shape == rotary.sine.shape == (n, 2)
    for make in (Learned, Sinusoidal, Rotary):
        make(4).embed(torch.zeros(1, MAX_LENGTH, 4))


def test_only_what_is_learned_is_stored():
    """Tables that follow from the sizes are no part of a checkpoint, so max_length can be raised after training."""
    for name in SCHEMES:
        scheme = positions(name, 8, 2, 16)
        assert list(scheme.state_dict()) == (["table.weight"] if name == "learned" else [])
        if name != "learned":
            positions(name, 8, 2, 32).load_state_dict(scheme.state_dict())


# Bad input


@pytest.mark.parametrize("name", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize(("start", "n", "place"), [(0, 7, 6), (5, 2, 6), (6, 1, 6), (6, 3, 8)])
def test_a_place_past_the_last_is_named(name, start, n, place):
    scheme = positions(name, 8, 2, max_length=6)

    def use(start, n):
        return scheme.rotate(torch.randn(1, 2, n, 4), start), scheme.embed(torch.randn(1, n, 8), start)

    use(6 - n if n <= 6 else 0, min(n, 6))  # the last place is still one
    with pytest.raises(ValueError, match=f"place {place} is past the last, 5: raise max_length, or shorten"):
        use(start, n)


@pytest.mark.parametrize("make", [lambda: angles(torch.arange(3), 7), lambda: Sinusoidal(7), lambda: Rotary(7)])
def test_an_odd_length_has_no_pairs(make):
    with pytest.raises(ValueError, match="d is 7: .* even"):
        make()


def test_a_head_of_odd_length_cannot_be_turned():
    with pytest.raises(ValueError, match="3.* even"):
        positions("rotary", d_model=12, n_heads=4)


def test_an_unknown_scheme_is_named():
    with pytest.raises(ValueError, match="'relative': expected one of none, learned, sinusoidal, rotary, alibi"):
        positions("relative", 8, 2)


@pytest.mark.parametrize("size", [0, -3, 2.0, "4", None])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("d_model", lambda n: Learned(n)),
        ("max_length", lambda n: Learned(4, n)),
        ("max_length", lambda n: Sinusoidal(4, n)),
        ("max_length", lambda n: Rotary(4, n)),
        ("n_heads", lambda n: Alibi(n)),
        ("d", lambda n: angles(torch.arange(2), n)),
    ],
)
def test_sizes_that_are_none_are_named(name, make, size):
    with pytest.raises(ValueError, match=f"{name} is {size!r}: expected a whole number, 1 or more"):
        make(size)
