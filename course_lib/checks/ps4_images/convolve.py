"""Exercise 1: convolution. Kernels are powers of ten at first, so that each result is read off, digit by digit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.case import Case, passed
from course_lib.checks.tensors import compare_tensors

NAME = "convolve"
SIZE = "The result has the shape (N, K, H', W'), with H' = ⌊(H + 2 padding − h) / stride⌋ + 1, and W' likewise."


def check_convolve(answer: Callable) -> None:
    """The answer: images (N, C, H, W), kernels (K, C, h, w), stride, padding → (N, K, H', W').

    Goodfellow, Bengio and Courville 2016, equation 9.6 (cross-correlation) and section 9.5 (stride and zero padding).
    """
    one_product(answer)
    side_by_side(answer)
    rows_and_columns(answer)
    channels(answer)
    several_kernels(answer)
    padding(answer)
    stride(answer)
    both(answer)
    copies_of_the_image(answer)
    apart(answer)
    passed(NAME)


def convolved(
    answer: Callable, images: Any, kernels: Any, stride: int = 1, padding: int = 0, shown: str | None = None
) -> tuple[Case, np.ndarray]:
    """The case and its numbers. Nested lists of one image or one kernel are (H, W); tensors are whole."""
    images, kernels = (
        each if isinstance(each, Tensor) else torch.tensor(each, dtype=torch.float32)[None, None]
        for each in (images, kernels)
    )
    shapes = f"images {tuple(images.shape)}, kernels {tuple(kernels.shape)}"
    shown = shown or f"image {images[0].tolist()}, kernel {kernels[0].tolist()}"
    shown = f"{NAME}(images, kernels, stride={stride}, padding={padding}), {shapes}, {shown}"
    case = Case(answer, NAME, images, kernels, stride, padding, shown=shown)
    sides = range(2, 4)

    def size(stride=stride, before=padding, after=padding, less=0, up=0) -> tuple[int, ...]:
        here = ((images.shape[i] + before + after - kernels.shape[i] + up) // stride + 1 - less for i in sides)
        return len(images), len(kernels), *here

    expected = size()
    hints = {
        (len(kernels), len(images), *expected[2:]): "The images come first, then the kernels: (N, K, H', W').",
        (len(images), images.shape[1], *expected[2:]): "Each kernel adds up what it finds in all channels.",
        size(less=1): "The last place is missing: with n places to move by, there are n + 1 results.",
        size(up=stride - 1): "Where the kernel would reach beyond the image, there is no result: round down.",
        size(before=0, after=0): "The padding is missing.",
        size(before=0): "Zeros belong on both sides, above and below, left and right; you have them on one.",
        size(before=2 * padding, after=2 * padding): "Padding is the number of zeros on each side; you have twice it.",
        size(stride=1): "The stride is missing.",
        (*size()[:3], size(stride=1)[3]): "The stride goes for the rows only; it belongs to both axes.",
        (*size()[:2], size(stride=1)[2], size()[3]): "The stride goes for the columns only; it belongs to both axes.",
    }
    hints.pop(expected, None)
    return case, case.numbers(*expected, hint=hints.get(np.shape(as_array(case.value)), SIZE))


def as_array(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value if hasattr(value, "shape") else []


def one_product(answer: Callable) -> None:
    case, got = convolved(answer, [[3.0]], [[2.0]])
    suspects = [(5, "A convolution multiplies each number of the kernel with the one it lies on, and adds these up.")]
    case.compare(got.item() if got.size else got, 6, "One pixel under one number of the kernel: 3 · 2.", suspects)


def side_by_side(answer: Callable) -> None:
    case, got = convolved(answer, [[1.0, 2, 3]], [[10.0, 1]])
    suspects = [
        ([[[[21, 32]]]], "The kernel is turned round, as in mathematics; here it lies as it is: 10 on 1, 1 on 2."),
        ([[[[6, 11.5]]]], "This is a mean over the kernel; it is a sum."),
        ([[[[11, 22]]]], "The kernel's numbers all lie on the same pixel: they lie on neighbours."),
    ]
    case.compare(got, [[[[12, 23]]]], "10 · 1 + 1 · 2 = 12, then one pixel to the right.", suspects)


def rows_and_columns(answer: Callable) -> None:
    case, got = convolved(answer, [[1.0, 2, 3], [4, 5, 6]], [[1000.0, 100], [10, 1]])
    suspects = [
        ([[[[5421, 6532]]]], "The kernel is turned by 180°, as in mathematics; here it lies as it is."),
        ([[[[1425, 2536]]]], "Rows and columns of the kernel are swapped."),
        ([[[[4512, 5623]]]], "The kernel is upside down: its row 0 lies on the upper row."),
        ([[[[2154, 3265]]]], "Left and right of the kernel are swapped."),
    ]
    case.compare(got, [[[[1245, 2356]]]], "The digits show which pixel lies under which number.", suspects)


def channels(answer: Callable) -> None:
    images, kernels = torch.tensor([2.0, 3]).view(1, 2, 1, 1), torch.tensor([10.0, 1]).view(1, 2, 1, 1)
    case, got = convolved(answer, images, kernels, shown="two channels: pixels 2 and 3, kernel 10 and 1")
    suspects = [
        (20, "Only the first channel counts; a kernel adds up what it finds in all channels."),
        (3, "Only the last channel counts; a kernel adds up what it finds in all channels."),
        (11.5, "This is the mean over the channels; a kernel adds up what it finds in them."),
        (32, "The channels of image and kernel are paired wrongly."),
        (55, "Every channel of the kernel meets every channel of the image: channel c belongs to channel c alone."),
    ]
    case.compare(got.item(), 23, "2 · 10 + 3 · 1: channel by channel, then the sum.", suspects)


def several_kernels(answer: Callable) -> None:
    images = torch.tensor([[2.0, 3], [5, 7]]).view(2, 2, 1, 1)
    kernels = torch.tensor([[10.0, 1], [1, 10], [1, 1]]).view(3, 2, 1, 1)
    shown = "2 images of 2 channels, (2, 3) and (5, 7); 3 kernels, (10, 1), (1, 10) and (1, 1)"
    case, got = convolved(answer, images, kernels, shown=shown)
    suspects = [
        ([[23, 32, 5]] * 2, "Image 1 gets the results of image 0."),
        ([[23] * 3, [57] * 3], "Every kernel gives what kernel 0 gives."),
        ([[23, 57, 32], [75, 5, 12]], "The numbers are right but in another order: axis 0 counts images, 1 kernels."),
    ]
    otherwise = "Row n, column k: image n under kernel k."
    case.compare(got[:, :, 0, 0], [[23, 32, 5], [57, 75, 12]], otherwise, suspects)


def padding(answer: Callable) -> None:
    case, got = convolved(answer, [[1.0, 2]], [[10.0, 1]], 1, 1)
    suspects = [
        ([[11, 12, 22]] * 3, "The border repeats the outermost pixels; it is made of zeros."),
        ([[21, 12, 21]] * 3, "The border takes pixels from the other side; it is made of zeros."),
        ([[0, 0, 0], [12, 20, 0], [0, 0, 0]], "The zeros are all on the right; there is one column on either side."),
        ([[1, 12, 20], [0, 0, 0], [0, 0, 0]], "The zeros are all below; there is one row above and one below."),
    ]
    otherwise = "A row of zeros above and below, a column of zeros left and right: the middle row is 0, 1, 2, 0."
    case.compare(got[0, 0], [[0, 0, 0], [1, 12, 20], [0, 0, 0]], otherwise, suspects)


def stride(answer: Callable) -> None:
    rows = [[1.0, 2, 3, 4, 5], [7, 8, 9, 1, 2], [4, 5, 6, 7, 8]]
    case, got = convolved(answer, rows, [[10.0, 1]], 2)
    suspects = [
        ([[12, 23], [78, 89]], "The kernel moves by one pixel; it moves by `stride`."),
        ([[13, 35], [46, 68]], "The stride spreads the kernel; its numbers lie on neighbours, and the kernel moves by "
         "the stride."),
        ([[23, 45], [56, 78]], "The first place is at pixel 0: kernels lie on pixels 0 and 1, then on 2 and 3."),
    ]  # fmt: skip
    otherwise = "The kernel lies on columns 0 and 1, then on 2 and 3; in rows 0 and 2."
    case.compare(got[0, 0], [[12, 34], [45, 67]], otherwise, suspects)
    case, got = convolved(answer, [[1.0, 2, 3, 4, 5, 6]], [[10.0, 1]], 3)
    case.compare(got[0, 0, 0], [12, 45], "Where the kernel would reach beyond the image, there is no result.")


def both(answer: Callable) -> None:
    case, got = convolved(answer, [[1.0, 2, 3], [4, 5, 6]], [[10.0, 1]], 2, 1)
    suspects = [
        ([[12, 30], [0, 0]], "The border comes first; the stride counts from its corner."),
        ([[12, 0], [0, 0]], "The border comes first; the stride counts from its corner."),
        ([[0, 0], [40, 60]], "The border comes first; the stride counts from its corner."),
    ]
    otherwise = "With its border the image has the rows 00000, 01230, 04560, 00000; rows 0 and 2 are used."
    case.compare(got[0, 0], [[0, 0], [4, 56]], otherwise, suspects)


def example() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 7, 10, generator=random), torch.randn(4, 3, 3, 2, generator=random)


def copies_of_the_image(answer: Callable) -> None:
    """A kernel of zeros and a single 1 at (c, i, j) gives channel c of the image, moved by i and j."""
    images, _ = example()
    for c, i, j in ((0, 0, 0), (1, 2, 0), (2, 1, 1)):
        kernels = torch.zeros(1, 3, 3, 2)
        kernels[0, c, i, j] = 1
        shown = f"random images, a kernel of zeros with a 1 at channel {c}, row {i}, column {j}"
        case, got = convolved(answer, images, kernels, shown=shown)
        otherwise = f"This kernel copies channel {c} of each image from row {i} and column {j} on."
        compare_tensors(case, got[:, 0], images[:, c, i : i + 5, j : j + 9], otherwise)


def apart(answer: Callable) -> None:
    """Images, kernels and channels by themselves give the same; a stride leaves results out, and changes none."""
    images, kernels = example()
    shown = "random numbers"
    case, got = convolved(answer, images, kernels, 2, 1, shown=shown)
    for n in range(2):
        _, one = convolved(answer, images[n : n + 1], kernels, 2, 1, shown=shown)
        compare_tensors(case, got[n : n + 1], one, f"Image {n} alone gives another result: images must not mix.")
    for k in range(4):
        _, one = convolved(answer, images, kernels[k : k + 1], 2, 1, shown=shown)
        compare_tensors(case, got[:, k : k + 1], one, f"Kernel {k} alone gives another result: kernels must not mix.")
    parts = [convolved(answer, images[:, [c]], kernels[:, [c]], 2, 1, shown=shown)[1] for c in range(3)]
    compare_tensors(case, got, sum(parts), "The results of the three channels, each by itself, do not add up to yours.")
    _, whole = convolved(answer, images, kernels, 1, 1, shown=shown)
    compare_tensors(case, got, whole[:, :, ::2, ::2], "Stride 2 leaves every second result of stride 1 out, no more.")
