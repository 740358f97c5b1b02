"""Where methods fail: the same predictions for small and large, turned and upright objects, table by table.

Conditions are measured from annotations and pictures, not staged: size, turn in the plane, hidden share,
light and sharpness of each object, cut into thirds of the data at hand.  No model is asked here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...files import write_atomic
from ...imaging.crops import cut
from ...imaging.geometry import crop_matrix, similarity
from ...stats import Interval
from ...structures import HIDDEN, Array, Dataset, InputError, Normalizer, Predictions, Sample
from ...structures.base import evenly
from ..cells import MISSING, make_grid, number, signed, tidy_csv
from .pictures import Gallery
from .scores import Scores, Truth, gather_truth, mean_shape, score_methods, summary

#: condition -> unit, and its bands from low to high
CONDITIONS = {
    "size": ("px", ("small", "medium", "large")),
    "turn": ("degrees", ("upright", "turned", "far turned")),
    "hidden": ("% of the landmarks", ("all seen", "some hidden", "more hidden")),
    "light": ("grey levels", ("dark", "medium", "bright")),
    "sharpness": ("grey levels", ("blurred", "medium", "sharp")),
}
_TITLES = {
    "size": "Size of the object",
    "turn": "Turn in the plane",
    "hidden": "Hidden landmarks",
    "light": "Light",
    "sharpness": "Sharpness",
}
CROP_PX = 128  #: objects are looked at in crops of this size, as detectors do
MOST_OBJECTS = 2000  #: of a larger set so many are looked at, evenly chosen
MOST_METHODS = 12  #: that the page shows; the file has all


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
    example: int  #: the object in the middle of the third

    @property
    def span(self) -> str:
        """``12 to 30 px``."""
        low, high = f"{self.low:.0f}", f"{self.high:.0f}"
        return f"{low if low == high else f'{low} to {high}'} {CONDITIONS[self.condition][0]}"


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
        As of :func:`.write_report`.
    """
    truth = gather_truth(dataset, list(predictions), normalizer)
    bands = find_bands(truth, score_methods(truth, list(predictions)), level)
    folder = Path(out_dir)
    write_atomic(folder / "conditions.csv", conditions_csv(bands, truth).encode())
    write_atomic(folder / "conditions.md", conditions_markdown(bands, truth).encode())
    return bands


def find_bands(truth: Truth, scores: Sequence[Scores], level: float) -> list[Band]:
    """Every method on every third of the data: condition by condition, from low to high."""
    bands = []
    for condition, measured in measure_conditions(truth).items():
        for name, low, high, rows in _thirds(measured, CONDITIONS[condition][1]):
            middle = np.abs(np.where(rows, measured, np.inf) - np.median(measured[rows]))
            example = int(np.where(truth.scored, middle, np.inf).argmin())
            for s in scores:
                values = s.values[:, rows] * truth.headline.scale
                value = summary(values, truth.groups[rows], level)
                bands.append(Band(condition, name, low, high, int(rows.sum()), s.method, value, example))
    return bands


def conditions_csv(bands: Sequence[Band], truth: Truth) -> str:
    """Tidy: a line for each band and method."""
    header = ["condition", "band", "low", "high", "objects", "method"]
    header += [truth.headline.key, "ci_low", "ci_high"]
    lines = [
        [b.condition, b.band, b.low, b.high, b.objects, b.method, b.value.value, b.value.low, b.value.high]
        for b in bands
    ]
    return tidy_csv(header, lines)


def context(gallery: Gallery, bands: Sequence[Band]) -> list[dict[str, Any]]:
    """What the page's section shows: for each condition a table, a picture of each band, and a sentence."""
    methods = list(dict.fromkeys(b.method for b in bands))
    shown, head = methods[:MOST_METHODS], gallery.truth.headline
    out = []
    for condition in dict.fromkeys(b.condition for b in bands):
        found = {(b.band, b.method): b for b in bands if b.condition == condition}
        firsts = [found[band, methods[0]] for band in dict.fromkeys(band for band, _ in found)]
        columns = {
            f"{b.band} ({b.objects})": [_told(found[b.band, m].value, head.digits) for m in shown]
            for b in firsts
        }
        pictures = [gallery.plain(b.example, b.band, b.span) for b in firsts]
        grid = make_grid(_TITLES[condition], shown, columns, lower_is_better=head.lower_is_better)
        words = _falls({(b, m): one.value for (b, m), one in found.items() if m in shown}, gallery.truth)
        out.append({"grid": grid, "pictures": pictures, "words": words})
    return out


def left_out(bands: Sequence[Band]) -> str:
    """That the page's tables do not show every method, where they do not."""
    n = len({b.method for b in bands})
    return f" The best {MOST_METHODS} of {n} methods." if n > MOST_METHODS else ""


def _falls(found: Mapping[tuple[str, str], Interval], truth: Truth) -> str:
    """Who loses least and who most from the band that is easiest on average to the hardest."""
    head = truth.headline
    bands, methods = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    methods = [m for m in methods if all(np.isfinite(found[band, m].value) for band in bands)]
    if not methods:
        return ""
    sign = 1 if head.lower_is_better else -1
    mean = [sign * np.mean([found[band, m].value for m in methods]) for band in bands]
    easy, hard = bands[int(np.argmin(mean))], bands[int(np.argmax(mean))]
    if not any(_apart(found[easy, m], found[hard, m]) for m in methods):
        return "The intervals overlap: no method is clearly worse on any of these."
    lost = {m: found[hard, m].value - found[easy, m].value for m in methods}
    methods.sort(key=lambda m: sign * lost[m])
    unit = f" {head.difference_unit}" if head.difference_unit else ""
    told = [f"{m} ({signed(lost[m], head.digits)}{unit})" for m in methods]
    words = f"least: {told[0]}; most: {told[-1]}" if len(told) > 1 else told[0]
    return f"How far the {head.title} changes from {easy} to {hard}: {words}."


def _apart(a: Interval, b: Interval) -> bool:
    return bool(a.low > b.high or b.low > a.high)


def _told(value: Interval, digits: int) -> tuple[str, str]:
    ends = [value.low, value.high]
    bounds = f"[{', '.join(number(v, digits) for v in ends)}]" if np.isfinite(ends).all() else ""
    return number(value.value, digits), bounds


def measure_conditions(truth: Truth) -> dict[str, Array]:
    """Condition -> (B,) of each object, NaN where it cannot be told.

    ``size``: square root of the box's area.  ``turn``: degrees in the plane from the mean shape, without
    sign.  ``hidden``: share of the labelled landmarks that are hidden, in per cent.  ``light``: mean grey of
    the box.  ``sharpness``: standard deviation of the Laplacian in a crop of :data:`CROP_PX`, so as a
    detector of crops sees it: a small object that is enlarged is not sharp.  What a picture tells, at
    most :data:`MOST_OBJECTS` objects are asked, and none whose file cannot be read.
    """
    boxes = truth.objects.boxes_xywh
    visibility = truth.objects.visibility
    labelled = np.maximum((visibility > 0).sum(1), 1)
    light, sharp = np.full(len(boxes), np.nan), np.full(len(boxes), np.nan)
    image: Array | None = None
    last: object = None
    for row in evenly(len(boxes), MOST_OBJECTS):
        sample, box = truth.samples[row], boxes[row]
        if not (np.isfinite(box).all() and min(box[2:]) > 0):
            continue
        if sample is not last:
            image, last = _read(sample), sample
        if image is None:
            continue
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


def _read(sample: Sample) -> Array | None:
    try:
        return sample.image
    except (InputError, OSError):
        return None


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


def conditions_markdown(bands: Sequence[Band], truth: Truth) -> str:
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
        what = f"{key[0]}: {key[1]} ({first.span})"
        lines.append(f"| {what} | {first.objects} | {' | '.join(cells)} |")
    told = f"{head.heading}, mean over the objects of a third of the data, with intervals over groups."
    return "\n".join([*lines, "", told, ""])


def _cell(value: Interval, digits: int, best: bool) -> str:
    text, bounds = _told(value, digits)
    return " ".join(filter(None, (f"**{text}**" if best and text != MISSING else text, bounds)))
