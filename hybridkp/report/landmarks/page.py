"""Puts landmarks' tables, plots, pictures and sentences together as one self-contained HTML page.

What the pages of both tasks share is in ``material`` and ``rendering``.  No file is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...structures import Array
from .. import plots
from ..material import Material
from ..rendering import curves_context
from . import conditions, disagreement, pictures, reliability, shapes
from .agreement import agreement_grid
from .scores import Scores, Truth, error_curve, landmark_errors, mean_shape


def render(
    m: Material,
    truth: Truth,
    scores: Sequence[Scores],
    gallery: pictures.Gallery,
    judged: Mapping[str, reliability.Reliability | None],
    bands: Sequence[conditions.Band],
) -> str:
    """The page as text; ``judged`` says by method whether its scores can be believed."""
    rows = pictures.choose_disagreement(truth, scores)
    return m.page(
        "landmarks.html",
        legend=(
            "Cyan: truth; yellow: prediction; white line: the error between them."
            " Below each picture its own error."
        ),
        cases=[(n, p) for n, p in pictures.method_pictures(gallery, scores) if p],
        disagreement=pictures.disagreement_pictures(gallery, scores, rows),
        **disagreement.context(gallery, scores),
        training=_training(scores),
        agreement=agreement_grid(truth, scores),
        reliability=reliability.panels(judged),
        few=reliability.FEW,
        conditions=conditions.context(gallery, bands),
        conditions_of=conditions.left_out(bands),
        **_ced(truth, scores),
        **_shapes(truth, scores),
    )


def _ced(truth: Truth, scores: Sequence[Scores]) -> dict[str, Any]:
    errors = np.concatenate([s.error for s in scores])
    errors = errors[np.isfinite(errors)]
    scale, unit = truth.error_unit
    if len(errors) == 0:
        return {"ced": None, "ced_cut": ""}
    # the second worst method's 95th percentile: one bad method must not flatten the others
    tails = sorted(float(np.nanpercentile(s.error, 95)) for s in scores if np.isfinite(s.error).any())
    top = max(tails[-2] if len(tails) > 2 else tails[-1], 1e-6)
    grid = np.linspace(0, top, 160)
    curves = {s.method: (scale * grid, error_curve(s, grid)) for s in scores if np.isfinite(s.error).any()}
    label = "NME of an object, %" if truth.divided else f"mean error of an object, {unit}"
    svg = curves_context(
        curves,
        "ced",
        x_label=label,
        y_label="objects with at most that error, %",
        aria="Cumulative error distribution",
    )
    cut = f"{scale * top:.3g} {unit}" if errors.max() > top else ""
    return {"ced": svg, "ced_cut": cut}


def _shapes(truth: Truth, scores: Sequence[Scores]) -> dict[str, Any]:
    shape = mean_shape(truth)
    errors = {s.method: landmark_errors(truth, s) for s in scores}
    known = np.concatenate(list(errors.values()))
    known = known[np.isfinite(known)]
    if len(known) == 0:
        return {"shapes": [], "scale": {}}
    factor, unit = truth.error_unit
    # the middle method's worst landmark ends the scale: a floor method would take all colours
    top = float(np.median([np.nanmax(e) for e in errors.values() if np.isfinite(e).any()]))
    names, skeleton = truth.dataset.landmarks, truth.dataset.skeleton
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
