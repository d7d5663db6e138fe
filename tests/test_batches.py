"""Blocks of a text: what is in them, and that every place is as likely to be drawn."""

import math

import numpy as np
import pytest
import torch

from course_lib import device
from course_lib.batches import Blocks


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
