"""Training a convolutional network to tell images apart, and judging it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.augment import random_affine
from course_lib.batches import ImageBatches
from course_lib.cnn import ConvNet
from course_lib.data.images import Images, scaled
from course_lib.device import autocast, image_format
from course_lib.training import GradientStep, History, adamw, train, warm_up_then_decay


@dataclass(frozen=True)
class Recipe:
    """How `train_classifier` trains: AdamW, one rise and fall of the learning rate, images moved a little each time."""

    width: int = 32
    n_steps: int = 600
    batch_size: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.05
    smoothing: float = 0.1  # share of each label spread over all classes (Szegedy et al. 2016, section 7)
    seed: int = 0


RECIPE = Recipe()


def train_classifier(
    images: Images, recipe: Recipe = RECIPE, device: torch.device | str = "cpu"
) -> tuple[ConvNet, History]:
    """A network that tells the classes of these images apart, in evaluation mode, and how its training went. Raises
    ValueError for images of one class."""
    if len(images.classes) < 2:
        raise ValueError(
            "the images have 1 class: a classifier needs 2 or more; sort pictures into a folder for each class"
        )
    device = torch.device(device)
    torch.manual_seed(recipe.seed)
    network = ConvNet(images.pixels.shape[1], len(images.classes), recipe.width)
    network = network.to(device, memory_format=image_format(device))
    batch = ImageBatches(images, recipe.batch_size, device)
    optimizer = adamw(network, recipe.learning_rate, recipe.weight_decay)
    schedule = warm_up_then_decay(optimizer, recipe.n_steps, warm_up=0.3)

    def loss() -> Tensor:
        still, labels = batch()
        moved = random_affine(still)  # not within autocast: places need all their digits
        with autocast(device):
            logits = network(moved)
        return F.cross_entropy(logits.float(), labels, label_smoothing=recipe.smoothing)

    history = train(GradientStep(network, optimizer, loss, schedule), recipe.n_steps, seed=recipe.seed)
    return network.eval(), history


@torch.no_grad()
def in_parts(function: Callable[[Tensor], Tensor], images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """function(images) on a device, 500 at a time, the results as float32 on the CPU. Pixels (uint8) are scaled."""
    parts = (part.to(device) for part in images.split(500))
    return torch.cat([function(scaled(part) if part.dtype == torch.uint8 else part).float().cpu() for part in parts])
