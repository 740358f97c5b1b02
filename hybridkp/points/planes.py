"""Several planes in one pair of pictures: homographies found one after another among matches.

Matched points (M, 2) px go in, homographies with their matches come out.  Never here: pictures, rows, truth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array
from .robust import estimate_homography


class Plane(NamedTuple):
    """A (3, 3) homography from a to b, and the (P,) rows of its matches."""

    homography: Array
    rows: Array


def find_planes(
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    threshold_px: float = 3.0,
    max_planes: int = 8,
    min_inliers: int = 12,
    random_state: int = 0,
) -> list[Plane]:
    """Homographies that share out the matches, the largest first; no match is of two.

    The robust estimator is asked again and again about the matches that no plane has yet, until what it finds
    has fewer than ``min_inliers`` or is no more than chance (:func:`.robust.estimate_homography`).
    """
    a, b = np.asarray(xy_a, float).reshape(-1, 2), np.asarray(xy_b, float).reshape(-1, 2)
    rest = np.arange(len(a))
    planes: list[Plane] = []
    while len(planes) < max_planes and len(rest) >= min_inliers:
        found = estimate_homography(a[rest], b[rest], threshold_px, random_state)
        if found.inlier.sum() < min_inliers:
            break
        planes.append(Plane(found.matrix, rest[found.inlier]))
        rest = rest[~found.inlier]
    return planes
