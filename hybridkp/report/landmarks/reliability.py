"""Are the scores to be believed?  Expected against observed hits and errors, as numbers and plots.

A score in this library is the probability of an error below 2.5 % of the crop's longer side
(:data:`hybridkp.stats.calibration.NEAR`); how long that is in the picture follows from box and
the bench's crop size and margin.  Letters: S seeds, B objects, K landmarks, n bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...imaging.geometry import crop_matrix, scale_of
from ...metrics import classification, landmarks
from ...stats.calibration import NEAR
from ...structures import Array, Instance, Predictions, Sample, short_repr
from .. import plots
from .scores import Scores, Truth

BINS = 10
FEW = 20  #: points in a bin below which its figures are not drawn


@dataclass(frozen=True, eq=False)
class Reliability:
    """One method, all seeds together; a bin without points is NaN."""

    expected: Array  #: (n,) mean score
    observed: Array  #: (n,) share of points within 2.5 % of the crop's side
    count: Array  #: (n,) points
    error: Array  #: (n,) median error, parts of the crop's side
    calibration_error: float  #: the expected calibration error, 0..1

    __repr__ = short_repr


def reliability(truth: Truth, scores: Scores) -> Reliability | None:
    """None where the predictions do not say how they were cut, or no score is a probability."""
    score = scores.point_confidence
    sides = np.stack([_crop_sides(truth, run) for run in scores.runs])  # (S, B)
    if np.isnan(sides).all() or not np.isfinite(score).any():
        return None
    if np.nanmin(score) < 0 or np.nanmax(score) > 1:
        return None
    error = np.stack([landmarks.point_errors(truth.xy, xy) for xy in scores.xy]) / sides[..., None]
    hit = np.where(np.isnan(error), np.nan, error < NEAR)
    expected, observed, count = classification.calibration_curve(hit, score, BINS)
    middle, _ = classification.error_by_score(error, score, BINS)
    ece = classification.expected_calibration_error(hit, score, BINS)
    return Reliability(expected, observed, count, middle, ece)


def _crop_sides(truth: Truth, run: Predictions) -> Array:
    """(B,) px of the picture along the longer side of each object's crop; NaN when not known."""
    try:
        h, w = (int(v) for v in run.params["size_hw"])
        margin = float(run.params["margin"])
    except (KeyError, TypeError, ValueError):
        return np.full(len(truth.samples), np.nan)
    pairs = zip(truth.samples, truth.instances, strict=True)
    return np.array([max(h, w) * _picture_px(sample, one, (h, w), margin) for sample, one in pairs])


def _picture_px(sample: Sample, one: Instance, size_hw: tuple[int, int], margin: float) -> float:
    """Picture px per crop px; the whole picture is the box of an object without one, as in the bench."""
    box = np.asarray(one.box_xywh, float)
    if not (np.isfinite(box).all() and box[2] > 0 and box[3] > 0):
        if sample.size_hw is None:
            return float("nan")
        box = np.array([0.0, 0.0, sample.size_hw[1], sample.size_hw[0]])
    return 1 / float(scale_of(crop_matrix(box, size_hw, margin)))


def expected_error(score: Array) -> Array:
    """The median error, parts of the side, of round Gaussian errors that are NEAR with that probability."""
    return NEAR * np.sqrt(np.log(2) / -np.log1p(-np.clip(score, 0.005, 0.995)))


def reliability_svg(found: Reliability, method: str, name: str) -> str:
    """Two small plots above each other: hits and median errors over the score."""
    shown = found.count >= FEW
    with plots.figure(3.3, 4.5, name, font=8.5) as fig:
        top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
        grid = np.linspace(0.005, 0.995, 100)
        size = 8 + 90 * found.count[shown] / max(found.count.max(), 1)
        color = plots.COLORS[0]
        top.plot([0, 100], [0, 100], color=plots.MUTED, lw=1)
        top.plot(100 * found.expected[shown], 100 * found.observed[shown], color=color, lw=1, alpha=0.5)
        top.scatter(100 * found.expected[shown], 100 * found.observed[shown], s=size, color=color, lw=0)
        top.set_ylim(0, 100)
        top.set_ylabel("points within\n2.5 % of the side, %")
        bottom.plot(100 * grid, 100 * expected_error(grid), color=plots.MUTED, lw=1)
        bottom.scatter(100 * found.expected[shown], 100 * found.error[shown], s=size, color=color, lw=0)
        plots.log_values(bottom)
        bottom.set_ylim(*_limits(found, shown))
        bottom.set_ylabel("median error,\n% of the side")
        bottom.set_xlabel("score, %")
        bottom.set_xlim(0, 100)
        label = f"Reliability of the scores of {method}: expected calibration error"
        return plots.to_svg(fig, name, f"{label} {100 * found.calibration_error:.1f} %")


def _limits(found: Reliability, shown: Array) -> tuple[float, float]:
    """Percent of the side around what is drawn; the curve's ends may leave the axes."""
    known = 100 * found.error[shown & np.isfinite(found.error) & (found.error > 0)]
    both = np.concatenate([known, 100 * expected_error(np.array([0.1, 0.9]))])
    return float(both.min()) / 1.3, float(both.max()) * 1.3


def panels(judged: Mapping[str, Reliability | None]) -> list[dict[str, Any]]:
    """``method``, ``svg`` and ``words`` of every method whose scores can be judged, in order."""
    out = []
    for i, (method, found) in enumerate(judged.items()):
        if found is None:
            continue
        words = f"ECE {100 * found.calibration_error:.1f}\N{NO-BREAK SPACE}%, {found.count.sum()} points"
        svg = reliability_svg(found, method, f"reliability-{i}")
        out.append({"method": method, "svg": svg, "words": words})
    return out
