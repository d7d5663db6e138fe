"""What a committed lesson keeps of a run: nothing that differs from run to run or from machine to machine."""

import base64
import io
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from PIL import Image, ImageChops, ImageStat

from course_lib.atomic import write_whole
from course_lib.interactive import WIDGET
from course_lib.paths import ROOT, lessons

FIGURES = ROOT / "docs" / "figures"


class Committed(CoalesceStreamsPreprocessor):
    """nbconvert step for `make outputs`, after execution: keeps outputs and execution counts, except that

    - printed text becomes one piece, however the kernel's buffer happened to cut it;
    - widget views (progress bars, sliders) go: their ids are random, and without a kernel they show nothing;
    - pictures are kept once, as PNG, and get a palette, at a third of the size, where that cannot be seen;
    - of the notebook's metadata only the kernel's name stays, not the Python version nor the widgets' state.
    """

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """The notebook, changed in place, and nbconvert's resources as they came."""
        nb.metadata = {"kernelspec": nb.metadata.kernelspec}
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
                for output in cell.outputs:
                    if "image/png" in output.get("data", {}):
                        output.data["image/png"] = with_palette(output.data["image/png"])
                        output.data.pop("image/jpeg", None)  # Pillow's pictures come as both
        return super().preprocess(nb, resources)


def with_palette(png: str) -> str:
    """A picture (PNG, base64) with at most 256 colours; as it was where that would show, as in a photograph."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    simpler = picture.quantize(256, dither=Image.Dither.NONE)
    if max(ImageStat.Stat(ImageChops.difference(picture, simpler.convert("RGB"))).rms) > 2:
        return png
    buffer = io.BytesIO()
    simpler.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def figures(notebook: Path) -> dict[str, bytes]:
    """The stored pictures of the cells tagged `figure:<name>`, as PNG files by name: README.md shows them."""
    found = {}
    for cell in nbformat.read(notebook, as_version=4).cells:
        names = [tag.removeprefix("figure:") for tag in cell.metadata.get("tags", ()) if tag.startswith("figure:")]
        for name in names:
            (picture,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
            found[name] = base64.b64decode(picture)
    return found


def main() -> None:
    """Write the figures of all lessons to docs/figures/."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    found = {f"{name}.png": png for lesson in lessons() for name, png in figures(lesson).items()}
    for stale in {path.name for path in FIGURES.glob("*.png")} - found.keys():
        (FIGURES / stale).unlink()
    for name, png in found.items():
        write_whole(FIGURES / name, png)


if __name__ == "__main__":
    main()
