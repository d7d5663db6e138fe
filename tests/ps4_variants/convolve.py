"""Exercise 1: a convolution."""

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps4_images import check_convolve

exercise = Exercise("convolve", check_convolve)
right, bug = exercise.right, exercise.bug


@right("six loops, nested lists")
def _(images, kernels, stride, padding):
    N, C, H, W = images.shape
    K, _, h, w = kernels.shape
    images, kernels = images.tolist(), kernels.tolist()

    def pixel(n, c, y, x):
        return images[n][c][y][x] if 0 <= y < H and 0 <= x < W else 0.0

    def one(n, k, y, x):
        places = [(c, i, j) for c in range(C) for i in range(h) for j in range(w)]
        top, left = y * stride - padding, x * stride - padding
        return sum(kernels[k][c][i][j] * pixel(n, c, top + i, left + j) for c, i, j in places)

    rows, columns = ((side + 2 * padding - size) // stride + 1 for side, size in ((H, h), (W, w)))
    return [[[[one(n, k, y, x) for x in range(columns)] for y in range(rows)] for k in range(K)] for n in range(N)]


@right("a loop over the kernel's places")
def _(images, kernels, stride, padding):
    padded = F.pad(images, (padding, padding, padding, padding))
    h, w = kernels.shape[2:]
    H, W = ((padded.shape[i] - kernels.shape[i]) // stride + 1 for i in (2, 3))
    total = 0
    for i in range(h):
        for j in range(w):
            part = padded[:, :, i : i + stride * (H - 1) + 1 : stride, j : j + stride * (W - 1) + 1 : stride]
            total = total + torch.einsum("nchw,kc->nkhw", part, kernels[:, :, i, j])
    return total


@right("windows by Tensor.unfold")
def _(images, kernels, stride, padding):
    padded = F.pad(images, (padding,) * 4)
    windows = padded.unfold(2, kernels.shape[2], stride).unfold(3, kernels.shape[3], stride)
    return torch.tensordot(windows, kernels, dims=([1, 4, 5], [1, 2, 3])).permute(0, 3, 1, 2)


@right("NumPy's sliding windows, float64")
def _(images, kernels, stride, padding):
    padded = np.pad(images.double().numpy(), [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[2:], axis=(2, 3))
    return np.einsum("ncyxij,kcij->nkyx", windows[:, :, ::stride, ::stride], kernels.double().numpy())


@right("PyTorch's own")
def _(images, kernels, stride, padding):
    return F.conv2d(images, kernels, stride=stride, padding=padding)


@right("a matrix of columns")
def _(images, kernels, stride, padding):
    size = [(images.shape[i] + 2 * padding - kernels.shape[i]) // stride + 1 for i in (2, 3)]
    columns = F.unfold(images, kernels.shape[2:], padding=padding, stride=stride)
    return (kernels.flatten(1) @ columns).view(len(images), len(kernels), *size)


@right("by Fourier transforms, the kernel turned round")
def _(images, kernels, stride, padding):
    padded = F.pad(images, (padding,) * 4).double()
    H, W = padded.shape[2:]
    h, w = kernels.shape[2:]
    spectrum = torch.fft.rfft2(kernels.double(), s=(H, W)).conj()
    product = torch.einsum("nchw,kchw->nkhw", torch.fft.rfft2(padded), spectrum)
    return torch.fft.irfft2(product, s=(H, W))[:, :, : H - h + 1, : W - w + 1][:, :, ::stride, ::stride]


def wrong(images, kernels, stride=1, padding=0, **more):
    return F.conv2d(images, kernels, stride=stride, padding=padding, **more)


@bug("turned by 180°", "The kernel is turned round")
def _(images, kernels, stride, padding):
    return wrong(images, kernels.flip(2, 3), stride, padding)


@bug("upside down", "The kernel is upside down")
def _(images, kernels, stride, padding):
    return wrong(images, kernels.flip(2), stride, padding)


@bug("rows and columns of square kernels swapped", "Rows and columns of the kernel are swapped")
def _(images, kernels, stride, padding):
    square = kernels.shape[2] == kernels.shape[3]
    return wrong(images, kernels.mT if square else kernels, stride, padding)


@bug("added instead of multiplied", "A convolution multiplies")
def _(images, kernels, stride, padding):
    windows = F.pad(images, (padding,) * 4).unfold(2, kernels.shape[2], stride).unfold(3, kernels.shape[3], stride)
    return (windows[:, None] + kernels[None, :, :, None, None]).sum((2, 5, 6))


@bug("a mean over the kernel", "This is a mean over the kernel")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, stride, padding) / (kernels.shape[2] * kernels.shape[3])


@bug("all numbers of the kernel on one pixel", "all lie on the same pixel")
def _(images, kernels, stride, padding):
    h, w = kernels.shape[2:]
    padded = F.pad(images, (padding,) * 4)[:, :, : 1 - h or None, : 1 - w or None]
    return torch.einsum("nchw,kc->nkhw", padded, kernels.sum((2, 3)))[:, :, ::stride, ::stride]


@bug("a mean over the channels", "This is the mean over the channels")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, stride, padding) / images.shape[1]


@bug("the first channel only", "Only the first channel counts")
def _(images, kernels, stride, padding):
    return wrong(images[:, :1], kernels[:, :1], stride, padding)


@bug("the last channel only", "Only the last channel counts")
def _(images, kernels, stride, padding):
    return wrong(images[:, -1:], kernels[:, -1:], stride, padding)


@bug("every channel with every channel", "Every channel of the kernel meets every channel")
def _(images, kernels, stride, padding):
    return wrong(images.sum(1, keepdim=True), kernels.sum(1, keepdim=True), stride, padding)


@bug("channels kept apart", "Each kernel adds up what it finds in all channels")
def _(images, kernels, stride, padding):
    return wrong(images, kernels[0][:, None], stride, padding, groups=images.shape[1])


@bug("kernels before images", "The images come first, then the kernels")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, stride, padding).transpose(0, 1)


@bug("the shape is right, the order is not", "in another order")
def _(images, kernels, stride, padding):
    out = wrong(images, kernels, stride, padding)
    return out.transpose(0, 1).reshape(out.shape)


@bug("every image as image 0", "Image 1 gets the results of image 0")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, stride, padding)[:1].expand(len(images), -1, -1, -1)


@bug("every kernel as kernel 0", "Every kernel gives what kernel 0 gives")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, stride, padding)[:, :1].expand(-1, len(kernels), -1, -1)


@bug("no padding", "The padding is missing")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, stride)


@bug("padding on one side", "Zeros belong on both sides")
def _(images, kernels, stride, padding):
    return wrong(F.pad(images, (0, padding, 0, padding)), kernels, stride)


@bug("all the padding on one side", "The zeros are all on the right")
def _(images, kernels, stride, padding):
    return wrong(F.pad(images, (0, 2 * padding, padding, padding)), kernels, stride)


@bug("padding twice", "you have twice it")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, stride, 2 * padding)


@bug("the border repeats pixels", "repeats the outermost pixels")
def _(images, kernels, stride, padding):
    return wrong(F.pad(images, (padding,) * 4, mode="replicate"), kernels, stride)


@bug("the border from the other side", "takes pixels from the other side")
def _(images, kernels, stride, padding):
    return wrong(F.pad(images, (padding,) * 4, mode="circular"), kernels, stride)


@bug("no stride", "The stride is missing")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, 1, padding)


@bug("the first results of stride 1", "The kernel moves by one pixel")
def _(images, kernels, stride, padding):
    H, W = ((images.shape[i] + 2 * padding - kernels.shape[i]) // stride + 1 for i in (2, 3))
    return wrong(images, kernels, 1, padding)[:, :, :H, :W]


@bug("stride along the rows only", "The stride goes for the rows only")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, (stride, 1), padding)


@bug("stride along the columns only", "The stride goes for the columns only")
def _(images, kernels, stride, padding):
    return wrong(images, kernels, (1, stride), padding)


@bug("stride spreads the kernel", "The stride spreads the kernel")
def _(images, kernels, stride, padding):
    if stride == 1:
        return wrong(images, kernels, 1, padding)
    return wrong(images, kernels, stride, padding, dilation=(1, stride))


@bug("starts one pixel late", "The first place is at pixel 0")
def _(images, kernels, stride, padding):
    return wrong(F.pad(images, (1 - stride, stride - 1, 0, 0)), kernels, stride, padding)


@bug("stride first, border afterwards", "The border comes first")
def _(images, kernels, stride, padding):
    if not padding:
        return wrong(images, kernels, stride)
    if stride == 1:
        return wrong(images, kernels, 1, padding)
    inner = wrong(images, kernels, stride)
    size = [(images.shape[i] + 2 * padding - kernels.shape[i]) // stride + 1 for i in (2, 3)]
    return F.pad(inner, (0, size[1] - inner.shape[3], 0, size[0] - inner.shape[2])) if stride == 2 else inner


@bug("the last place forgotten", "The last place is missing")
def _(images, kernels, stride, padding):
    out = wrong(images, kernels, stride, padding)
    return out[:, :, : out.shape[2] - 1, : out.shape[3] - 1] if out.numel() > 1 else out


@bug("the size rounded up", "Where the kernel would reach beyond the image, there is no result")
def _(images, kernels, stride, padding):
    more = [-(images.shape[i] + 2 * padding - kernels.shape[i]) % stride for i in (3, 2)]
    return wrong(F.pad(images, (0, more[0], 0, more[1])), kernels, stride, padding)


@bug("images mix", "images must not mix")
def _(images, kernels, stride, padding):
    out = wrong(images, kernels, stride, padding)
    return out - out.mean(0, keepdim=True) if images.shape[2] == 7 and kernels.shape[:2] == (4, 3) else out
