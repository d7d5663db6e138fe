"""Generator, discriminator, what each wants, and the step that trains both."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from course_lib.batches import ImageBatches
from course_lib.data.images import Images
from course_lib.gan import EMA, AdversarialStep, Discriminator, Generator
from course_lib.gan.judge import draw
from course_lib.gan.losses import LOSSES, discriminator_loss, generator_loss, r1_penalty
from course_lib.gan.networks import ClassBatchNorm
from course_lib.gan.patches import PatchDiscriminator, PatchGenerator, to_images, to_patches
from course_lib.gan.step import GeneratorCollapsed
from course_lib.training import TrainingDiverged, train


def some_images(n=24, channels=1, side=8, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (n, channels, side, side), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % classes, tuple("abcdefghij"[:classes]))


def networks(kind="convolutions", channels=1, side=8, classes=0):
    torch.manual_seed(0)
    if kind == "patches":
        sizes = {"d_model": 8, "n_heads": 2, "n_layers": 1}
        return PatchGenerator(5, channels, side, **sizes), PatchDiscriminator(channels, side, **sizes)
    return Generator(5, channels, side, 4, classes), Discriminator(channels, side, 4, classes)


def a_step(pair=None, batch_size=6, lr=1e-3, channels=1, classes=0, **settings):
    generator, discriminator = pair or networks(channels=channels, classes=classes)
    optimizers = [torch.optim.Adam(each.parameters(), lr, betas=(0.5, 0.99)) for each in (generator, discriminator)]
    batch = ImageBatches(some_images(channels=channels), batch_size)
    return AdversarialStep(generator, discriminator, *optimizers, batch, **settings)


def weights(network):
    return copy.deepcopy(network.state_dict())


def close(a, b):
    return torch.allclose(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-4, atol=1e-6)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# The networks


@pytest.mark.parametrize("kind", ["convolutions", "patches"])
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (3, 8)])
def test_images_come_out_and_scores_too(kind, channels, side):
    generator, discriminator = networks(kind, channels, side)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, channels, side, side) and images.abs().max() <= 1
    assert discriminator(images).shape == (3,)


@pytest.mark.parametrize("side", [0, 4, 27, 30])
def test_a_side_that_cannot_be_doubled_twice_is_refused(side):
    with pytest.raises(ValueError, match=f"{side}×{side}.*side"):
        Generator(5, 1, side)
    with pytest.raises(ValueError, match=f"{side}×{side}.*side"):
        Discriminator(1, side)


@pytest.mark.parametrize("sizes", [{"n_latent": 0}, {"n_channels": 0}, {"width": 0}])
def test_sizes_of_nothing_are_refused(sizes):
    with pytest.raises(ValueError, match=f"{next(iter(sizes))} is 0"):
        Generator(**{"n_latent": 5, "n_channels": 1, "side": 8} | sizes)


def test_with_classes_the_class_counts():
    generator, discriminator = networks(classes=3)
    z, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    for part in generator.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight)  # at first all classes are alike
    generator.eval()
    discriminator.eval()
    images = generator(z, labels)
    assert not torch.allclose(images, generator(z, labels.roll(1)), atol=1e-4)
    assert not torch.allclose(discriminator(images, labels), discriminator(images, labels.roll(1)), atol=1e-4)


def test_batch_normalisation_by_class_is_that_of_the_batch_with_the_gain_and_shift_of_the_class():
    torch.manual_seed(0)
    norm, x, labels = ClassBatchNorm(4, 3), 2 + 3 * torch.randn(6, 4, 5, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    plain = nn.BatchNorm2d(4)
    assert torch.allclose(norm(x, labels), plain(x), atol=1e-5)  # as it begins
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.shift.weight)
    norm.eval()
    for i, label in enumerate(labels):
        normalised = F.batch_norm(
            x, plain.running_mean, plain.running_var, norm.gain.weight[label], norm.shift.weight[label]
        )
        assert torch.allclose(norm(x, labels)[i], normalised[i], atol=1e-5)


def test_the_projection_adds_the_classs_vector_times_the_features_of_all_places():
    _, discriminator = networks(classes=3)
    discriminator.eval()
    images = torch.randn(5, 1, 8, 8)
    by_label = torch.stack([discriminator(images, torch.full((5,), k)) for k in range(3)], 1)
    features, vectors = discriminator.layers(images).sum((2, 3)), discriminator.of_class.weight
    assert torch.allclose(by_label[:, 1] - by_label[:, 0], features @ (vectors[1] - vectors[0]), atol=1e-4)


def test_a_spectral_weight_is_a_matrix_that_stretches_nothing():
    _, discriminator = networks()
    for _ in range(200):  # each call is one round of the power iteration
        discriminator(torch.randn(2, 1, 8, 8))
    for layer in [*discriminator.layers, discriminator.score]:
        if hasattr(layer, "weight"):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-2)


def test_patches_are_those_of_the_image_in_reading_order_and_go_back():
    images = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12)
    patches = to_patches(images)
    assert patches.shape == (2, 6, 48)
    assert torch.equal(patches[1, 4].view(3, 4, 4), images[1, :, 4:8, 4:8])
    square = torch.randn(2, 3, 8, 8)
    assert torch.equal(to_images(to_patches(square), 8), square)


def test_patch_networks_see_where_a_patch_is():
    generator, discriminator = networks("patches")
    images = generator(torch.randn(2, 5))
    assert not torch.allclose(images[:, :, :4, :4], images[:, :, 4:, 4:], atol=1e-3)
    turned = images.roll((4, 4), (2, 3))  # the same patches at other places
    assert not torch.allclose(discriminator(images), discriminator(turned), atol=1e-6)


# What each wants


def test_the_losses_are_as_defined():
    real, fake = torch.randn(7), torch.randn(7)
    p, q = real.sigmoid(), fake.sigmoid()
    for kind in ("saturating", "non_saturating"):
        expected = F.binary_cross_entropy(p, torch.ones(7)) + F.binary_cross_entropy(q, torch.zeros(7))
        assert close(discriminator_loss(kind, real, fake), expected)
    assert close(generator_loss("saturating", fake), (1 - q).log().mean())
    assert close(generator_loss("non_saturating", fake), -q.log().mean())
    by_hand = [max(0, 1 - r) + max(0, 1 + f) for r, f in zip(real.tolist(), fake.tolist(), strict=True)]
    assert close(discriminator_loss("hinge", real, fake), torch.tensor(sum(by_hand) / 7))
    assert close(generator_loss("hinge", fake), -fake.mean())


def test_losses_of_extreme_scores_stay_finite():
    far = torch.tensor([-1e4, 1e4])
    for kind in LOSSES:
        assert discriminator_loss(kind, far, far).isfinite() and generator_loss(kind, far).isfinite()


@pytest.mark.parametrize("call", [lambda k: discriminator_loss(k, torch.ones(2), torch.ones(2)),
                                  lambda k: generator_loss(k, torch.ones(2)), lambda k: a_step(loss=k)])  # fmt: skip
def test_an_unknown_loss_is_refused(call):
    with pytest.raises(ValueError, match="loss 'wasserstein': expected one of hinge, non_saturating, saturating"):
        call("wasserstein")


def test_the_penalty_of_a_linear_score_is_its_squared_weight():
    layer = nn.Linear(12, 1)

    def discriminator(images, labels):
        return layer(images.flatten(1))[:, 0]

    penalty = r1_penalty(discriminator, torch.randn(5, 3, 2, 2))
    assert close(penalty, layer.weight.square().sum())
    penalty.backward()
    assert close(layer.weight.grad, 2 * layer.weight)


# The average


def test_the_average_is_pytorchs_once_it_has_begun():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ours = EMA(network, decay=0.4)  # the lower decay of the start is over after 5 steps: (1 + 5) / (10 + 5)
    for _ in range(8):
        ours.update(network)
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.4), use_buffers=True)
    theirs.update_parameters(network)  # its first takes a copy
    for _ in range(5):
        with torch.no_grad():
            for p in network.parameters():
                p.add_(torch.randn_like(p))
        network(torch.randn(8, 3))  # moves the statistics
        ours.update(network)
        theirs.update_parameters(network)
    for name, value in ours.network.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, theirs.module.state_dict()[name], atol=1e-6), name
    assert not ours.network.training and not any(p.requires_grad for p in ours.network.parameters())


def test_the_average_forgets_its_start():
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 100.0)
    average = EMA(network, decay=0.999)
    nn.init.constant_(network.weight, 1.0)
    for _ in range(60):
        average.update(network)
    assert average.network.weight.item() == pytest.approx(1, abs=0.01)


def test_a_decay_of_one_is_refused():
    for decay in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="decay is"):
            EMA(nn.Linear(1, 1), decay)


# The step


@pytest.mark.parametrize("kind", ["convolutions", "patches"])
@pytest.mark.parametrize("settings", [{}, {"loss": "non_saturating", "r1": 1.0}, {"loss": "saturating"}])
def test_both_learn_and_so_does_the_average(kind, settings):
    step = a_step(networks(kind), **settings)
    before = [weights(network) for network in (step.generator, step.discriminator, step.average.network)]
    values = step()
    assert set(values) == {"discriminator", "generator"} and all(value.isfinite() for value in values.values())
    after = [weights(network) for network in (step.generator, step.discriminator, step.average.network)]
    assert not any(same(*pair) for pair in zip(before, after, strict=True))


def test_one_step_is_that_of_the_loop_written_out(monkeypatch):
    """Real images and fakes in two passes through the discriminator, all gradients computed: what tutorials do."""
    monkeypatch.setattr("course_lib.gan.step.autocast", lambda device: torch.autocast(device.type, enabled=False))
    plain = Discriminator(1, 8, 4, spectral=False)  # the power iteration would go on another number of times
    step = a_step((networks()[0], plain), loss="non_saturating", lr=0.01)
    generator, discriminator = (copy.deepcopy(network) for network in (step.generator, step.discriminator))
    of_generator, of_discriminator = (torch.optim.Adam(n.parameters(), 0.01, betas=(0.5, 0.99))
                                      for n in (generator, discriminator))  # fmt: skip
    torch.manual_seed(3)
    values = step()
    torch.manual_seed(3)
    real, _ = ImageBatches(some_images(), 6)()
    z = torch.randn(6, 5)
    fake = generator(z)
    bce = nn.BCEWithLogitsLoss()
    loss = bce(discriminator(real), torch.ones(6)) + bce(discriminator(fake.detach()), torch.zeros(6))
    of_discriminator.zero_grad()
    loss.backward()
    of_discriminator.step()
    assert values["discriminator"].item() == pytest.approx(loss.item(), rel=1e-4)
    loss = bce(discriminator(fake), torch.ones(6))
    of_generator.zero_grad()
    loss.backward()
    of_generator.step()
    assert values["generator"].item() == pytest.approx(loss.item(), rel=1e-4)
    for ours, theirs in ((step.generator, generator), (step.discriminator, discriminator)):
        for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.allclose(a, b, atol=1e-4), name


def test_no_gradient_crosses_over():
    step = a_step()
    step.generator_optimizer.zero_grad()
    real, labels = step.batch()
    fake = step.generator(torch.randn(6, 5), labels)
    step._teach_discriminator(real, fake.detach(), labels)
    assert all(p.grad is None for p in step.generator.parameters())
    before = [p.grad.clone() for p in step.discriminator.parameters()]
    judged = weights(step.discriminator)
    step._teach_generator(fake, labels)
    assert all(torch.equal(p.grad, g) for p, g in zip(step.discriminator.parameters(), before, strict=True))
    assert all(p.requires_grad for p in step.discriminator.parameters())
    kept = [name for name, _ in step.discriminator.named_parameters()]  # the power iteration may move its vectors
    assert all(torch.equal(judged[name], step.discriminator.state_dict()[name]) for name in kept)


def test_a_generator_finds_the_mean_of_simple_images():
    """All images are of one grey: an easy game, which both losses must win."""
    grey = Images(torch.full((16, 1, 8, 8), 191, dtype=torch.uint8), torch.zeros(16, dtype=torch.long), ("grey",))
    for loss in ("hinge", "non_saturating"):
        step = a_step(lr=2e-3, loss=loss, decay=0.9)
        step.batch = ImageBatches(grey, 8)
        train(step, 300)
        assert draw(step.average.network, 8).mean().item() == pytest.approx(191 / 127.5 - 1, abs=0.15), loss


def test_a_run_that_was_killed_goes_on_as_if_it_had_not(tmp_path):
    whole = a_step()
    train(whole, 7, seed=4)

    class Killed(Exception):
        pass

    calls, first = 0, a_step()

    def batch():
        nonlocal calls
        calls += 1
        if calls > 5:
            raise Killed
        return ImageBatches(some_images(), 6)()

    first.batch = batch
    with pytest.raises(Killed):
        train(first, 7, seed=4, checkpoint=tmp_path / "gan.pt", checkpoint_every=3)
    second = a_step()
    train(second, 7, seed=4, checkpoint=tmp_path / "gan.pt", checkpoint_every=3)
    for name in ("generator", "discriminator"):
        assert same(weights(getattr(whole, name)), weights(getattr(second, name)))
    assert same(weights(whole.average.network), weights(second.average.network)) and second.average.steps == 7


def test_a_broken_loss_stops_the_training():
    step = a_step()
    with torch.no_grad():
        step.generator.begin.weight[0, 0] = math.nan
    with pytest.raises(TrainingDiverged, match="nan|no longer finite"):
        train(step, 3)


def test_a_collapsed_generator_stops_the_training(tmp_path):
    step = a_step()
    with torch.no_grad():
        for p in step.generator.begin.parameters():
            p.zero_()  # the latent vector no longer matters
        step.generator_optimizer.param_groups[0]["lr"] = 0.0
    with pytest.raises(GeneratorCollapsed, match="after 200 steps.*0.00% of what real ones do.*r1"):
        train(step, 300, checkpoint=tmp_path / "gan.pt", checkpoint_every=150)
    assert (tmp_path / "gan.pt").exists()


# Drawing


def test_a_drawing_depends_on_the_seed_alone():
    generator, _ = networks(classes=3)
    generator.eval()
    torch.manual_seed(1)
    images = draw(generator, 7, seed=5)
    torch.manual_seed(2)
    assert images.shape == (7, 1, 8, 8) and torch.equal(draw(generator, 7, seed=5), images)
    assert not torch.equal(draw(generator, 7, seed=6), images)
