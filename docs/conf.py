"""Settings of the site.  Build it with ``python -m sphinx -W docs docs/_build``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generate
from docutils import nodes
from sphinx.application import Sphinx

import hybridkp

project = "hybridkp"
author = "the hybridkp authors"
copyright = "the hybridkp authors; Apache-2.0"
version = release = hybridkp.__version__

extensions = [
    *("myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"),
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "_generated",
    "package.md",
    "sg_execution_times.rst",
    "lessons/sg_execution_times.rst",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # signatures hold them; docstrings say shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = "hybridkp"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False


#: every lesson is run; what fails fails the build
sphinx_gallery_conf = {
    "examples_dirs": "../examples/lessons",
    "gallery_dirs": "lessons",
    "filename_pattern": "/lesson_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "matplotlib_animations": False,
}
HIDDEN = "A solution"  #: the section of a lesson that is folded away until it is asked for


def theirs(app: Sphinx, what: str, name: str, value: object, skip: bool, options: object) -> bool | None:
    """scikit-learn gives its estimators ``set_fit_request`` and the like, which nobody calls here."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def plain(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """In prose, ``weights_`` is what was learned and ``|a|`` a length; to Sphinx they would be a link and
    a substitution."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`.*?`)", line)
        parts[::2] = [re.sub(r"(\w)_(?!\w)", r"\1\_", text).replace("|", r"\|") for text in parts[::2]]
        lines[i] = "".join(parts)


def fold_solutions(app: Sphinx, doctree: nodes.document) -> None:
    """A lesson's solution opens with a click; a notebook shows it below its heading."""
    for section in list(doctree.findall(nodes.section)):
        if section[0].astext() == HIDDEN:
            opened = f'<details class="solution"><summary>{HIDDEN}</summary>'
            before, after = (nodes.raw("", html, format="html") for html in (opened, "</details>"))
            section.replace_self([before, *section.children[1:], after])


_trees: dict[tuple[Any, ...], str] = {}


def one_tree(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """The contents beside a page of source code are those beside any other in a folder as deep: made once.

    To copy them for each of the hundreds of such pages took longer than to write the pages.
    """
    if page.startswith("_modules/"):
        own, depth = context["toctree"], page.count("/")

        def shared(**options: Any) -> str:
            key = depth, *sorted(options.items())
            if key not in _trees:
                _trees[key] = own(**options)
            return _trees[key]

        context["toctree"] = shared


def setup(app: Sphinx) -> None:
    """Pages that follow from the code are written before the first page is read."""
    generate.write_pages(Path(__file__).parent)
    app.connect("doctree-read", fold_solutions, priority=100)  # before the tables of contents are made
    app.connect("html-page-context", one_tree, priority=100)  # before the theme asks for it
    app.connect("autodoc-skip-member", theirs)
    app.connect("autodoc-process-docstring", plain, priority=900)  # after numpydoc
