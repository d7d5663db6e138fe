"""`make outputs` stores the same notebook whatever differed between two runs, and keeps what nbval needs."""

import nbformat
from nbconvert import NotebookExporter
from nbformat import v4
from traitlets.config import Config

from course_lib.outputs import WIDGET


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


def test_what_a_reader_and_nbval_need_stays():
    result = v4.new_output("execute_result", {"text/plain": "2", "image/png": "aGk="}, execution_count=3)
    error_text = v4.new_output("stream", name="stderr", text="careful\n")
    notebook = nbformat.reads(committed([stdout("x\n"), error_text, result], {}), as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].execution_count == 3
    assert notebook.cells[0].metadata.tags == ["parameters"]
    assert notebook.cells[0].outputs == [stdout("x\n"), error_text, result]
