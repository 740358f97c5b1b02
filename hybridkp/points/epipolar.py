"""A guide through scenes that are no plane: the epipolar geometry of the matches that there are.

Matched points (M, 2) px go in, an :class:`EpipolarGuide` comes out: near which place and which line of
picture b a point of picture a lies.  Never here: pictures, rows, truth.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_homography
from ..structures import Array
from .matching import candidate_pairs
from .robust import epipolar_lines, estimate_fundamental

LINE_PX = 1.0  #: distance from its epipolar line of a match that the guide rests on
_BAND_PX = 2.0  # ... and of one that it leads to
_ROUNDS = 5  # of reweighted least squares
_LEAST_PX = 2.0  # a match this far from the affine map counts half, however well the others fit


class EpipolarGuide(NamedTuple):
    """What matches say about where the others are."""

    fundamental: Array  #: (3, 3) with b' F a = 0
    rows: Array  #: (R,) the matches that obey it
    affine: Array  #: (3, 3), the affine map of picture a to b that fits most of them
    xy_a: Array  #: (R, 2) those matches
    xy_b: Array

    def candidates(self, xy_a: ArrayLike, xy_b: ArrayLike, radius_px: float) -> tuple[Array, Array]:
        """Index pairs (P,), (P,) of points (N, 2) of a and (M, 2) of b that may be the same.

        A point moves by the affine map and what the nearest match of picture a adds to it.  Candidates
        lie within ``radius_px`` of there and within 2 px of the epipolar line.
        """
        a, b = (np.asarray(xy, np.float32).reshape(-1, 2) for xy in (xy_a, xy_b))
        if len(a) == 0 or len(b) == 0:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        known = np.ascontiguousarray(self.xy_a, np.float32)
        nearest = cv2.batchDistance(a, known, cv2.CV_32F, K=1)[1].ravel()
        beside = self.xy_b - apply_homography(self.affine, self.xy_a)
        i, j = candidate_pairs(apply_homography(self.affine, a) + beside[nearest], b, radius_px)
        lines = epipolar_lines(self.fundamental, a)[i]
        near = np.abs((lines[:, :2] * b[j]).sum(axis=1) + lines[:, 2]) <= _BAND_PX
        return i[near], j[near]


def find_guide(xy_a: ArrayLike, xy_b: ArrayLike, random_state: int = 0) -> EpipolarGuide | None:
    """The epipolar geometry of matches (M, 2) with outliers; None where they confirm none."""
    a, b = (np.asarray(xy, float).reshape(-1, 2) for xy in (xy_a, xy_b))
    found = estimate_fundamental(a, b, LINE_PX, random_state)
    rows = np.flatnonzero(found.inlier)
    if len(rows) == 0:
        return None
    affine = _affine(a[rows], b[rows])
    return None if affine is None else EpipolarGuide(found.matrix, rows, affine, a[rows], b[rows])


def _affine(xy_a: Array, xy_b: Array) -> Array | None:
    """(3, 3) by least squares, far matches weighted down (Geman and McClure); None where it is singular."""
    columns, weight = np.column_stack([xy_a, np.ones(len(xy_a))]), np.ones((len(xy_a), 1))
    for _ in range(_ROUNDS):
        matrix = np.linalg.lstsq(weight * columns, weight * xy_b, rcond=None)[0]
        away = np.linalg.norm(columns @ matrix - xy_b, axis=1, keepdims=True)
        weight = 1 / (1 + (away / max(float(np.median(away)), _LEAST_PX)) ** 2)
    affine = np.vstack([matrix.T, [0, 0, 1]])
    return affine if np.linalg.cond(affine[:2, :2]) < 10 else None
