"""Problem set 1: every right variant passes, every classic bug gets its own sentence, and no answer lies about.

`cd tests && python -m ps1_variants` prints the whole table.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import signal

import nbformat
import pytest
from ps1_variants import EXERCISES
from ps1_variants.source import cell, notebook, region, run_hidden_test
from ps1_variants.table import GRADED, said

import course_lib
from course_lib.checks import CheckFailed
from course_lib.paths import ROOT, lessons

RIGHT = [(e, what, answer) for e in EXERCISES for what, answer in e.correct.items()]
BUGS = [(e, what, answer, says) for e in EXERCISES for what, (answer, says) in e.bugs.items()]


def name_of(value):
    return getattr(value, "name", value) if isinstance(getattr(value, "name", value), str) else ""


@pytest.mark.parametrize("exercise, what, answer", RIGHT, ids=name_of)
def test_every_right_variant_is_accepted(exercise, what, answer):
    assert not said(exercise.check, answer)
    if exercise.name in GRADED:
        run_hidden_test(exercise.name, answer)


@pytest.mark.parametrize("exercise, what, answer, says", BUGS, ids=name_of)
def test_every_bug_is_named(exercise, what, answer, says):
    with pytest.raises(CheckFailed) as failure:
        exercise.check(answer)
    sentence, *case = str(failure.value).split("\n")
    assert says in sentence
    assert case[0].startswith("  case:     "), "the smallest case is shown"
    assert any(line.startswith("  got: ") for line in case) or "stopped with" in sentence or "never ends" in sentence


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer to stop a call with")
def test_a_loop_that_never_ends_is_stopped_and_named(monkeypatch):
    monkeypatch.setattr("course_lib.checks.case.SECONDS", 0.2)

    def line_search(loss, gradient, x, rate, steps):
        there, r = loss(x - rate * gradient(x)), rate
        while there > loss(x) - 1e9:  # `there` never changes, and the loss is not asked forever
            try:
                r /= 2
                loss = lambda x: 0.0  # noqa: E731
            except Exception:
                pass
        return x

    (exercise,) = [e for e in EXERCISES if e.name == "line_search"]
    with pytest.raises(CheckFailed, match="a loop that never ends"):
        exercise.check(line_search)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


@pytest.mark.parametrize("exercise, what, answer, says", [b for b in BUGS if b[0].name in GRADED], ids=name_of)
def test_hidden_tests_alone_refuse_every_bug(exercise, what, answer, says):
    with pytest.raises((AssertionError, ValueError)):
        run_hidden_test(exercise.name, answer)


@pytest.mark.parametrize("name", GRADED)
@pytest.mark.parametrize("seed", [1, 2**32 - 1])
def test_hidden_inputs_follow_the_class_seed(name, seed, monkeypatch):
    (exercise,) = [e for e in EXERCISES if e.name == name]
    asked = []

    def answer(*inputs):
        asked.append(repr(inputs[:1] if name != "line_search" else inputs[2:]))
        return next(iter(exercise.correct.values()))(*inputs)

    for value in (0, seed):
        monkeypatch.setenv("COURSE_CLASS_SEED", str(value))
        run_hidden_test(name, answer)
    first, second = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    assert len(set(second) - set(first)) >= 3


def test_enough_variants_and_bugs():
    for exercise in EXERCISES:
        assert len(exercise.correct) >= 5 and len(exercise.bugs) >= 8, exercise.name


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_no_answer_no_result_and_an_error_are_told(exercise):
    def not_yet(*inputs):
        raise NotImplementedError()

    assert "There is no answer yet" in said(exercise.check, not_yet)
    assert "returns nothing" in said(exercise.check, lambda *inputs: None)
    assert "stopped with ZeroDivisionError: division by zero, in the line `" in said(exercise.check, lambda *i: 1 / 0)
    assert "cannot be read as numbers" in said(exercise.check, lambda *inputs: "text")


# No answer lies about


def trees():
    """(where, syntax tree) of everything a student can import or read: course_lib and the lessons."""
    for path in sorted((ROOT / "course_lib").rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))
    for path in lessons():
        for number, each in enumerate(nbformat.read(path, as_version=4).cells):
            if each.cell_type == "code":
                yield f"{path.name}, cell {number}", ast.parse(each.source)


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]


def normalised(function):
    """The body with names by order of appearance and without docstrings: what two copies have in common."""
    body = function.body if isinstance(function.body, list) else [ast.Return(function.body)]
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    names = {}
    tree = ast.parse(ast.unparse(ast.fix_missing_locations(ast.Module(body, []))))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.setdefault(node.id, f"name{len(names)}")
    return ast.dump(tree)


def answers():
    """Syntax trees of the source's answers and of every right variant of a graded exercise."""
    for name in GRADED:
        yield name, functions(ast.parse(cell(name).source))[0]
    for exercise in EXERCISES:
        if exercise.name in GRADED:
            for what, answer in exercise.correct.items():
                yield f"{exercise.name}, {what}", functions(ast.parse(inspect.getsource(answer)))[0]


def test_no_graded_answer_is_in_course_lib_or_a_lesson():
    bodies = {normalised(answer): name for name, answer in answers()}
    assert len(bodies) >= 5 * len(GRADED)
    for where, tree in trees():
        for function in functions(tree):
            assert getattr(function, "name", "") not in GRADED, where
            assert normalised(function) not in bodies, (where, bodies[normalised(function)])


def test_a_renamed_copy_would_be_found():
    copy = ast.parse('def other(ps, qs, share):\n    """Doc."""\n    both = share * ps + (1 - share) * qs')
    original = ast.parse("def f(p, q, weight):\n    mixed = weight * p + (1 - weight) * q")
    assert normalised(functions(copy)[0]) == normalised(functions(original)[0])


def callables():
    """Every function and class of course_lib that computes something."""
    leave = ("batch", "cli", "grading", "outputs", "data", "atomic", "results", "plots")
    for module in pkgutil.walk_packages(course_lib.__path__, "course_lib."):
        if module.name.split(".")[1] not in leave:
            for name, value in vars(importlib.import_module(module.name)).items():
                if callable(value) and getattr(value, "__module__", "").startswith("course_lib."):
                    yield f"{module.name}.{name}", value


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if e.name in GRADED], ids=lambda e: e.name)
def test_nothing_of_course_lib_passes_as_an_answer(exercise):
    tried = dict(callables())
    assert len(tried) > 40
    for where, value in tried.items():
        try:
            passed = not said(exercise.check, value)
        except (CheckFailed, Exception):
            passed = False
        assert not passed, where


# How the set is written


def test_every_exercise_says_what_it_asks():
    text = {each.id: each.source for each in notebook().cells}
    exercises = [each for name, each in text.items() if name.startswith("exercise-")]
    assert 6 <= len(exercises) <= 8
    for each in exercises:
        assert re.search(
            r"\*\*(Practice|Graded[^*]*)\*\* · difficulty [1-5] of 5 · importance [1-5] of 5 · \d+ minutes", each
        )
        assert "lesson 0" in each
        in_words = "Graded in words" in each
        assert in_words or ("**given**" in each and "**returned**" in each and "<details><summary>Hint" in each)
    assert sum("Stretch" in each for each in exercises) == 1


def test_marks_and_minutes_agree():
    said_marks = {}
    for each in notebook().cells:
        if each.id.startswith("exercise-"):
            marks = re.search(r"(\d+) marks\*\*", each.source)
            said_marks[each.id[-1]] = int(marks.group(1)) if marks else 0
        points = each.metadata.get("nbgrader", {}).get("points", 0)
        if points:
            assert points == said_marks[max(said_marks)]
    title = notebook().cells[0].source
    in_table = re.findall(r"^\| (\d) \|[^|]*\|[^|]*\| (\S+) \|[^|]*\|[^|]*\| (\d+) \|", title, re.M)
    assert {number: 0 if marks == "–" else int(marks) for number, marks, _ in in_table} == said_marks
    assert f"{sum(said_marks.values())} marks" in title and sum(said_marks.values()) == 20
    assert sum(int(minutes) for *_, minutes in in_table) == 210, "about three and a half hours"


def test_the_source_holds_no_outputs_and_answers_are_short():
    for each in notebook().cells:
        if each.cell_type == "code":
            assert not each.outputs and each.execution_count is None
            assert len(region("SOLUTION", each.source).split("\n")) <= 15
