"""JupyterLab in a real browser: started beside a copy of the lessons; a notebook opened, looked at and run there."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WINDOW = {"width": 1366, "height": 768}  # a small laptop
SOON, LATER = 90, 400  # seconds at most: for what needs no computing, and for a lesson to run
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
ERROR = '[data-mime-type="application/vnd.jupyter.stderr"]'  # a traceback, or a warning

# Everything that is wrong with the notebook on the page, in words. `wanted` says how many of each thing there must be.
FAULTS = """(wanted) => {
  const all = (selector) => [...document.querySelectorAll(".jp-Notebook " + selector)];
  const said = (element) => element.textContent.trim().slice(0, 120);
  const broken = (images) => images.filter((image) => !(image.complete && image.naturalWidth));
  const faults = [];
  const found = {
    cells: all(".jp-Cell").length,
    maths: all("mjx-container").length,
    mermaid: all(".jp-RenderedMermaid").length,
    figures: all(".jp-OutputArea-output img").length - all(".jp-OutputArea-output .jp-RenderedMermaid img").length,
  };
  for (const [kind, number] of Object.entries(wanted))
    if (found[kind] < number) faults.push(`${kind}: ${found[kind]} of ${number}`);
  for (const markdown of all(".jp-RenderedMarkdown")) {
    const walker = document.createTreeWalker(markdown, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode;
      const code = text.parentElement.closest("code, pre, mjx-container, .jp-RenderedMermaid");
      if (!code && /[$]|\\\\[a-zA-Z]+|[*][*]|[`]|[\\]][(]|^[|]/.test(text.data)) faults.push(`raw text: ${said(text)}`);
    }
  }
  for (const each of all("mjx-merror, mjx-container [style*='color: red']"))
    faults.push(`maths: ${each.outerHTML.slice(0, 120)}`);
  for (const each of all(".jp-RenderedMermaid.jp-mod-warning")) faults.push(`mermaid: ${said(each)}`);
  for (const each of broken(all("img"))) faults.push(`a picture is not shown: ${each.alt || each.src.slice(0, 60)}`);
  for (const each of all(".jp-OutputArea-output"))
    if (/vnd.jupyter.stderr/.test(each.dataset.mimeType) ||
        /JavaScript Error|Loading widget|Error displaying widget|Error rendering/i.test(each.textContent))
      faults.push(`output: ${said(each)}`);
  return faults;
}"""


def find_browser(playwright) -> str:
    """The program to drive: `COURSE_BROWSER`, one on the path, or the one playwright installed; "" if there is none."""
    named = os.environ.get("COURSE_BROWSER")
    found = [named] if named else [*map(shutil.which, BROWSERS), playwright.chromium.executable_path]
    return next((program for program in found if program and Path(program).is_file()), "")


class Lab:
    """`with Lab(folder, own):` JupyterLab on `folder`; settings, kernels' files and learners' progress are in `own`."""

    def __init__(self, folder: Path, own: Path):
        self.folder, self.own, self.token = folder, own, secrets.token_hex()

    def __enter__(self) -> "Lab":
        places = ["JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"]
        places += ["JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "COURSE_PROGRESS"]
        shell = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
        # Nothing that asks or tells about news.
        self.set("apputils-extension", "notification", fetchNews="false", checkForUpdates=False)
        options = ["--no-browser", "--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={self.token}"]
        options += ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                cwd=self.folder,
                env=shell | {name: str(self.own / name) for name in places},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = until(self._address, "JupyterLab has not started: " + str(self._log))
        return self

    def __exit__(self, *exception) -> None:
        self._process.terminate()
        self._process.wait(30)

    def set(self, package: str, plugin: str, **settings) -> None:
        """JupyterLab's settings of pages opened from here on, as its settings editor writes them."""
        file = self.own / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / package / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))

    def stop_kernels(self) -> None:
        """End what the pages opened so far have started."""
        for session in self._sessions():
            self._ask("DELETE", f"{self.url}api/sessions/{session['id']}")

    def kernel_is_idle(self) -> bool:
        kernels = [session["kernel"] for session in self._sessions()]
        return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels)

    def _sessions(self) -> list[dict]:
        return json.loads(self._ask("GET", self.url + "api/sessions"))

    def _ask(self, method: str, url: str) -> bytes:
        request = urllib.request.Request(url, method=method, headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def _address(self) -> str:
        """Its address if it answers there; "" before."""
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(StopIteration, ValueError, urllib.error.URLError):  # not yet there, or half written
            file = next((self.own / "JUPYTER_RUNTIME_DIR").glob("jpserver-*.json"))
            url = json.loads(file.read_text())["url"]
            self._ask("GET", url + "api/status")
            return url
        return ""

    @property
    def _log(self) -> Path:
        return self.own / "jupyter.log"


def until(happened: Callable, otherwise: str, seconds: float = SOON):
    """Ask `happened()` until it is true, and return what it says; fail with the words `otherwise` after `seconds`."""
    end = time.monotonic() + seconds
    while not (said := happened()):
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)
    return said


def open_notebook(page: Page, lab: Lab, name: str, theme: str = "light", at_once: bool = True) -> None:
    """Open `name`, a path in the lab's folder, as a link to it does; back when its title can be read.

    at_once: all cells are drawn first. By itself JupyterLab shows the title sooner and adds the rest bit by bit.
    """
    lab.set("apputils-extension", "themes", theme=THEMES[theme])
    lab.set("notebook-extension", "tracker", windowingMode="none" if at_once else "contentVisibility")
    page.goto(f"{lab.url}lab/tree/{name}?reset&token={lab.token}")
    expect(page.locator(".jp-Notebook .jp-RenderedMarkdown h1").first).to_be_visible()


def assert_readable(page: Page, wanted: dict[str, int]) -> None:
    """The whole notebook is on the page, and nothing of it is raw, broken or an error."""
    end = time.monotonic() + SOON
    while faults := page.evaluate(FAULTS, wanted):
        assert time.monotonic() < end, "\n".join(faults)
        page.wait_for_timeout(500)


def wait_for_kernel(page: Page, lab: Lab) -> None:
    """Until the kernel is there and the page knows it: on a slow machine what is asked of it before may get lost."""
    until(lab.kernel_is_idle, "no kernel has started")
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()


def run_all(page: Page, lab: Lab, name: str) -> float:
    """Menu Run, Run All Cells, and Save; back when all have run and are in the file. Returns the seconds to the first
    figure, 0 if there is none. A cell that raises an error fails at once."""
    wait_for_kernel(page, lab)
    start, first_figure = time.perf_counter(), 0.0
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    figures, errors = page.locator(".jp-Notebook .jp-OutputArea-output img"), page.locator(f".jp-Notebook {ERROR}")
    prompts = page.locator(".jp-CodeCell .jp-InputArea-prompt")
    expect(prompts.first).to_have_text("[1]:")
    last = prompts.last
    end = time.monotonic() + LATER
    while not any(character.isdigit() for character in last.inner_text()):
        assert not errors.count(), errors.first.inner_text()
        assert time.monotonic() < end, f"{name} runs longer than {LATER} s"
        page.wait_for_timeout(200)
        if not first_figure and figures.count():
            first_figure = time.perf_counter() - start
    page.keyboard.press("Control+s")
    return first_figure


def cell(page: Page, text: str) -> Locator:
    """The code cell whose source has this text."""
    return page.locator(".jp-Notebook .jp-CodeCell", has=page.locator(".cm-content", has_text=text))


def run_cell(page: Page, which: Locator, source: str | None = None) -> Locator:
    """Click into a cell, put `source` in place of its code if given, press Ctrl+Enter; returns its new output."""
    which.locator(".cm-content").click()
    if source is not None:
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(source)
    page.keyboard.press("Control+Enter")
    return which.locator(".jp-OutputArea")
