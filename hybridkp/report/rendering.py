"""Fills the page's templates: what the pages of both tasks need for it, and nothing of either task.

Autoescape is on: names and captions are text, whatever they contain; only SVG and CSS that this room
builds itself pass unescaped.  No file is written here and nothing is computed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2

from ..metrics import Metric
from ..structures import Array
from . import plots
from .cells import Column, Row, cell, lettered, sortable

Markup = jinja2.utils.markupsafe.Markup
TOC = Markup("<!-- contents -->")  #: where the list of sections goes
WIDE, NARROW = (9.6, 5.2), (3.6, 4.6)  #: inches of a plot on a laptop, on a phone


@cache
def _environment(room: str) -> jinja2.Environment:
    """Kept, since compiling the templates takes longer than filling them."""
    folders = jinja2.ChoiceLoader([jinja2.PackageLoader("hybridkp", name) for name in (room, "report")])
    environment = jinja2.Environment(loader=folders, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["breakable"] = breakable
    return environment


def render_page(template: str, context: Mapping[str, Any], room: str = "report") -> str:
    """The page as text; ``context`` has all that the template and those that it extends show.

    ``room`` may have templates of its own, on this room's ``shell.html``.
    """
    environment = _environment(room)
    style = environment.loader.get_source(environment, "style.css")[0]  # type: ignore[union-attr]
    shared: dict[str, Any] = {
        "style": style,
        "cell": cell,
        "lettered": lettered,
        "sort_key": _sort_key,
        "tips": {},
        "terms": (),
        "models": {},
        "downloads": (),
        "toc": TOC,
    }
    return _with_contents(environment.get_template(template).render({**shared, **context}))


def _with_contents(page: str) -> str:
    """The page with links to its own sections where the shell has left room for them."""
    found = re.findall(r'<h2 id="([\w-]+)">(.*?)</h2>', page)
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in found)
    return page.replace(TOC, f'<nav aria-label="contents"><ul>{links}</ul></nav>', 1)


def breakable(name: str) -> str:
    """A method's name that may be broken after its signs, and not within a word."""
    pieces = map(Markup.escape, re.split(r"(?<=[:(,+=\]])(?=.)", name))
    return Markup("<wbr>").join(pieces)


def _sort_key(row: Row, column: Column) -> str:
    return sortable(row.numbers.get(column.key, math.nan), column.digits)[1]


def axis_label(head: Metric) -> str:
    """The headline and which way is better."""
    unit = f", {head.unit}" if head.unit else ""
    return f"{head.title}{unit} ({'lower' if head.lower_is_better else 'higher'} is better)"


def trade_off_context(points: Sequence[plots.Point], head: Metric, what: str) -> dict[str, Any]:
    """The plot for both widths and the sentence about a method at its edge; ``what`` took the time."""

    def plot(name: str, width: float, height: float) -> str:
        label, lower = axis_label(head), head.lower_is_better
        return plots.trade_off_svg(
            points, y_label=label, lower_is_better=lower, name=name, width=width, height=height, what=what
        )

    wide = plot("trade-wide", *WIDE)
    timed = [p for p in points if math.isfinite(p.ms) and p.ms > 0]
    left = plots.pinned(timed)
    pinned = (
        ""
        if left is None
        else f"The triangle at the left edge, {timed[left].method}, is faster than the axis shows."
    )
    both = {"wide": wide, "narrow": plot("trade-narrow", *NARROW)} if wide else None
    return {"trade_off": both, "pinned": pinned}


def curves_context(
    curves: Mapping[str, tuple[Array, Array]], name: str, *, x_label: str, y_label: str, aria: str
) -> dict[str, str] | None:
    """Curves in 0..1 for both widths; None when there are none."""
    if not curves:
        return None
    tall = NARROW[1] + 0.09 * len(curves)
    labels = {"x_label": x_label, "y_label": y_label, "label": f"{aria} of {len(curves)} methods"}
    return {
        "wide": plots.shares_svg(curves, **labels, name=f"{name}-wide", width=WIDE[0], height=WIDE[1]),
        "narrow": plots.shares_svg(curves, **labels, name=f"{name}-narrow", width=NARROW[0], height=tall),
    }
