# SPDX-License-Identifier: GPL-2.0-only
"""How Sphinx renders the documents; scripts/build-docs calls it.

The folder of the sources is the root of the project, so that links between the
documents are paths of files, as those who read them elsewhere need them.
"""
import posixpath
import re
import shutil
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

ROOT = Path(__file__).resolve().parent.parent
RENDERED = {"Documentation", "README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"}

project = "ivshmem"
version = release = subprocess.check_output([ROOT / "scripts/version"], text=True).strip()
root_doc = "Documentation/index"
extensions = ["myst_parser", "sphinx.ext.graphviz"]
exclude_patterns = sorted({path.name for path in ROOT.iterdir()} - RENDERED)
exclude_patterns += ["Documentation/ABI", "Documentation/man", "**/__pycache__"]

nitpicky = True
smartquotes = False             # options begin with two hyphens
highlight_language = "none"
myst_heading_anchors = 3
graphviz_output_format = "svg"
graphviz_dot_args = ["-Gbgcolor=transparent"]

html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "fixed_sidebar": True,
                      "description": "Shared memory of virtual machines, on Linux"}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_copy_source = False
html_show_copyright = False

MAN_PAGE = re.compile(r"(?<![\w./-])([\w.-]+)\(([1-8])\)")
LOG = logging.getLogger(__name__)


def unlink_markdown(_app, doctree):
    """Make paths of the links of Markdown, which are looked up by name else."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node["reftype"] == "myst" and not node["reftarget"].startswith("#"):
            node.replace_self(nodes.reference("", "", *node.children,
                                              refuri=node["reftarget"]))


def lead_links(app, doctree, docname):
    """Lead links that are paths of files to where those are in the output."""
    for node in list(doctree.findall(nodes.reference)):
        path, _, anchor = node.get("refuri", "").partition("#")
        if not path or node.get("internal") or re.match(r"[a-z]+:", path):
            continue
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(docname), path))
        uri = _place(app, wanted, anchor)
        if uri is None:
            LOG.warning("there is no %s", node["refuri"], location=node)
        elif app.builder.format == "html":
            here = posixpath.dirname(docname)
            node["refuri"] = posixpath.relpath(uri, here or ".")


def _place(app, path, anchor):
    """Where a file of the project is in the output; None if nowhere."""
    name, suffix = posixpath.splitext(path)
    if suffix in app.config.source_suffix and name in app.env.found_docs:
        if not anchor:
            return f"{name}.html"
        known = anchor in app.env.get_doctree(name).ids
        return f"{name}.html#{anchor}" if known else None
    if path.startswith("Documentation/man/"):
        page = f"man/{posixpath.basename(path)}.html"
        return page if Path(app.srcdir, path).is_file() else None
    if not Path(app.srcdir, path).is_file():
        return None
    if app.builder.format == "html":
        copy = Path(app.outdir, f"{path}.txt")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(app.srcdir, path), copy)
    return f"{path}.txt"


def link_man_pages(app, doctree, docname):
    """Make links of the manual pages of the project that a text names."""
    if app.builder.format != "html":
        return
    for text in list(doctree.findall(nodes.Text)):
        if isinstance(text.parent, (nodes.paragraph, nodes.emphasis, nodes.term)):
            parts = list(_with_links(text.astext(), posixpath.dirname(docname)))
            text.parent.replace(text, parts)


def _with_links(text, folder):
    position = 0
    for match in MAN_PAGE.finditer(text):
        page = f"{match[1]}.{match[2]}"
        if (ROOT / "Documentation/man" / page).is_file():
            yield nodes.Text(text[position:match.start()])
            yield nodes.reference(
                "", match[0], refuri=posixpath.relpath(f"man/{page}.html", folder or "."))
            position = match.end()
    yield nodes.Text(text[position:])


def setup(app):
    """Called by Sphinx."""
    app.connect("doctree-read", unlink_markdown)
    app.connect("doctree-resolved", lead_links)
    app.connect("doctree-resolved", link_man_pages, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
