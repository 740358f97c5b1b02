"""How good an estimated homography is: corner error, correctness, area under the recall curve.

Pure functions of (3, 3) matrices and of errors in px; a homography of any scale takes pixels of the
first picture to the second, NaN = none was found.  Never here: points, matches, pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array

THRESHOLDS_PX = (1.0, 3.0, 5.0)  #: of correctness, and of MMA
AUC_PX = (3.0, 5.0, 10.0)  #: of the area under the recall of the corner error


def map_points(xy: ArrayLike, homography: ArrayLike) -> Array:
    """Points (N, 2) through a homography; NaN at and behind its horizon.

    Its sign is chosen so that the picture's origin lies in front.
    """
    points, full = np.asarray(xy, float), np.asarray(homography, float)
    full = full * np.copysign(1.0, full[2, 2])
    mapped = points @ full[:, :2].T + full[:, 2]
    ahead = mapped[:, 2:] > 1e-9  # NaN compares false
    return np.where(ahead, mapped[:, :2] / np.where(ahead, mapped[:, 2:], 1.0), np.nan)


def corner_error(estimated: ArrayLike, truth: ArrayLike, size_hw: tuple[int, int]) -> float:
    """Mean distance in px of the first picture's four corners (pixel centres) through both homographies.

    inf for a homography that is NaN, singular, or sends a corner behind its horizon; NaN when the truth
    is a flow, of which no homography is right.
    """
    if np.shape(truth) != (3, 3):
        return float("nan")
    matrix = np.asarray(estimated, float)
    if not np.isfinite(matrix).all() or _singular(matrix):
        return float("inf")
    h, w = size_hw
    corners = [[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]]
    error = float(np.linalg.norm(map_points(corners, matrix) - map_points(corners, truth), axis=1).mean())
    return error if np.isfinite(error) else float("inf")


def overlap_error(
    estimated: ArrayLike, truth: ArrayLike, size_hw_a: tuple[int, int], size_hw_b: tuple[int, int]
) -> float:
    """Mean distance in px between both homographies over what both pictures show.

    Unlike :func:`corner_error` it asks only where matches can be: a 16 x 16 grid of the first picture's
    points whose true place lies on the second.  inf and NaN as there; NaN without any overlap.
    """
    if np.shape(truth) != (3, 3):
        return float("nan")
    (h, w), (h_b, w_b) = size_hw_a, size_hw_b
    at = np.stack(np.meshgrid(np.linspace(0, w - 1, 16), np.linspace(0, h - 1, 16)), -1).reshape(-1, 2)
    ends = map_points(at, truth)
    seen = ((ends >= -0.5) & (ends <= [w_b - 0.5, h_b - 0.5])).all(1)
    matrix = np.asarray(estimated, float)
    if not seen.any():
        return float("nan")
    if not np.isfinite(matrix).all() or _singular(matrix):
        return float("inf")
    error = float(np.linalg.norm(map_points(at[seen], matrix) - ends[seen], axis=1).mean())
    return error if np.isfinite(error) else float("inf")


def correctness(error_px: ArrayLike, thresholds: Sequence[float] = THRESHOLDS_PX) -> Array:
    """1 where a corner error is within the threshold, else 0; (..., T), NaN where the error is NaN."""
    errors = np.asarray(error_px, float)[..., None]
    return np.where(np.isnan(errors), np.nan, errors <= np.asarray(thresholds, float))


def recall_area(error_px: ArrayLike, thresholds: Sequence[float] = AUC_PX) -> Array:
    """A pair's share of the AUC: max(0, 1 - e / t), (..., T); its mean over pairs *is* :func:`auc`."""
    errors = np.asarray(error_px, float)[..., None]
    return np.maximum(0.0, 1.0 - errors / np.asarray(thresholds, float))


def auc(errors: ArrayLike, thresholds: Sequence[float] = AUC_PX, *, interpolated: bool = False) -> Array:
    """Area (T,) under recall(e) = share of pairs with an error of at most e, from 0 to t, over t.

    The exact integral of that step function, the mean of max(0, 1 - e / t): so every pair has its own
    term, and a bootstrap may draw them.  ``interpolated`` joins the steps by straight lines from the
    origin, as SuperGlue's evaluation does (Sarlin et al., CVPR 2020): larger by at most 1 / (2n)
    with n pairs; take it to compare with published tables.  NaN errors are left out, inf is never
    recalled; NaN without errors.
    """
    values = np.sort(np.asarray(errors, float).ravel())
    values = values[~np.isnan(values)]
    limits = np.asarray(thresholds, float)
    if len(values) == 0:
        return np.full(len(limits), np.nan)
    if not interpolated:
        return recall_area(values, thresholds).mean(0)
    recall = np.arange(len(values) + 1) / len(values)
    values = np.concatenate([[0.0], values])
    areas = []
    for limit in limits:
        n = int(np.searchsorted(values, limit))  # as there: an error equal to t is not counted
        y, x = np.append(recall[:n], recall[n - 1]), np.append(values[:n], limit)
        areas.append(float((np.diff(x) * (y[1:] + y[:-1])).sum()) / 2 / limit)
    return np.array(areas)


def _singular(matrix: Array) -> bool:
    return bool(abs(np.linalg.det(matrix / max(float(np.abs(matrix).max()), 1e-300))) < 1e-15)
