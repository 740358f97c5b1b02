"""A detector of single pictures, corrected by what the other cameras say: epipolar consistency as a member.

Letters: **T** instants, **V** views, **K** landmarks, **C** candidates.  Predictions with scores come in,
better ones go out; truth is seen in ``fit`` alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from ..structures import Array, InputError
from .cameras import Cameras, known
from .triangulation import reprojected, triangulate

_FALSE = 13.8  #: squared distance, in variances, that one in a thousand of two normal numbers exceeds
_WIDE = 100.0  #: variance of a false point, in those of a right one
_STEADY = 20.0  #: examples that a landmark's own variance weighs as much as all landmarks'
_LOG_MEAN = 0.5772 - np.log(2)  #: of a squared length of two normal numbers, from its logarithm's mean
_MAJORITY = 3  #: others that must agree before they replace a point
_STEP = 1e-4  #: of the depth, between two points of a ray
_FREE = 1e4  #: times the variance across an epipolar line, that along it
_LEAST = 0.01  #: px², below which nobody's variance is believed


class ViewFusion(BaseEstimator):
    """Each view's point and the other views' triangulated one, weighed by calibrated covariances.

    Parameters
    ----------
    doubts : factors of the others' covariance; each view takes the one of least error in training.  A large
        one leaves sure points as they are, and lets the others speak where a point is not sure

    Notes
    -----
    ``fit`` learns from predictions that the detector made out of fold: how the squared error goes with the
    score, for each view and landmark; how far the others' reprojection is off beyond its own covariance
    (the cameras' part); how often a point is false; and which landmarks a view shows at all.  ``predict``
    gives the mean of the two normal distributions where they agree; where they do not, three others that
    agree take over, and against two the own point stays.  Of two views each knows an epipolar line in the
    other, across which points are corrected.  With ``candidates`` the own point is first chosen among them.
    """

    def __init__(self, doubts: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)) -> None:
        self.doubts = doubts

    def fit(self, xy: ArrayLike, score: ArrayLike, truth: ArrayLike, cameras: Cameras) -> Any:
        """Learn from (T, V, K, 2) predictions, (T, V, K) scores and the labels (T, V, K, 2), NaN = none."""
        points, sure = self._checked(xy, score, cameras)
        labels = np.asarray(truth, np.float64)
        if labels.shape != points.shape:
            raise InputError(f"truth must have shape {points.shape}, got {labels.shape}")
        self.seen_ = np.asarray(known(labels).any(0))
        points = np.where(self.seen_[None, ..., None], points, np.nan)
        error = ((points - labels) ** 2).sum(3)
        usable = np.asarray(np.isfinite(error))
        if usable.sum() < 10:
            raise InputError(
                f"a fusion of views learns from at least 10 labelled points, got {int(usable.sum())}"
            )
        self._learn_variance(error, sure, usable)
        variance = self._variance(sure)
        self.false_ = 0.01 + float((error[usable] > _FALSE * variance[usable]).mean())
        self.camera_variance_ = np.zeros(len(cameras))
        self.doubt_ = np.full(len(cameras), float(self.doubts[-1]))
        flat = np.moveaxis(points, 1, 0).reshape(len(cameras), -1, 2)
        self.threshold_px_ = triangulate(flat, cameras, left_out=False).threshold_px
        other, spread, heard = self._others(points, variance, cameras)
        for v in range(len(cameras)):
            gap = ((other[:, v] - labels[:, v]) ** 2).sum(2)
            rows = np.asarray(np.isfinite(gap))
            if rows.any():
                half = np.trace(spread[:, v][rows], axis1=1, axis2=2) / 2
                typical = np.exp(np.log(np.maximum(gap[rows], 1e-12)).mean() + _LOG_MEAN)
                self.camera_variance_[v] = max(0.0, float(typical - np.median(half)))
        tried = []
        for doubt in self.doubts:
            self.doubt_ = np.full(len(cameras), float(doubt))
            fused = self._combined(points, points, other, spread, variance, heard)[0]
            off = np.where(usable, np.linalg.norm(fused - labels, axis=3), np.nan)
            tried.append(
                np.nan_to_num(
                    [np.nanmean(one) if np.isfinite(one).any() else 0.0 for one in off.swapaxes(0, 1)]
                )
            )
        self.doubt_ = np.asarray(self.doubts, float)[np.argmin(tried, axis=0)]
        return self

    def _checked(self, xy: ArrayLike, score: ArrayLike, cameras: Cameras) -> tuple[Array, Array]:
        points, sure = np.asarray(xy, np.float64), np.asarray(score, np.float64)
        if points.ndim != 4 or points.shape[1] != len(cameras) or points.shape[3] != 2:
            raise InputError(f"xy must have shape (T, {len(cameras)}, K, 2), got {points.shape}")
        if sure.shape != points.shape[:3]:
            raise InputError(f"score must have shape {points.shape[:3]}, got {sure.shape}")
        return points, np.nan_to_num(sure)

    def _learn_variance(self, error: Array, sure: Array, usable: Array) -> None:
        """log variance = slope * score + level + what a view's landmark adds."""
        log = np.log(np.maximum(error, _LEAST))
        rows = np.column_stack([sure[usable], np.ones(int(usable.sum()))])
        slope, _ = np.linalg.lstsq(rows, log[usable], rcond=None)[0]
        self.slope_ = float(min(slope, 0.0))  # surer is never worse
        left = np.where(usable, log - self.slope_ * sure, np.nan)
        self.level_ = float(np.nanmean(left)) + float(_LOG_MEAN)
        n = usable.sum(0)
        own = np.where(usable, left - np.nanmean(left), 0.0).sum(0)
        self.extra_ = own / (n + _STEADY)

    def _variance(self, sure: Array) -> Array:
        """(T, V, K) px² of each axis."""
        return np.maximum(np.exp(self.slope_ * sure + self.level_ + self.extra_), _LEAST)

    def _others(self, points: Array, variance: Array, cameras: Cameras) -> tuple[Array, Array, Array]:
        """(T, V, K, 2) where the other views put each point, its covariance, and how many of them agree."""
        t, n, k = points.shape[:3]
        if n == 2:
            lines = [self._on_line(points, variance, cameras, v) for v in range(n)]
            other, spread = (np.stack(parts, axis=1) for parts in zip(*lines, strict=True))
            return other, spread, np.isfinite(other[..., 0]).astype(int)
        flat = np.moveaxis(points, 1, 0).reshape(n, -1, 2)
        cov = np.moveaxis(variance, 1, 0).reshape(n, -1)[..., None, None] * np.eye(2)
        other, spread = np.full(points.shape, np.nan), np.full((*points.shape, 2), np.nan)
        names, heard = cameras.names, np.zeros(points.shape[:3], int)
        for v in range(n):
            rest = [i for i in range(n) if i != v]
            part = cameras.subset([names[i] for i in rest])
            limit = self.threshold_px_
            found = triangulate(flat[rest], part, covariance=cov[rest], threshold_px=limit, left_out=False)
            xy, its = reprojected(found, cameras.subset([names[v]]))
            heard[:, v] = found.used.sum(0).reshape(t, k)
            other[:, v], spread[:, v] = xy[0].reshape(t, k, 2), its[0].reshape(t, k, 2, 2)
        return other, spread, heard

    def _on_line(self, points: Array, variance: Array, cameras: Cameras, v: int) -> tuple[Array, Array]:
        """Of two views: where the epipolar line of the other's point comes nearest to the own one.

        Its covariance is the other's across the line, and next to unlimited along it.
        """
        own, mate, shape = cameras[v], cameras[1 - v], points[:, v].shape
        mine, its = points[:, v].reshape(-1, 2), points[:, 1 - v].reshape(-1, 2)
        both = np.stack([its, mine] if v else [mine, its])
        depth = mate.to_camera(triangulate(both, cameras, method="dlt", left_out=False).xyz)[:, 2]

        def seen(xy: Array, factor: float = 1.0) -> Array:
            ray = np.column_stack([mate.undistort(xy), np.ones(len(xy))]) * (factor * depth)[:, None]
            return own.project((ray - mate.translation) @ mate.turn)

        here = seen(its)
        along = seen(its, 1 + _STEP) - here
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
        across = np.column_stack([-along[:, 1], along[:, 0]])
        foot = mine - ((mine - here) * across).sum(1, keepdims=True) * across
        slope = [((seen(its + step) - here) * across).sum(1) for step in np.eye(2)]
        spread = (variance[:, 1 - v].ravel() * (slope[0] ** 2 + slope[1] ** 2))[:, None, None]
        outer = across[:, :, None] * across[:, None]
        covariance = spread * (outer + _FREE * (np.eye(2) - outer))
        return foot.reshape(shape), covariance.reshape(*shape, 2)

    def predict(
        self,
        xy: ArrayLike,
        score: ArrayLike,
        cameras: Cameras,
        *,
        candidates: ArrayLike | None = None,
        log_probability: ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """Corrected points (T, V, K, 2), and the (T, V, K) share in 0..1 that the other views had in them.

        ``candidates`` (T, V, K, C, 2) with ``log_probability`` (T, V, K, C) are further places that the
        detector thinks possible, such as peaks of its score maps.
        """
        points, sure = self._checked(xy, score, cameras)
        if points.shape[1:3] != self.seen_.shape:
            v, k = self.seen_.shape
            raise InputError(
                f"this fusion was fitted to {v} cameras and {k} landmarks, and is asked about"
                f" {points.shape[1]} and {points.shape[2]}"
            )
        own = np.where(self.seen_[None, ..., None], points, np.nan)
        variance = self._variance(sure)
        other, spread, heard = self._others(own, variance, cameras)
        if candidates is not None:
            own = self._chosen(own, other, spread, variance, candidates, log_probability)
        return self._combined(points, own, other, spread, variance, heard)

    def _combined(
        self, points: Array, own: Array, other: Array, spread: Array, variance: Array, heard: Array
    ) -> tuple[Array, Array]:
        """The mean of two normal distributions where they agree.

        Where they do not, three others that agree replace the point; against two, it stays.
        """
        doubted = (spread + self.camera_variance_[:, None, None, None] * np.eye(2)) * self.doubt_[
            :, None, None, None
        ]
        total = doubted + variance[..., None, None] * np.eye(2)
        whole = np.asarray(np.isfinite(total).all((3, 4)))
        both = known(own) & known(other) & whole
        out, share = points.copy(), np.zeros(variance.shape)
        gap = (other - own)[both]
        inverse = np.linalg.inv(total[both])
        squared = np.einsum("ni,nij,nj->n", gap, inverse, gap)
        right = (1 - self.false_) * np.exp(-squared / 2)
        wrong = self.false_ / _WIDE * np.exp(-squared / 2 / _WIDE)
        trust = right / np.maximum(right + wrong, 1e-300)
        pull = variance[both][:, None, None] * inverse  # the gain of the others, (n, 2, 2)
        outvoted = (1 - trust) * (heard[both] >= _MAJORITY)
        pull = trust[:, None, None] * pull + outvoted[:, None, None] * np.eye(2)
        out[both] = own[both] + np.einsum("nij,nj->ni", pull, gap)
        share[both] = np.trace(pull, axis1=1, axis2=2) / 2
        return out, share

    def _chosen(
        self, own: Array, other: Array, spread: Array, variance: Array, candidates: Any, log_p: Any
    ) -> Array:
        """The candidate of most probability times the others' density; the own point where nobody else is."""
        places, weight = np.asarray(candidates, np.float64), np.asarray(log_p, np.float64)
        if places.shape[:3] != own.shape[:3] or weight.shape != places.shape[:4]:
            raise InputError(f"candidates {places.shape} and their log_probability {weight.shape} do not fit")
        more = self.camera_variance_[:, None] + variance
        total = np.nan_to_num(spread + more[..., None, None] * np.eye(2)) + 1e-9 * np.eye(2)
        gap = places - other[:, :, :, None]
        squared = np.einsum("tvkci,tvkij,tvkcj->tvkc", gap, np.linalg.inv(total), gap)
        value = np.where(np.isfinite(squared), weight - np.minimum(squared, 2 * _WIDE) / 2, -np.inf)
        best = np.take_along_axis(places, value.argmax(3)[..., None, None], 3)[:, :, :, 0]
        use = np.isfinite(value).any(3) & known(own)
        return np.where(use[..., None], best, own)
