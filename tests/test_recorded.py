"""Recorded runs: what is kept is what is read back, and it names what made it."""

import datetime
import json
import math
import re
import subprocess

import pytest
import torch

from course_lib import recorded
from course_lib.device import describe
from course_lib.recorded import Run, keep

RUN = Run(
    "modern-1",
    "runs/train_lm",
    {"d_model": 64, "rate": 0.5, "tied": False, "text": "shakespeare", "final": math.inf},
    {"loss": 1.25, "diverged": math.nan, "best": -math.inf, "worst": math.inf, "steps": 20, "ok": True, "name": "a"},
    [{"step": 0, "seconds": 0.0, "validation": 4.5}, {"step": 10, "seconds": 1.5, "validation": math.nan}],
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "FOLDER", tmp_path / "recorded")
    return tmp_path / "recorded"


def same(a, b) -> bool:
    """Equal, of one type, and NaN is NaN."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a and b != b)


def test_what_is_kept_is_read_back(folder):
    path = keep("05_lesson", RUN)
    assert path == folder / "05_lesson" / "modern-1.json"
    (found,) = recorded.recorded("05_lesson").values()
    for name in ("name", "notebook", "parameters", "results", "curve"):
        assert same(getattr(found, name), getattr(RUN, name)), name
    text = path.read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert text.endswith("\n")


def test_a_run_names_machine_version_commit_and_day(monkeypatch):
    keep("05_lesson", RUN)
    found = recorded.recorded("05_lesson")["modern-1"]
    assert (found.machine, found.torch) == (describe(), torch.__version__)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=recorded.ROOT, capture_output=True, text=True)
    if head.returncode:
        assert found.commit == ""  # a downloaded copy is no repository
    else:
        assert re.fullmatch(r"[0-9a-f]{10,}\+?", found.commit) and head.stdout.startswith(found.commit.rstrip("+"))
    days = datetime.datetime.now(datetime.UTC).date() - datetime.date.fromisoformat(found.date)
    assert 0 <= days.days <= 1


def test_a_commit_says_whether_files_differ_from_it(tmp_path, monkeypatch):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(recorded, "ROOT", tmp_path)
    assert recorded.commit() == ""
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    git("tag", "-a", "v1", "-m", "a tag is no commit")
    commit = git("rev-parse", "HEAD")[:10]
    assert recorded.commit() == commit
    (tmp_path / "data" / "recorded").mkdir(parents=True)
    (tmp_path / "data" / "recorded" / "run.json").write_text("one")
    git("add", ".")
    git("commit", "-q", "-m", "a run")
    commit = git("rev-parse", "HEAD")[:10]
    (tmp_path / "data" / "recorded" / "run.json").write_text("remade")
    assert recorded.commit() == commit  # not what ran
    (tmp_path / "file").write_text("two")
    assert recorded.commit() == commit + "+"
    monkeypatch.setenv("PATH", "")
    assert recorded.commit() == ""


def test_runs_are_found_by_lesson_and_name_and_kept_again():
    assert recorded.recorded("05_lesson") == {}
    for name in ("textbook", "modern", "a"):
        keep("05_lesson", Run(name, "runs/train_lm", {}, {"loss": 1.0}))
    keep("06_other", Run("other", "runs/train_lm", {}, {"loss": 1.0}))
    assert list(recorded.recorded("05_lesson")) == ["a", "modern", "textbook"]
    keep("05_lesson", Run("modern", "runs/train_lm", {}, {"loss": 0.5}))
    assert recorded.recorded("05_lesson")["modern"].results == {"loss": 0.5}
    assert len(recorded.recorded("05_lesson")) == 3


def test_what_json_cannot_hold_leaves_the_run_before():
    keep("05_lesson", Run("a", "runs/train_lm", {}, {"loss": 1.0}))
    with pytest.raises(TypeError):
        keep("05_lesson", Run("a", "runs/train_lm", {}, {"loss": torch.zeros(1)}))
    assert recorded.recorded("05_lesson")["a"].results == {"loss": 1.0}


def row(seed: int, **more) -> dict:
    """As `course_lib.batch` has it of a finished run."""
    parameters = {"rate": 0.5, "sizes": [1, 2], "seed": seed}
    results = {"loss": 1.5 + seed, "worst": "Infinity"}
    made_by = {"machine": "a machine", "torch": "2.15.0"}
    kept = {"name": f"toy-{seed}", "lesson": "toy", "status": "ok", "seconds": 2.0, "peak_mb": 90}
    return kept | {"parameters": parameters, "results": results} | made_by | more


def test_a_sweep_is_read_back_with_what_differs_apart_from_what_does_not(folder):
    path = recorded.keep_sweep("08_lesson", "grid", [row(0), row(1)], "abc")
    json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    found = recorded.recorded_sweep("08_lesson", "grid")
    assert found.parameters == {"rate": 0.5, "sizes": [1, 2]} and found.notebook == "runs/toy"
    assert found.rows == [
        {"seed": seed, "loss": 1.5 + seed, "worst": math.inf, "seconds": 2.0, "peak_mb": 90} for seed in (0, 1)
    ]
    assert (found.commit, found.machine, found.torch) == ("abc", "a machine", "2.15.0")


def test_a_sweep_with_a_failed_run_is_not_kept(folder):
    with pytest.raises(ValueError, match=r"1 of 2 runs failed, \['toy-1'\] first"):
        recorded.keep_sweep("08_lesson", "grid", [row(0), row(1, status="failed")], "abc")
    with pytest.raises(ValueError, match="0 of 0"):
        recorded.keep_sweep("08_lesson", "grid", [], "abc")
    assert not folder.exists()
