"""Where methods fail: the same predictions, table by table, for small and large, turned and upright objects.

Conditions are measured from annotations and pictures, not staged: size, turn in the plane, hidden share,
light and sharpness of each object, cut into thirds of the data at hand.  No model is asked here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ...files import write_atomic
from ...imaging.crops import cut
from ...imaging.geometry import crop_matrix, similarity
from ...stats import Interval
from ...structures import HIDDEN, Array, Dataset, Normalizer, Predictions
from ..cells import tidy_csv
from .scores import Truth, gather_truth, mean_shape, score_methods, summary

#: condition -> unit, and its bands from low to high
CONDITIONS = {
    "size": ("px", ("small", "medium", "large")),
    "turn": ("degrees", ("upright", "turned", "far turned")),
    "hidden": ("% of the landmarks", ("all seen", "some hidden", "more hidden")),
    "light": ("grey levels", ("dark", "medium", "bright")),
    "sharpness": ("grey levels", ("blurred", "medium", "sharp")),
}
CROP_PX = 128  #: objects are looked at in crops of this size, as detectors do


@dataclass(frozen=True)
class Band:
    """One method on the objects of a third of the data."""

    condition: str
    band: str
    low: float  #: of the condition, in its unit
    high: float
    objects: int
    method: str
    value: Interval  #: the headline's mean, in shown units, with its interval over groups


def write_conditions(
    predictions: Sequence[Predictions],
    dataset: Dataset,
    out_dir: str | os.PathLike[str],
    *,
    normalizer: Normalizer | None = None,
    level: float = 0.95,
) -> list[Band]:
    """``conditions.csv`` (tidy) and ``conditions.md`` in ``out_dir``; what stands in them, in their order.

    A condition that hardly varies in these data, or that nothing tells, is left out.

    Raises
    ------
    InputError
        As of :func:`.write_report`, and for pictures that cannot be read.
    """
    truth = gather_truth(dataset, list(predictions), normalizer)
    scores = score_methods(truth, list(predictions))
    bands = []
    for condition, measured in measure_conditions(truth).items():
        for name, low, high, rows in _thirds(measured, CONDITIONS[condition][1]):
            for s in scores:
                values = s.values[:, rows] * truth.headline.scale
                value = summary(values, truth.groups[rows], level)
                bands.append(Band(condition, name, low, high, int(rows.sum()), s.method, value))
    folder = Path(out_dir)
    header = ["condition", "band", "low", "high", "objects", "method"]
    header += [truth.headline.key, "ci_low", "ci_high"]
    lines = [
        [b.condition, b.band, b.low, b.high, b.objects, b.method, b.value.value, b.value.low, b.value.high]
        for b in bands
    ]
    write_atomic(folder / "conditions.csv", tidy_csv(header, lines).encode())
    write_atomic(folder / "conditions.md", _markdown(bands, truth).encode())
    return bands


def measure_conditions(truth: Truth) -> dict[str, Array]:
    """Condition -> (B,) of each object, NaN where it cannot be told.

    ``size``: square root of the box's area.  ``turn``: degrees in the plane from the mean shape, without
    sign.  ``hidden``: share of the labelled landmarks that are hidden, in per cent.  ``light``: mean grey of
    the box.  ``sharpness``: standard deviation of the Laplacian in a crop of :data:`CROP_PX`, so as a
    detector of crops sees it: a small object that is enlarged is not sharp.
    """
    boxes = truth.objects.boxes_xywh
    visibility = truth.objects.visibility
    labelled = np.maximum((visibility > 0).sum(1), 1)
    light, sharp = np.full(len(boxes), np.nan), np.full(len(boxes), np.nan)
    image: Array | None = None
    last: object = None
    for row, (sample, box) in enumerate(zip(truth.samples, boxes, strict=True)):
        if not (np.isfinite(box).all() and min(box[2:]) > 0):
            continue
        if sample is not last:
            image, last = sample.image, sample
        assert image is not None
        size_hw = (CROP_PX, CROP_PX)
        grey = cv2.cvtColor(cut(image, crop_matrix(box, size_hw, 1.0), size_hw), cv2.COLOR_BGR2GRAY)
        light[row], sharp[row] = grey.mean(), cv2.Laplacian(grey, cv2.CV_32F).std()
    return {
        "size": np.sqrt(boxes[:, 2] * boxes[:, 3]),
        "turn": _turn(truth),
        "hidden": 100 * (visibility == HIDDEN).sum(1) / labelled,
        "light": light,
        "sharpness": sharp,
    }


def _turn(truth: Truth) -> Array:
    """(B,) degrees; NaN for objects of fewer than three labelled points."""
    maps = similarity(mean_shape(truth)[None], truth.xy)
    angle = np.abs(np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0])))
    return np.where(np.isfinite(truth.xy).all(2).sum(1) >= 3, angle, np.nan)


def _thirds(measured: Array, names: Sequence[str]) -> list[tuple[str, float, float, Array]]:
    """(name, lowest, highest, (B,) mask) of up to three bands of about equal numbers; none of one value."""
    known = np.isfinite(measured)
    if not known.any():
        return []
    edges = np.unique(np.quantile(measured[known], [1 / 3, 2 / 3]))
    place = np.where(known, np.searchsorted(edges, measured, side="left"), -1)
    used = [p for p in range(len(edges) + 1) if (place == p).any()]
    if len(used) < 2:
        return []
    chosen = names if len(used) == 3 else (names[0], names[-1])
    out = []
    for name, p in zip(chosen, used, strict=True):
        rows = place == p
        out.append((name, float(measured[rows].min()), float(measured[rows].max()), rows))
    return out


def _markdown(bands: Sequence[Band], truth: Truth) -> str:
    """A table: a line for each band, a column for each method; the best of a line is bold."""
    methods = list(dict.fromkeys(b.method for b in bands))
    head = truth.headline
    lines = [f"| condition | objects | {' | '.join(m.replace('|', '/') for m in methods)} |"]
    lines.append(f"|:---|---:|{'---:|' * len(methods)}")
    for key in dict.fromkeys((b.condition, b.band) for b in bands):
        row = {b.method: b for b in bands if (b.condition, b.band) == key}
        first = row[methods[0]]
        values = [row[m].value.value for m in methods]
        known = [v for v in values if np.isfinite(v)]
        best = (min if head.lower_is_better else max)(known, default=None)
        cells = [_cell(row[m].value, head.digits, row[m].value.value == best) for m in methods]
        unit = CONDITIONS[key[0]][0]
        what = f"{key[0]}: {key[1]} ({first.low:.0f} to {first.high:.0f} {unit})"
        lines.append(f"| {what} | {first.objects} | {' | '.join(cells)} |")
    told = f"{head.heading}, mean over the objects of a third of the data, with intervals over groups."
    return "\n".join([*lines, "", told, ""])


def _cell(value: Interval, digits: int, best: bool) -> str:
    if not np.isfinite(value.value):
        return "–"
    text = f"{value.value:.{digits}f}"
    text = f"**{text}**" if best else text
    return f"{text} [{value.low:.{digits}f}, {value.high:.{digits}f}]" if np.isfinite(value.low) else text
