"""How fast a lesson opens: in a JupyterLab that is open already, and in a fresh one.

    python benchmarks/opening.py

Seconds from the double-click in the list of files, or from entering the address, until the title and the first formula
stand there. Needs chromium and playwright, as tests/test_browser.py does. The aim: 3 s in an open JupyterLab.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from tabulate import tabulate

from course_lib.device import describe
from course_lib.paths import NOTEBOOKS, ROOT, lessons

sys.path.insert(0, str(ROOT / "tests"))
from lab import WINDOW, Lab, find_browser, open_notebook  # noqa: E402

FORMULA = ".lm-DockPanel-widget:not(.lm-mod-hidden) .jp-Notebook mjx-container"


def main() -> None:
    names, rows = [path.name for path in lessons()], []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        notebooks, own = Path(folder, "notebooks"), Path(folder, "own")
        shutil.copytree(NOTEBOOKS, notebooks)
        own.mkdir()
        browser = playwright.chromium.launch(executable_path=find_browser(playwright), args=["--no-sandbox"])
        with Lab(notebooks, own) as lab:
            for fresh in names:
                page = browser.new_context(viewport=WINDOW).new_page()
                start = time.perf_counter()
                open_notebook(page, lab, fresh, at_once=False)
                page.locator(FORMULA).first.wait_for(timeout=60_000)
                in_a_fresh_one = time.perf_counter() - start
                other = names[(names.index(fresh) + 1) % len(names)]
                page.wait_for_timeout(2000)
                start = time.perf_counter()
                page.locator(f'.jp-DirListing-item[title^="Name: {other}"]').dblclick()
                page.locator(f'.lm-TabBar-tab.lm-mod-current[title^="Name: {other}"]').wait_for(timeout=60_000)
                page.locator(FORMULA).first.wait_for(timeout=60_000)
                rows.append((other, f"{time.perf_counter() - start:.1f}", fresh, f"{in_a_fresh_one:.1f}"))
                page.context.close()
                lab.stop_kernels()
        browser.close()
    print(describe())
    print(tabulate(rows, ["in an open JupyterLab", "seconds", "in a fresh one", "seconds"], disable_numparse=True))


if __name__ == "__main__":
    main()
