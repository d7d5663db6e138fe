"""Every lesson in notebooks/, and every run notebook: how it is written, what it stores, and that it runs and gives the
right numbers."""

import ast
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from bands import BANDS, faults, outside
from nbval.plugin import get_sanitize_patterns

from course_lib.batch.parameters import Parameters, read_profile
from course_lib.batch.plan import plan
from course_lib.batch.run import new_folder, run
from course_lib.paths import NOTEBOOKS, ROOT, RUNS, lessons
from course_lib.results import MIME, decode, read

LESSONS = lessons()
RUN_NOTEBOOKS = sorted((NOTEBOOKS / RUNS).glob("*.ipynb"))
PROFILES = sorted((NOTEBOOKS / "profiles").glob("*/*.y*ml"))
SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")

# As `make outputs` sets them: the stored outputs are from two threads and no GPU.
FIXED = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": ""}

every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
every_run_notebook = pytest.mark.parametrize("lesson", RUN_NOTEBOOKS, ids=lambda path: path.stem)
every_notebook = pytest.mark.parametrize("lesson", LESSONS + RUN_NOTEBOOKS, ids=lambda path: path.stem)


def test_the_lessons_are_there():
    assert {"00_start_here", "01_ngram_models"} <= {path.stem for path in LESSONS}


# The bands themselves


def test_a_result_outside_missing_or_without_a_band_is_a_fault():
    bands = {"loss": [1, 2], "ok": [True, True]}
    assert faults({"loss": 1.5, "ok": True, "name": "x"}, bands) == []
    assert faults({"loss": 2, "ok": True}, bands) == []  # both ends belong to the band
    for wrong in ({"loss": 2.1}, {"loss": 0.9}, {"loss": float("nan")}, {"ok": False}, {"new": 1}):
        assert len(faults({"loss": 1.5, "ok": True} | wrong, bands)) == 1, wrong
    assert faults({"loss": 1.5}, bands) == ["ok is not recorded"]
    assert outside({"loss": 1.5}, bands) == []


def test_bands_name_each_lesson_and_the_run_notebooks_at_smoke():
    stems, runs = {path.stem for path in LESSONS}, {path.stem for path in RUN_NOTEBOOKS}
    assert {part: set(bands) for part, bands in BANDS.items()} == {
        "cpu": stems,
        "smoke": stems | runs,
        "wrecked": stems,
    }


# How a lesson is written and stored


@pytest.fixture
def notebook(lesson):
    return nbformat.read(lesson, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(output):
    """What an output says in words: {kind: text}, pictures left out."""
    kinds = {kind: data for kind, data in output.get("data", {}).items() if not kind.startswith("image/")}
    return kinds | ({output.name: output.text} if output.output_type == "stream" else {})


@every_notebook
def test_parameters_are_typed_explained_and_checked_at_once(lesson, notebook):
    tagged = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    assert len(tagged) == 1
    source = notebook.cells[tagged[0]].source
    statements = ast.parse(source).body
    assert all(isinstance(statement, ast.AnnAssign) for statement in statements), "write `name: type = value`"
    inspected = papermill.inspect_notebook(lesson)
    assert list(inspected) == [statement.target.id for statement in statements], "papermill cannot read each line"
    assert all(parameter["help"] for parameter in inspected.values()), "each line ends in `  # what it is`"
    declared = Parameters(lesson)
    defaults = {name: default for name, (_, default) in declared.items()}
    assert declared.check(defaults, "default") == defaults
    assert notebook.cells[tagged[0] + 1].cell_type == "code", "the next cell checks the parameters"


@every_lesson
def test_cells_are_small_and_the_last_one_records(lesson, notebook):
    lines = {
        cell.source: sum(map(bool, cell.source.split("\n"))) for cell in code_cells(notebook)
    }  # not the empty ones
    assert max(lines.values()) <= 15, max(lines, key=lines.get)
    calls = [node.func for node in ast.walk(ast.parse(code_cells(notebook)[-1].source)) if isinstance(node, ast.Call)]
    assert "record" in [getattr(call, "id", getattr(call, "attr", "")) for call in calls]


@every_lesson
def test_stored_outputs_are_of_one_run_from_top_to_bottom(lesson, notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run `make outputs`"


@every_run_notebook
def test_a_run_notebook_records_last_and_stores_no_outputs(lesson, notebook):
    last = ast.parse(code_cells(notebook)[-1].source).body[-1]
    assert ast.unparse(last).startswith(f"record('{lesson.stem}', ")
    assert outputs(notebook) == []
    assert {cell.execution_count for cell in code_cells(notebook)} == {None}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_profile_holds_parameters_of_its_notebook(profile):
    """Each known, of its type; and the notebook's own check takes them, with the defaults of the others."""
    found = [path for path in LESSONS + RUN_NOTEBOOKS if path.stem == profile.stem]
    assert len(found) == 1, f"no notebook is named {profile.stem}"
    (lesson,) = found
    assert profile.suffix == ".yaml"
    values = Parameters(lesson).check(read_profile(profile), str(profile))
    assert values, "a profile that changes nothing"
    checked_by(lesson, values)


def checked_by(lesson, values):
    """Run a notebook's parameters and the check that follows, with these values injected."""
    cells = nbformat.read(lesson, as_version=4).cells
    (at,) = [i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", ())]
    names = {}
    exec(cells[at].source, names)
    names |= values
    exec(cells[at + 1].source, names)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokens", "words"),
        ("optimizer", "sgd"),
        ("learning_rate", 1.5),
        ("learning_rate", float("nan")),
        ("adamw_learning_rate", -0.1),
        ("momentum", 1.0),
        ("weight_decay", -0.1),
        ("n_steps", 0),
        ("batch_size", 0),
        ("evaluate_every", -1),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_a_language_model_is_not_trained_with_values_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=name) as error:
        checked_by(NOTEBOOKS / RUNS / "train_lm.ipynb", {name: value})
    assert str(value) in str(error.value) and "expected" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("generator_kind", "lstm"),
        ("discriminator_kind", "embedding"),
        ("generator_rate", 2.0),
        ("discriminator_rate", float("nan")),
        ("average", 1.0),
        ("beta1", -0.1),
        ("batch_size", 1),
        ("n_latent", 0),
        ("n_steps", 0),
        ("n_judged", 100),
        ("seed", -1),
    ],
)
def test_a_gan_is_not_trained_with_values_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=name) as error:
        checked_by(NOTEBOOKS / RUNS / "train_gan.ipynb", {name: value})
    assert str(value) in str(error.value) and "expected" in str(error.value)


@pytest.mark.parametrize(
    ("notebook", "name", "value"),
    [
        ("runs/train_canaries", "learning_rate", 1.5),
        ("runs/train_canaries", "n_steps", 0),
        ("runs/train_canaries", "seed", -1),
        ("08_scaling_and_cost", "live_widths", []),
        ("08_scaling_and_cost", "live_widths", [10]),
        ("08_scaling_and_cost", "live_steps", 0),
        ("08_scaling_and_cost", "resamples", 0),
        ("08_scaling_and_cost", "gpu_dollars", 0.0),
        ("08_scaling_and_cost", "utilisation", 1.5),
        ("08_scaling_and_cost", "pue", 0.9),
        ("08_scaling_and_cost", "seed", 2**32),
    ],
)
def test_scaling_is_not_studied_with_values_that_make_no_sense(notebook, name, value):
    with pytest.raises(ValueError, match=name) as error:
        checked_by(NOTEBOOKS / f"{notebook}.ipynb", {name: value})
    assert str(value) in str(error.value) and "expected" in str(error.value)


@every_notebook
def test_nothing_is_stored_that_is_large_or_of_one_machine_only(lesson, notebook):
    assert lesson.stat().st_size < 1_000_000
    assert "widgets" not in notebook.metadata and "papermill" not in notebook.metadata
    for cell in notebook.cells:
        assert not {"execution", "papermill"} & set(cell.metadata), "times of a run; `make outputs` leaves them out"
    for output in outputs(notebook):
        assert output.output_type != "error" and output.get("name") != "stderr", output
        said = json.dumps(texts(output), ensure_ascii=False)
        places = r"(?<![\w.])/(home|Users|root|tmp|var/folders)/|\b[A-Z]:\\\\(Users|Windows)"
        assert not re.search(places, said), said
        assert str(ROOT) not in said


@every_lesson
def test_every_stored_figure_says_what_it_shows(lesson, notebook):
    """In its metadata, from where exports take an image's `alt` text; and it says more than that it is one."""
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            said = output.metadata.get("image/png", {}).get("alt", "")
            assert len(said) > 10 and not said.startswith("<"), (said, output.data.get("text/plain"))


@every_lesson
def test_stored_results_are_the_lessons_own_and_in_the_cpu_bands(lesson, notebook):
    (bundle,) = [output.data[MIME] for output in outputs(notebook) if MIME in output.get("data", {})]
    assert bundle["lesson"] == lesson.stem
    assert not faults(read(lesson), BANDS["cpu"][lesson.stem])


# A lesson runs


def environment(**more):
    """As a shell sets it up; MPLBACKEND would take away the figures, PYTEST_ADDOPTS would add our own options."""
    shell = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "PYTEST_ADDOPTS")}
    return shell | FIXED | more


@pytest.mark.slow
@every_lesson
def test_nbval_finds_the_stored_outputs_again(lesson, notebook, tmp_path):
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-q", str(lesson)]
    options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "900", "--nbval-sanitize-with", str(SANITIZE)]
    report = tmp_path / "nbval.xml"
    done = subprocess.run(
        [*command, *options, f"--junitxml={report}"],
        env=environment(COURSE_RESULTS=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert done.returncode == 0, done.stdout
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert int(suite.get("tests")) - int(suite.get("skipped")) == len(code_cells(notebook)) > 0
    recorded = json.loads((tmp_path / f"{lesson.stem}.json").read_text(encoding="utf-8"))
    assert not faults(decode(recorded["results"]), BANDS["cpu"][lesson.stem])


@pytest.fixture
def run_lesson(lesson, tmp_path, monkeypatch):
    """A function that runs the lesson under a profile, as `course run` does, and returns its results."""
    for name, value in FIXED.items():
        monkeypatch.setenv(name, value)

    def run_it(profile):
        (row,) = run(plan([str(lesson)], profile), new_folder(tmp_path / "run", profile), progress=False)
        assert row["status"] == "ok", row["error"]
        return row["results"]

    return run_it


@pytest.mark.slow
@every_notebook
def test_smoke_profile(lesson, run_lesson):
    assert not faults(run_lesson("smoke"), BANDS["smoke"][lesson.stem])


@pytest.mark.slow
@every_lesson
def test_a_wrecked_run_leaves_the_bands(lesson, run_lesson, tmp_path):
    wrecked = tmp_path / "wrecked" / f"{lesson.stem}.yaml"
    wrecked.parent.mkdir()
    wrecked.write_text(yaml.safe_dump(BANDS["wrecked"][lesson.stem]))
    results, bands = run_lesson(str(wrecked.parent)), BANDS["cpu"][lesson.stem]
    assert results.keys() >= bands.keys()
    assert outside(results, bands), "the parameters do no harm, or the bands are too wide"


@pytest.mark.full
@every_lesson
def test_make_outputs_gives_what_is_stored(lesson, notebook, tmp_path):
    copy = tmp_path / lesson.name
    copy.write_bytes(lesson.read_bytes())
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", str(copy)]
    options = ["record_timing=False", "timeout=900"]
    subprocess.run(
        [*command, *(f"--ExecutePreprocessor.{option}" for option in options)]
        + ["--NotebookExporter.preprocessors=course_lib.outputs.Committed"],
        env=environment(),
        check=True,
    )
    stored, fresh = (
        [
            [sanitized(texts(output)) for output in cell.outputs]
            for cell in code_cells(each)
            if "nbval-ignore-output" not in cell.metadata.get("tags", ())  # measured times differ from run to run
        ]
        for each in (notebook, nbformat.read(copy, as_version=4))
    )
    assert fresh == stored


def sanitized(said):
    """`said` with nbval's replacements, as plain text."""
    said = json.dumps(said, ensure_ascii=False, sort_keys=True, indent=1).replace("\\n", "\n")
    for pattern, replacement in get_sanitize_patterns(SANITIZE.read_text()):
        said = re.sub(pattern, replacement, said)
    return said
