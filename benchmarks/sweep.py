"""What `course sweep` costs and brings.

    python benchmarks/sweep.py overhead [repeats] | throughput [repeats] | memory [runs]

overhead: seconds for each of 12 runs that do nothing, by bare papermill in one process, by its command line, and by a
sweep with one job; turn by turn. throughput: runs of five seconds of one core each, finished per minute with one job
and with as many as there are cores. memory: what the driver holds while it plans, runs and reports many runs.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import papermill
import psutil
from dask.system import CPU_COUNT
from nbformat import v4
from tabulate import tabulate

from course_lib.batch import report, workers
from course_lib.batch.plan import plan_sweep
from course_lib.batch.provenance import provenance
from course_lib.batch.store import Store
from course_lib.batch.sweep import sweep

NOTHING = "from course_lib.results import record\nrecord('nothing', seed_again=seed)"
BUSY = """
import time
from course_lib.results import record
end, n = time.process_time() + 5, 0
while time.process_time() < end:
    n += 1
record('busy', seed_again=seed)
"""


def notebook(folder: Path, name: str, source: str) -> Path:
    cells = [v4.new_code_cell("seed: int = 0  # seed", metadata={"tags": ["parameters"]}), v4.new_code_cell(source)]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    path = folder / f"{name}.ipynb"
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def swept(path: Path, n: int, jobs: int, folder: Path, watch=lambda: None) -> float:
    """Seconds that a sweep takes for n runs, workers' start and report left out."""
    planned = plan_sweep(str(path), {"seed": f"0..{n - 1}"})
    with Store(folder, planned) as store, workers.here(jobs) as client:
        start = time.perf_counter()
        assert not sweep(planned, store, client, say=lambda line: sys.exit(line))
        seconds = time.perf_counter() - start
        watch()
        assert len(store.rows()) == n
    return seconds


def overhead(repeats: int, n: int = 12) -> None:
    rows = []
    for i in range(repeats):
        with TemporaryDirectory() as folder:
            folder = Path(folder)
            path = notebook(folder, "nothing", NOTHING)
            start = time.perf_counter()
            for seed in range(n):
                papermill.execute_notebook(str(path), str(folder / "out.ipynb"), {"seed": seed}, progress_bar=False)
            bare = (time.perf_counter() - start) / n
            start = time.perf_counter()
            for seed in range(3):
                command = [
                    sys.executable,
                    "-m",
                    "papermill",
                    str(path),
                    str(folder / "out.ipynb"),
                    "-p",
                    "seed",
                    str(seed),
                ]
                subprocess.run(command, check=True, capture_output=True)
            command_line = (time.perf_counter() - start) / 3
            ours = swept(path, n, 1, folder / "sweep") / n
        rows.append((bare, command_line, ours, ours - bare))
        print(f"{i + 1} of {repeats}", file=sys.stderr)
    names = ["papermill, one process", "papermill, command line", "course sweep, 1 job", "sweep − papermill"]
    shown = [
        (name, *(f"{of(column):.2f}" for of in (statistics.median, min, max)))
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    ]
    print(tabulate(shown, ["seconds for a run", "median", "least", "most"]))


def throughput(repeats: int) -> None:
    rows = []
    for _ in range(repeats):
        with TemporaryDirectory() as folder:
            path = notebook(Path(folder), "busy", BUSY)
            counts = [jobs for jobs in (1, 2, 4, 8, 16) if jobs <= CPU_COUNT]
            seconds = [swept(path, 4 * jobs, jobs, Path(folder) / f"{jobs}") / 4 for jobs in counts]
        rows += [(jobs, 60 * jobs / s, seconds[0] / s) for jobs, s in zip(counts, seconds, strict=True)]
    print(tabulate(rows, ["jobs", "runs a minute", "share of linear"], floatfmt=".2f"))


def memory(n: int) -> None:
    """The driver is this process."""
    held, me = [], psutil.Process()
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        path = notebook(folder, "nothing", NOTHING)
        for runs in (n // 10, n):
            start = time.perf_counter()
            swept(path, runs, CPU_COUNT, folder / "sweep", lambda: held.append(me.memory_info().rss))
            print(f"{runs} runs in the folder after {time.perf_counter() - start:.0f} s", flush=True)
        with Store(folder / "sweep", plan_sweep(str(path), {"seed": "0"})) as store:
            start = time.perf_counter()
            report.write(store.rows(), folder / "sweep")
        page = (folder / "sweep" / "report.html").stat().st_size
        print(f"report of {n} runs in {time.perf_counter() - start:.0f} s, {page / 1e6:.1f} MB")
    print("driver's memory after a tenth and after all:", *(f"{bytes / 1e6:.0f} MB" for bytes in held))


if __name__ == "__main__":
    what = {"overhead": (overhead, 5), "throughput": (throughput, 3), "memory": (memory, 1000)}
    if len(sys.argv) < 2 or sys.argv[1] not in what:
        sys.exit(f"expected one of {', '.join(what)}")
    function, default = what[sys.argv[1]]
    print(provenance()["machine"])
    function(int(sys.argv[2]) if len(sys.argv) > 2 else default)
