"""The command `course`: run lessons, fetch data, grade problem sets. Thin over the library."""

import os
import sys
from collections.abc import Callable
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


jobs_option = click.option("--jobs", type=click.IntRange(1), help="Runs at a time; else one per GPU, or per core.")
share_option = click.option("--share-gpu", is_flag=True, help="Let runs share a GPU: more --jobs than GPUs.")
profile_option = click.option(
    "--profile", default="cpu", show_default=True, help="smoke, cpu, gpu, or a folder of its own."
)


@main.command()
@click.argument("lessons", nargs=-1, metavar="[LESSON]...")
@profile_option
@click.option("-p", "texts", multiple=True, metavar="NAME=VALUE", help="A parameter, of every lesson run.")
@click.option("--output", type=click.Path(path_type=Path), help="A new folder; else runs/<profile>-<time>.")
@click.option("--jobs", type=click.IntRange(1), help="Lessons at a time, each with its share of the cores; else one.")
@share_option
def run(
    lessons: tuple[str, ...],
    profile: str,
    texts: tuple[str, ...],
    output: Path | None,
    jobs: int | None,
    share_gpu: bool,
) -> None:
    """Run LESSONs: numbers (01), names (01_ngram_models) or paths of notebooks; all of them if none is named.

    Executed notebooks, results.json and results.csv are kept in the output folder, whatever fails.
    The exit code is 1 if a lesson failed, and 2 if nothing ran because something asked for does not exist.
    """
    from course_lib.batch import report, workers
    from course_lib.batch import run as runner
    from course_lib.batch.parameters import RunError, pairs
    from course_lib.batch.plan import plan

    try:
        planned = plan(lessons, profile, pairs(texts))
        os.environ.pop("MPLBACKEND", None)  # a backend chosen outside would take the figures out of the notebooks
        if jobs:
            folder = runner.new_folder(output, profile)
            rows = _sweep(planned, folder, lambda: workers.here(jobs, share_gpu), None, 0)
        else:
            rows = runner.run(planned, runner.new_folder(output, profile), say=click.echo)
    except RunError as error:
        raise UsageError(str(error)) from error
    click.echo(report.table(rows))
    if len(rows) < len(planned) or any(row["status"] != "ok" for row in rows):
        raise SystemExit(1)


@main.command()
@click.argument("lesson")
@click.option("-p", "texts", multiple=True, metavar="NAME=VALUES", help="Values to try: 1e-3,3e-3 or 0..4.")
@profile_option
@jobs_option
@share_option
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Run on the workers of this Dask scheduler instead.")
@click.option("--output", type=click.Path(path_type=Path), help="The sweep's folder; else one in runs/.")
@click.option("--limit", type=click.FloatRange(1), help="Seconds for one run; it is stopped, and has failed, after.")
@click.option("--retries", type=click.IntRange(0), default=0, show_default=True, help="Tries more, for a failed run.")
def sweep(
    lesson: str,
    texts: tuple[str, ...],
    profile: str,
    jobs: int | None,
    share_gpu: bool,
    scheduler: str | None,
    output: Path | None,
    limit: float | None,
    retries: int,
) -> None:
    """Run LESSON (train_lm, 01, a path ...) once for each combination of the values given with -p.

    Each finished run is kept at once; the same command again makes only what is missing, failed runs too. The end is a
    table, report.html, results.csv, .json and .parquet in the sweep's folder. docs/batch.md tells the rest.
    The exit code is 1 if a run is missing, and 2 if nothing ran because something asked for makes no sense.
    """
    from course_lib.batch import report, workers
    from course_lib.batch.parameters import RunError, pairs
    from course_lib.batch.plan import plan_sweep
    from course_lib.batch.store import own_folder

    if scheduler and (jobs or share_gpu):
        raise UsageError("--scheduler has workers of its own; leave --jobs and --share-gpu out")
    try:
        grid = pairs(texts)
        planned = plan_sweep(lesson, grid, profile)
        folder = (output or own_folder(planned, grid)).absolute()
        os.environ.pop("MPLBACKEND", None)
        where = (lambda: workers.at(scheduler)) if scheduler else (lambda: workers.here(jobs, share_gpu))
        rows = _sweep(planned, folder, where, limit, retries)
    except RunError as error:
        raise UsageError(str(error)) from error
    click.echo(report.summary_table(rows))
    click.echo(f"\n{folder / 'report.html'}")
    done = {row["name"] for row in rows if row["status"] == "ok"}
    if any(job.name not in done for job in planned):
        raise SystemExit(1)


def _sweep(planned: list, folder: Path, where: Callable, limit: float | None, retries: int) -> list[dict]:
    """Run the jobs on workers; report what is in the folder then, even after Ctrl-C or where the scheduler is lost."""
    from course_lib.batch import report
    from course_lib.batch.parameters import RunError
    from course_lib.batch.store import Store
    from course_lib.batch.sweep import sweep

    with Store(folder, planned) as store:
        try:
            with where() as client:
                sweep(planned, store, client, limit, retries, say=click.echo)
        except (KeyboardInterrupt, RunError) as stopped:
            if not store.rows():
                raise
            click.echo(f"Stopped: {stopped or 'by hand'}. The same command goes on from here.", err=True)
        rows = store.rows()
        try:
            report.write(rows, folder)
        except OSError as error:
            click.echo(
                f"cannot write the report to {folder}: {error.strerror or error}; `course report` makes it later"
            )
    return rows


@main.command()
@click.argument("runs", type=click.Path(path_type=Path))
def report(runs: Path) -> None:
    """Write report.html, results.csv, .json and .parquet for the folder RUNS of a sweep, finished or not."""
    from course_lib.batch import report
    from course_lib.batch.parameters import RunError
    from course_lib.batch.store import read_rows

    try:
        rows = read_rows(runs)
        report.write(rows, runs)
    except RunError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{runs}: cannot write there ({error.strerror})") from error
    click.echo(report.summary_table(rows))
    click.echo(f"\n{runs / 'report.html'}")


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


@main.command()
def progress() -> None:
    """Show which checks of the problem sets you have passed. It is kept on this computer and nowhere else."""
    from course_lib.checks.catalog import checks_by_set
    from course_lib.progress import day_passed, progress_folder

    for name, checks in checks_by_set().items():
        days = {check: day_passed(check) for check in checks}
        click.echo(f"{name}: {sum(map(bool, days.values()))} of {len(checks)}")
        for check, day in days.items():
            click.echo(f"  {'✓' if day else '·'} {check:27} {day or ''}".rstrip())
    click.echo(
        f"Kept in {progress_folder() or 'no folder, since COURSE_PROGRESS is empty'}. To start afresh, delete it."
    )


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
