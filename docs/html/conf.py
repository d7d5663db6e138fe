"""Sphinx's settings for the HTML edition; build.py lays out what it reads."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from scripts import scripts  # noqa: E402

project = "Large Models from First Principles"
html_title = project
author = ""
language = "en"
smartquotes = False  # the text as it was written, as in JupyterLab
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.githubpages", "extension"]
repository = os.environ.get("REPOSITORY", "").rstrip("/").removesuffix(".git")

# The lessons, as they are stored: nothing is run. Links may name headings as JupyterLab does.
nb_execution_mode = "off"
suppress_warnings = [
    "mystnb.unknown_mime_type",  # results for machines: the table beside them is shown
    "myst.header",  # terms of the glossary are third-level headings under the first
]
nb_render_markdown_format = "myst"  # formulas and tables in what cells say
nb_ipywidgets_js = {}  # they would come from other hosts
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 6
myst_heading_slug_func = "extension.jupyterlab_anchor"
exclude_patterns = ["README.md"]  # its parts are in index.md

# The edition asks no other host for anything: formulas and diagrams are drawn by scripts beside the pages.
mathjax_path = "tex-svg.js"
html_static_path = ["static", *map(str, scripts())]
html_theme = "sphinx_book_theme"
html_css_files = ["course.css"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is set
html_copy_source = False
html_use_index = False
html_show_sphinx = False
html_theme_options = {
    "footer_content_items": [],
    "navbar_persistent": [],  # the search field is in the sidebar
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
if repository:
    html_theme_options |= {
        "repository_url": repository,
        "repository_branch": "main",
        "use_source_button": True,
        "use_repository_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    }
