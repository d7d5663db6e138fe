"""Generator and discriminator of Transformer layers: an image is a row of patches, as a text is a row of tokens (the
discriminator after ViT, Dosovitskiy et al. 2021; both after TransGAN, Jiang, Chang and Wang 2021)."""

from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.sizes import require_sizes
from course_lib.transformer import Architecture, Stack

PATCH = 4  # pixels on a side


def to_patches(images: Tensor) -> Tensor:
    """Images (N, C, H, W) → patches (N, H W / 16, 16 C), row by row. Raises ValueError for sides that 4 does not
    divide."""
    if images.shape[2] % PATCH or images.shape[3] % PATCH:
        raise ValueError(f"images have shape {tuple(images.shape)}: expected sides that {PATCH} divides, like 28 or 32")
    return F.unfold(images, PATCH, stride=PATCH).mT


def to_images(patches: Tensor, side: int) -> Tensor:
    """The way back, to images (N, C, side, side)."""
    return F.fold(patches.mT, (side, side), PATCH, stride=PATCH)


def _stack(side: int, d_model: int, n_heads: int, n_layers: int) -> Stack:
    require_sizes(side=side)
    if side % PATCH:
        raise ValueError(f"images of {side}×{side}: expected a side that {PATCH} divides, like 28 or 32")
    sizes = {"d_ff": 4 * d_model, "n_layers": n_layers, "max_length": (side // PATCH) ** 2}
    return Stack(Architecture(d_model, n_heads, positions="learned", activation="gelu", **sizes))


class PatchGenerator(nn.Module):
    """Latent vectors z (N, n_latent) → images (N, n_channels, side, side), −1 … 1. Each patch begins as a projection
    of z of its own, and attention lets the patches agree.
    """

    n_classes = 0  # it is told none

    def __init__(
        self, n_latent: int, n_channels: int, side: int, d_model: int = 96, n_heads: int = 4, n_layers: int = 3
    ):
        super().__init__()
        self.stack = _stack(side, d_model, n_heads, n_layers)
        self.n_latent, self.side, self.n_patches = n_latent, side, (side // PATCH) ** 2
        self.begin = nn.Linear(n_latent, self.n_patches * d_model)
        self.output = nn.Linear(d_model, n_channels * PATCH**2)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        h, _ = self.stack(self.begin(z).unflatten(1, (self.n_patches, -1)))
        return to_images(self.output(h), self.side).tanh()


class PatchDiscriminator(nn.Module):
    """Images (N, n_channels, side, side), −1 … 1 → a score (N,), from the mean over the patches."""

    def __init__(self, n_channels: int, side: int, d_model: int = 96, n_heads: int = 4, n_layers: int = 3):
        super().__init__()
        self.stack = _stack(side, d_model, n_heads, n_layers)
        self.begin = nn.Linear(n_channels * PATCH**2, d_model)
        self.score = nn.Linear(d_model, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        h, _ = self.stack(self.begin(to_patches(images)))
        return self.score(h.mean(1))[:, 0]
