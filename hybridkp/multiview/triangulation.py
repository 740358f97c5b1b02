"""From points in several pictures to points in the world: linear, robust, weighted; and how far to trust.

Letters: **V** views, **N** points.  Everything is vectorised over points.  Missing = NaN; a point needs two
views.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..report.cells import median
from ..structures import Array, InputError, short_repr
from .cameras import Cameras, known

METHODS = ("ransac", "dlt")
ALL_PAIRS = 66  #: pairs of views that RANSAC tries at most; up to 12 views these are all
_LEAST_PX = 1.0  #: an automatic threshold is no smaller
_TIMES = 4.0  #: nor smaller than so many times the middle residual
_ROUNDS = 8  #: of Gauss-Newton
_FLOOR = 0.05  #: a view's share of weight, whatever its score


@dataclass(frozen=True, eq=False)
class Triangulated:
    """N points of the world with what each view says of them; ``left_out`` is the honest error."""

    xyz: Array  #: (N, 3) in the cameras' unit, NaN = fewer than two views that agree, or behind a camera
    residual: Array  #: (V, N) px between each view's point and the reprojection, used or not
    used: Array  #: (V, N) bool, the views that a point comes from
    left_out: (
        Array  #: (V, N) px to the reprojection of the point from the *other* used views, NaN = under two
    )
    covariance: Array  #: (N, 3, 3) of xyz, from the views' own covariances or from the residuals
    threshold_px: float  #: within which a view agrees; NaN = all views count
    behind: int  #: points dropped because they lay behind a camera that saw them

    __repr__ = short_repr

    @property
    def reprojection_px(self) -> float:
        """Median residual of the views used."""
        return median(self.residual[self.used])

    @property
    def left_out_px(self) -> float:
        """Median left-out reprojection error."""
        return median(self.left_out)

    @property
    def uncertainty(self) -> Array:
        """(N,) standard deviation of the point, root of the summed variances, in the cameras' unit."""
        return np.sqrt(np.trace(self.covariance, axis1=1, axis2=2))


def triangulate(
    xy: ArrayLike,
    cameras: Cameras,
    *,
    score: ArrayLike | None = None,
    covariance: ArrayLike | None = None,
    method: str = "ransac",
    threshold_px: float | None = None,
    left_out: bool = True,
) -> Triangulated:
    """Points of the world from points in V calibrated pictures.

    Parameters
    ----------
    xy : (V, N, 2) px, NaN = not seen; N points, of any number of instants
    score : (V, N) confidence in 0..1; a view's squared residual counts in proportion to it
    covariance : (V, N, 2, 2) px² of each point, in place of ``score``
    method : "ransac": the two views that most others agree with are found (every pair, so that the same
        input gives the same result), and those within ``threshold_px`` make the point; "dlt": all views count
    threshold_px : None = four times the median residual of all views, at least 1 px
    left_out : whether the error of each view against the others is computed; it takes V times as long

    Returns
    -------
    Triangulated
        Each point is the direct linear transform of its views, then moved by Gauss-Newton to the least
        weighted reprojection error, lens included.

    Raises
    ------
    InputError
        For shapes that do not fit the cameras, infinite points, an unknown method, a threshold that is not
        above 0, fewer than two cameras.

    References
    ----------
    Hartley, Zisserman, "Multiple view geometry in computer vision", Cambridge 2004, chapter 12.

    Examples
    --------
    >>> from hybridkp.multiview import Camera
    >>> lens = [[500, 0, 320], [0, 500, 240], [0, 0, 1]]
    >>> left, right = Camera("left", lens), Camera("right", lens, translation=[-1, 0, 0])
    >>> both = Cameras((left, right), "m")
    >>> found = triangulate(both.project([[0.5, 0.2, 10.0]]), both)
    >>> found.xyz.round(6)
    array([[ 0.5,  0.2, 10. ]])
    """
    if threshold_px is not None and not threshold_px > 0:
        raise InputError(f"threshold_px must be above 0, got {threshold_px:g}")
    xy, weight = _checked(xy, cameras, score, covariance, method)
    rays = cameras.undistort(xy)
    weight = np.where(known(rays)[..., None, None], weight, 0.0)
    rays, xy = np.nan_to_num(rays), np.nan_to_num(xy)
    seen = weight[..., 0, 0] > 0
    used, limit = seen, float("nan")
    if method == "ransac":
        limit = threshold_px or _threshold(_linear(rays, weight, cameras), xy, seen, cameras)
        used = _agreeing(rays, xy, seen, cameras, limit)
    xyz, information = _solved(rays, xy, weight * used[..., None, None], cameras)
    with np.errstate(invalid="ignore"):
        back = (cameras.depths(xyz) <= 0) & used
    behind = back.any(0)
    xyz[behind] = np.nan
    used = used & np.isfinite(xyz).all(1)
    out = np.full(used.shape, np.nan)
    for v in range(len(cameras)) if left_out else ():
        others = used.copy()
        others[v] = False
        alone, _ = _solved(rays, xy, weight * others[..., None, None], cameras)
        one = np.zeros_like(seen)
        one[v] = seen[v]
        out[v] = _residual(alone, xy, one, cameras)[v]
    residual = _residual(xyz, xy, seen, cameras)
    cov = _covariance(information, residual, used, covariance is not None)
    cov[np.isnan(xyz).any(1)] = np.nan
    return Triangulated(xyz, residual, used, out, cov, limit, int(behind.sum()))


def _checked(
    xy: ArrayLike, cameras: Cameras, score: ArrayLike | None, covariance: ArrayLike | None, method: str
) -> tuple[Array, Array]:
    """Points (V, N, 2), and each view's information (V, N, 2, 2), 0 where it says nothing."""
    points = np.asarray(xy, np.float64)
    if len(cameras) < 2:
        raise InputError("triangulation needs at least two cameras, got one")
    if points.ndim != 3 or points.shape[0] != len(cameras) or points.shape[2] != 2:
        raise InputError(f"xy must have shape ({len(cameras)}, N, 2), one row a camera, got {points.shape}")
    if np.isinf(points).any():
        raise InputError("xy has infinite values: use NaN for a point that was not seen")
    if method not in METHODS:
        raise InputError(f"method {method!r}: use one of {', '.join(METHODS)}")
    seen = known(points)
    if covariance is not None:
        given = np.asarray(covariance, np.float64)
        if given.shape != (*points.shape[:2], 2, 2):
            raise InputError(f"covariance must have shape {(*points.shape[:2], 2, 2)}, got {given.shape}")
        good = np.isfinite(given).all((2, 3)) & (np.linalg.det(np.nan_to_num(given)) > 0) & seen
        information = np.zeros_like(given)
        information[good] = np.linalg.inv(given[good])
        return points, information
    share = np.ones(points.shape[:2])
    if score is not None:
        share = np.asarray(score, np.float64)
        if share.shape != points.shape[:2]:
            raise InputError(f"score must have shape {points.shape[:2]}, got {share.shape}")
        share = np.clip(np.nan_to_num(share), _FLOOR, 1)
    return points, np.where(seen, share, 0.0)[..., None, None] * np.eye(2)


def _linear(rays: Array, weight: Array, cameras: Cameras) -> Array:
    """(N, 3) by the direct linear transform; NaN with fewer than two views.

    The world is moved and scaled to the cameras' own, so that the four unknowns are of one size.
    """
    centres = cameras.centres
    middle = centres.mean(0)
    size = float(np.linalg.norm(centres - middle, axis=1).max()) or 1.0
    rows = np.zeros((rays.shape[1], 2 * len(cameras), 4))
    for v, camera in enumerate(cameras):
        pose = np.column_stack([camera.turn, (camera.turn @ middle + camera.translation) / size])
        strength = np.sqrt(weight[v, :, 0, 0] + weight[v, :, 1, 1])[:, None] * camera.matrix[0, 0]
        rows[:, 2 * v] = strength * (rays[v, :, :1] * pose[2] - pose[0])
        rows[:, 2 * v + 1] = strength * (rays[v, :, 1:] * pose[2] - pose[1])
    solution = np.linalg.svd(rows, full_matrices=False)[2][:, -1]
    few = (weight[..., 0, 0] > 0).sum(0) < 2
    with np.errstate(divide="ignore", invalid="ignore"):
        xyz = solution[:, :3] / solution[:, 3:] * size + middle
    xyz[few | ~np.isfinite(xyz).all(1)] = np.nan
    return xyz


def _threshold(xyz: Array, xy: Array, seen: Array, cameras: Cameras) -> float:
    return max(_LEAST_PX, _TIMES * median(_residual(xyz, xy, seen, cameras)))


def _residual(xyz: Array, xy: Array, seen: Array, cameras: Cameras) -> Array:
    """(V, N) px, NaN where a view or the point is missing."""
    out = np.linalg.norm(cameras.project(xyz) - xy, axis=2)
    return np.where(seen, out, np.nan)


def _agreeing(rays: Array, xy: Array, seen: Array, cameras: Cameras, limit: float) -> Array:
    """(V, N) bool: the largest set of views within ``limit`` of the point of two of them."""
    v, n = seen.shape
    pairs = list(combinations(range(v), 2))
    if len(pairs) > ALL_PAIRS:
        rng = np.random.default_rng(0)
        pairs = [pairs[i] for i in sorted(rng.choice(len(pairs), ALL_PAIRS, replace=False))]
    best, chosen = np.full(n, np.inf), np.zeros_like(seen)
    for i, j in pairs:
        rows = np.flatnonzero(seen[i] & seen[j])
        if not len(rows):
            continue
        weight = np.zeros((v, len(rows), 2, 2))
        weight[[i, j]] = np.eye(2)
        xyz = _linear(rays[:, rows], weight, cameras)
        apart = _residual(xyz, xy[:, rows], seen[:, rows], cameras)
        near = apart <= limit  # NaN, behind a camera too, is not near
        cost = np.where(near, (apart / limit) ** 2, 1.0).sum(0)  # truncated squares: MSAC
        better = (cost < best[rows]) & near[i] & near[j]
        best[rows[better]] = cost[better]
        chosen[:, rows[better]] = near[:, better]
    return chosen


def _solved(rays: Array, xy: Array, weight: Array, cameras: Cameras) -> tuple[Array, Array]:
    """(N, 3) points of least weighted reprojection error, and their (N, 3, 3) information."""
    xyz = _linear(rays, weight, cameras)
    used = weight[..., 0, 0] > 0
    cost, _, _ = _normal(xyz, xy, weight, used, cameras)
    damping = np.full(len(xyz), 1e-6)
    for _ in range(_ROUNDS):
        _, gradient, information = _normal(xyz, xy, weight, used, cameras)
        scale = np.trace(information, axis1=1, axis2=2) / 3 + 1e-300
        step = np.linalg.solve(
            information + (damping * scale)[:, None, None] * np.eye(3), gradient[..., None]
        )[..., 0]
        tried = xyz + step
        new, _, _ = _normal(tried, xy, weight, used, cameras)
        better = new < cost
        xyz = np.where(better[:, None], tried, xyz)
        cost, damping = np.where(better, new, cost), np.where(better, damping / 10, damping * 10)
        if not (better & (np.abs(step).max(1) > 1e-9 * np.abs(xyz).max(1))).any():
            break
    return xyz, _normal(xyz, xy, weight, used, cameras)[2]


def _normal(
    xyz: Array, xy: Array, weight: Array, used: Array, cameras: Cameras
) -> tuple[Array, Array, Array]:
    """Weighted squared error (N,), its (N, 3) descent and (N, 3, 3) information; inf = does not project."""
    n = len(xyz)
    cost, gradient, information = np.zeros(n), np.zeros((n, 3)), np.zeros((n, 3, 3))
    for v, camera in enumerate(cameras):
        seen, slope = camera.see(xyz)
        by_point = slope[:, :, 3:6] @ camera.turn
        gap = np.where(used[v][:, None], xy[v] - seen, 0.0)
        lost = np.isnan(gap).any(1)
        gap = np.nan_to_num(gap)
        pull = np.einsum("nji,njk->nik", by_point, weight[v])
        cost += np.einsum("ni,nij,nj->n", gap, weight[v], gap)
        cost[lost] = np.inf
        gradient += np.einsum("nij,nj->ni", pull, gap)
        information += pull @ by_point
    return cost, gradient, information


def _covariance(information: Array, residual: Array, used: Array, known: bool) -> Array:
    """(N, 3, 3); without the views' own covariances the noise is the residuals' common one."""
    size = np.trace(information, axis1=1, axis2=2)
    good = np.isfinite(information).all((1, 2)) & (size > 0)
    good &= np.linalg.det(information / np.where(size > 0, size, 1)[:, None, None]) > 1e-15
    out = np.full(information.shape, np.nan)
    out[good] = np.linalg.inv(information[good])
    if known:
        return out
    squares = np.where(used, residual, 0.0) ** 2
    freedom = (2 * used.sum(0) - 3)[used.any(0)].sum()
    return out * (float(np.nansum(squares)) / freedom if freedom > 0 else float("nan"))


def reprojected(found: Triangulated, cameras: Cameras) -> tuple[Array, Array]:
    """(V, N, 2) px of the points, and the (V, N, 2, 2) px² covariance that comes with them."""
    xy = cameras.project(found.xyz)
    cov: Any = np.full((*xy.shape, 2), np.nan)
    for v, camera in enumerate(cameras):
        by_point = camera.see(found.xyz)[1][:, :, 3:6] @ camera.turn
        cov[v] = by_point @ found.covariance @ np.swapaxes(by_point, 1, 2)
    return xy, np.where(np.isfinite(xy)[..., None], cov, np.nan)
