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
_CHUNK = 256  # points at a time: the indices stay in the cache
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
    row; away from the border (32 px) the bits are OpenCV's own.  Points are rounded to the nearest
    pixel of the level, as OpenCV does.  "hamming" is the one exception to float32 rows.

    Upright bits are compared here, not by ``cv2.ORB``: building its keypoint objects costs more
    than the comparisons.  Which pixels are compared is asked of OpenCV, once per process, and the
    answer is checked on a random picture; should they differ, OpenCV does the work.

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
        angle = angles(keypoints, self.angle)
        part, xy = _surroundings(image, xy)
        tests = _tests()
        if self.angle == "upright" and tests is not None:
            bits = _compare(part, xy, tests)
            if self.bits == "unpacked":
                return bits.astype(np.float32)
            return np.packbits(bits, axis=1, bitorder="little")
        packed = _by_opencv(part, xy, angle)
        if self.bits == "hamming":
            return packed
        return np.unpackbits(packed, axis=1, bitorder="little").astype(np.float32)


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


def _compare(part: Array, xy: Array, tests: Array) -> Array:
    """(N, 256) bool: is the first pixel of each test darker than the second?"""
    # as inside cv2.ORB: rounded once; cv2.GaussianBlur of uint8 rounds between rows and columns
    kernel = cv2.getGaussianKernel(7, 2, cv2.CV_32F)
    blurred = cv2.sepFilter2D(part, -1, kernel, kernel)
    width = blurred.shape[1]
    pixel = np.rint(xy).astype(np.intp) @ np.array([1, width])
    offset = tests @ np.array([1, width])  # (2, 256)
    out = np.empty((len(xy), offset.shape[1]), bool)
    flat = blurred.ravel()
    for i in range(0, len(xy), _CHUNK):
        some = pixel[i : i + _CHUNK, None]
        np.less(flat.take(some + offset[0]), flat.take(some + offset[1]), out=out[i : i + _CHUNK])
    return out


def _by_opencv(image: Array, xy: Array, angle: Array | float) -> Array:
    """(N, 32) uint8, each point far enough from the border of ``image``."""
    kept, rows = _orb().compute(image, cv2_points(xy, float(_PATCH), angle, 0))
    return aligned(kept, rows, len(xy))


@lru_cache(maxsize=1)
def _tests() -> Array | None:
    """(2, 256, 2) int, the pixels (x, y) that OpenCV compares; None if it does not tell.

    Looks at steps from black to white through keypoints that move across: a test answers yes as
    long as its first pixel is not yet wholly white and its second no longer wholly black.  Where
    that begins and ends are the two pixels, but for the blur's known width.  Both step
    directions tell pixels in either order; a diagonal step tells x where both pixels share it.
    """
    reach, side = 40, 201
    moves = np.arange(-reach, reach + 1)
    y, x = np.mgrid[:side, :side] - side // 2
    along_x = np.stack([side // 2 - moves, np.full_like(moves, side // 2)], 1).astype(float)
    found = []
    for across, points, blur in ((x, along_x, 3), (y, along_x[:, ::-1], 3), (x + y, along_x, 6)):
        pair = np.full((2, 256), 1000)  # 1000: not told, both pixels lie at the same place
        for rising in (True, False):
            step = np.where((across >= 0) == rising, 255, 0).astype(np.uint8)
            bits = np.unpackbits(_by_opencv(step, points, 0.0), axis=1, bitorder="little").astype(bool)
            first = moves[bits.argmax(0)] + blur - 1
            last = moves[len(moves) - 1 - bits[::-1].argmax(0)] - blur
            told = bits.any(axis=0)
            low, high = (0, 1) if rising else (1, 0)
            pair[low, told], pair[high, told] = first[told], last[told]
        found.append(pair)
    px, py, diagonal = found
    px = np.where(px == 1000, diagonal - py, px)
    py = np.where(py == 1000, diagonal - px, py)
    tests = np.stack([px, py], axis=2)
    if np.abs(tests).max() > _PATCH // 2:
        return None
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (200, 200), np.uint8)
    points = rng.uniform(_MARGIN, 199 - _MARGIN, (64, 2))
    same = np.packbits(_compare(picture, points, tests), axis=1, bitorder="little")
    return tests if np.array_equal(same, _by_opencv(picture, points, 0.0)) else None


@lru_cache(maxsize=1)
def _orb() -> Any:
    # edgeThreshold 0: nothing is dropped; every point has its margin already
    return cv2.ORB.create(nlevels=1, edgeThreshold=0, patchSize=_PATCH)
