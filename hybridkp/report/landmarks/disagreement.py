"""Where methods disagree landmark by landmark, and who was right: what to look at, drawn through a lens.

Takes stored predictions; pictures come from the gallery's crops.  No metric is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...imaging.draw import draw_landmarks
from ...imaging.geometry import apply_affine, crop_matrix, warp
from ...structures import Array
from .. import plots
from ..cells import SPACE
from ..embed import Picture, jpeg_uri, read_picture
from .pictures import Gallery
from .scores import Scores, Truth

MOST_METHODS = 6  #: each has a colour of its own
MOST = 8  #: landmarks shown
_WIDEST = 4096.0  #: px of the picture that a lens shows; a point may be anywhere


class Spot(NamedTuple):
    """One landmark of one object, on which methods are far apart."""

    row: int
    landmark: int
    error: Array  #: (M,) a fraction of the normaliser, or px


def spots(truth: Truth, scores: Sequence[Scores], n: int = MOST) -> list[Spot]:
    """For the landmarks on which the first seeds of M methods are farthest apart, the object where they are.

    Each object once.  Errors count as at most ten times the median: wholly lost points are all alike.
    """
    if len(scores) < 2:
        return []
    xy = np.stack([s.xy[0] for s in scores])
    unit = truth.lengths
    error = np.linalg.norm(xy - truth.xy, axis=-1) / unit[:, None]  # (M, B, K)
    known = np.isfinite(error).all(0)
    far = np.where(known, np.ptp(np.minimum(np.nan_to_num(error), _cap(error)), axis=0), -1.0)
    out: list[Spot] = []
    for landmark in np.argsort(-far.max(0, initial=-1.0), kind="stable").tolist():
        free = far[:, landmark].copy()
        free[[spot.row for spot in out]] = -1
        row = int(free.argmax()) if len(free) else 0
        if len(out) < n and len(free) and free[row] > 0:
            out.append(Spot(row, landmark, error[:, row, landmark]))
    return out


def _cap(error: Array) -> float:
    known = error[np.isfinite(error)]
    return 10 * float(np.median(known)) if len(known) else 1.0


def context(gallery: Gallery, scores: Sequence[Scores]) -> dict[str, Any]:
    """What the template's section shows: pictures and which colour is whose."""
    shown = list(scores[:MOST_METHODS])
    truth = gallery.truth
    found = [_picture(gallery, shown, spot) for spot in spots(truth, shown)]
    legend = [{"method": s.method, "color": plots.COLORS[i]} for i, s in enumerate(shown)]
    return {"spots": found, "spot_legend": legend if found else [], "n_methods": len(scores)}


def _picture(gallery: Gallery, scores: Sequence[Scores], spot: Spot) -> Picture:
    truth = gallery.truth
    sample, size = truth.samples[spot.row], (gallery.side, gallery.side)
    target = truth.xy[spot.row, spot.landmark]
    points = np.stack([s.xy[0, spot.row, spot.landmark] for s in scores])
    reach = float(np.clip(2.4 * np.abs(points - target).max(), 24.0, _WIDEST))
    box = np.array([*(target + 0.5 - reach / 2), reach, reach])
    matrix = crop_matrix(box, size, margin=1.0)
    lens = warp(read_picture(sample.load, sample.name, gallery.unreadable, size), matrix, size)
    drawn = draw_landmarks(lens, np.zeros((0, 2)))
    for point, color in reversed(list(zip(points, plots.COLORS, strict=False))):
        bgr = (int(color[5:7], 16), int(color[3:5], 16), int(color[1:3], 16))
        drawn = draw_landmarks(drawn, apply_affine(matrix, point[None]), color=bgr, radius=gallery.side / 60)
    drawn = draw_landmarks(
        drawn, np.full((1, 2), np.nan), truth=apply_affine(matrix, target[None]), radius=gallery.side / 40
    )
    name = truth.dataset.landmarks[spot.landmark]
    best, worst = int(spot.error.argmin()), int(spot.error.argmax())
    factor, unit = truth.error_unit
    words = (
        f"nearest: {scores[best].method} ({factor * spot.error[best]:.1f}{SPACE}{unit});"
        f" farthest: {scores[worst].method} ({factor * spot.error[worst]:.1f}{SPACE}{unit})"
    )
    return Picture(jpeg_uri(drawn), f"{name} on {sample.name}; {words}", name, words)
