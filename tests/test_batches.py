"""Blocks of a text: what is in them, and that every place is as likely to be drawn. Pairs: what a pass holds, in which
order, and how much of it is padding."""

import math

import numpy as np
import pytest
import torch

from course_lib import device
from course_lib.batches import IGNORED, Blocks, Pairs


@pytest.mark.parametrize("where", sorted({"cpu", device.choose().type}))
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["NumPy", "PyTorch"])
@pytest.mark.parametrize(("n", "length", "batch_size"), [(2, 1, 1), (5, 4, 3), (50, 8, 64), (50, 1, 7)])
def test_blocks_are_pieces_of_the_text_and_targets_what_follows(n, length, batch_size, kind, where):
    text = np.random.default_rng(0).permutation(n)  # each token tells where it stands
    ids, targets = Blocks(kind(text), length, batch_size, where)()
    assert ids.shape == targets.shape == (batch_size, length)
    assert ids.device.type == targets.device.type == where
    assert ids.dtype == targets.dtype == torch.int64
    for block, following in zip(ids.tolist(), targets.tolist(), strict=True):
        start = text.tolist().index(block[0])
        assert [*block, following[-1]] == text[start : start + length + 1].tolist()
        assert following[:-1] == block[1:]


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32"])
def test_short_integers_are_ids(kind):
    """Text files of ids are often stored so."""
    blocks = Blocks(np.arange(200).astype(kind), 5, 50)
    ids, targets = blocks()
    assert ids.dtype == targets.dtype == torch.int64
    assert torch.equal(targets, ids + 1) and ids.max() < 199


@pytest.mark.parametrize(("n", "length"), [(12, 1), (12, 4), (12, 10), (12, 11)])
def test_every_start_is_equally_likely(n, length):
    """Pearson's chi-squared over 40,000 draws: its mean is the degrees of freedom, its variance twice that."""
    torch.manual_seed(0)
    starts = Blocks(np.arange(n), length, 40_000)()[0][:, 0]
    observed = torch.bincount(starts).double()
    assert len(observed) == n - length  # the first and the last place that has a next token are among them
    expected = len(starts) / len(observed)
    freedom = len(observed) - 1
    assert ((observed - expected) ** 2 / expected).sum() <= freedom + 5 * math.sqrt(2 * freedom)


def test_pytorchs_seed_repeats_and_calls_differ():
    blocks = Blocks(np.arange(1000), 5, 8)
    torch.manual_seed(3)
    first, second = blocks()[0], blocks()[0]
    torch.manual_seed(3)
    assert torch.equal(first, blocks()[0])
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("n", "length", "batch_size", "words"),
    [
        (9, 0, 4, ["length is 0", "1 or more"]),
        (9, -2, 4, ["length is -2"]),
        (9, 3, 0, ["batch_size is 0"]),
        (9, 3, -1, ["batch_size is -1"]),
        (9, 9, 4, ["9 tokens", "length 9", "10", "8 or less"]),
        (9, 50, 4, ["9 tokens", "length 50", "51", "8 or less"]),
        (0, 1, 4, ["0 tokens"]),
        (1, 1, 4, ["1 tokens"]),
    ],
)
def test_bad_sizes_are_named(n, length, batch_size, words):
    with pytest.raises(ValueError) as error:
        Blocks(np.arange(n), length, batch_size)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("ids", [np.zeros((3, 9), int), np.zeros(9), np.zeros(())])
def test_ids_that_are_no_text_are_named(ids):
    with pytest.raises(ValueError, match="one row of whole numbers"):
        Blocks(ids, 2, 2)


# Pairs


def some_pairs(n: int, longest: int = 9, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pairs of random lengths; the first token of a source and of its target is the number of the pair."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, (2, n))
    sources, targets = ([np.r_[i, rng.integers(0, n, k - 1)] for i, k in enumerate(row)] for row in lengths)
    return sources, [np.r_[target, 1] for target in targets]


def rows_of(batch) -> list[tuple[list[int], list[int]]]:
    """The pairs in a batch, without padding: source and target."""
    n_read = [len(row) for row in batch.source] if batch.source_mask is None else batch.source_mask.sum((1, 2)).tolist()
    n_said = (batch.labels != IGNORED).sum(1).tolist()
    targets = [[row[0], *labels[:n]] for row, labels, n in zip(batch.target.tolist(), batch.labels.tolist(), n_said,
                                                               strict=True)]  # fmt: skip
    return [(row[:n], target) for row, n, target in zip(batch.source.tolist(), n_read, targets, strict=True)]


def one_pass(pairs: Pairs, number: int = 0) -> list[int]:
    """The numbers of the pairs in the order of a pass."""
    steps = range(number * pairs.per_pass, (number + 1) * pairs.per_pass)
    return [i for step in steps for i in pairs.batch(step).source[:, 0].tolist()]


def same_batch(a, b) -> bool:
    return all(x is y is None or torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("where", sorted({"cpu", device.choose().type}))
@pytest.mark.parametrize(
    ("n", "batch_size", "per_pass"), [(1, 1, 1), (1, 4, 1), (5, 1, 5), (12, 4, 3), (13, 4, 4), (300, 3, 100)]
)
def test_a_pass_holds_each_pair_once_as_it_was_given(n, batch_size, per_pass, where):
    """Also where a pass is sorted in several pools, and the last of them is not full."""
    sources, targets = some_pairs(n)
    pairs = Pairs(sources, targets, batch_size, device=where)
    assert pairs.per_pass == per_pass
    for number in (0, 1, 5):
        batches = [pairs.batch(number * per_pass + i) for i in range(per_pass)]
        sizes = sorted(len(batch.source) for batch in batches)
        assert sizes == sorted([n - (per_pass - 1) * batch_size] + [batch_size] * (per_pass - 1))
        found = sorted(row for batch in batches for row in rows_of(batch))
        assert found == [(source.tolist(), target.tolist()) for source, target in zip(sources, targets, strict=True)]
        assert all(part.device.type == where for batch in batches for part in batch if part is not None)


def test_a_batch_is_padded_as_far_as_its_longest_pair_needs():
    """The four parts, worked out by hand."""
    sources, targets = [np.array([5, 6, 7]), np.array([8])], [np.array([1, 2]), np.array([1, 0, 4, 2])]
    batch = Pairs(sources, targets, 2).batch(0)  # sorted by length: the short source comes first
    assert batch.source.tolist() == [[8, 0, 0], [5, 6, 7]]
    assert batch.source_mask.tolist() == [[[True, False, False]], [[True, True, True]]]
    assert batch.target[0].tolist() == [1, 0, 4] and batch.target[1, 0] == 1
    assert batch.labels.tolist() == [[0, 4, 2], [2, IGNORED, IGNORED]]
    assert batch.target.min() >= 0  # padding is a token that an embedding can look up
    assert batch.source_mask.dtype == torch.bool
    assert {part.dtype for part in (batch.source, batch.target, batch.labels)} == {torch.int64}


def test_labels_are_what_comes_after_what_was_read():
    sources, targets = some_pairs(200)
    pairs, given = Pairs(sources, targets, 16), {int(s[0]): (len(s), t) for s, t in zip(sources, targets, strict=True)}
    for batch in map(pairs.batch, range(pairs.per_pass)):
        B, T = batch.target.shape
        assert batch.labels.shape == (B, T)
        for row, number in enumerate(batch.source[:, 0].tolist()):
            n_source, target = given[number]
            n = len(target) - 1
            assert batch.target[row, :n].tolist() == target[:-1].tolist()
            assert batch.labels[row].tolist() == target[1:].tolist() + [IGNORED] * (T - n)
            if batch.source_mask is not None:
                assert batch.source_mask[row, 0].tolist() == [t < n_source for t in range(batch.source.shape[1])]
        read, said = [given[number] for number in batch.source[:, 0].tolist()], batch.labels != IGNORED
        assert batch.source.shape[1] == max(n for n, _ in read) and said.any(0).all()  # nothing padded for all
        assert (batch.source_mask is None) == (len({n for n, _ in read}) == 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_batch_depends_on_seed_and_step_alone(seed):
    """Asked in any order, of any object, and with whatever was drawn in between."""
    sources, targets = some_pairs(40)
    in_order = [Pairs(sources, targets, 4, seed).batch(step) for step in range(30)]
    pairs = Pairs(sources, targets, 4, seed)
    for step in [7, 900, 7, 29, 0, 1, 13, 10, 9, 29]:
        torch.rand(3), np.random.rand(3)
        batch = pairs.batch(step)
        assert step == 900 or same_batch(batch, in_order[step]), step


def test_passes_and_seeds_are_in_orders_of_their_own():
    sources, targets = some_pairs(60)
    orders = [one_pass(Pairs(sources, targets, 4, seed), number) for seed in (0, 1, 2) for number in (0, 1, 2)]
    assert len(set(map(tuple, orders))) == 9
    assert all(sorted(order) == list(range(60)) for order in orders)


def test_which_pairs_meet_changes_from_pass_to_pass():
    """Where there are more pairs than are sorted at a time."""
    sources, targets = some_pairs(640)
    pairs = Pairs(sources, targets, 2)

    def meetings(number):
        order = one_pass(pairs, number)
        return {frozenset(order[i : i + 2]) for i in range(0, 640, 2)}

    assert len(meetings(0) & meetings(1)) < 64


def test_lengths_come_in_no_order():
    """Batches are of one length each, but a pass does not run from short to long."""
    n = 2000
    sources = [np.zeros(1 + i % 20, int) for i in range(n)]
    pairs = Pairs(sources, [np.zeros(2, int)] * n, 20)
    lengths = np.array([pairs.batch(step).source.shape[1] for step in range(pairs.per_pass)])
    neighbours = np.corrcoef(lengths[:-1], lengths[1:])[0, 1]
    assert abs(neighbours) < 0.4


@pytest.mark.parametrize(("batch_size", "sources_most", "targets_most"), [(8, 0.05, 0.2), (64, 0.05, 0.2)])
def test_little_is_padded(batch_size, sources_most, targets_most):
    """Lengths of 3 to 20, a target about as long as its source, as spellings and pronunciations are. In a sorted
    pool, what all sources together are padded with is at most a batch of the difference between 3 and 20."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 21, 5000)
    sources = [np.zeros(n, int) for n in lengths]
    targets = [np.zeros(n, int) for n in np.maximum(2, lengths + rng.integers(-1, 3, 5000))]
    pairs = Pairs(sources, targets, batch_size)
    batches = [pairs.batch(step) for step in range(pairs.per_pass)]
    n_source, n_labels = (sum(getattr(b, part).numel() for b in batches) for part in ("source", "labels"))
    assert 1 - sum(map(len, sources)) / n_source < sources_most
    assert 1 - sum(len(t) - 1 for t in targets) / n_labels < targets_most


def test_pairs_of_one_source_length_are_sorted_by_their_targets():
    """512 pairs are one pool: 4 target lengths fill 32 batches of 16 without any padding."""
    rng = np.random.default_rng(0)
    targets = [np.zeros(2 + n, int) for n in rng.permutation(512) % 4]
    pairs = Pairs([np.zeros(3, int)] * 512, targets, 16)
    for batch in map(pairs.batch, range(pairs.per_pass)):
        assert batch.source_mask is None and (batch.labels != IGNORED).all()


@pytest.mark.parametrize(
    ("n_sources", "n_targets", "batch_size", "words"),
    [
        (3, 2, 4, ["3 sources and 2 targets", "one target for each"]),
        (0, 0, 4, ["0 sources and 0 targets"]),
        (0, 2, 4, ["0 sources and 2 targets"]),
        (3, 3, 0, ["batch_size is 0", "1 or more"]),
        (3, 3, -2, ["batch_size is -2"]),
        (3, 3, 2.0, ["batch_size is 2.0"]),
    ],
)
def test_pairs_that_do_not_go_together_are_named(n_sources, n_targets, batch_size, words):
    with pytest.raises(ValueError) as error:
        Pairs([np.zeros(2, int)] * n_sources, [np.zeros(2, int)] * n_targets, batch_size)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(("source", "target"), [(0, 2), (1, 1), (1, 0)])
def test_a_pair_without_tokens_is_named(source, target):
    good = np.zeros(2, int)
    with pytest.raises(ValueError, match="leave it out"):
        Pairs([good, np.zeros(source, int)], [good, np.zeros(target, int)], 2)
    assert len(rows_of(Pairs([good, good[:1]], [good, good], 2).batch(0))) == 2  # the least that is allowed


@pytest.mark.parametrize("seed", [-1, 1.5])
def test_a_seed_that_is_none_is_named(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}: expected a whole number"):
        Pairs([[1]], [[0, 1]], 1, seed)
