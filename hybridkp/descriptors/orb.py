"""ORB bits at given points, by OpenCV, on the levels of a pyramid.

OpenCV drops points near the border and reorders the rest; here no point is lost.  Only
description lives here, no detection and no matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..imaging.pyramid import level_points
from ..structures import Array, InputError, Keypoints, Parameters, Pyramid
from .pictures import OfPictures
from .sift import aligned, angles, cv2_points
from .windows import window_strip

_PATCH = 31  # px, the side of the patch; the pattern of tests is made for it
# as inside cv2.ORB: rounded once; cv2.GaussianBlur of uint8 rounds between rows and columns
_BLUR = cv2.getGaussianKernel(7, 2, cv2.CV_32F)
_CHUNK = 256  # points at a time: the indices stay in the cache
_REACH = 16  # px around a point that a bit can depend on: pattern 13, blur 3
_TURNED_REACH = 32  # the same of OpenCV's turned pattern (22), rounded up


@dataclass(eq=False, repr=False)
class ORB(OfPictures, Parameters):
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

    bits: str = "unpacked"
    angle: str = "upright"
    level: int = 0

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
        if len(xy) == 0:
            return np.zeros((0, self.n_features), np.uint8 if self.bits == "hamming" else np.float32)
        angle = angles(keypoints, self.angle)
        known = self.angle == "upright" and _tests() is not None
        reach = _REACH if known else _TURNED_REACH
        corner = np.rint(xy).astype(np.int32)
        corner -= reach
        strip, corner = window_strip(image, corner, 2 * reach + 1)
        strip = cv2.convertScaleAbs(strip)
        if known:
            bits = _compare(strip, corner, _offsets(strip.shape[1]))
            if self.bits == "unpacked":
                return bits.astype(np.float32)
            return np.packbits(bits, axis=1, bitorder="little")
        packed = _by_opencv(strip, corner + reach, angle)
        if self.bits == "hamming":
            return packed
        return np.unpackbits(packed, axis=1, bitorder="little").astype(np.float32)


def _compare(image: Array, corner: Array, offset: Array) -> Array:
    """(N, 256) bool: is the first pixel of each test darker than the second?

    ``corner`` (N, 2) int, the first pixels of the points' windows; ``offset`` from :func:`_flat`.
    """
    flat = cv2.sepFilter2D(image, -1, _BLUR, _BLUR).ravel()
    pixel = (corner @ np.array([1, image.shape[1]]))[:, None]
    out = np.empty((len(corner), 256), bool)
    for i in range(0, len(corner), _CHUNK):
        pair = flat.take(pixel[i : i + _CHUNK] + offset)
        np.less(pair[:, :256], pair[:, 256:], out=out[i : i + _CHUNK])
    return out


@lru_cache(maxsize=64)
def _offsets(width: int) -> Array:
    """Of the tests: see :func:`_flat`."""
    tests = _tests()
    assert tests is not None
    return _flat(tests, width)


def _flat(tests: Array, width: int) -> Array:
    """(512,) int from a window's corner in a flat picture of this width, all firsts, then all seconds."""
    return ((tests + _REACH) @ np.array([1, width])).ravel()


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
    if np.abs(tests).max() > _REACH - 3:
        return None
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (200, 200), np.uint8)
    points = rng.integers(_TURNED_REACH, 200 - _TURNED_REACH, (64, 2))
    same = np.packbits(_compare(picture, points - _REACH, _flat(tests, 200)), axis=1, bitorder="little")
    return tests if np.array_equal(same, _by_opencv(picture, points, 0.0)) else None


@lru_cache(maxsize=1)
def _orb() -> Any:
    # edgeThreshold 0: nothing is dropped; every point has its margin already
    return cv2.ORB.create(nlevels=1, edgeThreshold=0, patchSize=_PATCH)
