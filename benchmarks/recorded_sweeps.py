"""Make the recorded sweeps of lesson 08 that data/recorded/ does not hold yet.

    python benchmarks/recorded_sweeps.py [name ...]

As many runs at a time as there are cores, of one thread each; what was finished before an interruption is not made
again. Delete a file in data/recorded/08_scaling_and_cost to have it made again. Wants a clean working tree, so that the
commit that they are kept with is the code that ran.
"""

import os
import sys

from course_lib.batch import workers
from course_lib.batch.plan import Job, plan_sweep
from course_lib.batch.store import Store
from course_lib.batch.sweep import sweep
from course_lib.paths import ROOT
from course_lib.recorded import FOLDER, commit, keep_sweep

LESSON = "08_scaling_and_cost"
BASE = {"n_layers": "2", "n_heads": "2", "batch_size": "32", "evaluate_every": "1000000", "adamw_learning_rate": "0.02"}


def train_lm(**grid: str) -> list[Job]:
    return plan_sweep("train_lm", BASE | grid)


def batches() -> list[Job]:
    """Each batch size with the steps that make half a million tokens, at three learning rates."""
    jobs = []
    for batch_size in (8, 32, 128, 512):
        sizes = {"batch_size": f"{batch_size}", "n_steps": f"{2**19 // (64 * batch_size)}"}
        jobs += train_lm(d_model="32", learning_rate="0.025,0.05,0.1", **sizes)
    return jobs


SWEEPS = {
    # Loss against parameters and tokens; every run with its own rise and fall of the learning rate.
    "grid": lambda: (
        train_lm(d_model="16,32,64", n_steps="125,250,500,1000,2000", seed="0..1")
        + train_lm(d_model="96", n_steps="125,250,500,1000", seed="0..1")
    ),
    # What the fit to `grid` must predict: larger, and longer.
    "held_back": lambda: train_lm(d_model="128", n_steps="2000", seed="0..1"),
    # What is learned by heart, and which pronoun is expected after which word.
    "canaries": lambda: plan_sweep("train_canaries", {"d_model": "32,64,128", "n_steps": "1000"}),
    # Which learning rate is best at which width, for two optimisers.
    "rates": lambda: (
        train_lm(d_model="32,128", n_steps="250", learning_rate="0.0125,0.025,0.05,0.1")
        + train_lm(d_model="32,128", n_steps="250", optimizer="adamw", learning_rate="0.004,0.008,0.016,0.032")
    ),
    "batches": batches,
}


def main(*names: str) -> None:
    for name in names or SWEEPS:
        if (FOLDER / LESSON / f"{name}.json").exists():
            continue
        made_with = commit()
        if made_with.endswith("+"):
            sys.exit("files differ from the last commit: commit them first, and keep the runs with their code")
        jobs = SWEEPS[name]()
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with Store(ROOT / "runs" / f"{LESSON}-{name}", jobs) as store, workers.here() as client:
            missing = sweep(jobs, store, client)
            if missing:
                sys.exit(f"{name}: {len(missing)} of {len(jobs)} runs are missing; the same command makes them")
            print(keep_sweep(LESSON, name, store.rows(), made_with))


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(SWEEPS)
    if unknown:
        sys.exit(f"unknown {', '.join(unknown)}: expected names of {', '.join(SWEEPS)}")
    main(*sys.argv[1:])
