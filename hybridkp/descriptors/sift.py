"""SIFT rows at given points, by OpenCV, on the levels of a pyramid.

Only description lives here: which points, at which size, is the caller's choice.  OpenCV objects
are built late and kept per process, never on the estimator.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

import cv2
import numpy as np

from ..imaging.geometry import grid_offsets
from ..imaging.opencv import create_sift
from ..imaging.pyramid import level_points
from ..structures import Array, InputError, Keypoints, Parameters, Pyramid
from .pictures import OfPictures

_SIGMA = 1.6  # cv2.SIFT's blur of its first layer, px
_LAYERS = 3  # layers per octave


@dataclass(eq=False, repr=False)
class SIFT(OfPictures, Parameters):
    """Scale-invariant feature transform (Lowe 2004): 4 x 4 histograms of 8 orientations.

    Parameters
    ----------
    size_px : float or None
        ``cv2.KeyPoint.size`` in px of the level: the histograms cover a square of 6 times this
        side.  None takes each keypoint's own size (given in input px).
    angle : "upright" or "keypoint"
        Right for landmarks of upright objects; or turned by each keypoint's angle (NaN = 0).
    root : bool
        RootSIFT (Arandjelovic & Zisserman 2012): the square root of the row divided by its sum,
        so that Euclidean distance becomes the Hellinger kernel.  Rows then have unit length.
        Without it they are as OpenCV gives them, whole numbers and about 512 long.
    level : int
        Pyramid level that is looked at.

    Notes
    -----
    Points may lie at the border or outside: pixels outside the picture cast no vote, and a row
    without any vote is zero; in a blank part of the picture rows are finite and mean nothing.
    With ``size_px=None``, rows are those of ``cv2.SIFT.detectAndCompute``.

    OpenCV reads a row from the octave that the size asks for and rounds the point to that
    octave's nearest pixel: for sizes from 3.6 to 7.2 px that is the level itself, below a picture
    twice as fine (and four times the work).  What moves less is not seen: for sub-pixel work take
    HOG.

    References
    ----------
    D. G. Lowe, Distinctive image features from scale-invariant keypoints, IJCV 60(2), 2004.
    R. Arandjelovic, A. Zisserman, Three things everyone should know to improve object retrieval,
    CVPR 2012.
    """

    size_px: float | None = 4.0
    angle: str = "upright"
    root: bool = False
    level: int = 0

    @property
    def n_features(self) -> int:
        return 128

    def describe(self, pyramid: Pyramid, keypoints: Keypoints) -> Array:
        """Rows (N, 128) float32, row i for keypoint i.

        Raises
        ------
        InputError
            For a level the pyramid lacks, points that are NaN, sizes that are not positive.
        """
        image, xy = level_points(pyramid, keypoints, self.level)
        n = len(xy)
        if n == 0:
            return np.zeros((0, 128), np.float32)
        size: Array | float
        if self.size_px is None:
            size = keypoints.size * float(pyramid.scale[self.level])
            low, high = size.min(), size.max()
        else:  # one size, one octave: not worked out again for every picture
            low = high = size = float(self.size_px)
        if not 0 < low <= high < float("inf"):
            raise InputError("SIFT: sizes must be positive px; give size_px or keypoints with a size")
        octave = sift_octave(size, min(image.shape))
        angle = angles(keypoints, self.angle)
        if isinstance(size, float) and isinstance(angle, float):
            points = moved_points(xy, size, int(octave))
        else:
            points = cv2_points(xy, size, angle, octave)
        if self.size_px is None:
            # OpenCV doubles the picture where some point is small, and the other points' rows
            # change a little: one small point that is always there makes rows independent
            points += (cv2.KeyPoint(0.0, 0.0, _SIGMA, 0.0, 0.0, 255 | 1 << 8, n),)
        kept, rows = _sift().compute(cv2.convertScaleAbs(image), points)
        out = aligned(kept, rows, len(points))[:n]
        return root_sift(out) if self.root else out

    def feature_places(self) -> tuple[Array, float]:
        """(128, 2) offsets of each feature's cell from an upright point, px, and a cell's side."""
        if self.size_px is None:
            raise InputError("SIFT: places are known with a size_px of its own only")
        side = 1.5 * self.size_px * 2**self.level
        return np.repeat(grid_offsets(4, side).reshape(-1, 2), 8, axis=0), side


def root_sift(rows: Array) -> Array:
    """The square root of each row divided by its sum; zero rows stay zero."""
    return np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12))


def sift_octave(size: Array | float, side_px: int) -> Array | int:
    """OpenCV's packed octave and layer whose blur fits a keypoint ``size``, a number or (N,).

    OpenCV draws a descriptor from the Gaussian picture that is *named* by ``KeyPoint.octave``,
    whatever the size: with 0 a large window would be read from an unblurred picture.  Octaves
    that a picture of shorter side ``side_px`` is too small for are replaced by its last.
    """
    if isinstance(size, float):
        return _one_octave(size, side_px)
    step = np.rint(_LAYERS * np.log2(np.asarray(size, np.float64) / (2 * _SIGMA))).astype(np.int64)
    last = max(int(np.log2(side_px)) - 2, 0)
    octave = np.clip((step - 1) // _LAYERS, -1, last)
    layer = np.clip(step - octave * _LAYERS, 1, _LAYERS)
    return (octave & 255) | (layer << 8)


@lru_cache(maxsize=256)
def _one_octave(size: float, side_px: int) -> int:
    return int(sift_octave(np.array([size]), side_px)[0])  # type: ignore[index]


def angles(keypoints: Keypoints, rule: str) -> Array | float:
    """Degrees (N,) under the rule "keypoint", or 0 for all under "upright"."""
    if rule == "upright":
        return 0.0
    if rule == "keypoint":
        return np.where(np.isnan(keypoints.angle), np.float32(0), keypoints.angle)
    raise InputError(f'angle must be "upright" or "keypoint", got {rule!r}')


def cv2_points(xy: Array, size: Any, angle: Any, octave: Any) -> tuple[Any, ...]:
    """OpenCV keypoints whose ``class_id`` is their row; all but ``xy`` (N, 2) a number or (N,)."""
    x, y = xy.T.tolist()
    columns = (v.tolist() if isinstance(v, np.ndarray) else repeat(v) for v in (size, angle, octave))
    size, angle, octave = columns
    return tuple(map(cv2.KeyPoint, x, y, size, angle, repeat(0.0), octave, range(len(x))))


class _Kept(threading.local):
    """The keypoints of the last call in this thread."""

    of: tuple[int, float, int] | None = None
    points: tuple[Any, ...] = ()


def moved_points(xy: Array, size: float, octave: int) -> tuple[Any, ...]:
    """:func:`cv2_points` of upright points of one size, valid until the thread's next call.

    Moving OpenCV's objects takes a third of the time of making them anew.
    """
    of = len(xy), size, octave
    if _kept.of != of:
        _kept.points, _kept.of = cv2_points(xy, size, 0.0, octave), of
    for point, place in zip(_kept.points, xy.tolist(), strict=True):
        point.pt = place
    return _kept.points


_kept = _Kept()


def aligned(kept: Any, rows: Array | None, n: int) -> Array:
    """What OpenCV returned, put back in the order of ``class_id``; rows it dropped are zero."""
    order = [p.class_id for p in kept]
    if rows is not None and order == list(range(n)):
        return rows
    width, dtype = (128, np.float32) if rows is None else (rows.shape[1], rows.dtype)
    out = np.zeros((n, width), dtype)
    if rows is not None:
        out[order] = rows
    return out


@lru_cache(maxsize=1)
def _sift() -> Any:
    return create_sift()
