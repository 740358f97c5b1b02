"""ORB bits at given points, by OpenCV, on the levels of a pyramid.

OpenCV drops points near the border and reorders the rest; here no point is lost.  Only
description lives here, no detection and no matching.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from sklearn.base import BaseEstimator

from ..pyramid import level_points
from ..structures import Array, InputError, Keypoints, Pyramid
from .sift import aligned, angles, cv2_points

_PATCH = 31  # px, the side of the patch; the pattern of tests is made for it
_MARGIN = 32  # px around a point that a bit can depend on (rotated pattern 22, blur 3), rounded up


class ORB(BaseEstimator):
    """Oriented FAST and rotated BRIEF (Rublee et al. 2011): 256 comparisons of two pixels.

    Parameters
    ----------
    bits : "unpacked" or "hamming"
        256 columns float32 of 0 and 1, for classifiers; or OpenCV's 32 columns of uint8, for
        matching with ``cv2.NORM_HAMMING``.
    angle : "upright" or "keypoint"
        Right for landmarks of upright objects; or turned by each keypoint's angle (NaN = 0).
    level : int
        Pyramid level that is looked at, with a patch of 31 x 31 px.

    Notes
    -----
    Outside the picture its border pixel repeats, so that a point at the border or beyond gets a
    row; away from the border (32 px) the bits are OpenCV's own.  OpenCV rounds a point to the
    nearest pixel of the level.  "hamming" is the one exception to float32 rows.

    References
    ----------
    E. Rublee, V. Rabaud, K. Konolige, G. Bradski, ORB: an efficient alternative to SIFT or SURF,
    ICCV 2011.
    """

    def __init__(self, bits: str = "unpacked", angle: str = "upright", level: int = 0):
        self.bits = bits
        self.angle = angle
        self.level = level

    @property
    def n_features(self) -> int:
        return 32 if self.bits == "hamming" else 256

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """Rows (N, 256) float32 or (N, 32) uint8, row i for keypoint i.

        Raises
        ------
        InputError
            For a level the pyramid lacks, points that are NaN, an unknown kind of bits.
        """
        if self.bits not in ("unpacked", "hamming"):
            raise InputError(f'ORB: bits must be "unpacked" or "hamming", got {self.bits!r}')
        image, xy = level_points(pyramid, keypoints, self.level)
        n = len(xy)
        if n == 0:
            return np.zeros((0, self.n_features), np.uint8 if self.bits == "hamming" else np.float32)
        part, xy = _surroundings(image, xy)
        points = cv2_points(xy, float(_PATCH), angles(keypoints, self.angle), 0)
        kept, rows = _orb().compute(part, points)
        packed = aligned(kept, rows, n)
        if self.bits == "hamming":
            return packed
        return np.unpackbits(packed, axis=1).astype(np.float32)


def _surroundings(image: Array, xy: Array) -> tuple[Array, Array]:
    """The part of the picture (uint8) that the points' bits can depend on, and the points in it.

    Where that reaches outside, the border repeats; farther out than the margin nothing changes
    any more along that direction, so points are brought back to there.
    """
    h, w = image.shape
    xy = np.clip(xy, -_MARGIN, [w - 1 + _MARGIN, h - 1 + _MARGIN])
    # an even origin, so that OpenCV rounds halves (to even) as it would in the whole picture
    x0, y0 = (2 * np.floor(xy.min(axis=0) / 2).astype(int) - _MARGIN).tolist()
    x1, y1 = (np.ceil(xy.max(axis=0)).astype(int) + _MARGIN + 1).tolist()
    left, top, right, bottom = max(-x0, 0), max(-y0, 0), max(x1 - w, 0), max(y1 - h, 0)
    inside = image[max(y0, 0) : max(min(y1, h), 1), max(x0, 0) : max(min(x1, w), 1)]
    part = cv2.convertScaleAbs(inside)
    if left or top or right or bottom:
        part = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return part, xy - [x0, y0]


@lru_cache(maxsize=1)
def _orb() -> Any:
    # edgeThreshold 0: nothing is dropped; every point has its margin already
    return cv2.ORB_create(nlevels=1, edgeThreshold=0, patchSize=_PATCH)
