"""Where points went from one frame to the next: pyramidal Lucas-Kanade flow, checked by going back.

Grey frames (h, w) uint8 and points (N, 2) px come in; displacements (N, 2) and their variance go out.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ..structures import Array

LEVELS = 3  #: of the pyramid, above the frame itself
WINDOW = 21  #: px, side of what is matched
REACH = 96  #: px around the points that are looked at
FLOOR = 0.15  #: px, standard deviation of a displacement that comes back to where it started
#: how far a point of the picture may leave its landmark in a frame, standard deviation as a part of the
#: object's size: flow follows the skin, a landmark may be a contour
DRIFT = 0.008
RETURN = 1.0  #: px, how far from its start a point may come back

_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02)
_LUCAS_KANADE: Any = cv2.calcOpticalFlowPyrLK  # its stub knows no None
_OPTIONS: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS, "criteria": _STOP}


def follow(before: Array, after: Array, xy: Array) -> tuple[Array, Array]:
    """Displacements of points (N, 2) from one grey frame to the next (Lucas and Kanade 1981; Bouguet 2001).

    Returns
    -------
    moved : (N, 2) px, NaN where the point was lost or did not come back to its start (forward-backward
        check of Kalal, Mikolajczyk and Matas 2010)
    variance : (N,) px², per axis
    """
    moved, variance = np.full((len(xy), 2), np.nan), np.ones(len(xy))
    h, w = before.shape
    inside = np.isfinite(xy).all(1) & (xy >= 0).all(1) & (xy <= [w - 1, h - 1]).all(1)
    known = np.flatnonzero(inside)
    if not len(known):
        return moved, variance
    x0, y0 = np.maximum(np.floor(xy[known].min(0)).astype(int) - REACH, 0)
    x1, y1 = np.ceil(xy[known].max(0)).astype(int) + REACH
    old, new = before[y0:y1, x0:x1], after[y0:y1, x0:x1]
    start = (xy[known] - [x0, y0]).astype(np.float32).reshape(-1, 1, 2)
    there, found, _ = _LUCAS_KANADE(old, new, start, None, **_OPTIONS)
    back, again, _ = _LUCAS_KANADE(new, old, there, None, **_OPTIONS)
    apart = np.linalg.norm((back - start)[:, 0], axis=1)
    good = (found[:, 0] > 0) & (again[:, 0] > 0) & (apart < RETURN)
    moved[known[good]] = (there - start)[good, 0]
    variance[known] = FLOOR**2 + apart**2
    return moved, variance
