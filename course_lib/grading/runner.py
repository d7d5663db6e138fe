"""The first process of a sandbox: a job on stdin, one line of JSON per executed cell on stdout.

A job is {"cells": [{"source", "test": null or a seed}], "seconds", "keep", "limits": {name of a resource: number},
"user", "core"}. The submission never sees the job: it is held in memory that other processes may not read.
"""

import ctypes
import json
import os
import secrets
import sys

from course_lib.grading.kernel import Kernel, Ran

GUARD = "__import__('course_lib.grading.guard', fromlist=['guard']).guard"


def main() -> None:
    job = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # so that nothing else can write to it
    confine(job)
    for number, ran in Session(job).run():
        print(json.dumps({"cell": number, **vars(ran)}), file=answer, flush=True)
    print(json.dumps({"cell": None}), file=answer, flush=True)


def confine(job: dict) -> None:
    """Take the limits upon this process, from which the kernel inherits them."""
    if job["user"]:  # started by root: become a user of no rights and no other processes
        os.setgroups([])
        os.setgid(job["user"])
        os.setuid(job["user"])
    if job["core"] is not None:
        os.sched_setaffinity(0, [job["core"]])  # a busy sandbox does not slow its neighbours down
    if job["limits"]:
        import resource  # not on Windows

        for name, limit in job["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
    if sys.platform == "linux":
        pr_set_dumpable = 4
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)  # nobody reads the tests out of /proc/<pid>


class Session:
    """Runs the cells of a job in order. A cell that ends the kernel costs itself: the others run in a new kernel."""

    def __init__(self, job: dict):
        self.job, self.cells = job, job["cells"]
        self.fatal: set[int] = set()  # cells that ended a kernel
        self.kernel = self._start()

    def run(self):
        """Yield (number, Ran) for every cell."""
        for number in range(len(self.cells)):
            yield number, self._run(number)
            if not self.kernel.alive:
                self.fatal.add(number)
                self._replay(number)
        self.kernel.stop()

    def _start(self) -> Kernel:
        kernel = Kernel(alone=os.getpid() == 1)
        kernel.run(GUARD, 60, 0, silent=True)
        return kernel

    def _replay(self, until: int) -> None:
        """A new kernel in the state that the cells before `until` left; tests are not repeated."""
        number = 0
        while number <= until:
            if not self.kernel.alive:
                self.kernel.stop()
                self.kernel, number = self._start(), 0
            if number not in self.fatal and self.cells[number]["test"] is None:
                self.kernel.run(self.cells[number]["source"], self.job["seconds"], 0)
                if not self.kernel.alive:
                    self.fatal.add(number)
                    continue
            number += 1

    def _run(self, number: int) -> Ran:
        cell = self.cells[number]
        if cell["test"] is None:
            return self.kernel.run(cell["source"], self.job["seconds"], self.job["keep"])
        ready = self.kernel.run(f"{GUARD}.enter({cell['test']})", 60, 1000, silent=True)
        if not ready.ok:
            return ready
        # Only a test that ran to its end sets this name: to silence errors is not enough to pass.
        receipt = f"_{secrets.token_hex(8)}"
        ran = self.kernel.run(f"{cell['source']}\n{receipt} = True", self.job["seconds"], self.job["keep"])
        if self.kernel.alive:
            passed = self.kernel.run("", 60, 0, ask=f"{GUARD}.leave({receipt!r})", silent=True)
            ran.ok = ran.ok and passed.value == "True"
        for output in ran.outputs:
            if output["output_type"] == "error":
                text = "\n".join(output["traceback"]).split("\n")
                output["traceback"] = [line for line in text if receipt not in line]
        return ran


if __name__ == "__main__":
    main()
