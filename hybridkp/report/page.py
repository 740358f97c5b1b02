"""Puts tables, plots, pictures and sentences together as one self-contained HTML page.

The template is filled with autoescape on: names and captions are text, whatever they contain;
only SVG and CSS that this room builds itself pass unescaped.  No file is written here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from ..statistics import PairedComparison
from ..structures import Array
from . import pictures, plots, shapes, words
from .scores import Scores, Truth, error_curve, landmark_errors, mean_shape
from .tables import Column, Row, cell, number, p_value

MOST_SENTENCES = 12  #: about pairs; the table has them all
WIDE, NARROW = (9.6, 5.2), (3.6, 4.6)  #: inches of a plot on a laptop, on a phone


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


def points_of(m: Material) -> list[plots.Point]:
    """The methods as points of the trade-off plot."""
    key = m.truth.headline.key
    return [
        plots.Point(r.method, r.numbers["ms"], r.numbers[key], r.numbers["low"], r.numbers["high"])
        for r in m.rows
    ]


def axis_label(m: Material) -> str:
    """The headline and which way is better."""
    head = m.truth.headline
    return f"{head.title}, {head.unit} ({'lower' if head.lower_is_better else 'higher'} is better)"


def render(m: Material, gallery: pictures.Gallery) -> str:
    """The page as text."""
    folder = jinja2.PackageLoader("hybridkp", "report")
    environment = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined)
    style = environment.loader.get_source(environment, "style.css")[0]  # type: ignore[union-attr]
    disagree = pictures.choose_disagreement(m.truth, m.scores)
    context = {
        "title": m.title,
        "facts": m.facts,
        "style": style,
        "opening": words.opening(m.truth, m.rows, m.comparisons, m.level),
        "rows": m.rows,
        "columns": m.columns,
        "cell": cell,
        "sort_key": _sort_key,
        "table_caption": _table_caption(m),
        "level": f"{100 * m.level:g} %",
        "unit": words.difference_unit(m.truth.headline),
        "notes": m.notes,
        "about": m.about,
        "legend": (
            "Cyan: truth; yellow: prediction; white line: the error between them."
            " Below each picture its own error."
        ),
        "cases": [(n, p) for n, p in pictures.method_pictures(gallery, m.scores) if p],
        "disagreement": pictures.disagreement_pictures(gallery, m.scores, disagree),
        "training": _training(m.scores),
        **_trade_off(m),
        **_ced(m),
        **_pairs(m),
        **_shapes(m),
    }
    return environment.get_template("template.html").render(context)


def _sort_key(row: Row, column: Column) -> str:
    value = row.numbers.get(column.key, math.nan)
    return f"{value:.9g}" if math.isfinite(value) else ""


def _table_caption(m: Material) -> str:
    level = f"{100 * m.level:g} %"
    order = "lowest error first" if m.truth.headline.lower_is_better else "highest first"
    title = m.truth.headline.title
    text = f"{title[0].upper()}{title[1:]} with its {level} interval, {order}"
    text += "; failures: NME above 8 %; AUC: up to 8 %" if m.truth.headline.kind == "nme" else ""
    text += "; ms with quartiles" if any(c.key == "ms" for c in m.columns) else ""
    shared = " Methods that share a letter cannot be told apart."
    return text + "." + (shared if len(m.rows) > 1 else "")


def _trade_off(m: Material) -> dict[str, Any]:
    points = points_of(m)
    better = m.truth.headline.lower_is_better

    def plot(name: str, width: float, height: float) -> str:
        label = axis_label(m)
        return plots.trade_off_svg(
            points, y_label=label, lower_is_better=better, name=name, width=width, height=height
        )

    wide = plot("trade-wide", *WIDE)
    timed = [p for p in points if math.isfinite(p.ms) and p.ms > 0]
    left = plots.pinned(timed)
    pinned = (
        ""
        if left is None
        else (f"The triangle at the left edge, {timed[left].method}, is faster than the axis shows.")
    )
    both = {"wide": wide, "narrow": plot("trade-narrow", *NARROW)} if wide else None
    return {"trade_off": both, "pinned": pinned}


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
    tall = NARROW[1] + 0.09 * len(curves)
    svg = {
        "wide": plots.ced_svg(curves, x_label=label, name="ced-wide", width=WIDE[0], height=WIDE[1]),
        "narrow": plots.ced_svg(curves, x_label=label, name="ced-narrow", width=NARROW[0], height=tall),
    }
    cut = f"{scale * top:.3g} {unit}" if errors.max() > top else ""
    return {"ced": svg, "ced_cut": cut}


def _pairs(m: Material) -> dict[str, Any]:
    head = m.truth.headline
    place = {r.method: i for i, r in enumerate(m.rows)}
    n = len(m.rows)
    matrix: list[list[dict[str, str] | None]] = [[None] * n for _ in range(n)]
    table = []
    for c in m.comparisons:
        i, j = place[c.first], place[c.second]
        for a, b, difference in ((i, j, c.difference), (j, i, -c.difference)):
            better = (difference < 0) == head.lower_is_better
            kind = ("better" if better else "worse") if c.distinguishable else "same"
            text = number(difference, head.digits)
            tip = words.pair_sentence(c, head)
            matrix[a][b] = {"kind": kind, "text": text if c.distinguishable else f"≈ {text}", "tip": tip}
        ends = [number(c.low, head.digits), number(c.high, head.digits)]
        table.append(
            {
                "first": c.first,
                "second": c.second,
                "difference": number(c.difference, head.digits),
                "interval": f"[{', '.join(ends)}]" if math.isfinite(c.low) else "–",
                "p": p_value(c.p),
                "p_holm": p_value(c.p_holm),
                "differ": c.distinguishable,
                "value": f"{c.difference:.9g}",
                "raw_p": f"{c.p:.9g}",
                "raw_holm": f"{c.p_holm:.9g}",
            }
        )
    same = [c for c in m.comparisons if not c.distinguishable]
    same.sort(key=lambda c: (place[c.first] + place[c.second], place[c.first]))
    return {
        "matrix": matrix,
        "pairs": table,
        "close": [words.pair_sentence(c, head) for c in same[:MOST_SENTENCES]],
        "n_close": len(same),
        "sets": words.set_sentences(m.rows, m.comparisons),
    }


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
