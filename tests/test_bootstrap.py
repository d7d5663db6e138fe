"""The set-up: what stops it before it starts, what it installs, and what a repeated call finds and does.

Each test works on a copy of bootstrap.py in an empty folder, with a small stand-in for what pip does.
"""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from collections import namedtuple
from pathlib import Path

import pytest

from course_lib.paths import ROOT

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def disk_with(gb: float, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(500e9, 0, int(gb * 1e9)))


class SetUp:
    """A copy of bootstrap.py whose pip only counts its calls; `pip` is the Python code that stands in for it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("bootstrap.py", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        self.folder, self.calls, self.pip = folder, [], "print('fine')"
        self.patch = monkeypatch
        self.load()

    def load(self) -> None:
        spec = importlib.util.spec_from_file_location("bootstrap_copy", self.folder / "bootstrap.py")
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.real_pip_commands = self.module.pip_commands
        self.patch.setattr(self.module, "pip_commands", self.pip_commands)
        self.patch.setattr(self.module, "make_venv", self.make_venv)
        disk_with(100, self.patch)

    def make_venv(self) -> None:
        venv.create(self.folder / ".venv", clear=True, symlinks=os.name != "nt", with_pip=False)

    def pip_commands(self, torch_index: str, cache: bool) -> list[list[str]]:
        self.calls.append((torch_index, cache))
        return [[sys.executable, "-c", self.pip]]

    def run(self) -> None:
        self.module.main()

    @property
    def finished(self) -> bool:
        return self.module.is_ready()


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    folder = tmp_path / "a course"  # with a space
    folder.mkdir()
    return SetUp(folder, monkeypatch)


def stops(set_up, capfd) -> str:
    """The one line a set-up stops with."""
    with pytest.raises(SystemExit) as stop:
        set_up.run()
    assert isinstance(stop.value.code, str) and len(stop.value.code.splitlines()) == 1
    assert not set_up.finished
    assert "Traceback" not in capfd.readouterr().err
    return stop.value.code


# What stops it before anything is written


def test_old_python_is_told_what_to_do(set_up, capfd, monkeypatch):
    version = namedtuple("version", "major minor micro")(3, 9, 6)
    monkeypatch.setattr(set_up.module.sys, "version_info", version)
    message = stops(set_up, capfd)
    assert "found Python 3.9" in message and "3.11" in message and "make course PYTHON=python3." in message
    assert not (set_up.folder / ".venv").exists()


def test_old_python_can_read_it():
    ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 8))


def test_python_without_ensurepip_is_told_the_package(set_up, capfd, monkeypatch):
    monkeypatch.setattr(set_up.module.importlib.util, "find_spec", lambda name: None)
    assert "-venv`" in stops(set_up, capfd)
    assert not (set_up.folder / ".venv").exists()


@pytest.mark.parametrize(
    ("platform", "index", "least"),
    [("linux", "", 10), ("linux", CPU_INDEX, 3), ("linux", "https://x.org/cu130", 10), ("darwin", "", 3)],
)
def test_disk_is_checked_first(set_up, capfd, monkeypatch, platform, index, least):
    monkeypatch.setattr(set_up.module, "make_venv", pytest.fail)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("TORCH_INDEX", index)
    disk_with(least - 0.1, monkeypatch)
    message = stops(set_up, capfd)
    assert f"{least} GB" in message and f"found {least - 0.1:.1f}" in message
    assert not (set_up.folder / ".venv").exists()
    disk_with(least + 0.1, monkeypatch)
    assert set_up.module.check_disk(index) is False  # room, though not for pip's cache
    disk_with(least + 10, monkeypatch)
    assert set_up.module.check_disk(index) is True


def test_an_old_venv_counts_as_free(set_up, monkeypatch):
    monkeypatch.setattr(set_up.module, "GB_CUDA", 1)
    monkeypatch.setattr(set_up.module, "GB_CPU", 1)
    disk_with(0.999, monkeypatch)
    big = set_up.folder / ".venv" / "lib" / "big"
    big.parent.mkdir(parents=True)
    big.write_bytes(b"\0" * 2_000_000)
    set_up.run()
    assert set_up.finished and not big.exists()


# What it runs


def test_pip_gets_pins_and_the_test_extra(set_up):
    *_, install = set_up.real_pip_commands("", True)
    assert "-c constraints.txt -e .[test]" in " ".join(install)
    assert not any("index" in word for word in install)


def test_torch_index_is_a_further_index(set_up):
    *_, install = set_up.real_pip_commands(CPU_INDEX, True)
    assert install[install.index("--extra-index-url") + 1] == CPU_INDEX


def test_no_cache_on_a_nearly_full_disk(set_up):
    assert all("--no-cache-dir" in command for command in set_up.real_pip_commands("", False))


def test_big_downloads_are_shown_small_ones_not(set_up, capfd):
    set_up.pip = """if True:
        print("Collecting torch==2.15.0")
        print("  Downloading torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl (538.9 MB)")
        print("Progress 1 of 538900000")
        print("  Downloading tqdm-4.70.1-py3-none-any.whl (78 kB)")
        print("Installing collected packages: tqdm, torch")
    """
    set_up.run()
    out = capfd.readouterr().out
    assert "torch-2.15.0, 538 MB" in out and "2 packages" in out
    assert "Collecting" not in out and "Progress" not in out and "tqdm" not in out


# What a failure leaves, and what the next call makes of it


def test_failing_pip_gives_one_line_and_the_next_call_picks_up(set_up, capfd):
    set_up.pip = """if True:
        print("Collecting torch")
        print("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
        raise SystemExit(1)
    """
    assert "No space left on device" in stops(set_up, capfd)
    set_up.pip = "print('fine')"
    set_up.run()
    assert set_up.finished


def test_interrupted_set_up_starts_over(set_up, monkeypatch):
    def interrupt(command):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(set_up.module, "run_pip", interrupt)
        with pytest.raises(KeyboardInterrupt):
            set_up.run()
    assert not set_up.finished
    half = set_up.folder / ".venv" / "half-written"
    half.touch()
    set_up.run()
    assert set_up.finished and not half.exists()


def test_interrupted_clearing_does_not_leave_a_venv_that_seems_finished(set_up, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    set_up.run()
    monkeypatch.setenv("TORCH_INDEX", CPU_INDEX)
    monkeypatch.setattr(set_up.module, "make_venv", interrupt)
    with pytest.raises(KeyboardInterrupt):
        set_up.run()
    monkeypatch.delenv("TORCH_INDEX")
    assert not set_up.finished


# What a repeated call does


def test_a_finished_set_up_is_left_alone(set_up):
    set_up.run()
    kept = set_up.folder / ".venv" / "kept"
    kept.touch()
    set_up.run()
    assert len(set_up.calls) == 1 and kept.exists()


def test_changed_pins_are_installed_into_the_same_venv(set_up, monkeypatch):
    monkeypatch.setenv("TORCH_INDEX", CPU_INDEX)
    set_up.run()
    monkeypatch.delenv("TORCH_INDEX")
    kept = set_up.folder / ".venv" / "kept"
    kept.touch()
    with open(set_up.folder / "constraints.txt", "a", encoding="utf-8") as pins:
        pins.write("another==1\n")
    assert not set_up.finished
    set_up.run()
    assert set_up.finished and kept.exists()
    assert [index for index, cache in set_up.calls] == [CPU_INDEX, CPU_INDEX]  # the choice is remembered


def change_python(set_up, monkeypatch):
    stamp = set_up.folder / ".venv" / "set-up.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"python": "3.10"}))


def remove_python(set_up, monkeypatch):
    set_up.module.VENV_PYTHON.unlink()


def move_folder(set_up, monkeypatch):
    moved = set_up.folder.with_name("moved")
    set_up.folder.rename(moved)
    set_up.folder = moved
    set_up.load()


def choose_torch(set_up, monkeypatch):
    monkeypatch.setenv("TORCH_INDEX", CPU_INDEX)


@pytest.mark.parametrize("what", [change_python, remove_python, move_folder, choose_torch])
def test_a_venv_that_does_not_fit_is_made_again(set_up, monkeypatch, what):
    set_up.run()
    what(set_up, monkeypatch)
    stale = set_up.folder / ".venv" / "stale"
    stale.touch()
    assert not set_up.finished
    set_up.run()
    assert set_up.finished and not stale.exists() and len(set_up.calls) == 2


def test_a_chosen_python_counts_only_when_chosen(set_up, monkeypatch):
    set_up.run()
    other = namedtuple("version", "major minor micro")(3, 12 if sys.version_info[1] != 12 else 13, 0)
    monkeypatch.setattr(set_up.module.sys, "version_info", other)
    assert set_up.finished
    monkeypatch.setenv("PYTHON", "python3.99")
    assert not set_up.finished


@pytest.mark.skipif(os.name == "nt", reason="file locks of this kind are Unix's")
def test_two_set_ups_do_not_meet(set_up):
    second = "import sys; sys.path.insert(0, '.'); import bootstrap\nwith bootstrap.only_one_at_a_time(): print('in')"
    with set_up.module.only_one_at_a_time():
        other = subprocess.Popen([sys.executable, "-c", second], cwd=set_up.folder, stdout=subprocess.PIPE, text=True)
        assert "Waiting" in other.stdout.readline()
        assert other.poll() is None
    assert other.communicate(timeout=10)[0].strip() == "in"
