"""`make outputs` stores the same notebook whatever differed between two runs, and keeps what nbval needs."""

import base64
import io

import matplotlib.pyplot as plt
import nbformat
import numpy as np
from nbconvert import NotebookExporter
from nbformat import v4
from PIL import Image
from traitlets.config import Config

from course_lib.outputs import WIDGET, with_palette


def committed(outputs: list, metadata: dict) -> str:
    """The notebook file after a run gave its cell these outputs and the notebook this metadata."""
    cell = v4.new_code_cell("1", id="one", execution_count=3, outputs=outputs, metadata={"tags": ["parameters"]})
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook = v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel, **metadata})
    config = Config({"NotebookExporter": {"preprocessors": ["course_lib.outputs.Committed"]}})
    return NotebookExporter(config=config).from_notebook_node(notebook)[0]


def stdout(text: str) -> dict:
    return v4.new_output("stream", name="stdout", text=text)


def bar(model_id: str) -> dict:
    return v4.new_output("display_data", {WIDGET: {"model_id": model_id}, "text/plain": "0%"})


def python(version: str) -> dict:
    return {"language_info": {"name": "python", "version": version}}


def test_two_runs_give_one_file():
    one = committed([bar("a1"), stdout("x\n"), stdout("y\n")], python("3.11.7"))
    two = committed([stdout("x\ny\n"), bar("b2")], python("3.13.0") | {"widgets": {"b2": {}}})
    assert one == two


def test_a_figure_to_explore_stays_without_its_controls():
    alt = {"image/png": {"alt": "a from 1 to 2."}}
    controls = v4.new_output("display_data", {WIDGET: {"model_id": "a1"}})
    data = {"image/png": png(Image.new("RGB", (8, 8))), "text/plain": "a from 1 to 2."}
    figure = v4.new_output("display_data", data, metadata=alt)
    (stored,) = nbformat.reads(committed([controls, figure], {}), as_version=4).cells[0].outputs
    assert set(stored.data) == {"image/png", "text/plain"} and stored.metadata == alt


def test_what_a_reader_and_nbval_need_stays():
    result = v4.new_output("execute_result", {"text/plain": "2", "text/html": "<b>2</b>"}, execution_count=3)
    error_text = v4.new_output("stream", name="stderr", text="careful\n")
    notebook = nbformat.reads(committed([stdout("x\n"), error_text, result], {}), as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].execution_count == 3
    assert notebook.cells[0].metadata.tags == ["parameters"]
    assert notebook.cells[0].outputs == [stdout("x\n"), error_text, result]


def png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")).astype(int)


def test_a_figure_becomes_smaller_and_looks_the_same():
    figure, axis = plt.subplots()
    for slope in range(8):
        axis.plot(slope * np.linspace(0, 1, 50))
    buffer = io.BytesIO()
    figure.savefig(buffer)
    plt.close(figure)
    before = base64.b64encode(buffer.getvalue()).decode()
    display = v4.new_output("display_data", {"image/png": before, "text/plain": "<Figure>"})
    (stored,) = nbformat.reads(committed([display], {}), as_version=4).cells[0].outputs
    after = stored.data["image/png"]
    assert len(after) < len(before) / 2
    assert np.sqrt(((pixels(after) - pixels(before)) ** 2).mean()) < 2


def test_a_picture_is_kept_once():
    grey = png(Image.fromarray(np.zeros((8, 8), dtype=np.uint8)))
    display = v4.new_output("display_data", {"image/png": grey, "image/jpeg": "the same", "text/plain": "<Image>"})
    (stored,) = nbformat.reads(committed([display], {}), as_version=4).cells[0].outputs
    assert set(stored.data) == {"image/png", "text/plain"}


def test_a_picture_of_many_colours_stays_as_it_is():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    photograph = png(Image.fromarray(noise))
    assert with_palette(photograph) == photograph
