"""Points of the world on a page: an SVG that stands by itself and turns under the pointer where scripts run.

(T, K, 3) points of T instants come in, a context for ``space.html`` goes out.  No figure is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array
from ..structures.base import evenly

SIDE = 480  #: of the drawing, px
START = (-0.6, -0.35)  #: yaw and pitch of the first look, radians
MOST = 60  #: instants that the slider has
_FILL = 0.44  #: of the side, from the middle to the farthest point


def space_context(
    points: ArrayLike,
    skeleton: Array,
    landmarks: Sequence[str],
    frames: Sequence[str],
    *,
    up: ArrayLike = (0.0, 0.0, 1.0),
    other: ArrayLike | None = None,
    words: tuple[str, str] = ("points", "given points"),
    unit: str = "",
) -> dict[str, Any] | None:
    """What ``space.html`` shows; None where there is no finite point.

    Parameters
    ----------
    points : (T, K, 3), NaN = missing
    skeleton : (E, 2)
    frames : T names of the instants
    up : (3,) direction that is up on the page
    other : (T, K, 3) to hold against them, such as the truth
    words : what the two are called
    """
    points = np.asarray(points, np.float64)
    rows = np.flatnonzero(np.isfinite(points).all(2).any(1))
    if not len(rows):
        return None
    rows = rows[evenly(len(rows), MOST)]
    shown = [points[rows]] if other is None else [points[rows], np.asarray(other, np.float64)[rows]]
    level = _level(np.asarray(up, np.float64))
    middle = np.nanmedian(shown[0].reshape(-1, 3), axis=0)
    turned = [(one - middle) @ level.T for one in shown]
    reach = float(np.nanpercentile(np.linalg.norm(turned[0], axis=2), 99)) or 1.0
    scaled = [one / reach * _FILL * SIDE for one in turned]
    sets = [[_plain(frame) for frame in one] for one in scaled]
    return {
        "side": SIDE,
        "start": START,
        "edges": np.asarray(skeleton, int).reshape(-1, 2).tolist(),
        "names": list(map(str, landmarks)),
        "frames": [str(frames[r]) for r in rows.tolist()],
        "sets": sets,
        "first": [_flat(one[0]) for one in scaled],
        "words": list(words[: len(shown)]),
        "scale": f"{float(f'{reach:.2g}'):g} {unit or 'units'}",
        "scale_px": round(float(f"{reach:.2g}") / reach * _FILL * SIDE, 1),
    }


def _level(up: Array) -> Array:
    """(3, 3) rows: right, down, towards the viewer, of a world whose up is given."""
    down = -up / (np.linalg.norm(up) or 1.0)
    helper = np.eye(3)[np.argmin(np.abs(down))]
    right = np.cross(down, helper)
    right /= np.linalg.norm(right)
    return np.stack([right, down, np.cross(right, down)])


def _plain(frame: Array) -> list[list[float] | None]:
    return [None if not np.isfinite(p).all() else np.round(p, 1).tolist() for p in frame]


def _flat(frame: Array) -> list[list[float] | None]:
    """The first look, as the script computes it too."""
    yaw, pitch = START
    x = np.cos(yaw) * frame[:, 0] + np.sin(yaw) * frame[:, 2]
    depth = -np.sin(yaw) * frame[:, 0] + np.cos(yaw) * frame[:, 2]
    y = np.cos(pitch) * frame[:, 1] - np.sin(pitch) * depth
    return _plain(np.column_stack([x, y]) + SIDE / 2)
