"""Training images, moved a little: a label does not depend on where and how large the thing is."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def random_affine(
    images: Tensor, degrees: float = 12.0, scale: float = 0.12, shear: float = 0.15, shift: float = 0.08
) -> Tensor:
    """Each image (N, C, H, W) turned, scaled, sheared and shifted by its own random amounts, all uniform and up to:
    `degrees` either way (of square images), 1 ± `scale` in size, `shear` of its height sidewards, `shift` of its side.
    What comes in from outside is the edge's colour. One call for the whole batch, on its device.
    """

    def uniform(most: float) -> Tensor:
        return (2 * torch.rand(len(images), device=images.device) - 1) * most

    angle, size, slant = uniform(math.radians(degrees)), 1 + uniform(scale), uniform(shear)
    cos, sin = angle.cos() / size, angle.sin() / size
    # Rows of the matrix that tells for each new place where it was: rotation times shear, and the shift. Places run
    # from −1 to 1, so that a whole side is 2.
    rows = [cos, slant * cos - sin, 2 * uniform(shift), sin, slant * sin + cos, 2 * uniform(shift)]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
    x, y = grid.unbind(-1)
    height, width = images.shape[2:]  # not padding_mode="border", which not all of PyTorch's devices know
    grid = torch.stack([x.clamp(1 / width - 1, 1 - 1 / width), y.clamp(1 / height - 1, 1 - 1 / height)], -1)
    return F.grid_sample(images, grid, align_corners=False)
