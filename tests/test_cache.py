"""The key–value cache against `torch.cat`: it never changes, whoever continues it, and copies seldom."""

import itertools
import math

import pytest
import torch
from float64 import close, float64  # noqa: F401

from course_lib import cache
from course_lib.cache import KeyValueCache

B, H, D = 3, 2, 4


def places(n: int, batch_size: int = B) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of n places; values are a view, as those of attention are."""
    return torch.randn(batch_size, H, n, D), torch.randn(batch_size, n, H, D).transpose(1, 2)


def joined(*parts: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.cat(part, 2) for part in zip(*parts, strict=True))


def holds(found: KeyValueCache, expected: tuple[torch.Tensor, ...]) -> bool:
    parts = list(found)
    assert parts[0] is found.key and parts[1] is found.value and len(found) == expected[0].shape[2]
    return all(torch.equal(a, b) for a, b in zip(parts, expected, strict=True))


@pytest.fixture(params=[torch.no_grad, torch.enable_grad], ids=["judging", "training"])
def mode(request):
    with request.param():
        yield


@pytest.mark.parametrize("cuts", [[1] * 9, [4, 5], [1, 1, 7], [3, 1, 4, 1], [8, 1], [1, 2, 2, 4]], ids=str)
def test_pieces_are_the_whole(cuts, mode):
    pieces = [places(n) for n in cuts]
    longer = KeyValueCache(*pieces[0])
    for i, piece in enumerate(pieces[1:], 2):
        longer = longer.extended(*piece)
        assert holds(longer, joined(*pieces[:i]))


@pytest.mark.parametrize("seed", range(4))
def test_a_cache_never_changes(seed, mode):
    """Any cache made so far is continued, or rows of it are chosen, at random; all stay what they were."""
    generator, made = torch.Generator().manual_seed(seed), []

    def below(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    first = places(2)
    made.append((KeyValueCache(*first), joined(first)))
    for _ in range(150):
        of, expected = made[below(len(made)) if below(2) else -1]
        if below(5):
            piece = places(1 + below(3), len(expected[0]))
            made.append((of.extended(*piece), joined(expected, piece)))
        else:
            rows = torch.randint(len(expected[0]), (1 + below(4),), generator=generator)
            made.append((of.select(rows), tuple(part[rows] for part in expected)))
    assert max(len(found) for found, _ in made) > 8
    assert all(holds(found, expected) for found, expected in made)


@pytest.mark.parametrize("n", range(1, 10))
def test_two_continuations_of_one_cache(n, mode):
    """At once, in turns, and after the first has gone on; whether there was room for both or for none."""
    start = [places(1) for _ in range(n)]
    base = KeyValueCache(*start[0])
    for piece in start[1:]:
        base = base.extended(*piece)
    a, b, c, d, e = (places(1) for _ in range(5))
    one, other = base.extended(*a), base.extended(*b)
    further, third = one.extended(*c), base.extended(*d)
    beside = one.extended(*e)
    selected = base.select(torch.tensor([1, 0, 0])).extended(*a)
    for found, pieces in [(base, []), (one, [a]), (other, [b]), (further, [a, c]), (third, [d]), (beside, [a, e])]:
        assert holds(found, joined(*start, *pieces))
    assert holds(selected, joined(tuple(part[[1, 0, 0]] for part in joined(*start)), a))


def test_what_was_given_is_left_alone(mode):
    key, value = places(4)
    before = key.clone(), value.clone()
    longer = KeyValueCache(key[:, :, :2], value[:, :, :2]).extended(*places(1))
    longer.extended(*places(5))
    assert torch.equal(key, before[0]) and torch.equal(value, before[1])


@torch.no_grad()
def test_a_long_text_is_copied_seldom_and_kept_in_at_most_twice_its_size(monkeypatch):
    """Each copy doubles the room: the number of copies is that of the doublings, not that of the tokens."""
    copies, with_room = [], cache._with_room
    monkeypatch.setattr(cache, "_with_room", lambda part, n: copies.append(part.shape[2]) or with_room(part, n))
    longer, n_tokens = KeyValueCache(*places(1)), 1000
    for n in range(2, n_tokens + 1):
        longer = longer.extended(*places(1))
        for part in longer:
            kept = part.untyped_storage().nbytes() / part.element_size()
            assert kept <= 2 * n * B * H * D
    assert len(copies) == 2 * math.ceil(math.log2(n_tokens))  # of keys and of values
    assert sum(copies) < 2 * 2 * n_tokens


@torch.no_grad()
def test_where_there_is_room_nothing_is_copied():
    caches = [KeyValueCache(*places(8)).extended(*places(1))]
    for _ in range(7):
        caches.append(caches[-1].extended(*places(1)))
    for a, b in itertools.pairwise(caches):
        assert a.key.data_ptr() == b.key.data_ptr() and a.value.data_ptr() == b.value.data_ptr()
    assert caches[-1].extended(*places(1)).key.data_ptr() != caches[-1].key.data_ptr()


def test_gradients_reach_every_piece():
    """Also those of a cache that was continued twice, and of one made while judging."""
    pieces = [tuple(part.requires_grad_() for part in places(n)) for n in (3, 1, 2, 1)]
    weigh = torch.randn(2, B, H, 6, D)

    def total(key, value):
        return (weigh[0] * key * key).sum() + (weigh[1] * value.sin()).sum()

    base = KeyValueCache(*pieces[0]).extended(*pieces[1])
    found = total(*base.extended(*pieces[2]))
    base.extended(*pieces[3])
    inputs = [part for piece in pieces[:3] for part in piece]
    expected = torch.autograd.grad(total(*joined(*pieces[:3])), inputs)
    for a, b in zip(torch.autograd.grad(found, inputs), expected, strict=True):
        close(a, b)
    grown, sums, expected_sums = KeyValueCache(*pieces[0]), 0, 0  # each stage is used before the next is made
    for i in (1, 2, 3):
        grown = grown.extended(*pieces[i])
        sums = sums + (grown.key * grown.key).sum() + grown.value.sin().sum()
        key, value = joined(*pieces[: i + 1])
        expected_sums = expected_sums + (key * key).sum() + value.sin().sum()
    inputs += pieces[3]
    for a, b in zip(torch.autograd.grad(sums, inputs), torch.autograd.grad(expected_sums, inputs), strict=True):
        close(a, b)
    with torch.no_grad():
        judged = KeyValueCache(*places(3)).extended(*places(1))
    (key, value), kept = pieces[2], joined(judged)
    for a, b in zip(
        torch.autograd.grad(total(*judged.extended(key, value)), (key, value)),
        torch.autograd.grad(total(*joined(kept, (key, value))), (key, value)),
        strict=True,
    ):
        close(a, b)


def test_selected_rows_are_in_their_order_and_may_repeat(mode):
    pieces = [places(2), places(1)]
    chosen = KeyValueCache(*pieces[0]).extended(*pieces[1]).select(torch.tensor([2, 0, 2, 2]))
    assert holds(chosen, tuple(part[[2, 0, 2, 2]] for part in joined(*pieces)))


def test_places_of_another_batch_are_named(mode):
    """One row is not silently taken for all."""
    for wrong in (1, 2):
        with pytest.raises(ValueError, match=rf"shape \({wrong}, 2, 1, 4\) continue a cache of shape \(3, 2, 2, 4\)"):
            KeyValueCache(*places(2)).extended(*places(1, wrong))
