"""Images: what they may hold, how they are split, where they come from."""

import gzip
import re
import struct
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import data
from course_lib.batches import ImageBatches
from course_lib.data import classics
from course_lib.data.files import DataError
from course_lib.data.images import Images, by_class, scaled, to_pixels


def images(n=12, channels=1, side=4, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (n, channels, side, side), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % classes, tuple("abcdefghij"[:classes]))


# What they may hold


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (torch.rand(2, 1, 4, 4), "torch.float32"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), "(2, 4, 4)"),
        (torch.zeros(2, 4, 4, 3, dtype=torch.uint8), "(2, 4, 4, 3)"),
        (torch.zeros(2, 2, 4, 4, dtype=torch.uint8), "(2, 2, 4, 4)"),
    ],
)
def test_pixels_of_another_shape_or_type_are_refused(pixels, found):
    with pytest.raises(DataError, match=re.escape(found)) as error:
        Images(pixels, torch.zeros(2, dtype=torch.long), ("a",))
    assert "torch.uint8" in str(error.value) and "(N, C, H, W)" in str(error.value)


@pytest.mark.parametrize("labels", [torch.zeros(3, dtype=torch.long), torch.zeros(2), torch.zeros(2, 1).long()])
def test_labels_of_another_shape_or_type_are_refused(labels):
    with pytest.raises(DataError, match="one for each of the 2 images"):
        Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), labels, ("a",))


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_labels_without_a_class_are_refused(labels):
    with pytest.raises(DataError, match="expected 0 to 1"):
        Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor(labels), ("a", "b"))


def test_images_are_taken_and_joined():
    some = images()
    assert len(some) == 12 and len(some[2:5]) == 3
    chosen = some[torch.tensor([5, 0])]
    assert torch.equal(chosen.pixels, some.pixels[[5, 0]]) and chosen.labels.tolist() == [2, 0]
    assert torch.equal((some[:4] + some[4:]).pixels, some.pixels)
    for other in (images(classes=2), images(side=8)):
        with pytest.raises(DataError, match="cannot be joined"):
            some + other


def test_scaled_pixels_fill_the_range_of_tanh_and_go_back():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert scaled(pixels).min() == -1 and scaled(pixels).max() == 1
    assert torch.equal(to_pixels(scaled(pixels)), pixels)
    assert to_pixels(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]
    with pytest.raises(DataError, match="torch.float32.*uint8"):
        scaled(torch.rand(1, 1, 4, 4))
    for bad in (pixels, torch.tensor([0.0, float("nan")])):
        with pytest.raises(DataError, match="finite"):
            to_pixels(bad)


def test_a_batch_is_drawn_from_all_images_and_in_range():
    some = images(n=6, channels=3)
    torch.manual_seed(0)
    seen = Counter()
    batch = ImageBatches(some, 50)
    for _ in range(20):
        pixels, labels = batch()
        rows = [int((to_pixels(image) == some.pixels).flatten(1).all(1).nonzero()) for image in pixels]
        assert labels.tolist() == some.labels[rows].tolist()
        seen.update(rows)
    assert set(seen) == set(range(6)) and min(seen.values()) > 100  # 1,000 draws of 6
    for bad in (0, 1):
        with pytest.raises(ValueError, match=f"batch_size is {bad}"):
            ImageBatches(some, bad)
    with pytest.raises(ValueError, match="no images"):
        ImageBatches(some[:0], 2)


# How they are split


def test_each_class_is_split_alike_whatever_the_order():
    some = images(n=60, side=8)
    split = by_class("x", some, (0.6, 0.2))
    assert [len(part) for part in (split.train, split.validation, split.test)] == [36, 12, 12]
    for part in (split.train, split.validation, split.test):
        assert torch.bincount(part.labels).tolist() == [len(part) // 3] * 3
        assert part.labels[:3].tolist() == [0, 1, 2]  # the classes take turns
    turned = by_class("x", some[torch.randperm(60)], (0.6, 0.2))
    assert torch.equal(turned.test.pixels, split.test.pixels)


def test_an_image_that_is_there_twice_is_in_one_part_only():
    some = images(n=30, side=8, classes=2)
    other_class = Images(some.pixels, 1 - some.labels, some.classes)
    split = by_class("x", some + some + other_class, (0.6, 0.2))
    parts = (split.train, split.validation, split.test)
    assert len(torch.unique(torch.cat([part.pixels for part in parts]).flatten(1), dim=0)) == sum(map(len, parts)) == 30


def test_digits_are_mnists():
    split = data.load("digits")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [3600, 400, 1000]
    assert split.train.pixels.shape[1:] == (1, 28, 28) and split.train.classes == tuple("0123456789")
    assert torch.bincount(split.test.labels).tolist() == [100] * 10
    whole = split.train + split.validation + split.test
    assert len(torch.unique(whole.pixels.flatten(1), dim=0)) == 5000
    assert 0.10 < scaled(whole.pixels).add(1).div(2).mean() < 0.16  # black paper, white ink: MNIST's mean is 0.13
    ones, zeros = (whole.pixels[whole.labels == digit].float().mean(0)[0] for digit in (1, 0))
    assert ones[14, 14] > 150 and zeros[14, 14] < 30  # a one has ink in its middle, a zero none


# A folder of pictures


def picture(path, colour, size=(40, 20), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_a_folder_of_pictures_is_a_data_set(tmp_path):
    for i in range(10):
        picture(tmp_path / "red" / f"{i}.png", (250 - i, 0, 0))
        picture(tmp_path / "blue" / f"{i}.jpg", (0, 0, 250 - 5 * i), size=(33, 50))
    split = data.load(tmp_path)
    assert split.train.classes == ("blue", "red")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [16, 2, 2]
    assert split.train.pixels.shape[1:] == (3, 32, 32)
    red = split.train[split.train.labels == 1].pixels
    assert red[:, 0].min() > 230 and red[:, 1:].max() == 0


def test_what_is_transparent_becomes_white_and_the_middle_is_kept(tmp_path):
    for i in range(10):
        clear = Image.new("RGBA", (32, 32), (9, 9, 9, 0))
        clear.paste((25 * i, 0, 0, 255), (10, 10, 20, 20))
        clear.save(tmp_path / f"{i}.png")
    wide = Image.new("RGB", (90, 30), "white")
    wide.paste("black", (30, 0, 60, 30))
    wide.save(tmp_path / "wide.png")
    split = data.load(str(tmp_path))
    whole = split.train + split.validation + split.test
    assert whole.classes == (tmp_path.name,)
    corners = whole.pixels[:, :, 2, 2]
    assert len(whole) == 11 and sorted(corners.float().mean(1).tolist()) == [0, *[255] * 10]


def test_grey_in_16_bits_keeps_its_shades(tmp_path):
    for i in range(10):
        Image.fromarray(np.full((32, 32), 6000 * (i + 1), dtype=np.uint16)).save(tmp_path / f"{i}.png")
    split = data.load(tmp_path)
    whole = split.train + split.validation + split.test
    assert sorted(whole.pixels[:, 0, 0, 0].tolist()) == [6000 * (i + 1) // 256 for i in range(10)]


def test_folders_that_hold_too_little_or_nothing_readable_are_refused(tmp_path):
    picture(tmp_path / "a" / "one.png", "red")
    with pytest.raises(DataError, match="holds 1 pictures.*at least 10"):
        data.load(tmp_path)
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="0.png is no picture that can be read"):
        data.load(tmp_path)
    (tmp_path / "notes.txt").write_text("a text")
    with pytest.raises(DataError, match="texts .* and pictures"):
        data.load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \*.txt"):
        data.load(tmp_path / "empty")


# MNIST and the others, in their real formats


def idx(path, array):
    """MNIST's own format: type and number of axes, their lengths, the numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def test_mnist_is_read_from_the_data_folder_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setattr(classics, "VALIDATION", 5)
    random = np.random.default_rng(0)
    pixels = {"train": random.integers(256, size=(20, 28, 28)), "t10k": random.integers(256, size=(7, 28, 28))}
    for part, some in pixels.items():
        folder = tmp_path / "mnist" / "MNIST" / "raw"
        idx(folder / f"{part}-images-idx3-ubyte", some)
        idx(folder / f"{part}-labels-idx1-ubyte", np.arange(len(some)) % 10)
    split = data.load("mnist")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [15, 5, 7]
    assert np.array_equal(split.validation.pixels[:, 0].numpy(), pixels["train"][15:])
    assert split.test.labels.tolist() == list(range(7)) and split.test.pixels.shape == (7, 1, 28, 28)
    assert len(split.test.classes) == 10


def test_without_a_network_the_message_says_what_works(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    from torchvision import datasets

    def no_network(*_, **__):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(datasets.MNIST, "download", no_network)
    with pytest.raises(DataError) as error:
        data.load("mnist")
    for word in ("'mnist'", "Error downloading", "course data mnist", "'digits'", "by its path"):
        assert word in str(error.value)


def test_a_digit_file_that_was_altered_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mnist_5k.csv.gz").write_bytes(gzip.compress(b"0,1,2\n"))
    with pytest.raises(DataError, match="truncated or altered.*course data digits"):
        data.load("digits")
