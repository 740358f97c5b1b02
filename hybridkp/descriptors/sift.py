"""SIFT rows at given points, by OpenCV, on the levels of a pyramid.

Only description lives here: which points, at which size, is the caller's choice.  OpenCV objects
are built late and kept per process, never on the estimator.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from sklearn.base import BaseEstimator

from ..opencv import create_sift
from ..pyramid import level_points
from ..structures import Array, InputError, Keypoints, Pyramid

_SIGMA = 1.6  # cv2.SIFT's blur of its first layer, px
_LAYERS = 3  # layers per octave


class SIFT(BaseEstimator):
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
    without any vote is zero.  OpenCV reads a row from the octave that the size asks for and
    rounds the point to that octave's nearest pixel: for sizes from 3.6 to 7.2 px that is the
    level itself, below a picture twice as fine (and four times the work).  What moves less is
    not seen: for sub-pixel work take HOG.

    References
    ----------
    D. G. Lowe, Distinctive image features from scale-invariant keypoints, IJCV 60(2), 2004.
    R. Arandjelovic, A. Zisserman, Three things everyone should know to improve object retrieval,
    CVPR 2012.
    """

    def __init__(
        self, size_px: float | None = 4.0, angle: str = "upright", root: bool = False, level: int = 0
    ):
        self.size_px = size_px
        self.angle = angle
        self.root = root
        self.level = level

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
        size = self._sizes(keypoints, float(pyramid.scale[self.level]))
        points = cv2_points(xy, size, angles(keypoints, self.angle), sift_octave(size, image.shape))
        kept, rows = _sift().compute(cv2.convertScaleAbs(image), points)
        out = aligned(kept, rows, n)
        return root_sift(out) if self.root else out

    def _sizes(self, keypoints: Keypoints, scale: float) -> Array:
        """(N,) diameter in px of the level."""
        if self.size_px is None:
            size = keypoints.size * scale
        else:
            size = np.full(len(keypoints), self.size_px, np.float32)
        if not (np.isfinite(size) & (size > 0)).all():
            raise InputError("SIFT: sizes must be positive px; give size_px or keypoints with a size")
        return size


def root_sift(rows: Array) -> Array:
    """The square root of each row divided by its sum; zero rows stay zero."""
    return np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12))


def sift_octave(size: Array, size_hw: tuple[int, ...]) -> Array:
    """OpenCV's packed octave and layer whose blur fits a keypoint ``size`` (N,), int32.

    OpenCV draws a descriptor from the Gaussian picture that is *named* by ``KeyPoint.octave``,
    whatever the size: with 0 a large window would be read from an unblurred picture.  Octaves
    that a picture of ``size_hw`` is too small for are replaced by its last.
    """
    step = np.rint(_LAYERS * np.log2(np.asarray(size, np.float64) / (2 * _SIGMA))).astype(np.int64)
    last = max(int(np.log2(min(size_hw[:2]))) - 2, 0)
    octave = np.clip((step - 1) // _LAYERS, -1, last)
    layer = np.clip(step - octave * _LAYERS, 1, _LAYERS)
    return ((octave & 255) | (layer << 8)).astype(np.int32)


def angles(keypoints: Keypoints, rule: str) -> Array:
    """(N,) float32 degrees under the rule "upright" or "keypoint"."""
    if rule == "upright":
        return np.zeros(len(keypoints), np.float32)
    if rule == "keypoint":
        return np.where(np.isnan(keypoints.angle), np.float32(0), keypoints.angle)
    raise InputError(f'angle must be "upright" or "keypoint", got {rule!r}')


def cv2_points(xy: Array, size: Array, angle: Array, octave: Array) -> tuple[Any, ...]:
    """OpenCV keypoints whose ``class_id`` is their row."""
    n = len(xy)
    return tuple(
        map(
            cv2.KeyPoint,
            xy[:, 0].tolist(),
            xy[:, 1].tolist(),
            size.tolist(),
            angle.tolist(),
            [0.0] * n,
            octave.tolist(),
            range(n),
        )
    )


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
