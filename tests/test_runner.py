"""`course run`: mistakes stop it before a kernel starts, and nothing a kernel computed is lost."""

import csv
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import command
import nbformat
import pytest
import yaml
from click.testing import CliRunner
from command import assert_refused

from course_lib import cli
from course_lib.batch import plan as planning
from course_lib.batch import run as runner
from course_lib.batch.parameters import RunError
from course_lib.results import read

PARAMETERS = """\
steps: int = 3  # optimiser steps
rate: float = 0.5  # learning rate
fast: bool = False  # skip the slow part
text: str = "a"  # what to print
sizes: list[int] = [1, 2]  # layer sizes
"""
RECORD = """\
from course_lib.results import record
record("{}", steps=steps, loss=rate / steps, text=text, sizes=str(sizes), last=float("inf"))
"""


@pytest.fixture
def good(make_notebook, tmp_path):
    return make_notebook(tmp_path, "01_good", PARAMETERS, RECORD.format("01_good"))


def course(*arguments):
    return command.course("run", *arguments)


# Before a kernel starts


@pytest.mark.parametrize(
    "given, said",
    [
        ("step=3", "no parameter 'step'; did you mean steps?"),
        ("zzz=3", "no parameter 'zzz'; there is steps, rate, fast, text, sizes"),
        ("steps=1.5", "steps=1.5 is of type float; expected int"),
        ("steps=many", "steps='many' is of type str; expected int"),
        ("steps=true", "steps=True is of type bool; expected int"),
        ("rate=fast", "rate='fast' is of type str; expected float"),
        ("fast=1", "fast=1 is of type int; expected bool"),
        ("sizes=3", "sizes=3 is of type int; expected list[int]"),
        ("sizes=[1, x]", "sizes='x' is of type str; expected int"),
        ("sizes=[1", "sizes=[1 is not valid YAML"),
        ("steps", "-p steps: expected name=value"),
    ],
)
def test_wrong_parameters_are_one_line(good, tmp_path, given, said):
    result = course(good, "-p", given, "--output", tmp_path / "out")
    assert_refused(result, said)
    assert not (tmp_path / "out").exists()


def test_parameters_given_as_text_become_values_of_their_type(good):
    texts = {"rate": "1e-3", "steps": "7", "fast": "true", "text": "1e-3", "sizes": "[4, 5]"}
    (job,) = planning.plan([str(good)], texts=texts)
    assert job.given == {"rate": 0.001, "steps": 7, "fast": True, "text": "1e-3", "sizes": [4, 5]}
    (job,) = planning.plan([str(good)], texts={"rate": "1"})
    assert job.given == {"rate": 1.0} and type(job.given["rate"]) is float
    assert job.parameters == {"steps": 3, "rate": 1.0, "fast": False, "text": "a", "sizes": [1, 2]}


def test_every_lesson_must_know_a_parameter(good, make_notebook, tmp_path):
    other = make_notebook(tmp_path, "02_other", "epochs: int = 1  # passes over the data")
    with pytest.raises(RunError, match="02_other has no parameter 'steps'; .*epochs"):
        planning.plan([str(good), str(other)], texts={"steps": "1"})


def test_notebook_without_the_tag(make_notebook, tmp_path):
    untagged = make_notebook(tmp_path, "01_untagged", PARAMETERS, tagged=False)
    with pytest.raises(RunError, match="01_untagged.ipynb: no cell has the tag 'parameters'"):
        planning.plan([str(untagged)])


def test_file_that_is_no_notebook(tmp_path):
    (tmp_path / "01_text.ipynb").write_text("hello")
    with pytest.raises(RunError, match="01_text.ipynb: not a notebook"):
        planning.plan([str(tmp_path / "01_text.ipynb")])


def test_lessons_by_number_name_and_path(good, make_notebook, tmp_path):
    second = make_notebook(tmp_path, "02_second", PARAMETERS)

    def names(*given):
        return [path.stem for path in planning.find_lessons(given, tmp_path)]

    assert names() == ["01_good", "02_second"]
    assert names("02", "01_good") == ["02_second", "01_good"]
    assert names(str(second), "02", "02_second") == ["02_second"]
    with pytest.raises(RunError, match="no lesson '01_god'; did you mean 01_good"):
        names("01_god")
    with pytest.raises(RunError, match="no lesson '07'; there is 01_good, 02_second"):
        names("07")
    with pytest.raises(RunError, match="no notebook .*01_god.ipynb; did you mean 01_good"):
        names(str(tmp_path / "01_god.ipynb"))


def test_run_notebooks_go_by_name_and_only_when_named(good, make_notebook, tmp_path):
    """With their profiles beside those of lessons."""
    (tmp_path / "runs").mkdir()
    sweep = make_notebook(tmp_path / "runs", "sweep_rates", PARAMETERS)
    profile = tmp_path / "profiles" / "smoke"
    profile.mkdir(parents=True)
    (profile / "sweep_rates.yaml").write_text("steps: 1\n")

    def jobs(*given, profile="cpu"):
        return [(job.notebook, job.parameters["steps"]) for job in planning.plan(given, profile, notebooks=tmp_path)]

    assert jobs() == [(good, 3)]
    assert jobs(profile="smoke") == [(good, 3)]  # a profile may hold more than is run
    assert jobs("sweep_rates", "01", profile="smoke") == [(sweep, 1), (good, 3)]
    with pytest.raises(RunError, match="no lesson 'swep_rates'; did you mean sweep_rates"):
        jobs("swep_rates")
    (profile / "sweep_rate.yaml").write_text("steps: 1\n")
    with pytest.raises(RunError, match="there is no lesson 'sweep_rate'; did you mean sweep_rates"):
        jobs("01", profile="smoke")


def test_two_notebooks_of_one_name_would_overwrite_each_other(good, make_notebook, tmp_path):
    (tmp_path / "other").mkdir()
    other = make_notebook(tmp_path / "other", "01_good", PARAMETERS)
    with pytest.raises(RunError, match="two notebooks are named 01_good"):
        planning.find_lessons([str(good), str(other)])


def test_profile_overrides_defaults_and_p_overrides_the_profile(good, tmp_path):
    folder = tmp_path / "profiles" / "smoke"
    folder.mkdir(parents=True)
    (folder / "01_good.yaml").write_text("steps: 1\nrate: 0.25\n")
    for profile in ("smoke", str(folder)):
        (job,) = planning.plan(["01"], profile, {"rate": "0.125"}, notebooks=tmp_path)
        assert job.given == {"steps": 1, "rate": 0.125} and job.profile == "smoke"
    (job,) = planning.plan(["01"], "cpu", notebooks=tmp_path)
    assert job.given == {}
    with pytest.raises(RunError, match="no profile 'smok'; did you mean smoke"):
        planning.plan(["01"], "smok", notebooks=tmp_path)


@pytest.mark.parametrize(
    "file, text, said",
    [
        ("01_good.yaml", "step: 1", "no parameter 'step'; did you mean steps"),
        ("01_good.yaml", "rate: 1e-3", "expected float; YAML reads an exponent only after a point, as in 1.0e-3"),
        ("01_good.yaml", "steps:", "steps=None is of type NoneType; expected int"),
        ("01_good.yaml", "- steps", "expected lines like `steps: 100`, got a list"),
        ("01_good.yaml", "steps: [", "not valid YAML"),
        ("01_god.yaml", "steps: 1", "there is no lesson '01_god'; did you mean 01_good"),
        ("01_good.yml", "steps: 1", "profiles end in .yaml"),
    ],
)
def test_mistakes_in_a_profile_name_the_file(good, tmp_path, file, text, said):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / file).write_text(text)
    with pytest.raises(RunError) as error:
        planning.plan([str(good)], str(tmp_path / "mine"))
    assert said in str(error.value) and str(tmp_path / "mine" / file) in str(error.value)


def test_output_folder_must_be_new_and_writable(good, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "results.csv").write_text("")
    for output, said in (("file/out", "cannot write there"), ("used", "holds files already")):
        result = course(good, "--output", tmp_path / output)
        assert_refused(result, said)


def test_each_run_without_output_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    folders = [runner.new_folder(None, "smoke") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(f.parent == tmp_path / "runs" and f.name.startswith("smoke-") and f.is_dir() for f in folders)


def test_unknown_data_set_is_one_line():
    result = CliRunner().invoke(cli.main, ["data", "shakespear"])
    assert result.exit_code == 1
    assert "shakespeare" in result.stderr and result.stderr.count("\n") == 1


# With kernels


@pytest.fixture(scope="module")
def many(make_notebook, tmp_path_factory):
    """One run of a lesson whose kernel dies, one that fails, one that records twice and a good one, in a path
    with spaces and braces: (folder, click's result)."""
    place = tmp_path_factory.mktemp("a path {with} braces")
    fill = "filled = bytearray(b'x') * 300_000_000\nimport os, time\ntime.sleep(0.5)"
    record = RECORD.format("04_good")
    paths = [
        make_notebook(place, "01_dead", PARAMETERS, "print('computed')", "import os\nos._exit(1)"),
        make_notebook(place, "02_failing", PARAMETERS, "print('computed')", "x = 1\nraise ValueError(f'no {x}')"),
        make_notebook(place, "03_twice", PARAMETERS, record, record),
        make_notebook(place, "04_good", PARAMETERS, fill, record.replace("steps=", "folder=os.getcwd(), steps=")),
    ]
    folder = place / "out"
    return folder, course(*paths, "-p", "rate=0.75", "-p", "text=a, {b}", "--output", folder)


@pytest.mark.slow
def test_failed_lessons_stop_no_other_and_the_exit_code_tells(many):
    folder, result = many
    rows = json.loads((folder / "results.json").read_text())
    assert [(row["lesson"], row["status"]) for row in rows] == [
        ("01_dead", "failed"),
        ("02_failing", "failed"),
        ("03_twice", "failed"),
        ("04_good", "ok"),
    ]
    assert result.exit_code == 1
    assert "kernel died" in rows[0]["error"] and "import os" in rows[0]["error"]
    assert rows[1]["error"] == "ValueError: no 1 (cell [4]: x = 1)"
    assert "records results 2 times" in rows[2]["error"]
    for row in rows:
        assert row["error"] in result.stdout and row["notebook"] in result.stdout


@pytest.mark.slow
def test_what_a_failed_lesson_computed_is_kept(many):
    folder, _ = many
    for name in ("01_dead", "02_failing"):
        cells = nbformat.read(folder / f"{name}.ipynb", as_version=4).cells
        printed = [output.text for cell in cells for output in cell.get("outputs", ()) if "text" in output]
        assert printed == ["computed\n"]


@pytest.mark.slow
def test_rows_of_a_good_lesson(many):
    folder, result = many
    row = json.loads((folder / "results.json").read_text())[-1]
    results = row["results"]
    assert Path(results.pop("folder")).samefile(folder)  # where the kernel worked
    assert results == {
        "steps": 3,
        "loss": 0.25,
        "text": "a, {b}",
        "sizes": "[1, 2]",
        "last": "Infinity",
    }
    assert row["parameters"] == {"steps": 3, "rate": 0.75, "fast": False, "text": "a, {b}", "sizes": [1, 2]}
    assert row["profile"] == "cpu" and row["error"] == ""
    assert 0.5 < row["seconds"] < 60
    assert 300 < row["peak_mb"] < 3000
    assert "cores" in row["machine"] and row["python"].startswith(f"3.{sys.version_info.minor}.")
    assert row["torch"] and row["course_lib"]
    assert json.loads((folder / "results" / "04_good.json").read_text())["results"]["loss"] == 0.25
    assert "loss 0.25" in result.stdout and "steps 3" in result.stdout and "last inf" not in result.stdout


@pytest.mark.slow
def test_csv_has_a_column_for_each_parameter_and_result(many):
    folder, _ = many
    with open(folder / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["lesson"] for row in rows] == ["01_dead", "02_failing", "03_twice", "04_good"]
    assert rows[-1]["parameters.rate"] == "0.75" and rows[-1]["parameters.sizes"] == "[1, 2]"
    assert rows[-1]["results.loss"] == "0.25" and rows[-1]["results.text"] == "a, {b}"
    assert rows[1]["results.loss"] == "" and "no 1" in rows[1]["error"]


@pytest.mark.slow
def test_good_run_exits_with_0_and_papermill_takes_the_profile_too(good, tmp_path):
    (tmp_path / "mine").mkdir()
    profile = tmp_path / "mine" / "01_good.yaml"
    profile.write_text(yaml.safe_dump({"steps": 4, "rate": 1.0}))
    result = course(good, "--profile", profile.parent, "--output", tmp_path / "out")
    assert result.exit_code == 0
    command = [sys.executable, "-m", "papermill", "-f", str(profile), str(good), str(tmp_path / "plain.ipynb")]
    subprocess.run(command, check=True, capture_output=True)
    plain = read(tmp_path / "plain.ipynb")
    assert plain["loss"] == 0.25 and read(tmp_path / "out" / "01_good.ipynb") == plain


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_keeps_what_was_computed(good, make_notebook, tmp_path):
    sleep = "print('computed', flush=True)\nopen('sleeping', 'w')\nimport time\ntime.sleep(600)"
    endless = make_notebook(tmp_path, "00_endless", PARAMETERS, sleep)
    out = tmp_path / "out"
    # A job in the background ignores Ctrl-C, and would hand that on.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from course_lib.cli import main; main()"
    command = [sys.executable, "-c", script, "run", str(endless), str(good), "--output", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 60
    while not (out / "sleeping").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)  # for what was printed to arrive
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "00_endless interrupted" in stdout
    rows = json.loads((out / "results.json").read_text())
    assert [row["status"] for row in rows] == ["interrupted"]
    assert "computed" in (out / "00_endless.ipynb").read_text()


def test_scratch_notebooks_and_copies_are_no_lessons(make_notebook, tmp_path):
    for name in ("01_good", "01_good-Copy1", "Untitled", "02_next"):
        make_notebook(tmp_path, name, PARAMETERS)
    assert [path.stem for path in planning.find_lessons([], tmp_path)] == ["01_good", "02_next"]
    assert [path.stem for path in planning.find_lessons(["01"], tmp_path)] == ["01_good"]


def test_runs_that_start_at_once_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "now")
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: runner.new_folder(None, "smoke"), range(16)))
    assert len(set(folders)) == 16


@pytest.mark.slow
def test_results_that_cannot_be_written_do_not_stop_the_run(good, make_notebook, tmp_path):
    blocking = make_notebook(tmp_path, "00_block", PARAMETERS, "import os\nos.mkdir('results.csv')")
    said = []
    jobs = planning.plan([str(blocking), str(good)])
    rows = runner.run(jobs, runner.new_folder(tmp_path / "out", "cpu"), say=said.append, progress=False)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert any("cannot write the results" in line for line in said)


def test_a_profile_that_is_not_utf8(good, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / f"{good.stem}.yaml").write_bytes("rate: 0.25\n".encode("utf-16"))  # what `>` writes in an old PowerShell
    (job,) = planning.plan([str(good)], str(folder))
    assert job.given == {"rate": 0.25}
    (folder / f"{good.stem}.yaml").write_bytes(b"text: \xe9\n")
    with pytest.raises(RunError, match="not valid YAML"):
        planning.plan([str(good)], str(folder))


@pytest.mark.parametrize("profile", ["", "empty"])
def test_a_profile_without_files_is_refused(good, tmp_path, profile, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="no .yaml file"):
        planning.plan([str(good)], profile)
