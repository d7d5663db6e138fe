"""Generated images against real ones that nobody trained on, by one protocol."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.classifier import in_parts
from course_lib.cnn import ConvNet
from course_lib.data.images import Images, to_pixels
from course_lib.gan_metrics import frechet, kid, precision_recall


@dataclass(frozen=True)
class Judgement:
    """frechet, kid, precision, recall: as in `course_lib.gan_metrics`. classes: how many the network finds, each in at
    least a fifth as many images as among real ones. confidence: the mean probability of the class it finds.
    """

    frechet: float
    kid: float
    precision: float
    recall: float
    classes: int
    confidence: float


class Judge:
    """Judges images by the features of a network, against the real images `held_out`. Both are looked at as pixels of
    whole numbers, as they would be in a file.
    """

    def __init__(self, network: ConvNet, held_out: Images):
        self.network, self.device = network.eval(), next(network.parameters()).device
        self.features, logits = self._look(held_out.pixels)
        self.share = _shares(logits)

    def __call__(self, images: Tensor) -> Judgement:
        """images (N, C, H, W): generated ones, −1 … 1, or pixels (uint8). Raises ValueError for too few of them."""
        features, logits = self._look(images if images.dtype == torch.uint8 else to_pixels(images))
        shares = _shares(logits)
        precision, recall = precision_recall(self.features, features)
        return Judgement(
            frechet(features, self.features),
            kid(features, self.features),
            precision,
            recall,
            int(((shares >= self.share / 5) & (shares > 0)).sum()),
            logits.softmax(1).amax(1).mean().item(),
        )

    def floor(self, real: Images, n: int = 1000, draws: int = 10, seed: int = 0) -> list[Judgement]:
        """What n real images are judged at, drawn `draws` times from others than the held-out ones (for want of more,
        from those that the network has learned from): a yardstick, no strict bound. Raises ValueError for too many."""
        if n > len(real):
            raise ValueError(f"n is {n}: expected {len(real)} or fewer, as there are so many images; judge fewer")
        random = torch.Generator().manual_seed(seed)
        shown = tqdm(range(draws), "draws of real images", leave=False)
        return [self(real.pixels[torch.randperm(len(real), generator=random)[:n]]) for _ in shown]

    def _look(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = in_parts(self.network.features, pixels, self.device)
        with torch.no_grad():
            return features, self.network.output(features.to(self.device)).cpu()


def _shares(logits: Tensor) -> Tensor:
    return torch.bincount(logits.argmax(1), minlength=logits.shape[1]) / len(logits)


@torch.no_grad()
def draw(generator: nn.Module, n: int, seed: int = 0, labels: Tensor | None = None) -> Tensor:
    """n images (n, C, H, W) on the CPU, −1 … 1, by a generator in evaluation mode. The latent vectors depend on the
    seed alone, not on the device. labels (n,): which class each is to be; else they take turns. Raises ValueError for a
    generator in training mode.
    """
    if generator.training:
        raise ValueError(
            "the generator is in training mode: drawing would move its batch normalisation; call .eval() first, or "
            "draw by the step's average.network"
        )
    device = next(generator.parameters()).device
    z = torch.randn(n, generator.n_latent, generator=torch.Generator().manual_seed(seed)).to(device)
    labels = torch.arange(n) % max(1, generator.n_classes) if labels is None else labels
    labels = labels.to(device)
    return torch.cat([generator(*part).float().cpu() for part in zip(z.split(500), labels.split(500), strict=True)])
