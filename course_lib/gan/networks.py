"""Generator and discriminator of convolutions, after DCGAN (Radford, Metz and Chintala 2016); but without batch
normalisation in the discriminator, and with PyTorch's start of the weights."""

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


class Generator(nn.Module):
    """Latent vectors z (N, n_latent), and where there are classes labels (N,) → images (N, n_channels, side, side),
    −1 … 1: a linear layer to a quarter of the side, then transposed convolutions, each of which doubles it.
    """

    def __init__(self, n_latent: int, n_channels: int, side: int, width: int = 32, n_classes: int = 0):
        super().__init__()
        require_sizes(n_latent=n_latent, n_channels=n_channels, width=width)
        _require_side(side)
        self.n_latent, self.n_classes, self.side, self.width = n_latent, n_classes, side, width
        self.of_class = nn.Embedding(n_classes, n_latent) if n_classes else None
        n_inputs = n_latent * (2 if n_classes else 1)
        self.begin = nn.Linear(n_inputs, 4 * width * (side // 4) ** 2)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, n_channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        _require_labels(self.n_classes, labels)
        if self.of_class is not None:
            z = torch.cat([z, self.of_class(labels)], 1)
        quarter = self.side // 4
        begun = self.begin(z).view(len(z), quarter, quarter, 4 * self.width)
        return self.layers(begun.permute(0, 3, 1, 2).contiguous(memory_format=image_format(z.device)))


class Discriminator(nn.Module):
    """Images (N, n_channels, side, side), −1 … 1, and where there are classes labels (N,) → a score (N,), high for what
    it takes for real. With labels, the score gets the product of its features with a vector for the class (projection,
    Miyato and Koyama 2018). spectral: each weight, as a matrix (n_out, rest), divided by its largest singular value
    (Miyato et al. 2018).
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
        self.of_class = norm(nn.Embedding(n_classes, 4 * width * (side // 4) ** 2)) if n_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        _require_labels(self.n_classes, labels)
        if images.shape[1:] != self.shape:
            raise ValueError(
                f"images have shape {tuple(images.shape)}: expected (N, {', '.join(map(str, self.shape))})"
            )
        h = self.layers(images).permute(0, 2, 3, 1).flatten(1)  # as they lie in memory, channels last
        score = self.score(h)[:, 0]
        return score if self.of_class is None else score + (h * self.of_class(labels)).sum(1)
