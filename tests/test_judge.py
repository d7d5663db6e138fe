"""The protocol by which generated images are judged, on images where the answer is known."""

import pytest
import torch

from course_lib.cnn import ConvNet
from course_lib.contact_sheet import contact_sheet
from course_lib.data.images import Images, scaled
from course_lib.gan import Generator, Judge, draw


def real_images(n=60, seed=0):
    pixels = torch.randint(256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Images(pixels, torch.zeros(n, dtype=torch.long), ("a", "b", "c"))


def a_judge(images=None):
    torch.manual_seed(0)
    network = ConvNet(1, 3, width=2)
    with torch.no_grad():
        network.output.bias.copy_(torch.tensor([0.0, 0.0, -1e4]))  # finds no image of class c, real or not
    return Judge(network, images or real_images())


def test_the_held_out_images_themselves_are_perfect():
    judged = a_judge()(real_images().pixels)
    assert judged.frechet == pytest.approx(0, abs=1e-6) and (judged.precision, judged.recall) == (1, 1)
    assert judged.kid < 0  # without bias; pairs of one image with itself make it smaller


def test_one_image_over_and_over_is_one_class():
    judged = a_judge()(real_images().pixels[:1].expand(60, -1, -1, -1))
    assert judged.classes == 1 and judged.precision == 1 and judged.recall < 0.2


def test_pixels_and_numbers_are_judged_alike():
    judge, images = a_judge(), real_images(seed=1)
    assert judge(scaled(images.pixels)) == judge(images.pixels)


def test_the_floor_is_of_other_draws_and_refuses_more_than_there_are():
    judge, others = a_judge(), real_images(n=80, seed=2)
    floor = judge.floor(others, n=60, draws=3)
    assert len({judged.frechet for judged in floor}) == 3 and floor == judge.floor(others, n=60, draws=3)
    with pytest.raises(ValueError, match="n is 81: expected 80 or fewer"):
        judge.floor(others, n=81)


def test_a_generator_in_training_mode_does_not_draw():
    generator = Generator(4, 1, 8, 2, n_classes=3)
    with pytest.raises(ValueError, match="training mode"):
        draw(generator, 3)
    generator.eval()
    for part in generator.modules():
        if isinstance(part, torch.nn.Embedding):
            torch.nn.init.normal_(part.weight)  # at first all classes are alike
    labels = torch.tensor([2, 2, 0])
    assert not torch.equal(draw(generator, 3), draw(generator, 3, labels=labels))
    with pytest.raises(ValueError, match="give labels"):
        generator(torch.randn(2, 4))


def test_a_contact_sheet_has_the_images_in_rows():
    sheet = contact_sheet(torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(-1, 3, 4, 5), columns=3)
    assert sheet.size == (3 * 7 + 2, 2 * 6 + 2)
    assert sheet.getpixel((3, 3)) == (0, 0, 0) and sheet.getpixel((18, 9)) == (255, 255, 255)
    assert sheet.getpixel((0, 0)) == (128, 128, 128)
