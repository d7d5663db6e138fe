"""`course grade`: fair marks for everybody, whatever is handed in, and nothing lost when it is interrupted."""

import csv
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime

import psutil
import pytest
from click.testing import CliRunner
from hostile import HOSTILE, hand_in
from nbformat import v4
from nbgrader.api import Gradebook
from tabulate import tabulate
from toy_set import NOTEBOOK, RIGHT, SET, Student, write_source

from course_lib import cli
from course_lib.grading import sandbox
from course_lib.grading.autograde import Grading, read_record
from course_lib.grading.classroom import Classroom, GradingError
from course_lib.grading.grade import grade
from course_lib.grading.late import Rule, read_rule
from course_lib.grading.marks import groups
from course_lib.grading.release import ensure_released, release
from course_lib.grading.sandbox import Limits
from course_lib.grading.secret import class_secret, class_seed, test_seed
from course_lib.grading.submissions import WORTH_A_LOOK, mend
from course_lib.paths import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # nbgrader's
sandboxed = pytest.mark.usefixtures("works")


@pytest.fixture(scope="session")
def works():
    """Skips, with the reason, where there can be no sandbox."""
    if sandbox.why_not():
        pytest.skip(f"no sandbox: {sandbox.why_not()}")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The toy set, released in a class folder that tests copy."""
    room = Classroom(tmp_path_factory.mktemp("a class"))
    write_source(room.folder / "source")
    release(room, SET)
    return room


@pytest.fixture
def room(source, tmp_path):
    """A class folder of one's own."""
    room = Classroom(tmp_path / "class")
    shutil.copytree(source.folder, room.folder)
    return room


def marks(room):
    """The rows of the CSV by student."""
    with open(room.folder / "marks" / f"{SET}.csv", encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def course(*arguments):
    """`course …` in this process, which must end without a traceback."""
    result = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# The student copy


def test_the_student_copy_has_neither_answers_nor_hidden_tests(source):
    copy = (source.folder / "release" / SET / NOTEBOOK).read_text()
    assert "NotImplementedError" in copy and "double(1) == 2" in copy
    for secret in "return 2 * x", "SOLUTION", "HIDDEN", "class_seed", "anything":
        assert secret not in copy


def test_a_changed_source_is_cut_again_and_an_unchanged_one_is_not(room):
    assert not ensure_released(room, SET)
    path = room.folder / "source" / SET / NOTEBOOK
    path.write_text(path.read_text().replace("# Toy", "# Toy, mended"))
    assert ensure_released(room, SET)
    assert "mended" in (room.folder / "release" / SET / NOTEBOOK).read_text()


def test_release_by_the_command(room):
    result = course("release", SET, "--class", room.folder)
    assert result.exit_code == 0 and str(room.folder / "release" / SET) in result.output


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["release", "toi"], "no problem set 'toi'; there is "),
        (["grade", "toi"], "no problem set 'toi'; there is "),
        (["grade", SET], "nobody has handed in toy: expected "),
    ],
)
def test_mistakes_are_one_line(room, arguments, said):
    result = course(*arguments, "--class", room.folder)
    assert result.exit_code == 2 and said in result.stderr and result.stderr.count("\n") == 1


def test_a_source_that_nbgrader_refuses(room):
    path = room.folder / "source" / SET / NOTEBOOK
    path.write_text(path.read_text().replace("### END HIDDEN TESTS", ""))
    with pytest.raises(GradingError, match="cannot cut the student copy: .*hidden tests"):
        release(room, SET)


# The class secret


def test_seeds_differ_by_class_notebook_and_test_and_stay_the_same(tmp_path):
    secrets = []
    for name in "a", "b":
        (tmp_path / name).mkdir()
        secrets.append(class_secret(tmp_path / name))
        assert class_secret(tmp_path / name) == secrets[-1]
    seeds = {test_seed(s, nb, test) for s in secrets for nb in ("ps1", "ps2") for test in ("t1", "t2")}
    assert len(seeds) == 8 and all(0 <= seed < 2**32 for seed in seeds)
    assert class_seed() == 0  # no class is graded here


# Mending


def test_an_untouched_copy_needs_no_mending(source):
    student = Student(source.folder, "x")
    mended, notes = mend(student.nb, student.nb)
    assert [c.source for c in mended.cells] == [c.source for c in student.nb.cells] and not notes


def test_missing_cells_come_back_in_their_places(source):
    original, student = Student(source.folder, "x").nb, Student(source.folder, "x")
    student.nb.cells = student.nb.cells[-1:]
    mended, notes = mend(student.nb, original)
    names = [c.metadata.nbgrader.grade_id for c in mended.cells]
    assert names == ["double", "test_double", "total", "test_total", "why"] and len(notes) == 4


def test_own_cells_stay_where_they_are_and_strange_metadata_is_dropped(source):
    student = Student(source.folder, "x").insert("y = 1", "test_double")
    for strange in "text", {"grade_id": 3}, {"grade_id": "unknown", "grade": True}:
        student.nb.cells.append(v4.new_code_cell("z = 2", metadata={"nbgrader": strange}))
    mended, _ = mend(student.nb, Student(source.folder, "x").nb)
    assert [c.source for c in mended.cells].index("y = 1") == 2
    assert all("nbgrader" not in c.metadata for c in mended.cells if c.source == "z = 2")


@pytest.mark.parametrize(
    "words, worth", [("get_ipython().run_cell", True), ("sys._getframe(1)", True), ("forked = exit_code", False)]
)
def test_words_worth_a_look(words, worth):
    assert bool(WORTH_A_LOOK.search(words)) == worth


# Dates


@pytest.mark.parametrize("late, lost", [(1, 1), (86400, 1), (86401, 2), (40 * 86400, 5)])
def test_penalties_by_days_begun(late, lost):
    assert Rule(lose_per_day=10, lose_at_most=50).penalty(10, late) == pytest.approx(lost)


def test_dates_are_read_in_their_zone(tmp_path):
    (tmp_path / "dates.yaml").write_text(f"{SET}:\n  due: 2026-10-15 23:59 +0200\n  extra_days: {{maria: 3}}\n")
    rule = read_rule(tmp_path, SET)
    assert rule.due == datetime(2026, 10, 15, 21, 59) and rule.extra_days == {"maria": 3}
    assert read_rule(tmp_path, "other") == Rule()


@pytest.mark.parametrize(
    "line, said",
    [
        ("due: 2026-10-15 23:59", "expected a time with its zone"),
        ("due: tomorrow", "tomorrow"),
        ("dew: 1", "'dew' is unknown; expected due, "),
        ("lose_per_day: 110", "lose_per_day is 110: expected a number from 0 to 100"),
        ("lose_per_day: 10%", "lose_per_day is '10%': expected a number from 0 to 100"),
        ("lose_per_day:", "lose_per_day is None: expected a number"),
        ("extra_days: 3", "extra_days is 3: expected lines of `name: value`"),
        ("extra_days: {maria: -3}", "extra_days of maria is -3: expected a number"),
        ("due: 15.10.2026 23:59 +0200", "expected a time with its zone"),
    ],
)
def test_wrong_dates_are_refused(room, line, said):
    (room.folder / "dates.yaml").write_text(f"{SET}:\n  {line}\n")
    Student(room.folder, "anna").hand_in()
    result = course("grade", SET, "--class", room.folder)
    assert result.exit_code == 2 and said in result.stderr


def test_every_mark_is_in_one_group():
    found = groups([0, 0.5, 9, 8.99, 3], 9)
    assert sum(count for _, count in found) == 5 and found[0] == ("0–1", 2) and found[-1] == ("8–9", 2)
    assert groups([0], 0) == [("0–1", 1)]


# Without a sandbox


def test_without_a_sandbox_it_says_so_and_grades_nothing(room, monkeypatch):
    monkeypatch.setattr(sandbox, "why_not", lambda: "bubblewrap is not installed")
    Student(room.folder, "anna").answer(**RIGHT).hand_in()
    result = course("grade", SET, "--class", room.folder)
    assert result.exit_code == 2 and "bubblewrap is not installed" in result.stderr and "--unsafe" in result.stderr
    assert not (room.folder / "autograded").exists()


@pytest.mark.slow
def test_unsafe_grades_without_one(room, monkeypatch):
    monkeypatch.setattr(sandbox, "why_not", lambda: "bubblewrap is not installed")
    Student(room.folder, "anna").answer(**RIGHT).hand_in()
    Student(room.folder, "bert").answer(**RIGHT).insert("import os; os._exit(1)", "test_double").hand_in()
    result = course("grade", SET, "--class", room.folder, "--unsafe")
    assert result.exit_code == 0 and "Without a sandbox" in result.output
    assert [row["mark"] for row in marks(room).values()] == ["7.0", "7.0"]


# In the sandbox


@pytest.fixture(scope="module")
def hostile(works, source, tmp_path_factory):
    """A class of nobody but hostile students, graded two at a time."""
    room = Classroom(tmp_path_factory.mktemp("hostile") / "class")
    shutil.copytree(source.folder, room.folder)
    with socket.create_server(("127.0.0.1", 0)) as server:  # within reach of everybody on this machine
        for name in HOSTILE:
            hand_in(room.folder, name, server.getsockname()[1])
        failed = grade(room, SET, Limits(seconds=15, gigabytes=1), jobs=2, say=lambda line: None)
    assert not failed
    return room


@pytest.mark.slow
@sandboxed
def test_hostile_table(hostile, capsys):
    rows = [
        (name, row["mark"], row["what_happened"][:140], f"{read_record(hostile, SET, name)['seconds']:.0f} s")
        for name, row in marks(hostile).items()
    ]
    with capsys.disabled():
        print("\n" + tabulate(rows, headers=("handed in", "mark of 7", "what happened", "time"), disable_numparse=True))
    assert {row[0] for row in rows} == set(HOSTILE)


@pytest.mark.slow
@sandboxed
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(hostile, name):
    _, mark, said = HOSTILE[name]
    row = marks(hostile)[name]
    assert float(row["mark"]) == mark, row
    assert said in row["what_happened"] and (said or not row["what_happened"]), row


@pytest.mark.slow
@sandboxed
def test_feedback_shows_no_hidden_test_and_runs_no_script(hostile):
    for name in HOSTILE:
        page = (hostile.folder / "feedback" / name / SET / "toy.html").read_text(encoding="utf-8")
        assert "class_seed" not in page and "<script>alert(" not in page
        assert name != "scripts" or "alert(1)" in page  # there to be read


@pytest.mark.slow
@sandboxed
def test_the_tests_see_the_seed_of_the_class_and_the_submission_does_not(room):
    spy = "import os\nfrom course_lib.grading.secret import class_seed\n"
    spy += "seen = class_seed(), 'COURSE_CLASS_SEED' in os.environ"
    student = (
        Student(room.folder, "anna").answer(**RIGHT).insert(spy, "total").insert("assert seen == (0, False)", "why")
    )
    teller = "from course_lib.grading.secret import class_seed\ndef double(x): raise LookupError(class_seed())"
    student.insert(teller, "test_double").hand_in()
    grade(room, SET, say=lambda line: None)
    expected = test_seed(class_secret(room.folder), "toy", "test_double")
    notes = read_record(room, SET, "anna")["notes"]
    assert notes == [f"`test_double` failed: LookupError: {expected}"]


@pytest.mark.slow
@sandboxed
def test_only_what_changed_is_graded_again_and_hand_marks_stay(room):
    for name in "anna", "bert":
        Student(room.folder, name).answer(**RIGHT, why="because").hand_in("2026-10-16 12:00 UTC")
    assert marks_after(room)["anna"]["to_mark_by_hand"] == "1"
    first = {name: (room.folder / "feedback" / name / SET / ".marks").read_text() for name in ("anna", "bert")}
    with Gradebook(room.db_url) as book:
        mark = book.find_grade("why", "toy", SET, "anna")
        mark.manual_score, mark.needs_manual_grade = 2, False
        book.db.commit()
    Student(room.folder, "bert").answer(double=RIGHT["double"]).hand_in()
    (room.folder / "dates.yaml").write_text(
        f"{SET}:\n  due: 2026-10-15 23:59 +0200\n  lose_per_day: 10\n  extra_days: {{bert: 2, brt: 1}}\n"
    )
    said = []
    grade(room, SET, say=said.append)
    assert said[0].endswith("is due 2026-10-15 21:59 UTC") and said[1].endswith("nobody who handed in: brt")
    assert any(line.startswith("[1/1] bert") for line in said) and "1 of 2 submissions are graded already" in said[2]
    rows = marks(room)
    assert (rows["anna"]["points"], rows["anna"]["mark"], rows["anna"]["late_penalty"]) == ("9.0", "8.1", "0.9")
    assert (rows["bert"]["points"], rows["bert"]["late_penalty"]) == ("3.0", "0.0")
    again = {name: (room.folder / "feedback" / name / SET / ".marks").read_text() for name in first}
    assert again["anna"] != first["anna"] and again["bert"] != first["bert"]
    shutil.rmtree(room.folder / "submitted" / "bert")
    assert set(marks_after(room)) == {"anna"}, "who has withdrawn is not in the marks"


@pytest.mark.slow
@sandboxed
def test_the_student_reads_what_was_mended_and_what_waits(room):
    Student(room.folder, "anna").answer(test_double="pass", why="because").hand_in()
    (room.folder / "submitted" / "bert" / SET).mkdir(parents=True)
    (room.folder / "submitted" / "bert" / SET / "toy.ipynb").write_text("%PDF-1.7")
    grade(room, SET, say=lambda line: None)
    pages = {name: (room.folder / "feedback" / name / SET / "toy.html").read_text() for name in ("anna", "bert")}
    assert "test_double</code> was edited; the original was used" in pages["anna"]
    assert "Not marked yet" in pages["anna"] and "Not marked yet" not in pages["bert"]
    assert "is not a notebook" in pages["bert"]


def marks_after(room):
    grade(room, SET, say=lambda line: None)
    return marks(room)


@pytest.mark.slow
@sandboxed
def test_killed_halfway_it_goes_on_where_it_was(room):
    names = [f"student{i}" for i in range(6)]
    for name in names:
        Student(room.folder, name).answer(**RIGHT).insert(
            f"import time; time.sleep(1)  # {room.folder}", "why"
        ).hand_in()
    main = "from course_lib.cli import main; main()"
    command = [sys.executable, "-c", main, "grade", SET, "--class", str(room.folder), "--jobs", "2"]
    call = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list((room.folder / "records").rglob("*.json"))) >= 2, 120)
    family = psutil.Process(call.pid).children(recursive=True)
    call.send_signal(signal.SIGKILL)
    call.wait()
    wait_for(lambda: not any(map(running, family)), 10)  # no sandbox outlives it
    before = {name for name in names if read_record(room, SET, name)}
    assert 2 <= len(before) < 6
    said = []
    assert not grade(room, SET, say=said.append)
    assert {line.split()[1].rstrip(":") for line in said if line.startswith("[")} == set(names) - before
    assert {row["mark"] for row in marks(room).values()} == {"7.0"} and len(marks(room)) == 6


@pytest.mark.slow
@sandboxed
def test_nbgraders_own_command_uses_the_sandbox_too(room):
    hand_in(room.folder, "reads_sources", 0)
    command = [sys.executable, "-m", "nbgrader", "autograde", SET]
    subprocess.run(command, cwd=room.folder, check=True, capture_output=True)
    with Gradebook(room.db_url) as book:
        assert book.find_submission(SET, "reads_sources").score == 7
    assert "found 0: []" in (room.folder / "autograded" / "reads_sources" / SET / NOTEBOOK).read_text()


def running(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.full
@pytest.mark.slow
@sandboxed
def test_a_class_of_100(room, capsys):
    """Most answer rightly, some half, some not at all, some do harm."""
    names = [name for name in HOSTILE if name not in ("two_gb_file", "link", "no_notebook", "wrong_name")]
    expected = {}
    for i in range(100):
        name = f"student{i:03}"
        kind = names[i // 10 % len(names)] if i % 10 == 9 else ("right", "right", "hard_coded", "untouched")[i % 4]
        student = HOSTILE[kind][0](Student(room.folder, name))
        student.hand_in()
        expected[name] = HOSTILE[kind][1]
    start = time.monotonic()
    assert not Grading(room, SET, Limits(seconds=15, gigabytes=1)).run(2, say=lambda line: None)
    graded = time.monotonic()
    grade(room, SET, Limits(seconds=15, gigabytes=1), say=lambda line: None)
    minutes = (graded - start) / 60, (time.monotonic() - graded) / 60
    with capsys.disabled():
        print("\n100 submissions: graded in {:.1f} minutes, marks and feedback in {:.1f} more".format(*minutes))
    assert {name: float(row["mark"]) for name, row in marks(room).items()} == expected
