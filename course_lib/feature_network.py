"""The network whose features generated images are judged by: trained once, kept, and found again by what made it."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch

from course_lib import augment, batches, classifier, cnn
from course_lib.classifier import RECIPE, Recipe, train_classifier
from course_lib.cnn import ConvNet
from course_lib.data.images import Images
from course_lib.device import image_format
from course_lib.paths import data_folder
from course_lib.training import checkpoint

# As it is when it is loaded: a file may be edited while a notebook goes on with the old code.
CODE = b"".join(Path(module.__file__).read_bytes() for module in (cnn, classifier, augment, batches))


def feature_network(images: Images, recipe: Recipe = RECIPE, device: torch.device | str = "cpu") -> ConvNet:
    """The classifier that `train_classifier` makes of these images, from data/feature_networks/ if it is there; else
    trained and kept there. Its file is named by the code, the images and the recipe, so that another recipe, like that
    of a quick check, never writes what this one reads. A file that cannot be read is made again; where none can be
    written, a notice says so. (Training seeds the global generators, finding a file does not.)
    """
    path = _path(images, recipe)
    network = ConvNet(images.pixels.shape[1], len(images.classes), recipe.width)
    try:
        network.load_state_dict(checkpoint.load(path, expected=network.state_dict()))
        return network.to(device, memory_format=image_format(torch.device(device))).eval()
    except FileNotFoundError:
        pass
    except (checkpoint.CheckpointError, OSError) as error:
        print(f"Notice: {path.name} cannot be used ({type(error).__name__}); the network is trained again.")
    network, _ = train_classifier(images, recipe, device)
    keep(network, images, recipe)
    return network


def keep(network: ConvNet, images: Images, recipe: Recipe) -> None:
    """Let `feature_network` find this network, which `train_classifier` made of these images by this recipe."""
    path = _path(images, recipe)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path, network.state_dict())
    except OSError as error:
        print(f"Notice: the network could not be kept ({error.strerror or error}); it is trained anew each time.")


def _path(images: Images, recipe: Recipe) -> Path:
    return data_folder() / "feature_networks" / f"{key(images, recipe)}.pt"


def key(images: Images, recipe: Recipe) -> str:
    """What tells a network from others: 16 hexadecimal digits of code, images and recipe."""
    digest = hashlib.sha256(repr(asdict(recipe)).encode())
    digest.update(CODE)
    for tensor in (images.pixels, images.labels):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]
