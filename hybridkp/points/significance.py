"""Is an estimated geometry more than chance?  How many inliers it takes, and how far it can still move.

A robust estimator always finds something: among unrelated matches the best of all homographies has a
handful of inliers, and matches along a line leave one free to swing.  Points (M, 2) px go in, plain numbers
come out.  Never here: estimation (``robust.py``), truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..structures import Array
from ..structures.base import evenly

MAX_FALSE_ALARMS = 1e-3  #: expected number of geometries as good as this one among unrelated matches
_SAMPLE = 64  # inliers whose place is compared with all ends
_NOISE_PX = 0.25  # what a measured point is never better than

Distances = Callable[[Array], Array]  #: rows (P,) of matches -> (P, M) px from where they belong to all ends


def log_false_alarms(n: int, inliers: int, minimal: int, models: int, chance: float) -> float:
    """log10 of the expected number of models with so many inliers when matches are unrelated.

    A contrario (Moisan and Stival 2004): ``n`` matches, of which ``minimal`` make one of ``models``
    solutions, ``chance`` that an unrelated match is an inlier.  Infinite when nothing confirms the model.
    """
    if inliers <= minimal or n <= minimal:
        return math.inf
    log = math.log(models * (n - minimal)) + _log_choose(n, inliers) + _log_choose(inliers, minimal)
    return (log + (inliers - minimal) * math.log(min(max(chance, 1e-300), 1.0))) / math.log(10)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def chance_of_inlier(inlier: Array, distances: Distances, threshold_px: float, share: float) -> float:
    """How often the end of *another* match fits as well: the ends of (M,) inliers exchanged with all others'.

    Ends crowd on texture and repeat, so their own distribution is asked, where the inliers are;
    ``share``, the part of the picture that a uniform end would have to hit, is the least that is believed.
    """
    rows = np.flatnonzero(inlier)
    rows = rows[evenly(len(rows), _SAMPLE)]
    hit = distances(rows) <= threshold_px
    hit[np.arange(len(rows)), rows] = False
    return max(float(hit.sum()) / max(hit.size - len(rows), 1), min(share, 1.0))


def freedom_px(matrix: Array, a: Array, b: Array) -> float:
    """How far, px, the errors of the inliers (M, 2) let a homography move what it maps.

    The standard deviation, to first order, at the corners of the square around the inliers of picture a:
    small where they span it, large where they lie along a line.  The errors are the residuals', and at
    least 0.25 px.
    """
    middle = (a.min(0) + a.max(0)) / 2
    half = max(float(np.ptp(a, axis=0).max()) / 2, 1e-9)
    to_unit = np.array([[1 / half, 0, -middle[0] / half], [0, 1 / half, -middle[1] / half], [0, 0, 1]])
    full = matrix @ np.linalg.inv(to_unit)
    full = full / np.linalg.norm(full)
    at = (a - middle) / half
    jacobian, found, depth = _jacobian(full, at)
    if not np.isfinite(jacobian).all():
        return math.inf
    residual = float(((b - found) ** 2).sum())
    noise = max(math.sqrt(residual / max(2 * len(a) - 8, 1)), _NOISE_PX)
    free = np.linalg.svd(full.reshape(1, 9))[2][1:].T  # (9, 8): all directions but the scale
    rows = jacobian.reshape(-1, 9) @ free
    singular, basis = np.linalg.svd(np.linalg.qr(rows, mode="r"))[1:]
    if len(singular) < 8 or singular[7] <= 1e-10 * singular[0]:
        return math.inf
    corners = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    there, _, its_depth = _jacobian(full, corners)
    seen = its_depth * np.sign(np.median(depth)) > 0  # not beyond the horizon
    moves = there[seen] @ free @ (basis.T / singular)
    return noise * float(np.linalg.norm(moves, ord=2, axis=(1, 2)).max(initial=0.0))


def _jacobian(full: Array, at: Array) -> tuple[Array, Array, Array]:
    """Derivatives (M, 2, 9) of mapped points by the matrix's entries, the points (M, 2), their depth (M,)."""
    home = np.column_stack([at, np.ones(len(at))])
    mapped = home @ full.T
    depth = mapped[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = mapped[:, :2] / depth[:, None]
        out = np.zeros((len(at), 2, 9))
        out[:, 0, 0:3] = out[:, 1, 3:6] = home / depth[:, None]
        out[:, :, 6:9] = -found[:, :, None] * home[:, None] / depth[:, None, None]
    return out, found, depth
