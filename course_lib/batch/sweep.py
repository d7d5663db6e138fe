"""Run many jobs on Dask workers: each finished one is on disk at once, a failing one stops no other."""

import queue
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from distributed import Client, Future, get_worker
from tqdm import tqdm

from course_lib.batch import report
from course_lib.batch.execute import Outcome, execute
from course_lib.batch.parameters import RunError
from course_lib.batch.plan import Job
from course_lib.batch.provenance import mismatch, provenance, versions
from course_lib.batch.store import Store

LOST = "the connection to the Dask scheduler is lost"


def sweep(
    jobs: Sequence[Job],
    store: Store,
    client: Client,
    limit: float | None = None,
    retries: int = 0,
    say: Callable[[str], None] = print,
) -> list[Job]:
    """Run those of `jobs` that `store` does not hold yet, and return those that it does not hold in the end.

    limit: seconds for one run. retries: how often a run that failed is tried again. Ctrl-C stops the runs that go on,
    and is raised. Raises RunError where the scheduler is lost. In both cases what is finished is kept.
    """
    missing = [job for job in jobs if not store.finished(job)]
    sources = {path: _without_outputs(path) for path in {job.notebook for job in missing}}
    waiting, attempts, failed = deque(missing), Counter(), []
    running: dict[str, tuple[Future, Job]] = {}
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def submit(job: Job) -> None:
        attempts[job.name] += 1
        key = f"{job.name}-{uuid.uuid4().hex}"  # drivers may share a scheduler
        arguments = job.lesson, sources[job.notebook], job.given, limit, versions()
        future = client.submit(run_here, *arguments, key=key, pure=False)
        running[key] = future, job
        future.add_done_callback(lambda future: ended.put(future.key))

    with tqdm(total=len(jobs), initial=len(jobs) - len(missing), unit=" runs", dynamic_ncols=True) as bar:
        try:
            while waiting or running:
                # No more than there are workers, which may join or go: a queue on one that dies would suffer with it.
                n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
                while waiting and len(running) < n_workers:
                    submit(waiting.popleft())
                bar.set_postfix_str(f"{len(running)} running, {len(failed)} failed" if n_workers else "no workers yet")
                try:
                    key = ended.get(timeout=1)
                except queue.Empty:
                    _require_connection(client)
                    continue
                future, job = running.pop(key)
                outcome, notebook, made_by = _result(future, client)
                future.release()
                row = report.row(job, outcome, f"notebooks/{job.name}.ipynb" if notebook else "", made_by)
                try:
                    store.keep(job, row, notebook)
                except OSError as error:  # a full disk, say: the next call makes this run again
                    outcome = replace(outcome, status="failed", error=f"cannot be kept ({error.strerror or error})")
                if outcome.status != "ok" and attempts[job.name] <= retries:
                    say(f"{job.name} is tried again: {outcome.error}")
                    waiting.append(job)
                    continue
                if outcome.status != "ok":
                    failed.append(job)
                    say(f"{job.name} {outcome.status}: {outcome.error}")
                bar.update()
        finally:
            client.cancel([future for future, _ in running.values()])
    return failed


def run_here(
    lesson: str, source: bytes, given: dict, limit: float | None, expected: dict[str, str]
) -> tuple[Outcome, bytes, dict[str, str]]:
    """On a worker: run a notebook in a folder of its own, and give back what came of it, the executed notebook as
    bytes, and what it was made by. The run is stopped when its driver is gone."""
    other = mismatch(expected, versions())
    if other:
        return Outcome("failed", 0.0, 0, {}, f"the worker has {other}; install the same versions"), b"", {}
    worker = get_worker()
    key = worker.get_current_task()

    def abandoned() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state in ("cancelled", "resumed")

    with TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        notebook = Path(folder) / f"{lesson}.ipynb"
        notebook.write_bytes(source)
        executed = Path(folder) / "run" / notebook.name
        executed.parent.mkdir()
        outcome = execute(notebook, executed, given, limit=limit, stop=abandoned)
        return outcome, executed.read_bytes() if executed.exists() else b"", provenance()


def _result(future: Future, client: Client) -> tuple[Outcome, bytes, dict[str, str]]:
    """What `run_here` gave back, or what became of it."""
    try:
        return future.result()
    except Exception as error:
        if client.status != "running" or future.cancelled():
            raise RunError(LOST) from error
        return Outcome("failed", 0.0, 0, {}, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"), b"", {}


def _require_connection(client: Client) -> None:
    if client.status != "running":
        raise RunError(LOST)


def _without_outputs(path: Path) -> bytes:
    """A notebook as it travels: a lesson's stored figures stay here."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook).encode()
