"""`course sweep`: whatever is killed, fills up, hangs or is interrupted, no finished run is lost."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import nbformat
import psutil
import pytest
from command import assert_refused, course
from distributed import Client

from course_lib.batch import plan as planning
from course_lib.batch import provenance, workers
from course_lib.batch.execute import execute
from course_lib.batch.parameters import RunError
from course_lib.batch.store import Store, own_folder, read_rows
from course_lib.paths import ROOT

PARAMETERS = """\
rate: float = 0.5  # learning rate
seed: int = 0  # of everything random
mode: str = "ok"  # what happens
flags: str = ""  # a folder for signs between test and run
"""
RUN = """\
import os, pathlib, time
flag = pathlib.Path(flags or ".") / f"{mode}-{rate}-{seed}"
tries = len(list(flag.parent.glob(f"{flag.name}.try*")))
if flags:
    (flag.parent / f"{flag.name}.try{tries}").touch()
print("computed", flush=True)
if mode == "fail" or mode == "fail_once" and not tries:
    raise ValueError(f"rate {rate} is bad")
if mode == "die":
    time.sleep(2)  # for what was printed to arrive
    os.kill(os.getpid(), 9)
if mode == "hang" or mode == "hang_once" and not tries:
    time.sleep(600)
"""
RECORD = """\
from course_lib.results import record
record("toy", loss=rate * 2 + seed, folder=os.getcwd(), threads=os.environ.get("OMP_NUM_THREADS", "none"),
       gpu=os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def toy(make_notebook, tmp_path):
    (tmp_path / "flags").mkdir()
    return make_notebook(tmp_path, "toy", PARAMETERS, RUN, RECORD)


def sweep(*arguments):
    return course("sweep", *arguments)


def start(*arguments, before=(), **more) -> subprocess.Popen:
    """`course sweep ...` in a process of its own."""
    # A job in the background ignores Ctrl-C, and would hand that on.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from course_lib.cli import main; main()"
    command = [*before, sys.executable, "-c", script, "sweep", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, **output, **more)


def wait_until(what, seconds=90):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


def kernels(process) -> list[psutil.Process]:
    """The kernels of a driver that wait for nothing but to be killed."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("ipykernel" in part for part in child.cmdline()):
                found.append(child)
    return found


def table(folder) -> list[tuple]:
    """What the end result says, but for times, memory and folders."""
    return [
        (row["name"], row["status"], row["parameters"]["rate"], row["parameters"]["seed"], row["results"].get("loss"))
        for row in json.loads((folder / "results.json").read_text())
    ]


def all_ok(toy, **grid: str) -> list[tuple]:
    """The `table` of a sweep in which everything went well."""
    jobs = planning.plan_sweep(str(toy), grid)
    rows = [(job.name, "ok", job.parameters["rate"], job.parameters["seed"], job.parameters["mode"]) for job in jobs]
    return [(*row[:4], row[2] * 2 + row[3]) for row in sorted(rows, key=lambda row: row[2:])]


# Before a kernel starts


@pytest.mark.parametrize(
    "given, said",
    [
        ("rat=1", "no parameter 'rat'; did you mean rate?"),
        ("seed=0..x", "seed='0..x' is of type str; expected int"),
        ("seed=4..0", "seed=4..0 is empty; expected first..last"),
        ("seed=", "seed= names no value"),
        ("seed=1,2,1", "seed=1,2,1 holds 1 twice"),
        ("seed=1.5", "seed=1.5 is of type float; expected int"),
        ("rate=[1", "rate=[1 is not a list of values"),
        ("rate", "-p rate: expected name=value"),
    ],
)
def test_wrong_grids_are_one_line(toy, tmp_path, given, said):
    result = sweep(toy, "-p", given, "--output", tmp_path / "out")
    assert_refused(result, said)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_other_wrong_calls_are_one_line(toy, make_notebook, tmp_path):
    untagged = make_notebook(tmp_path, "untagged", PARAMETERS, tagged=False)
    (tmp_path / "file").write_text("")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    for arguments, said in [
        (["toi"], "no lesson 'toi'"),
        ([untagged], "no cell has the tag 'parameters'"),
        ([toy, "-p", "seed=1", "-p", "seed=2"], "seed is given twice"),
        ([toy, "--profile", "smok"], "no profile 'smok'; did you mean smoke"),
        ([toy, "--output", tmp_path / "file"], "cannot write there"),
        ([toy, "--output", tmp_path / "used"], "holds other files already (letter.txt)"),
        (
            [toy, "--scheduler", "tcp://127.0.0.1:9", "--output", tmp_path / "a"],
            "no Dask scheduler answers at tcp://127",
        ),
        ([toy, "--scheduler", "what", "--output", tmp_path / "b"], "no Dask scheduler answers at what"),
        ([toy, "--scheduler", "tcp://127.0.0.1:9", "--jobs", 2], "--scheduler has workers of its own"),
    ]:
        assert_refused(sweep(*arguments), said)


def test_a_grid_is_every_combination_each_with_a_name_of_its_own(toy):
    jobs = planning.plan_sweep(str(toy), {"rate": "1e-3,3e-3", "seed": "0..2", "mode": "a b"})
    assert [(job.given["rate"], job.given["seed"]) for job in jobs] == [
        (rate, seed) for rate in (0.001, 0.003) for seed in (0, 1, 2)
    ]
    assert len({job.name for job in jobs}) == 6 and all(job.name.startswith("toy-rate=") for job in jobs)
    assert all(re.fullmatch(r"[\w=.,+-]+", job.name) and "mode" not in job.name for job in jobs)
    again = planning.plan_sweep(str(toy), {"seed": "2,0", "mode": "a b", "rate": "1e-3"})
    assert {job.name.rsplit("-", 1)[1] for job in again} < {job.name.rsplit("-", 1)[1] for job in jobs}


def test_lists_and_texts_as_values(make_notebook, tmp_path):
    parameters = 'sizes: list[int] = [1]  # sizes\ntext: str = "a"  # text\n'
    notebook = make_notebook(tmp_path, "lists", parameters)
    jobs = planning.plan_sweep(str(notebook), {"sizes": "[1, 2],[3]", "text": "1e-3,'b,c',0..2"})
    assert [job.given for job in jobs] == [
        {"sizes": sizes, "text": text} for sizes in ([1, 2], [3]) for text in ("1e-3", "b,c", "0..2")
    ]
    assert all(len(job.name) < 150 for job in jobs)


def test_another_version_of_the_code_is_another_sweep(toy, make_notebook, tmp_path):
    grid = {"seed": "0..1"}
    jobs = planning.plan_sweep(str(toy), grid)
    before = own_folder(jobs, grid)
    assert own_folder(planning.plan_sweep(str(toy), grid), grid) == before
    with Store(tmp_path / "out", jobs):
        pass
    with Store(tmp_path / "out", planning.plan_sweep(str(toy), {"seed": "0..9"})):
        pass  # more of the same
    make_notebook(tmp_path, "toy", PARAMETERS, RUN, RECORD.replace("* 2", "* 3"))
    jobs = planning.plan_sweep(str(toy), grid)
    assert own_folder(jobs, grid) != before
    with (
        pytest.raises(RunError, match="made by another version of the notebook or course_lib"),
        Store(tmp_path / "out", jobs),
    ):
        pass


def test_a_gpu_is_for_one_run_unless_asked(monkeypatch):
    monkeypatch.setattr(workers, "gpus", lambda: ["3"])
    with (
        pytest.raises(RunError, match="--jobs 2: this machine has 1 GPU, for one run each; --share-gpu"),
        workers.here(2),
    ):
        pass


def test_what_differs_between_machines_is_named():
    mine = provenance.versions()
    assert provenance.mismatch(mine, mine) == ""
    assert provenance.mismatch(mine, mine | {"torch": "1.0"}) == f"torch 1.0 instead of {mine['torch']}"


# One run


@pytest.mark.slow
def test_a_run_that_takes_too_long_or_is_not_wanted_any_more_is_stopped(toy, tmp_path):
    started = tmp_path / "flags" / "hang-0.5-0.try0"
    for limit, stop, said in (
        (5, lambda: False, "took longer than the limit of 5 s (cell: import os"),
        (None, started.exists, "nobody waits for it any more"),
    ):
        given = {"mode": "hang", "flags": str(started.parent)}
        begin = time.monotonic()
        outcome = execute(toy, tmp_path / "hung.ipynb", given, limit=limit, stop=stop)
        assert outcome.status == "failed" and said in outcome.error
        assert time.monotonic() - begin < 60
        started.unlink()
        assert not [p for p in psutil.Process().children(recursive=True) if "ipykernel" in " ".join(p.cmdline())]
        assert "computed" in (tmp_path / "hung.ipynb").read_text()


# Many runs


@pytest.mark.slow
def test_failing_and_dying_runs_stop_no_other_and_are_reported(toy, tmp_path):
    out = tmp_path / "out"
    result = sweep(toy, "-p", "mode=ok,fail,die", "-p", "rate=0.25", "--jobs", 2, "--output", out)
    assert result.exit_code == 1
    rows = {row["parameters"]["mode"]: row for row in read_rows(out)}
    assert {mode: row["status"] for mode, row in rows.items()} == {"ok": "ok", "fail": "failed", "die": "failed"}
    assert "rate 0.25 is bad" in rows["fail"]["error"] and "the kernel died" in rows["die"]["error"]
    page = (out / "report.html").read_text(encoding="utf-8")
    for row in rows.values():
        executed = nbformat.read(out / row["notebook"], as_version=4)
        assert "computed\n" in [o.get("text") for cell in executed.cells for o in cell.get("outputs", ())]
        assert quote(row["notebook"]) in page and row["error"].split("(")[0] in result.output + " "
    for name in ("results.csv", "results.json", "results.parquet"):
        assert (out / name).stat().st_size
    # Kernels have an equal share of the cores, and each a folder of its own.
    assert rows["ok"]["results"]["threads"] == str(max(1, workers.CPU_COUNT // 2))
    assert not Path(rows["ok"]["results"]["folder"]).exists()


@pytest.mark.slow
def test_retries_and_the_next_call_make_only_what_is_missing(toy, tmp_path):
    flags, out = tmp_path / "flags", tmp_path / "out"
    call = [toy, "-p", "mode=ok,fail_once", "-p", "seed=0..1", "-p", f"flags={flags}", "--output", out]
    assert sweep(*call).exit_code == 1
    assert sorted(status for _, status, *_ in table(out)) == ["failed", "failed", "ok", "ok"]
    assert sweep(*call).exit_code == 0
    assert [status for _, status, *_ in table(out)] == ["ok"] * 4
    assert not list(flags.glob("ok-*.try1"))  # these were there
    assert table(out) == all_ok(toy, mode="ok,fail_once", seed="0..1", flags=str(flags))
    call = [toy, "-p", "mode=fail_once", "-p", "seed=7", "-p", f"flags={flags}", "--output", tmp_path / "retried"]
    assert sweep(*call, "--retries", 1).exit_code == 0
    assert len(list(flags.glob("fail_once-0.5-7.try*"))) == 2


@pytest.mark.slow
@posix
@pytest.mark.parametrize("victim", ["driver", "worker", "Ctrl-C"])
def test_what_is_killed_loses_nothing_finished(toy, tmp_path, victim):
    flags, out = tmp_path / "flags", tmp_path / "out"
    call = [toy, "-p", "mode=ok,hang_once", "-p", "seed=0..1", "-p", f"flags={flags}", "--jobs", 2, "--output", out]
    process = start(*call)
    try:
        wait_until(lambda: len(list(flags.glob("hang_once-*.try0"))) == 2 and len(list(out.glob("rows/*.json"))) == 2)
        hanging = kernels(process)
        assert len(hanging) == 2
        if victim == "worker":
            for kernel in hanging:
                kernel.parent().kill()
        else:
            process.send_signal(signal.SIGINT if victim == "Ctrl-C" else signal.SIGKILL)
        said, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    wait_until(lambda: not any(kernel.is_running() for kernel in hanging))  # none is left behind
    if victim == "worker":
        assert process.returncode == 0  # it began them again
    else:
        assert process.returncode == (1 if victim == "Ctrl-C" else -signal.SIGKILL)
        assert victim == "driver" or "goes on from here" in said and (out / "report.html").exists()
        kept = {path.name: path.read_bytes() for path in out.glob("rows/*.json")}
        assert len(kept) == 2
        assert sweep(*call).exit_code == 0
        assert all((out / "rows" / name).read_bytes() == row for name, row in kept.items())
    assert not list(flags.glob("ok-*.try1"))
    assert table(out) == all_ok(toy, mode="ok,hang_once", seed="0..1", flags=str(flags))


@pytest.mark.slow
@posix
def test_two_drivers_do_not_work_in_one_folder(toy, tmp_path):
    flags, out = tmp_path / "flags", tmp_path / "out"
    process = start(toy, "-p", "mode=hang_once", "-p", f"flags={flags}", "--jobs", 1, "--output", out)
    try:
        wait_until(lambda: list(flags.iterdir()))
        assert_refused(sweep(toy, "-p", "mode=ok,fail", "--output", out), "another sweep is at work there")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=90)
    finally:
        process.kill()
    assert sweep(toy, "-p", "mode=ok", "--output", out).exit_code == 0  # the lock is free again


def may_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="this machine lets nobody mount a small disk")
def test_a_full_disk_loses_nothing_finished(make_notebook, tmp_path):
    large = "print(''.join(__import__('random').choices('abcdefgh', k=300_000)))"
    toy = make_notebook(tmp_path, "toy", PARAMETERS, large, "import os\n" + RECORD)
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    script = f"""
mount -t tmpfs -o size=1m tmpfs '{disk}'
"$@" --output '{disk}/out'; echo "first $?"; cp -r '{disk}/out' '{kept}'
mount -o remount,size=100m '{disk}'
"$@" --output '{disk}/out'; echo "second $?"; cp -r '{disk}/out' '{kept}-second'
"""
    process = start(toy, "-p", "seed=0..4", "--jobs", 2, before=["unshare", "-rm", "bash", "-c", script, "bash"])
    said, _ = process.communicate(timeout=300)
    assert "first 1" in said and "cannot be kept (No space left on device)" in said, said
    assert "second 0" in said, said
    first = {path.name for path in (kept / "rows").glob("*.json")}
    assert 0 < len(first) < 5
    assert not list(kept.rglob("*.part"))
    rows = read_rows(kept.with_name("kept-second"))
    assert [row["results"]["loss"] for row in rows] == [1.0 + seed for seed in range(5)]
    for name in first:  # what was kept is what it was
        assert (kept / "rows" / name).read_bytes() == (kept.with_name("kept-second") / "rows" / name).read_bytes()


@pytest.mark.slow
@posix
def test_each_worker_has_a_gpu_of_its_own(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "gpus", lambda: ["GPU-a", "GPU-b"])
    monkeypatch.setattr(provenance, "gpus", lambda: ["GPU-a", "GPU-b"])
    assert sweep(toy, "-p", "seed=0..3", "--output", tmp_path / "out").exit_code == 0
    assert {row["results"]["gpu"] for row in read_rows(tmp_path / "out")} == {"GPU-a", "GPU-b"}


@pytest.mark.slow
def test_course_run_with_jobs_runs_lessons_side_by_side(toy, make_notebook, tmp_path):
    other = make_notebook(tmp_path, "02_other", PARAMETERS, RUN, RECORD.replace('"toy"', '"02_other"'))
    result = course("run", toy, other, "--jobs", 2, "-p", "seed=3", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {row["lesson"]: row["results"]["loss"] for row in rows} == {"toy": 4.0, "02_other": 4.0}
    assert (tmp_path / "out" / "notebooks" / "toy.ipynb").exists() and "toy" in result.output


# On a cluster


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler: its address, and what starts a worker in a folder of its own."""
    processes = []

    def dask(*arguments, **more) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | more.pop("env", {})
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **more,
        )
        processes.append(process)
        return process

    file = tmp_path / "scheduler.json"
    dask("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    wait_until(lambda: file.exists() and file.stat().st_size)
    address = json.loads(file.read_text())["address"]

    def worker(name, *options, **more):
        folder = tmp_path / name
        folder.mkdir()
        options = options or ("--nthreads", 1)
        process = dask("worker", address, *options, "--no-dashboard", "--name", name, cwd=folder, **more)
        with Client(address, set_as_default=False) as client:
            wait_until(lambda: name in [about["id"] for about in client.scheduler_info(-1)["workers"].values()])
        return process

    yield address, worker, processes[0]
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@posix
def test_a_cluster_needs_no_shared_folder(toy, tmp_path, cluster):
    """Workers know neither the driver's notebook nor its folder."""
    address, worker, _ = cluster
    worker("one"), worker("two")
    call = [toy, "-p", "seed=0..3", "-p", "rate=0.25", "--output", tmp_path / "far"]
    assert sweep(*call, "--scheduler", address).exit_code == 0
    for row in read_rows(tmp_path / "far"):
        assert tmp_path not in Path(row["results"]["folder"]).parents
        assert row["results"]["threads"] == "1"
    assert table(tmp_path / "far") == all_ok(toy, seed="0..3", rate="0.25")


@pytest.mark.slow
@posix
def test_workers_that_would_compute_something_else_are_refused(toy, tmp_path, cluster):
    address, worker, _ = cluster
    other = tmp_path / "other"
    shutil.copytree(ROOT / "course_lib", other / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    with open(other / "course_lib" / "sizes.py", "a") as file:
        file.write("# changed\n")
    call = [toy, "--scheduler", address, "--output", tmp_path / "out"]
    for name, options, more, said in (
        ("changed", (), {"env": {"PYTHONPATH": str(other)}}, "has course_lib"),
        ("threads", ("--nthreads", 2), {}, "has 2 threads; start it with `dask worker --nthreads 1`"),
    ):
        process = worker(name, *options, **more)
        assert_refused(sweep(*call), said)
        os.killpg(process.pid, signal.SIGKILL)
        time.sleep(1)


@pytest.mark.slow
@posix
@pytest.mark.parametrize("lost", ["driver", "scheduler"])
def test_a_lost_driver_or_scheduler_leaves_no_run_behind(toy, tmp_path, cluster, lost):
    address, worker, scheduler = cluster
    one = worker("one")
    flags, out = tmp_path / "flags", tmp_path / "out"
    call = [toy, "-p", "mode=ok,hang_once", "-p", f"flags={flags}", "--output", out]
    process = start(*call, "--scheduler", address)
    try:
        wait_until(lambda: list(flags.glob("hang_once-*.try0")) and len(list(out.glob("rows/*.json"))) == 1)
        (kernel,) = kernels(one)
        os.killpg(scheduler.pid, signal.SIGKILL) if lost == "scheduler" else process.kill()
        said, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert lost == "driver" or process.returncode == 1 and "connection to the Dask scheduler is lost" in said, said
    wait_until(lambda: not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE)
    assert sweep(*call).exit_code == 0
    assert [status for _, status, *_ in table(out)] == ["ok", "ok"] and not list(flags.glob("ok-*.try1"))
