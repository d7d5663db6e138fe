"""Where runs go: worker processes on this machine, one run in each at a time, or a Dask cluster that exists."""

import contextlib
import os
from collections.abc import Iterator

import dask
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, SpecCluster

from course_lib.batch.parameters import RunError
from course_lib.batch.provenance import gpus, mismatch, to_workers, versions

THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextlib.contextmanager
def here(jobs: int | None = None, share_gpu: bool = False) -> Iterator[Client]:
    """`jobs` workers on this machine; else one for each GPU, or for each core where there is none.

    Kernels get an equal share of the cores as threads (what OMP_NUM_THREADS says, if it is set), and each worker a GPU
    of its own. More jobs than GPUs are refused (RunError) unless `share_gpu`: then they take turns.
    """
    devices = gpus()
    jobs = jobs or len(devices) or CPU_COUNT
    if devices and jobs > len(devices) and not share_gpu:
        raise RunError(
            f"--jobs {jobs}: this machine has {len(devices)} GPU{'s'[: len(devices) > 1]}, for one run each; "
            "--share-gpu lets runs share it, an empty CUDA_VISIBLE_DEVICES= leaves it out"
        )
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, CPU_COUNT // jobs)))
    # Memory is the kernels', which Dask's own limit does not see; the nanny starts a worker that died again.
    options = {"nthreads": 1, "memory_limit": 0, "silence_logs": 50}
    environments = [to_workers() | dict.fromkeys(THREAD_LIMITS, threads) for _ in range(jobs)]
    for i, environment in enumerate(environments):
        if devices and devices != [""]:
            environment["CUDA_VISIBLE_DEVICES"] = devices[i % len(devices)]
    specs = {i: {"cls": Nanny, "options": options | {"env": environment}} for i, environment in enumerate(environments)}
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0}}
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),  # looks at stacks a hundred times a second
        SpecCluster(specs, scheduler, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def at(address: str) -> Iterator[Client]:
    """The workers of the Dask scheduler at an address like tcp://host:8786; more may join later.

    Raises RunError where none answers, and for workers that have several threads or other versions than this machine.
    """
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RunError(f"no Dask scheduler answers at {address} ({reason}); expected tcp://HOST:PORT") from error
    with client:
        for worker, about in client.scheduler_info(n_workers=-1)["workers"].items():
            if about["nthreads"] != 1:
                raise RunError(
                    f"worker {worker} has {about['nthreads']} threads; start it with `dask worker --nthreads 1`: "
                    "each run needs a process of its own"
                )
        for worker, theirs in client.run(versions, on_error="return").items():
            other = f"no course_lib ({theirs})" if isinstance(theirs, Exception) else mismatch(versions(), theirs)
            if other:
                raise RunError(f"worker {worker} has {other}; install the same versions on both (constraints.txt)")
        yield client
