"""In the sandbox: a Jupyter kernel whose cells end in time, whose output has a limit, and which may die."""

import contextlib
import os
import queue
import signal
import subprocess
import time
from dataclasses import dataclass, field

import psutil
from jupyter_client import KernelManager
from nbformat.v4 import output_from_msg

CALM = 5  # seconds that an interrupted cell has to come to an end
MANY = 8  # processes left behind by one cell
FLOOD = 20_000_000  # characters of output, after which a cell is stopped (by `guard`, if it does so in time)
OPTIONS = ["--HistoryManager.hist_file=:memory:", "--IPKernelApp.log_level=50"]


@dataclass
class Ran:
    """What came of one cell."""

    outputs: list[dict] = field(default_factory=list)
    ok: bool = False  # it ran to its end
    ended: str = ""  # "time", "output" or "died", where that ended it
    cut: bool = False  # it wrote more than is kept
    strays: int = 0  # processes that it left behind
    error: str = ""  # the exception that ended it, "name: text"
    value: str = ""  # of the expression asked for


class Kernel:
    """One kernel; `run` executes a cell in it. `alive` tells whether it still takes cells."""

    def __init__(self, alone: bool):
        """`alone`: this process is the first of a sandbox, and whatever else runs there belongs to the submission."""
        self.alone = alone
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(extra_arguments=OPTIONS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.process: subprocess.Popen = self.manager.provisioner.process

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """End the kernel and all that it started."""
        if self.alone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)  # everything but the first process, which this one is
            self.process.wait()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        else:
            for stray in self._strays():
                with contextlib.suppress(psutil.Error):
                    stray.kill()
        self.client.stop_channels()
        with contextlib.suppress(Exception):
            self.manager.shutdown_kernel(now=True)

    def run(self, source: str, seconds: float, keep: int, ask: str = "", silent: bool = False) -> Ran:
        """Execute `source` for at most `seconds`, keeping about `keep` characters of output.

        `ask` is an expression whose value is wanted afterwards. Processes that the cell left behind are ended.
        """
        ran = Ran()
        message = self.client.execute(
            source,
            silent=silent,
            store_history=not silent,
            user_expressions={"value": ask},
            allow_stdin=False,
            stop_on_error=False,
        )
        self.written, stuck = 0, False
        ran.ended = self._collect(ran, message, time.monotonic() + seconds, keep)
        if ran.ended in ("time", "output"):
            ran.strays = self.end_strays()  # before the interrupt, which may reach them, too
            self.manager.interrupt_kernel()
            self.written = -(10**12)  # what it had ready may come
            stuck = bool(self._collect(ran, message, time.monotonic() + CALM, keep))
        elif not ran.ended:
            self._reply(ran, message)
        if self.alive:
            ran.strays = max(ran.strays, self.end_strays())
            if stuck or ran.strays > MANY:  # more than MANY are what is left of a fork bomb
                self.stop()
        if not self.alive:
            ran.ended = ran.ended or "died"
            ran.ok = False
        return ran

    def _collect(self, ran: Ran, message: str, deadline: float, keep: int) -> str:
        """Gather outputs until the cell is done; otherwise "time", "output" or "died"."""
        while time.monotonic() < deadline:
            try:
                received = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                if not self.alive:
                    return "died"
                continue
            if received["parent_header"].get("msg_id") != message:
                continue
            kind, content = received["msg_type"], received["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return ""
            if kind == "clear_output":
                ran.outputs.clear()
            elif kind in ("stream", "display_data", "execute_result", "error"):
                self._keep(ran, output_from_msg(received), keep)
                if self.written > FLOOD:
                    return "output"
        return "time"

    def _keep(self, ran: Ran, output: dict, keep: int) -> None:
        """Add an output, joining text to text, as long as there is room; an error always finds some."""
        room = keep - sum(map(_size, ran.outputs))
        self.written += _size(output)
        if output.output_type == "stream":
            ran.cut |= len(output.text) > room
            output.text = output.text[: max(room, 0)]
            last = ran.outputs[-1] if ran.outputs else {}
            if last.get("output_type") == "stream" and last["name"] == output.name:
                last["text"] += output.text
            elif output.text:
                ran.outputs.append(output)
        elif output.output_type == "error":
            output.evalue = output.evalue[:1000]
            output.traceback = [line[:2000] for line in output.traceback[-20:]]
            if not any(o["output_type"] == "error" for o in ran.outputs):
                ran.outputs.append(output)
        elif _size(output) <= room:
            ran.outputs.append(output)
        else:
            ran.cut = True

    def _reply(self, ran: Ran, message: str) -> None:
        with contextlib.suppress(queue.Empty):
            while (reply := self.client.get_shell_msg(timeout=CALM))["parent_header"].get("msg_id") != message:
                continue
            content = reply["content"]
            ran.ok = content["status"] == "ok"
            if not ran.ok:
                ran.error = f"{content.get('ename')}: {content.get('evalue')}"[:300]
            value = content.get("user_expressions", {}).get("value", {})
            ran.value = value.get("data", {}).get("text/plain", "")

    def end_strays(self) -> int:
        """End every process that the kernel started, directly or not; how many there were."""
        found = 0
        for _ in range(5):
            strays = self._strays()
            found = max(found, len(strays))
            for stray in strays:
                with contextlib.suppress(psutil.Error):
                    stray.kill()
            if not strays or found > MANY:
                break
            time.sleep(0.02)
        return found

    def _strays(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            found = psutil.process_iter() if self.alone else psutil.Process(self.process.pid).children(recursive=True)
            return [p for p in found if p.pid not in (os.getpid(), self.process.pid) and _running(p)]
        return []


def _running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _size(output: dict) -> int:
    if output["output_type"] == "stream":
        return len(output["text"])
    return sum(len(str(value)) for value in output.get("data", {}).values())
