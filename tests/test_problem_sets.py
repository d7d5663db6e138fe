"""Problem sets: every right variant passes, every classic bug gets its own sentence, and no answer lies about.

`cd tests && python -m ps1_variants` prints the whole table of problem set 1; ps2_variants likewise.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import signal

import nbformat
import numpy as np
import pytest
import torch
from ps1_variants import PS1
from variants.problem_set import region
from variants.sets import SETS
from variants.table import said

import course_lib
from course_lib.checks import CheckFailed
from course_lib.paths import NOTEBOOKS, ROOT, lessons

EXERCISES = [(ps, e) for ps in SETS for e in ps.exercises]
GRADED = [(ps, e) for ps in SETS for e in ps.graded]
RIGHT = [(ps, e, what, answer) for ps, e in EXERCISES for what, answer in e.correct.items()]
BUGS = [(ps, e, what, answer, says) for ps, e in EXERCISES for what, (answer, says) in e.bugs.items()]


def name_of(value):
    return getattr(value, "name", value) if isinstance(getattr(value, "name", value), str) else ""


def exercise_of(problem_set, name):
    (found,) = [each for each in problem_set.exercises if each.name == name]
    return found


every_set = pytest.mark.parametrize("ps", SETS, ids=name_of)
every_exercise = pytest.mark.parametrize("ps, exercise", EXERCISES, ids=name_of)
graded = pytest.mark.parametrize("ps, exercise", GRADED, ids=name_of)


@pytest.mark.parametrize("ps, exercise, what, answer", RIGHT, ids=name_of)
def test_every_right_variant_is_accepted(ps, exercise, what, answer):
    assert not said(exercise.check, answer)
    if exercise in ps.graded:
        ps.run_hidden_test(exercise.name, answer)


@pytest.mark.parametrize("ps, exercise, what, answer, says", BUGS, ids=name_of)
def test_every_bug_is_named(ps, exercise, what, answer, says):
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

    with pytest.raises(CheckFailed, match="a loop that never ends"):
        exercise_of(PS1, "line_search").check(line_search)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


@pytest.mark.parametrize("ps, exercise, what, answer, says", [b for b in BUGS if b[1] in b[0].graded], ids=name_of)
def test_hidden_tests_alone_refuse_every_bug(ps, exercise, what, answer, says):
    with pytest.raises((AssertionError, ValueError)):
        ps.run_hidden_test(exercise.name, answer)


def written(value):
    """Inputs as text, but for functions and random generators, whose text is another each time."""
    if isinstance(value, torch.Tensor):
        return f"tensor {value.tolist()}"
    if isinstance(value, np.ndarray):
        return f"array {value.tolist()}"
    if isinstance(value, list | tuple):
        return str([written(each) for each in value])
    return "" if callable(value) or isinstance(value, np.random.Generator) else repr(value)


def recorded(exercise, run):
    """What `run` asks a right answer: [inputs as text], [results]."""
    right, asked, results = next(iter(exercise.correct.values())), [], []

    def answer(*inputs):
        asked.append(written(inputs))
        results.append(right(*inputs))
        return results[-1]

    run(answer)
    return asked, results


@graded
@pytest.mark.parametrize("seed", [1, 2**32 - 1])
def test_hidden_inputs_follow_the_class_seed(ps, exercise, seed, monkeypatch):
    asked = []
    for value in (0, seed):
        monkeypatch.setenv("COURSE_CLASS_SEED", str(value))
        asked.append(recorded(exercise, lambda answer: ps.run_hidden_test(exercise.name, answer))[0])
    assert len(set(asked[1]) - set(asked[0])) >= 3


@graded
def test_results_learned_by_heart_pass_the_visible_check_only(ps, exercise):
    asked, results = recorded(exercise, exercise.check)
    known = dict(zip(asked, results, strict=True))
    answers = iter(results)
    assert not said(exercise.check, lambda *inputs: next(answers)), "the inputs of a check are always the same"
    with pytest.raises(AssertionError):
        ps.run_hidden_test(exercise.name, lambda *inputs: known[written(inputs)])


def test_no_problem_set_is_forgotten():
    assert {path.stem for path in NOTEBOOKS.glob("assignments/*/*.ipynb")} == {ps.name for ps in SETS}


def test_enough_variants_and_bugs():
    for _, exercise in EXERCISES:
        assert len(exercise.correct) >= 5 and len(exercise.bugs) >= 8, exercise.name


@every_exercise
def test_no_answer_no_result_and_an_error_are_told(ps, exercise):
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
    """Syntax trees of the sources' answers and of every right variant of a graded exercise."""
    for ps, exercise in GRADED:
        yield exercise.name, functions(ast.parse(ps.cell(exercise.name).source))[0]
        for what, answer in exercise.correct.items():
            yield f"{exercise.name}, {what}", functions(ast.parse(inspect.getsource(answer)))[0]


def test_no_graded_answer_is_in_course_lib_or_a_lesson():
    bodies = {normalised(answer): name for name, answer in answers()}
    assert len(bodies) >= 5 * len(GRADED)
    names = {exercise.name for _, exercise in GRADED}
    for where, tree in trees():
        for function in functions(tree):
            assert getattr(function, "name", "") not in names, where
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


@graded
def test_nothing_of_course_lib_passes_as_an_answer(ps, exercise):
    tried = dict(callables())
    assert len(tried) > 40
    for where, value in tried.items():
        try:
            passed = not said(exercise.check, value)
        except (CheckFailed, Exception):
            passed = False
        assert not passed, where


# How the set is written


@every_set
def test_every_exercise_says_what_it_asks(ps):
    text = {each.id: each.source for each in ps.notebook.cells}
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


@every_set
def test_marks_and_minutes_agree(ps):
    said_marks = {}
    for each in ps.notebook.cells:
        if each.id.startswith("exercise-"):
            marks = re.search(r"(\d+) marks\*\*", each.source)
            said_marks[each.id[-1]] = int(marks.group(1)) if marks else 0
        points = each.metadata.get("nbgrader", {}).get("points", 0)
        if points:
            assert points == said_marks[max(said_marks)]
    title = ps.notebook.cells[0].source
    in_table = re.findall(r"^\| (\d) \|[^|]*\|[^|]*\| (\S+) \|[^|]*\|[^|]*\| (\d+) \|", title, re.M)
    assert {number: 0 if marks == "–" else int(marks) for number, marks, _ in in_table} == said_marks
    assert f"{sum(said_marks.values())} marks" in title and sum(said_marks.values()) == 20
    assert sum(int(minutes) for *_, minutes in in_table) == 210, "about three and a half hours"


@every_set
def test_the_table_says_what_the_exercises_say(ps):
    in_table = re.findall(
        r"^\| (\d) \| (.*?) \|.*\| (.* of 5) \| (.* of 5) \| (\d+) \| (.*?) \|$", ps.notebook.cells[0].source, re.M
    )
    exercises = {each.id[-1]: each.source for each in ps.notebook.cells if each.id.startswith("exercise-")}
    assert [number for number, *_ in in_table] == sorted(exercises)
    for number, title, difficulty, importance, minutes, lesson in in_table:
        text = exercises[number]
        assert re.match(rf"## {number} · (Stretch: )?{re.escape(title)}\n", text, re.I)
        assert f"difficulty {difficulty} · importance {importance} · {minutes} minutes · lesson {lesson[:2]}" in text


@every_set
def test_the_source_holds_no_outputs_and_answers_are_short(ps):
    for each in ps.notebook.cells:
        if each.cell_type == "code":
            assert not each.outputs and each.execution_count is None
            assert len(region("SOLUTION", each.source).split("\n")) <= 15
