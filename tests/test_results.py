"""course_lib.results: what a lesson records is what is read back, as valid JSON, the same on every run."""

import json
import math
import os

import nbformat
import numpy as np
import papermill
import pytest
import torch

from course_lib import results
from course_lib.atomic import write_whole

VALUES = {
    "zeta": 0.12345678,
    "loss": math.nan,
    "best": -math.inf,
    "worst": math.inf,
    "steps": 10**12,
    "ok": True,
    "name": "a | b",
}


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A function that records values and returns what lies in the file, read by a strict JSON parser."""
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "new folder"))

    def record(**values):
        results.record("01_lesson", **values)
        text = (tmp_path / "new folder" / "01_lesson.json").read_text(encoding="utf-8")
        return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    return record


def test_values_survive_the_notebook_in_their_order(make_notebook, tmp_path):
    literal = ", ".join(f"{k}=float('{v}')" if isinstance(v, float) else f"{k}={v!r}" for k, v in VALUES.items())
    lesson = make_notebook(
        tmp_path, "01_lesson", f"from course_lib.results import record\nrecord('01_lesson', {literal})"
    )
    outputs = []
    for run in ("first.ipynb", "second.ipynb"):
        papermill.execute_notebook(lesson, tmp_path / run, progress_bar=False)
        read = results.read(tmp_path / run)
        assert list(read) == list(VALUES)
        assert read.pop("zeta") == 0.123457  # six significant digits
        assert math.isnan(read.pop("loss"))
        assert read == {name: VALUES[name] for name in read}
        assert type(read["ok"]) is bool and type(read["steps"]) is int
        outputs.append(nbformat.read(tmp_path / run, as_version=4).cells[-1].outputs)
    assert outputs[0] == outputs[1]
    table = outputs[0][0].data["text/plain"]
    for text in (*VALUES, "0.1235", "nan", "-inf", "True", "a | b", "01_lesson"):
        assert text in table


def test_file_is_valid_json(recorded):
    assert recorded(**VALUES)["results"] == VALUES | {
        "zeta": 0.123457,
        "loss": "NaN",
        "best": "-Infinity",
        "worst": "Infinity",
    }


@pytest.mark.parametrize(
    "scalar, plain",
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), 0.5),
        (torch.tensor(3), 3),
        (torch.tensor(False), False),
    ],
)
def test_scalars_of_numpy_and_torch(recorded, scalar, plain):
    value = recorded(x=scalar)["results"]["x"]
    assert value == plain and type(value) is type(plain)


@pytest.mark.parametrize("value", [None, [1.0], {"a": 1}, 1j, np.zeros(1), torch.zeros(2), torch.tensor(1j)])
def test_other_types_are_refused(recorded, value):
    with pytest.raises(TypeError, match="result loss: expected a number, a bool or a string, got"):
        recorded(loss=value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_texts_that_stand_for_numbers_are_refused(recorded, text):
    with pytest.raises(ValueError, match=f"result loss='{text}'"):
        recorded(loss=text)


@pytest.mark.parametrize("lesson", ["", "a/b", "../a", "01_lesson.ipynb"])
def test_lesson_must_be_a_plain_name(lesson):
    with pytest.raises(ValueError, match="expected the notebook's name"):
        results.record(lesson, x=1)


def test_nothing_to_record_is_refused():
    with pytest.raises(ValueError, match="no results given"):
        results.record("01_lesson")


def test_notebooks_without_results_and_with_too_many(make_notebook, tmp_path):
    assert results.read(make_notebook(tmp_path, "none", "x = 1")) == {}
    twice = nbformat.read(make_notebook(tmp_path, "twice", "x = 1", "x = 2"), as_version=4)
    data = {results.MIME: {"lesson": "twice", "order": ["x"], "results": {"x": 1}}}
    for cell in twice.cells:
        cell.outputs = [nbformat.v4.new_output("display_data", data)]
    path = make_notebook(tmp_path, "twice", "")
    nbformat.write(twice, path)
    with pytest.raises(ValueError, match="records results 2 times"):
        results.read(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.json", b"old")

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_whole(tmp_path / "a.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"
