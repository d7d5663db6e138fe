"""A small convolutional network."""

from torch import Tensor, nn

from course_lib.sizes import require_sizes


def conv(n_in: int, n_out: int, size: int = 3) -> nn.Sequential:
    """Convolution by an odd size×size kernel that keeps the height and width → batch normalisation → ReLU."""
    convolution = nn.Conv2d(n_in, n_out, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU())


class ConvNet(nn.Module):
    """Images (N, n_channels, H, W), −1 … 1 → logits (N, n_classes). Three stages of convolutions, each with twice the
    channels and half the side of the one before; the mean over all places of the last makes the features.
    """

    def __init__(self, n_channels: int, n_classes: int, width: int = 32):
        super().__init__()
        require_sizes(n_channels=n_channels, n_classes=n_classes, width=width)
        self.n_channels, self.n_features = n_channels, 4 * width
        self.stages = nn.Sequential(
            nn.Sequential(conv(n_channels, width, 5), nn.MaxPool2d(2)),
            nn.Sequential(conv(width, 2 * width), conv(2 * width, 2 * width), nn.MaxPool2d(2)),
            conv(2 * width, 4 * width),
        )
        self.output = nn.Linear(4 * width, n_classes)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer decides by, (N, 4 · width). Raises ValueError for other than (N, n_channels, ≥4, ≥4)."""
        if images.ndim != 4 or images.shape[1] != self.n_channels or min(images.shape[2:]) < 4:
            raise ValueError(
                f"images have shape {tuple(images.shape)}: expected (N, {self.n_channels}, H, W), H and W 4 or more"
            )
        return self.stages(images).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.features(images))
