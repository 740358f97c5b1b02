"""Geometry from matches with outliers: homography and fundamental matrix by MAGSAC, and ECC on pixels.

Matched points (M, 2) go in, a :class:`Estimate` comes out; what cannot be estimated is NaN with
no inlier, never an exception.  Never here: matching (``matching.py``), truth, metrics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_homography, resize_matrix
from ..imaging.images import as_uint8, to_grey
from ..structures import Array, InputError
from .significance import MAX_FALSE_ALARMS, chance_of_inlier, freedom_px, log_false_alarms

MAX_ITERATIONS = 10_000
CONFIDENCE = 0.999
ECC_PIXELS = 1 << 21  #: larger pictures are shrunk to about this many pixels for ECC
_SINGULAR = 1e-9  # of the determinant of a homography whose columns have been scaled to the picture


class Estimate(NamedTuple):
    """A (3, 3) float64 matrix, all NaN where none was found, the (M,) bool inliers, and why there is none."""

    matrix: Array
    inlier: Array
    reason: str = ""


def estimate_homography(
    xy_a: ArrayLike, xy_b: ArrayLike, threshold_px: float = 3.0, random_state: int = 0, ranked: bool = False
) -> Estimate:
    """The homography that takes points of picture a to picture b, by OpenCV's USAC with MAGSAC.

    Parameters
    ----------
    xy_a, xy_b : (M, 2) px
    threshold_px : float
        Largest distance of an inlier from its place, px of picture b.
    random_state : int
        The same seed gives the same result, bit for bit.
    ranked : bool
        The matches come best first: samples are drawn from the front (PROSAC).

    Returns
    -------
    Estimate
        With ``matrix[2, 2] == 1``; NaN, and the reason, for fewer than five matches, for so few
        inliers that unrelated matches give as many, and for inliers (on a line, in one place) that
        leave the map free to move by more than ``threshold_px``; see ``significance.py``.

    References
    ----------
    D. Barath et al., MAGSAC++, a fast, reliable and accurate robust estimator, CVPR 2020.
    O. Chum, J. Matas, Matching with PROSAC - progressive sample consensus, CVPR 2005.
    L. Moisan, B. Stival, A probabilistic criterion to detect rigid point matches, IJCV 57(3), 2004.
    """
    a, b, usable = finite_pairs(xy_a, xy_b)
    found = _homography(a, b, threshold_px, random_state, ranked)
    if found.reason:  # many ends in one place, which cannot all be right, may hide a sound rest
        rest = np.flatnonzero(~crowded(b, threshold_px))
        if 5 <= len(rest) < len(b):
            again = _homography(a[rest], b[rest], threshold_px, random_state, ranked)
            if not again.reason:
                inlier = np.zeros(len(b), bool)
                inlier[rest] = again.inlier
                found = again._replace(inlier=inlier)
    return found._replace(inlier=_spread(found.inlier, usable))


def _homography(a: Array, b: Array, threshold_px: float, random_state: int, ranked: bool) -> Estimate:
    """As above, for finite points; inliers are those of the rows given."""
    if len(a) < 5:
        return _nothing(a, f"{len(a)} matches confirm no homography")
    try:
        matrix, mask = cv2.findHomography(a, b, usac_params(threshold_px, random_state, ranked))
    except cv2.error:
        return _nothing(a)
    if matrix is None or mask is None or mask.sum() < 4 or not is_homography(matrix, a):
        return _nothing(a)
    ends = apply_homography(matrix, a)  # NaN beyond the horizon
    inlier = mask.ravel().astype(bool) & np.isfinite(ends).all(axis=1)
    share = np.pi * threshold_px**2 / max(float(np.prod(np.ptp(b, axis=0))), 1e-9)
    chance = chance_of_inlier(inlier, lambda rows: _distances(ends[rows], b), threshold_px, share)
    alarms = log_false_alarms(len(a), int(inlier.sum()), 4, 1, chance)
    if alarms > np.log10(MAX_FALSE_ALARMS):
        return _nothing(a, f"{inlier.sum()} inliers of {len(a)} matches are no more than chance gives")
    free = freedom_px(matrix, a[inlier], b[inlier])
    if free > threshold_px:
        return _nothing(a, f"the inliers leave the map free to move by {free:.0f} px")
    return Estimate(matrix / matrix[2, 2], inlier)


def estimate_fundamental(
    xy_a: ArrayLike, xy_b: ArrayLike, threshold_px: float = 1.0, random_state: int = 0, ranked: bool = False
) -> Estimate:
    """The fundamental matrix, b' F a = 0, by OpenCV's USAC with MAGSAC, of unit Frobenius norm.

    Parameters as for :func:`estimate_homography`; ``threshold_px`` is the distance from the
    epipolar line.  NaN for fewer than eight matches and where nothing was found.  Matches of one
    plane fit many matrices: whoever looks at planes wants the homography.
    """
    a, b, usable = finite_pairs(xy_a, xy_b)
    if len(a) < 8 or min(np.linalg.matrix_rank(p - p.mean(axis=0), tol=1e-3) for p in (a, b)) < 2:
        return _nothing(usable, f"{len(a)} matches, or matches on a line, confirm no fundamental matrix")
    try:
        matrix, mask = cv2.findFundamentalMat(a, b, usac_params(threshold_px, random_state, ranked))
    except cv2.error:
        return _nothing(usable)
    if matrix is None or mask is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return _nothing(usable)
    if mask.sum() < 8 or not np.linalg.norm(matrix) > 0:
        return _nothing(usable)

    lines = epipolar_lines(matrix, a)
    width, height = np.maximum(np.ptp(b, axis=0), 1e-9)
    share = 2 * threshold_px * float(np.hypot(width, height)) / float(width * height)
    inlier = mask.ravel().astype(bool)
    chance = chance_of_inlier(
        inlier, lambda rows: np.abs(lines[rows, :2] @ b.T + lines[rows, 2:]), threshold_px, share
    )
    if log_false_alarms(len(a), int(mask.sum()), 7, 3, chance) > np.log10(MAX_FALSE_ALARMS):
        return _nothing(usable, f"{mask.sum()} inliers of {len(a)} matches are no more than chance gives")
    return Estimate(matrix / np.linalg.norm(matrix), _spread(mask, usable))


def epipolar_lines(fundamental: Array, xy_a: Array) -> Array:
    """(N, 3) lines of b on which points (N, 2) of a lie; ``line . (x, y, 1)`` is a distance in px."""
    lines = np.column_stack([xy_a, np.ones(len(xy_a))]) @ fundamental.T
    return np.asarray(lines / np.maximum(np.linalg.norm(lines[:, :2], axis=1, keepdims=True), 1e-12))


def refine_ecc(
    image_a: Array,
    image_b: Array,
    homography: ArrayLike,
    n_iterations: int = 50,
    tolerance: float = 1e-4,
    blur_px: int = 5,
) -> tuple[Array, float]:
    """A homography made better by comparing pixels: the enhanced correlation coefficient.

    Parameters
    ----------
    image_a, image_b : pictures of the same place
    homography : (3, 3), the start, from a to b; within a few px of the truth
    n_iterations, tolerance : stop after so many steps or when the correlation gains less
    blur_px : int
        Odd side of the Gaussian that smooths both pictures first.

    Pictures of more than :data:`ECC_PIXELS` are compared shrunk, which bounds memory and time.

    Returns
    -------
    homography : (3, 3) with ``[2, 2] == 1``; the start where the search failed or went astray
    correlation : float in -1..1; NaN where it failed

    References
    ----------
    G. D. Evangelidis, E. Z. Psarakis, Parametric image alignment using enhanced correlation
    coefficient maximization, PAMI 30(10), 2008.
    """
    start = np.asarray(homography, float).reshape(3, 3)
    if blur_px < 1 or blur_px % 2 == 0:
        raise InputError(f"blur_px must be odd and positive, got {blur_px}")
    a, b = to_grey(as_uint8(image_a)), to_grey(as_uint8(image_b))
    if not np.isfinite(start).all() or start[2, 2] == 0:
        return start, float("nan")
    scale = min(1.0, float(np.sqrt(ECC_PIXELS / max(a.size, b.size))))
    a, to_a = _shrunk(a, scale)
    b, to_b = _shrunk(b, scale)
    begin = to_b @ start @ np.linalg.inv(to_a)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, n_iterations, tolerance)
    try:
        search: Any = cv2.findTransformECC  # its stub knows no mask of None
        correlation, found = search(
            a, b, (begin / begin[2, 2]).astype(np.float32), cv2.MOTION_HOMOGRAPHY, stop, None, blur_px
        )
    except cv2.error:  # no overlap, no texture, a singular Hessian
        return start, float("nan")
    found = np.asarray(found, float)
    corners = np.array([[0, 0], [a.shape[1] - 1, 0], [0, a.shape[0] - 1], [a.shape[1] - 1, a.shape[0] - 1]])
    if not np.isfinite(correlation) or not is_homography(found, corners):
        return start, float("nan")
    found = np.linalg.inv(to_b) @ found @ to_a
    return found / found[2, 2], float(correlation)


def _shrunk(grey: Array, scale: float) -> tuple[Array, Array]:
    """A smaller picture and the (3, 3) map of points to it; the picture itself for scale 1."""
    if scale >= 1:
        return grey, np.eye(3)
    size = [max(2, round(side * scale)) for side in grey.shape[::-1]]
    ratio = np.array(size) / grey.shape[::-1]
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small), np.vstack([resize_matrix(ratio), [0, 0, 1]])


def is_homography(matrix: ArrayLike, xy: ArrayLike) -> bool:
    """Whether a (3, 3) map is finite and far from singular over the extent of the points (N, 2)."""
    full, points = np.asarray(matrix, float), np.asarray(xy, float)
    if full.shape != (3, 3) or not np.isfinite(full).all() or abs(full[2, 2]) < 1e-12:
        return False
    extent = max(float(np.abs(points).max(initial=1.0)), 1.0)
    scaled = full / full[2, 2] * [[1 / extent], [1 / extent], [1]] * [extent, extent, 1]
    return abs(np.linalg.det(scaled)) > _SINGULAR * max(1.0, float(np.linalg.norm(scaled)) ** 3)


def finite_pairs(xy_a: ArrayLike, xy_b: ArrayLike) -> tuple[Array, Array, Array]:
    """Both (M', 2) float64 without the rows that are not finite, and the (M,) bool that are."""
    a = np.asarray(xy_a, np.float64).reshape(-1, 2)
    b = np.asarray(xy_b, np.float64).reshape(-1, 2)
    if len(a) != len(b):
        raise InputError(f"matched points must come in pairs, got {len(a)} and {len(b)}")
    usable = np.asarray(np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1))
    return np.ascontiguousarray(a[usable]), np.ascontiguousarray(b[usable]), usable


def usac_params(threshold_px: float, random_state: int, ranked: bool) -> Any:
    """OpenCV's MAGSAC with everything set that differs between versions or depends on threads."""
    if not threshold_px > 0:
        raise InputError(f"threshold_px must be positive, got {threshold_px}")
    params = cv2.UsacParams()
    params.threshold = float(threshold_px)
    params.confidence = CONFIDENCE
    params.maxIterations = MAX_ITERATIONS
    params.isParallel = False
    params.randomGeneratorState = int(random_state) % 2**31
    params.sampler = cv2.SAMPLING_PROSAC if ranked else cv2.SAMPLING_UNIFORM
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.loMethod = cv2.LOCAL_OPTIM_SIGMA
    params.loIterations = 5
    params.final_polisher = cv2.LSQ_POLISHER
    params.final_polisher_iterations = 3
    return params


def _spread(mask: Array, usable: Array) -> Array:
    inlier = np.zeros(len(usable), bool)
    inlier[usable] = mask.ravel().astype(bool)
    return inlier


def _distances(a: Array, b: Array) -> Array:
    """(P, N) px between points (P, 2) and (N, 2)."""
    return np.asarray(np.sqrt((a[:, :1] - b[:, 0]) ** 2 + (a[:, 1:] - b[:, 1]) ** 2))


def crowded(xy: Array, radius_px: float, share: float = 0.05) -> Array:
    """(N,) bool: points (N, 2) with more than ``share`` of all points, and three, within ``radius_px``."""
    near = [
        (_distances(part, xy) <= radius_px).sum(axis=1) for part in np.array_split(xy, len(xy) // 256 + 1)
    ]
    return np.concatenate(near) > max(share * len(xy), 3)


def _nothing(rows: Array, reason: str = "no model fits the matches") -> Estimate:
    return Estimate(np.full((3, 3), np.nan), np.zeros(len(rows), bool), reason)
