"""The convolutional network, its training images, and the network that judges."""

import math

import pytest
import torch

from course_lib import feature_network as feature_networks
from course_lib.augment import random_affine
from course_lib.classifier import Recipe, in_parts, train_classifier
from course_lib.cnn import ConvNet
from course_lib.data.images import Images, scaled
from course_lib.feature_network import feature_network, keep, key

QUICK = Recipe(width=4, n_steps=60, batch_size=16, learning_rate=0.02)


def stripes(n=60, side=8, seed=0):
    """Two classes: stripes that lie, stripes that stand; of random brightness and phase."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    places = torch.arange(side) + torch.randint(4, (n, 1), generator=random)
    wave = (places // 2 % 2)[:, None, None, :].expand(n, 1, side, side) * torch.randint(
        100, 256, (n, 1, 1, 1), generator=random
    )
    pixels = torch.where(labels.view(-1, 1, 1, 1) == 0, wave.mT, wave).to(torch.uint8)
    return Images(pixels.contiguous(), labels, ("lying", "standing"))


# The network


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (3, 5)])
def test_images_become_features_and_features_logits(channels, side):
    network = ConvNet(channels, 7, width=4).eval()
    images = torch.randn(3, channels, side, side)
    assert network.features(images).shape == (3, 16) and network(images).shape == (3, 7)
    assert torch.allclose(network(images), network.output(network.features(images)), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 8, 8), (2, 1, 3, 8)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(N, 1, H, W\)"):
        ConvNet(1, 2, width=4)(torch.randn(shape))


def test_in_parts_is_the_same_as_at_once_and_scales_pixels():
    network = ConvNet(1, 2, width=4).eval()
    pixels = torch.randint(256, (1203, 1, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        at_once = network(scaled(pixels))
    assert torch.allclose(in_parts(network, pixels), at_once, atol=1e-5)
    assert torch.allclose(in_parts(network, scaled(pixels)), at_once, atol=1e-5)


# Moved images


def dot(row, column, side=33):
    images = torch.zeros(64, 1, side, side)
    images[:, 0, row, column] = 1
    return images


def place(images):
    """Where the ink is, in the middle; rows and columns from the centre."""
    side = images.shape[-1]
    from_centre = torch.arange(side) - (side - 1) / 2
    ink = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    return (ink.sum(2) * from_centre).sum(1), (ink.sum(1) * from_centre).sum(1)


NOTHING = {"degrees": 0, "scale": 0, "shear": 0, "shift": 0}


def test_no_movement_changes_nothing():
    images = torch.rand(3, 2, 9, 9)
    assert torch.allclose(random_affine(images, **NOTHING), images, atol=1e-5)


def test_turned_images_turn_and_by_no_more_than_asked():
    torch.manual_seed(0)
    rows, columns = place(random_affine(dot(16, 26), **NOTHING | {"degrees": 30}))  # 10 pixels right of the centre
    assert torch.allclose((rows**2 + columns**2).sqrt(), torch.tensor(10.0), atol=0.3)
    turns = torch.atan2(rows, columns).rad2deg()
    assert 25 < turns.max() < 31.5 and -31.5 < turns.min() < -25


@pytest.mark.parametrize("amount", ["scale", "shear", "shift"])
def test_the_other_movements_have_their_amounts(amount):
    torch.manual_seed(0)
    below = 0 if amount == "shift" else 10  # pixels below the centre
    rows, columns = place(random_affine(dot(16 + below, 16), **NOTHING | {amount: 0.25}))
    if amount == "scale":  # to 10 · (1 ± 0.25), columns untouched
        assert 7.2 < rows.min() < 8 and 12 < rows.max() < 12.8 and columns.abs().max() < 0.1
    elif amount == "shear":  # sidewards, by up to a quarter of the height
        assert torch.allclose(rows, torch.tensor(10.0), atol=0.1) and 2 < columns.abs().max() < 2.8
    else:  # both ways, by up to a quarter of the side
        moved = torch.cat([rows, columns])
        assert 7 < moved.abs().max() < 8.5


def test_each_image_moves_by_itself():
    torch.manual_seed(0)
    moved = random_affine(torch.rand(1, 1, 9, 9).expand(4, -1, -1, -1))
    assert len({tuple(image.flatten().tolist()) for image in moved}) == 4


# Training, and the network that judges


def test_a_classifier_learns_and_is_the_same_again():
    images = stripes()
    network, history = train_classifier(images, QUICK)
    fresh = stripes(seed=1)
    assert not network.training
    assert (in_parts(network, fresh.pixels).argmax(1) == fresh.labels).double().mean() > 0.95
    assert len(history.values["loss"]) == 60
    again, _ = train_classifier(images, QUICK)
    assert torch.allclose(in_parts(again, fresh.pixels), in_parts(network, fresh.pixels), atol=1e-3)


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    """How often a network was trained; the data folder is empty at first."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    calls = []

    def counted(images, recipe, device):
        calls.append(recipe)
        return train_classifier(images, recipe, device)

    monkeypatch.setattr(feature_networks, "train_classifier", counted)
    return calls


def test_a_feature_network_is_trained_once(trainings, tmp_path):
    images = stripes()
    first, second = (feature_network(images, QUICK) for _ in range(2))
    assert len(trainings) == 1 and not second.training
    assert torch.equal(in_parts(first.features, images.pixels), in_parts(second.features, images.pixels))
    assert [path.stem for path in (tmp_path / "feature_networks").iterdir()] == [key(images, QUICK)]


def test_another_recipe_or_other_images_never_take_its_file(trainings):
    images = stripes()
    feature_network(images, QUICK)
    feature_network(images, Recipe(width=4, n_steps=2, batch_size=16))
    feature_network(images[:-2], QUICK)
    changed = Images(images.pixels, images.labels.roll(1), images.classes)
    feature_network(changed, QUICK)
    assert len(trainings) == 4
    feature_network(images, QUICK)
    assert len(trainings) == 4


def test_other_code_makes_another_network(monkeypatch):
    images, before = stripes(), key(stripes(), QUICK)
    monkeypatch.setattr(feature_networks, "CODE", feature_networks.CODE + b"# changed")
    assert key(images, QUICK) != before


def test_a_network_that_was_kept_is_found(trainings):
    images = stripes()
    network, _ = train_classifier(images, QUICK)
    keep(network, images, QUICK)
    found = feature_network(images, QUICK)
    assert not trainings and torch.equal(in_parts(network, images.pixels), in_parts(found, images.pixels))


def test_a_damaged_file_is_made_again_with_a_notice(trainings, tmp_path, capsys):
    images = stripes()
    feature_network(images, QUICK)
    (path,) = (tmp_path / "feature_networks").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    feature_network(images, QUICK)
    assert len(trainings) == 2 and "Notice" in capsys.readouterr().out
    feature_network(images, QUICK)
    assert len(trainings) == 2


def test_where_nothing_can_be_kept_a_notice_says_so(trainings, tmp_path, capsys):
    (tmp_path / "feature_networks").write_text("a file in the way")
    network = feature_network(stripes(), QUICK)
    assert isinstance(network, ConvNet) and "could not be kept" in capsys.readouterr().out
    assert math.isfinite(in_parts(network, stripes().pixels).sum())
