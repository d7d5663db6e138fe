"""What Sphinx and myst-nb lack for the course: links that leave the edition, diagrams offline, described figures."""

import html
import posixpath
import re

from docutils import nodes
from myst_nb.core.render import NbElementRenderer
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform

from course_lib.paths import ROOT

BRANCH = "main"
UNDESCRIBED = "Figure drawn by the code above; the text beside it says what it shows"


def jupyterlab_anchor(heading: str) -> str:
    """The name by which JupyterLab's links, and so the lessons', find a heading; without quotes, which Sphinx writes
    into pages as they are."""
    return heading.replace(" ", "-").replace('"', "")


class LinksOut(SphinxPostTransform):
    """A link to a file of the repository that has no page here leads to the public repository, or becomes plain text.

    A link to what is not in the repository either is left to myst-parser, which warns.
    """

    default_priority = 8  # before myst-parser resolves the links to pages, at 9

    def run(self, **kwargs) -> None:
        folder = posixpath.dirname(self.env.docname)
        for link in list(self.document.findall(pending_xref)):
            path = posixpath.normpath(posixpath.join(folder, link["reftarget"].partition("#")[0]))
            if link["reftype"] != "myst" or link["refdomain"] == "doc" or not (ROOT / path).exists():
                continue
            repository = self.config.repository
            kind = "tree" if (ROOT / path).is_dir() else "blob"
            out = nodes.reference(refuri=f"{repository}/{kind}/{BRANCH}/{path}") if repository else nodes.inline()
            out += link.children
            link.replace_self(out)


class Diagrams(SphinxPostTransform):
    """A fence ```mermaid becomes the element that static/diagrams.js draws."""

    default_priority = 8

    def run(self, **kwargs) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                diagram = f'<pre class="mermaid">{html.escape(block.astext())}</pre>'
                block.replace_self(nodes.raw("", diagram, format="html", classes=["mermaid"]))


def cells_are_targets(app, doctree) -> None:
    """Let links find the cells that build.py marked, and myst-parser warn of those that find none."""
    targets = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for raw in doctree.findall(nodes.raw):
        if target := re.fullmatch(r'<div id="(cell-id=[^"]+)"></div>\s*', raw.astext()):
            targets[target[1]] = (None, target[1], "")


def scripts_for_diagrams(app, page, template, context, doctree) -> None:
    """Pages with diagrams load the scripts that draw them; no other page does, as they are large."""
    if doctree and any("mermaid" in raw["classes"] for raw in doctree.findall(nodes.raw)):
        for script in ("mermaid.min.js", "diagrams.js"):
            app.add_js_file(script, loading_method="defer")


def describe_figures() -> None:
    """Give each figure the text that its output's metadata holds for those who cannot see it.

    myst-nb takes a width and a height from there, and an `alt` only from the cell, which may draw several figures.
    """
    render = NbElementRenderer.render_image

    def described(self, data):
        [image] = render(self, data)
        metadata = data.output_metadata
        image["alt"] = metadata.get(data.mime_type, {}).get("alt") or metadata.get("alt") or UNDESCRIBED
        return [image]

    NbElementRenderer.render_image = described


def setup(app) -> dict:
    """Called by Sphinx."""
    app.add_config_value("repository", "", "html")
    app.add_post_transform(LinksOut)
    app.add_post_transform(Diagrams)
    app.connect("doctree-read", cells_are_targets)
    app.connect("html-page-context", scripts_for_diagrams)
    describe_figures()
    return {"parallel_read_safe": True, "parallel_write_safe": True}
