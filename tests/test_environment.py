"""The files that describe the environment agree with each other and with what is installed."""

import importlib.metadata
import json
import os
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from course_lib.paths import ROOT

TARGETS = ["course", "test", "test-fast", "test-full", "lab", "data", "outputs", "html"]
REGISTRIES = ["pypi" + ".org", "python" + "hosted.org", "conda." + "anaconda.org"]
PYTHONS = ["3.11", "3.12", "3.13"]
SYSTEMS = [("Linux", "linux", "posix"), ("Darwin", "darwin", "posix"), ("Windows", "win32", "nt")]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
ASKED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
PINS = [Requirement(line) for line in read("constraints.txt").splitlines() if line[:1] not in ("", "#")]


def pinned(name: str, **environment: str) -> list[Version]:
    """The versions constraints.txt pins a package to on one system; more than one would be a contradiction."""
    return [
        Version(str(pin.specifier).removeprefix("=="))
        for pin in PINS
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate(environment))
    ]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system[0])
def test_every_dependency_has_one_fitting_pin(python, system):
    platform_system, sys_platform, os_name = system
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.7",
        "platform_system": platform_system,
        "sys_platform": sys_platform,
        "os_name": os_name,
    }
    for asked in ASKED:
        versions = pinned(asked.name, **environment)
        assert len(versions) == 1, f"{asked.name} needs one pin in constraints.txt, found {versions}"
        assert versions[0] in asked.specifier, f"constraints.txt pins {asked.name} {versions[0]}, outside {asked}"


def test_pins_are_exact():
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in PINS)


def test_what_is_installed_is_what_is_pinned():
    compared = 0
    for name in {pin.name for pin in PINS}:
        versions = pinned(name)
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a part of another build of torch, or of another system's
        public = Version(Version(installed).public)  # 2.15.0+cpu is a build of 2.15.0
        assert [public] == versions, f"{name} {installed} is installed, constraints.txt says {versions}"
        compared += 1
    assert compared >= len(ASKED)


def test_every_dependency_says_what_it_is_for():
    lines = re.findall(r'^    "[A-Za-z].*$', read("pyproject.toml"), re.MULTILINE)
    dependencies = [line for line in lines if re.match(r'    "[\w.\[\]-]+\s*[<>=~!]', line)]
    assert len(dependencies) == len(ASKED)
    for line in dependencies:
        assert re.search(r'",\s+# \w+', line), f"pyproject.toml: a reason is missing on {line.strip()}"


def test_conda_installs_what_pip_installs():
    conda = yaml.safe_load(read("environment.yml"))
    *packages, pip = conda["dependencies"]
    assert packages == ["python" + PROJECT["requires-python"], "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[test]"]}


def test_the_oldest_python_is_the_same_everywhere():
    oldest = SpecifierSet(PROJECT["requires-python"])
    matrix = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["test"]["strategy"]["matrix"]
    assert oldest == SpecifierSet(f">={matrix['python'][0]}")
    assert f"OLDEST = ({matrix['python'][0].replace('.', ', ')})" in read("bootstrap.py")
    assert f"--python-version {matrix['python'][0]} " in read("constraints.txt")


def test_make_has_every_promised_target_and_help_lists_them():
    explained = dict(re.findall(r"^([a-z-]+):.* ## (.+)$", read("Makefile"), re.MULTILINE))
    assert set(TARGETS) | {"help"} == set(explained)


def test_ci_runs_make_test():
    assert re.search(r"^exec make test$", read(".ci/run"), re.MULTILINE)
    assert os.name == "nt" or os.access(ROOT / ".ci" / "run", os.X_OK)
    steps = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["test"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]


def test_ready_made_environments_install_what_is_tested():
    requirements = read(".binder/requirements.txt").splitlines()
    assert "-c ../constraints.txt" in requirements and "-e ." in requirements
    assert read(".binder/runtime.txt").strip().removeprefix("python-") in PYTHONS
    assert os.name == "nt" or os.access(ROOT / ".binder" / "postBuild", os.X_OK)
    image = read("Dockerfile")
    assert re.search(r"^FROM python:(\S+)-slim AS machine$", image, re.MULTILINE)[1] in PYTHONS
    assert "-c constraints.txt -e ." in image
    container = json.loads(read(".devcontainer/devcontainer.json"))
    build = container["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert re.search(rf"^FROM .* AS {build['target']}$", image, re.MULTILINE)
    assert re.match(r"make (\S+)", container["postCreateCommand"])[1] in TARGETS


def test_the_cell_for_colab_names_packages_that_are_asked_for():
    """Without `--no-deps` on the course itself, pip would replace Colab's IPython under its running kernel."""
    (cell,) = re.findall(r"```ipython3\n(!git clone.+?)```", read("docs/environments.md"), re.DOTALL)
    course, packages = re.findall(r"^!pip install (.+)$", cell, re.MULTILINE)
    assert "--no-deps --editable course" in course
    names = {Requirement(word.strip('"')).name for word in packages.split() if not word.startswith("-")}
    assert names and names <= {asked.name for asked in ASKED}


def test_no_file_names_a_registry():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of its files")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            text = (ROOT / name).read_bytes()
            for host in REGISTRIES:
                assert host.encode() not in text, f"{name} names {host}; mirrors and offline machines have others"
