"""Settings of the site.  Build it with ``python -m sphinx -W docs docs/_build``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate
from sphinx.application import Sphinx

import hybridkp

project = "hybridkp"
author = "the hybridkp authors"
copyright = "the hybridkp authors; Apache-2.0"
version = release = hybridkp.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "_generated"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
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


def setup(app: Sphinx) -> None:
    """Pages that follow from the code are written before the first page is read."""
    generate.write_pages(Path(__file__).parent)
    app.connect("autodoc-skip-member", theirs)
    app.connect("autodoc-process-docstring", plain, priority=900)  # after numpydoc
