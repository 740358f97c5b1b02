"""Puts landmarks' tables, plots, pictures and sentences together as one self-contained HTML page.

What the pages of both tasks share is in ``rendering``.  No file is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...stats import PairedComparison
from ...structures import Array
from .. import plots
from ..cells import Column, Row
from ..rendering import curves_context, render_page, trade_off_context
from ..verdicts import opening, pairs_context
from . import pictures, reliability, shapes
from .scores import Scores, Truth, error_curve, landmark_errors, mean_shape


@dataclass(frozen=True, eq=False)
class Material:
    """Everything the page is made of."""

    truth: Truth
    scores: Sequence[Scores]
    rows: Sequence[Row]
    columns: Sequence[Column]
    comparisons: Sequence[PairedComparison]
    level: float
    notes: Sequence[str]
    about: Mapping[str, str]
    title: str
    facts: Sequence[str]
    reliability: Mapping[str, reliability.Reliability | None]  #: by method


def points_of(m: Material) -> list[plots.Point]:
    """The methods as points of the trade-off plot."""
    key = m.truth.headline.key
    return [
        plots.Point(r.method, r.numbers["ms"], r.numbers[key], r.numbers["low"], r.numbers["high"])
        for r in m.rows
    ]


def render(m: Material, gallery: pictures.Gallery) -> str:
    """The page as text."""
    disagree = pictures.choose_disagreement(m.truth, m.scores)
    context = {
        "title": m.title,
        "facts": m.facts,
        "opening": opening(m.truth.headline, m.columns[0], m.rows, m.comparisons, "object"),
        "rows": m.rows,
        "columns": m.columns,
        "table_caption": _table_caption(m),
        "level": f"{100 * m.level:g} %",
        "unit": m.truth.headline.difference_unit,
        "notes": m.notes,
        "about": m.about,
        "legend": (
            "Cyan: truth; yellow: prediction; white line: the error between them."
            " Below each picture its own error."
        ),
        "cases": [(n, p) for n, p in pictures.method_pictures(gallery, m.scores) if p],
        "disagreement": pictures.disagreement_pictures(gallery, m.scores, disagree),
        "training": _training(m.scores),
        "reliability": reliability.panels(m.reliability),
        "few": reliability.FEW,
        **trade_off_context(points_of(m), m.truth.headline, "object"),
        **_ced(m),
        **pairs_context(m.truth.headline, m.rows, m.comparisons),
        **_shapes(m),
    }
    return render_page("landmarks.html", context)


def _table_caption(m: Material) -> str:
    level = f"{100 * m.level:g} %"
    order = "lowest error first" if m.truth.headline.lower_is_better else "highest first"
    title = m.truth.headline.title
    text = f"{title[0].upper()}{title[1:]} with its {level} interval, {order}"
    text += "; failures: NME above 8 %; AUC: up to 8 %" if m.truth.headline.kind == "nme" else ""
    text += "; ms with quartiles" if any(c.key == "ms" for c in m.columns) else ""
    shared = " Methods that share a letter cannot be told apart."
    return text + "." + (shared if len(m.rows) > 1 else "")


def _ced(m: Material) -> dict[str, Any]:
    errors = np.concatenate([s.error for s in m.scores])
    errors = errors[np.isfinite(errors)]
    pixel = m.truth.headline.kind == "pixel"
    scale, unit = (1, "px") if pixel else (100, "%")
    if len(errors) == 0:
        return {"ced": None, "ced_cut": ""}
    # the second worst method's 95th percentile: one bad method must not flatten the others
    tails = sorted(float(np.nanpercentile(s.error, 95)) for s in m.scores if np.isfinite(s.error).any())
    top = max(tails[-2] if len(tails) > 2 else tails[-1], 1e-6)
    grid = np.linspace(0, top, 160)
    curves = {s.method: (scale * grid, error_curve(s, grid)) for s in m.scores if np.isfinite(s.error).any()}
    label = "mean error of an object, px" if pixel else "NME of an object, %"
    svg = curves_context(
        curves,
        "ced",
        x_label=label,
        y_label="objects with at most that error, %",
        aria="Cumulative error distribution",
    )
    cut = f"{scale * top:.3g} {unit}" if errors.max() > top else ""
    return {"ced": svg, "ced_cut": cut}


def _shapes(m: Material) -> dict[str, Any]:
    shape = mean_shape(m.truth)
    errors = {s.method: landmark_errors(m.truth, s) for s in m.scores}
    known = np.concatenate(list(errors.values()))
    known = known[np.isfinite(known)]
    if len(known) == 0:
        return {"shapes": [], "scale": {}}
    pixel = m.truth.headline.kind == "pixel"
    factor, unit = (1.0, "px") if pixel else (100.0, "%")
    # the middle method's worst landmark ends the scale: a floor method would take all colours
    top = float(np.median([np.nanmax(e) for e in errors.values() if np.isfinite(e).any()]))
    names, skeleton = m.truth.dataset.landmarks, m.truth.dataset.skeleton
    panels = []
    for method, error in errors.items():
        if not np.isfinite(error).any():
            continue
        worst = _worst(error, names, factor, unit)
        label = f"Mean shape with the error of each landmark for {method}; worst: {worst}"
        svg = shapes.mean_shape_svg(shape, error, top, skeleton=skeleton, names=names, unit=unit, label=label)
        if svg:
            panels.append({"method": method, "svg": svg, "worst": worst})
    ends = {
        "low": f"0 {unit}",
        "high": f"{factor * top:.3g} {unit} and more",
        "stops": ",".join(shapes.STOPS),
    }
    return {"shapes": panels, "scale": ends}


def _worst(error: Array, names: Sequence[str], factor: float, unit: str) -> str:
    order = [k for k in np.argsort(-np.nan_to_num(error, nan=-1)) if np.isfinite(error[k])][:2]
    return ", ".join(f"{names[k]} {factor * error[k]:.1f}\N{NO-BREAK SPACE}{unit}" for k in order)


def _training(scores: Sequence[Scores]) -> list[str]:
    """One plot for each quantity that a history has, with all methods that have it twice or more."""
    curves: dict[str, dict[str, Sequence[float]]] = {}
    for s in scores:
        for run in s.runs[:1]:
            for quantity, values in run.history.items():
                if np.isfinite(np.asarray(values, float)).sum() > 1:
                    curves.setdefault(str(quantity), {})[s.method] = values
    return [
        plots.history_svg(c, title=quantity.replace("_", " "), name=f"history-{i}")
        for i, (quantity, c) in enumerate(curves.items())
    ]
