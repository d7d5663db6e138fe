"""MNIST, FashionMNIST and CIFAR-10 whole, by torchvision, which also fetches them when there is a network."""

import torch

from course_lib.data.files import DataError
from course_lib.data.images import Images
from course_lib.data.split import Split
from course_lib.paths import data_folder

KINDS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}  # as torchvision calls them
VALIDATION = 5000  # the last of the training images; the test images are those that published results use


def classic(name: str) -> Split:
    """One of the sets, from the data folder (data/<name>/, as torchvision lays it out), else from the network.

    Raises DataError where it is neither here nor to be had.
    """
    from torchvision import datasets  # takes a second to import, and the other sets do without

    kind, folder = getattr(datasets, KINDS[name]), data_folder() / name
    try:
        training, test = (_images(kind(folder, train=train, download=True)) for train in (True, False))
    except Exception as error:  # no network, no room, a file that is not whole: torchvision raises many kinds
        raise DataError(
            f"data set {name!r} is not whole in {folder}, and fetching it failed ({error}). When online, delete "
            f"that folder and run `course data {name}`; or copy the folder from a machine that has it. Without a "
            "network 'digits' and 'icons' work, and any folder of pictures of yours by its path."
        ) from error
    return Split(name, training[:-VALIDATION], training[-VALIDATION:], test)


def here() -> list[str]:
    """The sets that have a folder of their own by now."""
    return [name for name in KINDS if (data_folder() / name).is_dir()]


def _images(dataset) -> Images:
    pixels = torch.as_tensor(dataset.data)  # MNIST's has no axis of channels, CIFAR's has it last
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return Images(pixels.contiguous(), torch.as_tensor(dataset.targets), tuple(dataset.classes))
