"""Settings of Sphinx; `make docs` builds the site."""

from sphinx.util.nodes import make_refnode

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


def is_field(app, what, name, obj, skip, options):
    """Skip the fields of a named tuple: its docstring describes them under Attributes."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app):
    app.connect("autodoc-skip-member", is_field)
    app.connect("missing-reference", by_last_name)
