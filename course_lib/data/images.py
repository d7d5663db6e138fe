"""Images with their labels: handwritten digits, colour icons, and any folder of pictures."""

import gzip
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from course_lib.data.fetch import read
from course_lib.data.files import DataError, read_bytes
from course_lib.data.split import Split

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
SIDE = 32  # of the pictures of a folder, once they are read


@dataclass(frozen=True, eq=False)
class Images:
    """pixels (N, C, H, W), uint8, C = 1 (grey) or 3 (colour); labels (N,), int64: which of `classes` each one is.

    Raises DataError for other shapes and types, and for labels without a class.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self):
        shape = tuple(self.pixels.shape)
        if self.pixels.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3):
            raise DataError(
                f"pixels are {self.pixels.dtype} of shape {shape}: expected torch.uint8, from 0 (black) to 255, of "
                "shape (N, C, H, W) with C = 1 (grey) or 3 (colour)"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != shape[:1]:
            raise DataError(
                f"labels are {self.labels.dtype} of shape {tuple(self.labels.shape)}: expected torch.int64, one for "
                f"each of the {shape[0]} images"
            )
        if shape[0] and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise DataError(
                f"labels run from {self.labels.min()} to {self.labels.max()}: expected 0 to {len(self.classes) - 1}, "
                f"as there are {len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice | Tensor) -> "Images":
        """Some of the images, by a slice, row numbers or a mask."""
        if isinstance(rows, int):
            raise DataError(f"images[{rows}] is one image: write images.pixels[{rows}] or images[{rows}:{rows + 1}]")
        return Images(self.pixels[rows], self.labels[rows], self.classes)

    def __add__(self, other: "Images") -> "Images":
        """These and others behind them. Raises DataError for other classes or another size."""
        if self.classes != other.classes or self.pixels.shape[1:] != other.pixels.shape[1:]:
            raise DataError(
                f"images of {len(self.classes)} classes and shape {tuple(self.pixels.shape[1:])} cannot be joined with "
                f"those of {len(other.classes)} classes and shape {tuple(other.pixels.shape[1:])}"
            )
        return Images(torch.cat([self.pixels, other.pixels]), torch.cat([self.labels, other.labels]), self.classes)


def scaled(pixels: Tensor) -> Tensor:
    """Pixels 0 … 255 (uint8) → −1 … 1 (float32): what networks here read, and the range of tanh, which draws."""
    if pixels.dtype != torch.uint8:
        raise DataError(f"pixels are {pixels.dtype}: expected torch.uint8, from 0 (black) to 255")
    return pixels.float() / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """−1 … 1 → 0 … 255 (uint8), the way back from `scaled`; what lies outside is cut off. Raises DataError for
    pixels, and for NaN and infinity."""
    if not images.is_floating_point() or not images.isfinite().all():
        raise DataError(f"images are {images.dtype}, or not finite: expected finite numbers of floating point, −1 … 1")
    return ((images.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def digits() -> Split:
    """5,000 handwritten digits of MNIST, 500 of each kind, 28×28, grey. Of each kind 360 to train, 40 to validate, 100
    to test, by the SHA-256 of their pixels.
    """
    with gzip.open(io.BytesIO(read("digits")["mnist_5k.csv.gz"])) as lines:
        table = torch.from_numpy(np.loadtxt(lines, delimiter=",", dtype=np.uint8))  # 784 pixels, then the label
    images = Images(table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].long(), tuple("0123456789"))
    return by_class("digits", images, (0.72, 0.08))


def icons() -> Split:
    """Colour icons of OpenMoji, one for each single character of its font, 32×32 on white, 80/10/10 of each class.
    A class is a page of 256 characters, named by the beginning of their numbers: pages hold things of a kind, more or
    less (1F6: faces and vehicles). Pages with fewer than 50 icons are one class.
    """
    (content,) = read("icons").values()
    characters = _drawn_in_colour(content)
    pages = [f"{ord(character) >> 8:X}" for character in characters]
    classes = sorted(page for page, n in Counter(pages).items() if n >= 50)
    labels = [classes.index(page) if page in classes else len(classes) for page in pages]
    font = ImageFont.truetype(io.BytesIO(content), 96, layout_engine=ImageFont.Layout.BASIC)
    pixels = torch.stack([_icon(font, character) for character in characters])
    images = Images(pixels, torch.tensor(labels), (*classes, "other"))
    return by_class("icons", images, (0.8, 0.1), [character.encode() for character in characters])


def _drawn_in_colour(font: bytes) -> list[str]:
    """The characters that a font has coloured layers for, in the order of Unicode."""
    from fontTools.ttLib import TTFont  # here, since texts are loaded without it

    tables = TTFont(io.BytesIO(font))
    layers = tables["COLR"].ColorLayers
    return [chr(code) for code, glyph in sorted(tables.getBestCmap().items()) if glyph in layers]


def _icon(font: ImageFont.FreeTypeFont, character: str) -> Tensor:
    """A character of a colour font as (3, 32, 32), uint8: drawn in the middle of a larger square, then made smaller."""
    large = 4 * SIDE
    drawing = Image.new("RGB", (large, large), "white")
    left, top, right, bottom = font.getbbox(character)
    place = ((large - left - right) / 2, (large - top - bottom) / 2)
    ImageDraw.Draw(drawing).text(place, character, font=font, embedded_color=True)
    return torch.from_numpy(np.array(drawing.resize((SIDE, SIDE), Image.Resampling.LANCZOS))).permute(2, 0, 1)


def by_class(name: str, images: Images, shares: tuple[float, float], keys: list[bytes] | None = None) -> Split:
    """Of each class the first share to train, the second to validate, the rest to test, ordered by the SHA-256 of their
    keys: the pixels, unless other ones are given. An image that is there twice, in one class or in two, counts once, in
    the first. Within a part the classes take turns.
    """
    pixels = [image.numpy().tobytes() for image in images.pixels]
    once = {}
    for row in images.labels.argsort(stable=True).tolist():
        once.setdefault(pixels[row], row)
    kept = sorted(once.values(), key=lambda row: hashlib.sha256((keys or pixels)[row]).digest())
    parts = ([], [], [])
    for label in range(len(images.classes)):
        ordered = [row for row in kept if images.labels[row] == label]
        first, second = round(len(ordered) * shares[0]), round(len(ordered) * sum(shares))
        for part, some in zip(parts, (ordered[:first], ordered[first:second], ordered[second:]), strict=True):
            part += [(place, label, row) for place, row in enumerate(some)]
    return Split(name, *(images[torch.tensor([row for *_, row in sorted(part)], dtype=torch.long)] for part in parts))


def has_pictures(folder: Path) -> bool:
    """Whether there is a picture below this folder."""
    return bool(_pictures(folder))


def _pictures(folder: Path) -> list[Path]:
    """The pictures below a folder; what is hidden, by a name that begins with a dot, is none."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    return sorted(path for path in paths if not any(part[0] == "." for part in path.relative_to(folder).parts))


def from_folder(folder: Path) -> Split:
    """Pictures in a folder of folders, one for each class and named like it (or all in one: a single class), 80/10/10
    of each class. Each is cut to its central square and brought to 32×32 in colour; what is transparent becomes white.

    Raises DataError for a picture that cannot be read, and where there are too few to split.
    """
    paths = _pictures(folder)
    names = [path.relative_to(folder).parts[0] if path.parent != folder else folder.name for path in paths]
    classes = tuple(sorted(set(names)))
    if len(paths) < 10:
        raise DataError(f"{folder} holds {len(paths)} pictures, and a split needs at least 10. Name a fuller folder.")
    pixels = torch.stack([_picture(path) for path in paths])
    labels = torch.tensor([classes.index(name) for name in names])
    keys = [read_bytes(path) for path in paths]
    split = by_class(folder.name, Images(pixels, labels, classes), (0.8, 0.1), keys)
    if not len(split.validation) or not len(split.test):
        raise DataError(f"{folder} has too few different pictures in each class for a split: expected 10 or more each.")
    return split


def _picture(path: Path) -> Tensor:
    """A picture file as (3, 32, 32), uint8."""
    content = read_bytes(path)
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        if picture.mode.startswith("I"):  # grey in 16 bits, which `convert` would cut off at 255
            picture = Image.fromarray((np.asarray(picture) // 256).clip(0, 255).astype(np.uint8))
        picture = picture.convert("RGBA")
    except Exception as error:  # which one depends on the format and on where it is damaged
        raise DataError(f"{path} is no picture that can be read ({error}). Remove it, or save it again.") from error
    on_white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return torch.from_numpy(np.array(ImageOps.fit(on_white, (SIDE, SIDE)))).permute(2, 0, 1)
