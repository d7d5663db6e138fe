"""Generator and discriminator of convolutions, after DCGAN (Radford, Metz and Chintala 2016); but without batch
normalisation in the discriminator, with a plain convolution at the end of the generator, and with PyTorch's start of
the weights."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from course_lib.device import image_format
from course_lib.sizes import require_sizes


def _require_labels(n_classes: int, labels: Tensor | None) -> None:
    if n_classes and labels is None:
        raise ValueError(f"this network draws or judges by class: give labels (N,), from 0 to {n_classes - 1}")


def _require_side(side: int) -> None:
    if side < 8 or side % 4:
        raise ValueError(f"images of {side}×{side}: expected a side that 4 divides, 8 or more, like 28 or 32")


class ClassBatchNorm(nn.Module):
    """Batch normalisation whose gain and shift depend on the class (de Vries et al. 2017; as here Miyato et al. 2018):
    x (N, n_channels, H, W), labels (N,) → the same shape. Mean and variance are those of the whole batch.
    """

    def __init__(self, n_channels: int, n_classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(n_channels, affine=False)
        self.gain, self.shift = nn.Embedding(n_classes, n_channels), nn.Embedding(n_classes, n_channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        x = self.norm(x)
        # In the kind of numbers of x: under autocast the tables have 32 bits, and would make x have them, too.
        gain, shift = (table(labels).to(x.dtype)[:, :, None, None] for table in (self.gain, self.shift))
        return torch.addcmul(shift, x, gain)


class Generator(nn.Module):
    """Latent vectors z (N, n_latent), and where there are classes labels (N,) → images (N, n_channels, side, side),
    −1 … 1: a linear layer to a quarter of the side, two transposed convolutions, each of which doubles it, and a
    convolution. The class comes in by way of batch normalisation.
    """

    def __init__(self, n_latent: int, n_channels: int, side: int, width: int = 32, n_classes: int = 0):
        super().__init__()
        require_sizes(n_latent=n_latent, n_channels=n_channels, width=width)
        _require_side(side)
        self.n_latent, self.n_classes, self.side, self.width = n_latent, n_classes, side, width

        def norm(n: int) -> nn.Module:
            return ClassBatchNorm(n, n_classes) if n_classes else nn.BatchNorm2d(n)

        self.begin = nn.Linear(n_latent, 4 * width * (side // 4) ** 2)
        self.layers = nn.Sequential(
            norm(4 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1, bias=False),
            norm(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            norm(width),
            nn.ReLU(),
            nn.Conv2d(width, n_channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        _require_labels(self.n_classes, labels)
        quarter = self.side // 4
        begun = self.begin(z).view(len(z), quarter, quarter, 4 * self.width)
        x = begun.permute(0, 3, 1, 2).contiguous(memory_format=image_format(z.device))
        for layer in self.layers:
            x = layer(x, labels) if isinstance(layer, ClassBatchNorm) else layer(x)
        return x


class Discriminator(nn.Module):
    """Images (N, n_channels, side, side), −1 … 1, and where there are classes labels (N,) → a score (N,), high for what
    it takes for real. With labels, the score gets the product of its features, summed over all places, with a vector
    for the class (projection, Miyato and Koyama 2018, equation 3). spectral: each weight, as a matrix (n_out, rest),
    divided by its largest singular value (Miyato et al. 2018).
    """

    def __init__(self, n_channels: int, side: int, width: int = 32, n_classes: int = 0, spectral: bool = True):
        super().__init__()
        require_sizes(n_channels=n_channels, width=width)
        _require_side(side)
        self.n_classes, self.shape = n_classes, (n_channels, side, side)
        norm = spectral_norm if spectral else lambda layer: layer
        self.layers = nn.Sequential(
            norm(nn.Conv2d(n_channels, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv2d(2 * width, 4 * width, 3, padding=1)),
            nn.LeakyReLU(0.2),
        )
        self.score = norm(nn.Linear(4 * width * (side // 4) ** 2, 1))
        self.of_class = norm(nn.Embedding(n_classes, 4 * width)) if n_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        _require_labels(self.n_classes, labels)
        if images.shape[1:] != self.shape:
            raise ValueError(
                f"images have shape {tuple(images.shape)}: expected (N, {', '.join(map(str, self.shape))})"
            )
        features = self.layers(images)
        score = self.score(features.permute(0, 2, 3, 1).flatten(1))[:, 0]  # as they lie in memory, channels last
        return score if self.of_class is None else score + (features.sum((2, 3)) * self.of_class(labels)).sum(1)
