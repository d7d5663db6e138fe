"""The command `course`: run lessons, fetch data, grade problem sets. Thin over the library."""

import os
import sys
from pathlib import Path

import click

# Each command imports what it uses: papermill and PyTorch take seconds, and `course --help` needs neither.


class UsageError(click.ClickException):
    """A mistake in the command line: one line on stderr, exit code 2."""

    exit_code = 2


@click.group()
def main() -> None:
    """Large Models from First Principles: run the lessons, fetch their data, grade problem sets."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a pipe without UTF-8 must not stop a run over a message


@main.command()
@click.argument("lessons", nargs=-1, metavar="[LESSON]...")
@click.option("--profile", default="cpu", show_default=True, help="smoke, cpu, gpu, or a folder of its own.")
@click.option("-p", "texts", multiple=True, metavar="NAME=VALUE", help="A parameter, of every lesson run.")
@click.option("--output", type=click.Path(path_type=Path), help="A new folder; else runs/<profile>-<time>.")
def run(lessons: tuple[str, ...], profile: str, texts: tuple[str, ...], output: Path | None) -> None:
    """Run LESSONs: numbers (01), names (01_ngram_models) or paths of notebooks; all of them if none is named.

    Executed notebooks, results.json and results.csv are kept in the output folder, whatever fails.
    The exit code is 1 if a lesson failed, and 2 if nothing ran because something asked for does not exist.
    """
    from course_lib.batch import report
    from course_lib.batch import run as runner
    from course_lib.batch.parameters import RunError
    from course_lib.batch.plan import plan

    for text in texts:
        if "=" not in text:
            raise UsageError(f"-p {text}: expected name=value, like -p steps=100")
    try:
        jobs = plan(lessons, profile, dict(text.split("=", 1) for text in texts))
        folder = runner.new_folder(output, profile)
    except RunError as error:
        raise UsageError(str(error)) from error
    os.environ.pop("MPLBACKEND", None)  # a backend chosen outside would take the figures out of the notebooks
    rows = runner.run(jobs, folder, say=click.echo)
    click.echo(report.table(rows))
    if any(row["status"] != "ok" for row in rows):
        raise SystemExit(1)


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def data(names: tuple[str, ...]) -> None:
    """Fetch the data sets NAMES, or all that the lessons need, into the data folder."""
    from course_lib.data import DataError, fetch_all

    try:
        fetched = fetch_all(names)
    except DataError as error:
        raise click.ClickException(str(error)) from error
    for name, files in fetched.items():
        click.echo(f"{name}: {f'fetched {len(files)} files' if files else 'here'}")


class_option = click.option(
    "--class",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The class folder; else classroom/ in the repository.",
)


@main.command()
@click.argument("name", metavar="SET")
@class_option
def release(name: str, folder: Path | None) -> None:
    """Cut the student copy of the problem set SET (a folder in notebooks/assignments) with nbgrader."""
    from course_lib.grading.classroom import GradingError, classroom
    from course_lib.grading.release import release

    try:
        click.echo(f"For your students: {release(classroom(folder), name)}")
    except GradingError as error:
        raise UsageError(str(error)) from error


@main.command()
@click.argument("name", metavar="SET")
@class_option
@click.option("--jobs", type=click.IntRange(1), help="Submissions at a time; else one per core.")
@click.option("--seconds", type=click.FloatRange(1), default=60, show_default=True, help="For one cell.")
@click.option("--memory", type=click.FloatRange(0.5), default=2, show_default=True, help="GB for one submission.")
@click.option("--unsafe", is_flag=True, help="Run submissions without a sandbox.")
def grade(name: str, folder: Path | None, jobs: int | None, seconds: float, memory: float, unsafe: bool) -> None:
    """Grade what was handed in of the problem set SET, in submitted/<student>/SET/ of the class folder.

    Only what is new or changed is graded. Marks (CSV and a histogram) and feedback are made anew each time.
    The exit code is 1 if a submission could not be graded, and 2 if nothing could be.
    """
    from course_lib.grading.classroom import GradingError, classroom
    from course_lib.grading.grade import grade
    from course_lib.grading.sandbox import Limits

    try:
        limits = Limits(seconds=seconds, gigabytes=memory)
        failed = grade(classroom(folder), name, limits, unsafe, jobs, click.echo)
    except GradingError as error:
        raise UsageError(str(error)) from error
    if failed:
        raise SystemExit(1)
