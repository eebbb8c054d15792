"""Settings of Sphinx; `make docs` builds the site."""

import contextlib
import shutil
import tempfile
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from pathlib import Path

from sphinx.util.nodes import make_refnode
from sybil import Sybil
from sybil.parsers.rest import DocTestParser

import batchup

project = "batchup"
author = "The batchup developers"
copyright = "2026, The batchup developers"
version = release = batchup.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build"]
default_role = "py:obj"

autodoc_typehints = "none"  # the numpydoc sections say the types in words
autodoc_inherit_docstrings = False  # an override without a docstring is described once, where it overrides
numpydoc_show_class_members = False

PAGES_WITH_PICTURES = ["howto/find_the_bottleneck.rst"]

html_theme = "furo"
html_title = "batchup"
html_show_sourcelink = False


def by_last_name(app, env, node, contnode):
    """Resolve short names: `WorkerThreadPool` links to ``batchup.work_pool.WorkerThreadPool`` on every page."""
    if node.get("refdomain") != "py" or "reftarget" not in node:
        return None
    domain, target = env.domains["py"], node["reftarget"]
    found = domain.find_obj(env, None, None, target.removeprefix("batchup."), None, searchmode=1)
    kinds = ("class", "exception", "function", "method", "module")
    found = [each for each in found if each[1].objtype in kinds and not each[1].aliased]
    if len(found) != 1:
        return None
    ((name, entry),) = found
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


def draw(app):
    """Run the examples of the pages with pictures, so that each picture comes from the code on its page."""
    pictures = Path(app.srcdir, "generated")
    pictures.mkdir(exist_ok=True)
    for page in PAGES_WITH_PICTURES:
        document = Sybil(parsers=[DocTestParser(ELLIPSIS | NORMALIZE_WHITESPACE)]).parse(Path(app.srcdir, page))
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for example in document.examples():
                example.evaluate()
            for picture in Path(folder).glob("*.png"):
                shutil.copy(picture, pictures)


def is_field(app, what, name, obj, skip, options):
    """Skip the fields of a named tuple: its docstring describes them under Attributes."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    app.connect("builder-inited", draw)
    app.connect("autodoc-skip-member", is_field)
    app.connect("missing-reference", by_last_name)
