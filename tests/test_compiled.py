"""torch.compile changes no number, and where it does not work nothing is lost but speed."""

import os
import subprocess
import sys

import pytest
import torch

from course_lib.compiled import compiled
from course_lib.transformer import Architecture, TransformerLM

CAPABLE = """
import torch
torch.compile(lambda x: (x.exp() + 1).sum())(torch.ones(3))
"""
BROKEN = """
import torch
from course_lib.compiled import compiled

calls = 0

def function(x, power=2):
    global calls
    if not torch.compiler.is_compiling():
        calls += 1
    return (x.exp() + x**power).sum()

fast, x = compiled(function), torch.ones(3, requires_grad=True)
for _ in range(3):
    fast(x, power=3).backward()
print("calls", calls)
print("gradient", *(x.grad - 3 * (x.detach().exp() + 3)).abs().lt(1e-4).tolist())
"""


def python(source: str, folder, **environment) -> subprocess.CompletedProcess:
    """A process of its own: whether there is a compiler is remembered, and so is what it made."""
    own = {"TORCHINDUCTOR_CACHE_DIR": str(folder), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", source], env=os.environ | own | environment, capture_output=True,
                          text=True, encoding="utf-8", errors="replace")  # fmt: skip


@pytest.mark.slow
def test_a_compiled_model_has_the_values_and_gradients_of_itself(tmp_path):
    """Also where it is judged in between; and a function those of itself, called with two shapes."""
    if python(CAPABLE, tmp_path).returncode:
        pytest.skip("torch.compile needs a C++ compiler, and here it finds none")
    torch.manual_seed(0)
    architecture = Architecture.modern(d_model=8, n_heads=2, n_layers=1, max_length=8)
    model = TransformerLM(5, architecture)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    fast = compiled(model.loss)
    for _ in range(2):
        ids, targets = torch.randint(5, (2, 3, 8))
        results = []
        for loss_of in (model.loss, fast):
            model.zero_grad()
            loss = loss_of(ids, targets)
            loss.backward()
            results.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
        for found, expected in zip(*reversed(results), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        model.score(ids)
    wave = compiled(lambda x: x.sin().square().sum())
    for n in (3, 5, 3):
        x = torch.randn(n, requires_grad=True)
        wave(x).backward()
        torch.testing.assert_close(x.grad, (2 * x).sin(), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_without_a_working_compiler_a_notice_is_printed_once_and_the_function_is_used(tmp_path):
    done = python(BROKEN, tmp_path, CXX=sys.executable)  # a program that compiles no C++
    assert done.returncode == 0, done.stderr
    notice, *rest = done.stdout.splitlines()
    assert notice.startswith("Notice: torch.compile does not work here (")
    assert notice.endswith("; going on without it.")
    assert rest == ["calls 3", "gradient True True True"]


# What chooses, without a compiler


@pytest.fixture
def compiler(monkeypatch):
    """A stand-in for torch.compile: what it was given, and what calls of its result do."""

    class Compiler:
        error, calls, settings = None, 0, None

        def __call__(self, function, **settings):
            self.settings = settings

            def fast(*args, **kwargs):
                self.calls += 1
                if self.error is not None:
                    raise self.error
                return function(*args, **kwargs)

            return fast

    stand_in = Compiler()
    monkeypatch.setattr(torch, "compile", stand_in)
    return stand_in


def test_what_compiles_is_used_from_then_on(compiler, capsys):
    fast = compiled(lambda x, y=1: x + y)
    assert [fast(1, y=2), fast(1), fast(x=3)] == [3, 2, 4]
    assert compiler.calls == 3 and compiler.settings == {"dynamic": False}
    assert capsys.readouterr().out == ""


def test_a_python_that_pytorch_does_not_compile_on_is_named(monkeypatch, capsys):
    def refuse(function, **settings):
        raise RuntimeError("torch.compile is not supported on Python 4")

    monkeypatch.setattr(torch, "compile", refuse)
    assert compiled(lambda x: x + 1)(2) == 3
    assert "does not work here (torch.compile is not supported on Python 4)" in capsys.readouterr().out


def test_what_does_not_compile_is_tried_once_and_named_in_a_line(compiler, capsys):
    compiler.error = torch._dynamo.exc.TorchDynamoException("no compiler\nand a long story")
    fast = compiled(lambda x, y=1: x + y)
    assert [fast(1, y=2), fast(1), fast(x=3)] == [3, 2, 4]
    assert compiler.calls == 1
    assert capsys.readouterr().out == "Notice: torch.compile does not work here (no compiler); going on without it.\n"


def test_a_reason_without_words_is_named_by_its_type_and_a_long_one_is_cut(compiler, capsys):
    for error, said in [("", "TorchDynamoException"), ("x" * 999, "x" * 160)]:
        compiler.error = torch._dynamo.exc.TorchDynamoException(error)
        compiled(lambda: None)()
        assert f"here ({said}); going on" in capsys.readouterr().out


@pytest.mark.parametrize("error", [ValueError("three rows are too many"), KeyboardInterrupt()])
def test_an_error_of_the_function_itself_surfaces(compiler, error, capsys):
    def function(x):
        if x == 3:
            raise error
        return x

    fast = compiled(function)
    for use in (1, 2):
        with pytest.raises(type(error)):
            fast(3)
        assert fast(use) == use  # and it is still there
    assert compiler.calls == 4 and capsys.readouterr().out == ""


def test_an_error_of_a_function_that_does_not_compile_surfaces(compiler):
    compiler.error = torch._dynamo.exc.TorchDynamoException("mm: shapes")
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        compiled(lambda: torch.ones(2, 3) @ torch.ones(2, 3))()
