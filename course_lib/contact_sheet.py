"""Many small images as one picture."""

from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from course_lib.data.images import to_pixels


def contact_sheet(images: Tensor, columns: int = 20) -> Image.Image:
    """Images (N, C, H, W), −1 … 1, side by side in rows; grey where C is 1."""
    sheet = make_grid(to_pixels(images), nrow=columns, padding=2, pad_value=128)  # (3, height, width), whatever C is
    picture = Image.fromarray(sheet.permute(1, 2, 0).numpy())
    picture = picture.convert("L") if images.shape[1] == 1 else picture
    n, _, height, width = images.shape
    picture.info["alt"] = f"{n} images of {height} × {width} pixels, {columns} in a row"
    return picture
