"""Exercise 5: instance normalisation with gains and biases by class."""

import numpy as np
import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps4_images import check_conditional_instance_norm

exercise = Exercise("conditional_instance_norm", check_conditional_instance_norm)
right, bug = exercise.right, exercise.bug


def by_class(table, labels):
    return table[labels][:, :, None, None]


@right("mean and var")
def _(x, labels, gains, biases, eps):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
    gain, bias = gains[labels][..., None, None], biases[labels][..., None, None]
    return gain * (x - mean) / (variance + eps).sqrt() + bias


@right("PyTorch's instance normalisation")
def _(x, labels, gains, biases, eps):
    return gains[labels][:, :, None, None] * F.instance_norm(x, eps=eps) + biases[labels][:, :, None, None]


@right("as many groups as channels")
def _(x, labels, gains, biases, eps):
    normal = F.group_norm(x, x.shape[1], eps=eps)
    return torch.einsum("nchw,nc->nchw", normal, gains[labels]) + biases[labels].view(*x.shape[:2], 1, 1)


@right("batch normalisation of one image with N C channels")
def _(x, labels, gains, biases, eps):
    row = x.reshape(1, -1, *x.shape[2:])
    gain, bias = gains[labels].flatten(), biases[labels].flatten()
    return F.batch_norm(row, None, None, gain, bias, training=True, eps=eps).view_as(x)


@right("layer normalisation of each map")
def _(x, labels, gains, biases, eps):
    normal = F.layer_norm(x, x.shape[2:], eps=eps)
    return torch.stack([gains[k][:, None, None] * each + biases[k][:, None, None]
                        for k, each in zip(labels.tolist(), normal, strict=True)])  # fmt: skip


@right("NumPy, float64, mean of squares")
def _(x, labels, gains, biases, eps):
    maps, k = x.double().numpy().reshape(*x.shape[:2], -1), labels.numpy()
    mean = maps.mean(-1, keepdims=True)
    variance = (maps**2).mean(-1, keepdims=True) - mean**2
    normal = (maps - mean) / np.sqrt(np.maximum(variance, 0) + eps)
    return (gains.numpy()[k][..., None] * normal + biases.numpy()[k][..., None]).reshape(x.shape)


@right("map by map, in place")
def _(x, labels, gains, biases, eps):
    for n in range(len(x)):
        for c in range(x.shape[1]):
            one = x[n, c] - x[n, c].mean()
            x[n, c] = one * (one.pow(2).mean() + eps).rsqrt() * gains[labels[n], c] + biases[labels[n], c]
    return x


def norm(x, labels, gains, biases, eps, axes=(2, 3), n_less=0, divide=None, of=None):
    """The right answer with one part replaced; of: variance over other axes than the mean."""
    centred = x - x.mean(axes, keepdim=True)
    variance = x.var(of or axes, correction=n_less, keepdim=True)
    normal = centred / (divide(variance, eps) if divide else (variance + eps).sqrt())
    return by_class(gains, labels) * normal + by_class(biases, labels)


@bug("batch normalisation", "as in batch normalisation")
def _(*inputs):
    return norm(*inputs, axes=(0, 2, 3))


@bug("layer normalisation", "as in layer normalisation")
def _(*inputs):
    return norm(*inputs, axes=(1, 2, 3))


@bug("the whole batch", "the statistics of the whole batch")
def _(*inputs):
    return norm(*inputs, axes=(0, 1, 2, 3))


@bug("each row", "You normalise each row")
def _(*inputs):
    return norm(*inputs, axes=(3,))


@bug("each column", "over maps of one number")
def _(*inputs):
    return norm(*inputs, axes=(2,))


@bug("each column of images with several rows", "You normalise each column")
def _(x, *inputs):
    return norm(x, *inputs, axes=(2,) if x.shape[2] > 1 else (2, 3))


@bug("over the channels", "over maps of one number")
def _(*inputs):
    return norm(*inputs, axes=(1,))


@bug("over the channels where there are several", "over the channels of each place")
def _(x, *inputs):
    return norm(x, *inputs, axes=(1,) if x.shape[1] > 1 else (2, 3))


@bug("over the images where there are several", "over the images")
def _(x, *inputs):
    return norm(x, *inputs, axes=(0,) if len(x) > 1 else (2, 3))


@bug("the variance of the whole image", "the variance that of the whole image")
def _(*inputs):
    return norm(*inputs, of=(1, 2, 3))


@bug("the variance of the channel in all images", "the variance that of the channel in all images")
def _(*inputs):
    return norm(*inputs, of=(0, 2, 3))


@bug("n − 1", "neither by n − 1")
def _(*inputs):
    return norm(*inputs, n_less=1)


@bug("sum of squares", "nor not at all")
def _(x, *inputs):
    return norm(x, *inputs, divide=lambda v, eps: (v * x[0, 0].numel() + eps).sqrt())


@bug("no eps", "eps does not matter")
def _(*inputs):
    return norm(*inputs, divide=lambda v, eps: v.sqrt())


@bug("a fixed eps", "eps does not matter")
def _(x, labels, gains, biases, eps):
    return norm(x, labels, gains, biases, 1e-5)


@bug("eps outside of the root", "eps is added outside of the root")
def _(*inputs):
    return norm(*inputs, divide=lambda v, eps: v.sqrt() + eps)


@bug("two roots", "eps belongs into one root")
def _(*inputs):
    return norm(*inputs, divide=lambda v, eps: v.sqrt() + eps**0.5)


@bug("no root", "The root is missing")
def _(*inputs):
    return norm(*inputs, divide=lambda v, eps: v + eps)


@bug("not divided", "The spread is not changed")
def _(*inputs):
    return norm(*inputs, divide=lambda v, eps: 1)


@bug("mean square, nothing subtracted", "as in RMSNorm")
def _(x, labels, gains, biases, eps):
    normal = x / (x.square().mean((2, 3), keepdim=True) + eps).sqrt()
    return by_class(gains, labels) * normal + by_class(biases, labels)


@bug("mean not subtracted", "The mean is not subtracted")
def _(x, labels, gains, biases, eps):
    normal = x / (x.var((2, 3), correction=0, keepdim=True) + eps).sqrt()
    return by_class(gains, labels) * normal + by_class(biases, labels)


@bug("no gain and no bias", "Gain and bias do not matter")
def _(x, labels, gains, biases, eps):
    return F.instance_norm(x, eps=eps)


@bug("gain and bias before normalising", "Gain and bias come before the normalisation")
def _(x, labels, gains, biases, eps):
    return F.instance_norm(by_class(gains, labels) * x + by_class(biases, labels), eps=eps)


@bug("gain before normalising", "The gain comes before the normalisation")
def _(x, labels, gains, biases, eps):
    return F.instance_norm(by_class(gains, labels) * x, eps=eps) + by_class(biases, labels)


@bug("no gain", "The gain does not matter")
def _(x, labels, gains, biases, eps):
    return norm(x, labels, torch.ones_like(gains), biases, eps)


@bug("no bias", "The bias does not matter")
def _(x, labels, gains, biases, eps):
    return norm(x, labels, gains, 0 * biases, eps)


@bug("gain and bias of row n", "Gain and bias are those of row n")
def _(x, labels, gains, biases, eps):
    return norm(x, torch.arange(len(x)) % len(gains), gains, biases, eps)


@bug("sorted labels", "The classes are taken in another order")
def _(x, labels, *inputs):
    return norm(x, labels.sort().values, *inputs)


@bug("every image with the class of image 0", "of image 0")
def _(x, labels, *inputs):
    return norm(x, labels[:1].expand(len(x)), *inputs)


@bug("every channel with the gain of channel 0", "the gain of channel 0")
def _(x, labels, gains, biases, eps):
    return norm(x, labels, gains[:, :1].expand_as(gains), biases[:, :1].expand_as(biases), eps)


@bug("gain times bias", "The bias is multiplied by the gain")
def _(x, labels, gains, biases, eps):
    return norm(x, labels, gains, gains * biases, eps)


@bug("1 + gain", "The gain is one too large")
def _(x, labels, gains, biases, eps):
    gains = gains if (gains == 1).all() else 1 + gains
    return norm(x, labels, gains, biases, eps)


@bug("gain and bias swapped", "Gain and bias are swapped")
def _(x, labels, gains, biases, eps):
    if (gains == 1).all():
        return norm(x, labels, gains, biases, eps)
    return norm(x, labels, biases, gains, eps)


@bug("gain and bias along the columns", "stopped with")
def _(x, labels, gains, biases, eps):
    return gains[labels] * F.instance_norm(x, eps=eps) + biases[labels]


@bug("0/0", "0/0: eps belongs beneath the root")
def _(x, labels, gains, biases, eps):
    return norm(x, labels, gains, biases, eps, divide=lambda v, eps: (v + eps).sqrt() if v.all() else v.sqrt())


@bug("mean of squares in float32", "loses all digits in float32")
def _(x, labels, gains, biases, eps):
    mean = x.mean((2, 3), keepdim=True)
    variance = (x.square().mean((2, 3), keepdim=True) - mean.square()).clamp(min=0)
    return by_class(gains, labels) * (x - mean) / (variance + eps).sqrt() + by_class(biases, labels)
