"""Several detectors as one: average, weighted voting, and averages or products of score maps.

Fusion knows no detector by name: anything that keeps the ``Detector`` promise can be a member.
What it learns, it learns from out-of-fold answers, never from a member's own training output.
Shapes: M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted

from . import memory
from .geometry import resize_points, subpixel_peak
from .images import check_crops
from .runtime.kernels import vote, vote_weights, weighted_points
from .structures import Array, DetectorMixin, InputError, check_xy

Members = Sequence[tuple[str, Any]]


class _Members(DetectorMixin, BaseEstimator):
    """Fits members once, whoever else needs them (see :mod:`hybridkp.memory`)."""

    members: Members

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters; with ``deep`` also ``name`` and ``name__parameter`` of every member."""
        out = super().get_params(deep=False)
        if deep:
            for name, detector in self.members:
                out[name] = detector
                out.update({f"{name}__{k}": v for k, v in detector.get_params(deep=True).items()})
        return out

    def set_params(self, **params: Any) -> Any:
        """Set parameters, a member's as ``name__parameter``."""
        known = self.get_params(deep=True)
        members = dict(self.members)
        own: dict[str, Any] = {}
        for key, value in params.items():
            if key not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {key!r}")
            name, _, rest = key.partition("__")
            if name not in members:
                own[key] = value
            elif rest:
                members[name].set_params(**{rest: value})
            else:
                members[name] = value
        if "members" not in own and members != dict(self.members):
            own["members"] = [(name, members[name]) for name, _ in self.members]
        return super().set_params(**own) if own else self

    def _fit_members(self, images: Array, xy: Array, groups: Any, flip: Any) -> None:
        names = [name for name, _ in self.members]
        if not names or len(set(names)) != len(names):
            raise InputError(f"members need distinct names and at least one of them, got {names}")
        self.members_ = [
            memory.fitted(detector, images, xy, groups=groups, flip=flip) for _, detector in self.members
        ]
        self.size_hw_ = images.shape[1:3]

    def _out_of_fold(self, images: Array, xy: Array, groups: Any, flip: Any, cv: int) -> tuple[Array, Array]:
        pairs = [
            memory.out_of_fold(detector, images, xy, groups=groups, flip=flip, cv=cv)
            for _, detector in self.members
        ]
        return np.stack([p[0] for p in pairs]).astype(float), np.stack([p[1] for p in pairs])

    def _ask(self, images: Any) -> tuple[Array, Array, Array]:
        check_is_fitted(self, "members_")
        images = check_crops(images, self.size_hw_)
        pairs = [member.predict_with_score(images) for member in self.members_]
        return images, np.stack([p[0] for p in pairs]).astype(float), np.stack([p[1] for p in pairs])


class Average(_Members):
    """The plain mean of the members' points; a member that gives NaN has no say.

    Parameters
    ----------
    members : sequence of (name, detector)
    """

    def __init__(self, members: Members):
        self.members = members

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Average:
        images = check_crops(images)
        self._fit_members(images, check_xy(xy, len(images)), groups, flip)
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) and (B, K), the mean of the members' points and scores."""
        _, xy, score = self._ask(images)
        return weighted_points(xy, np.ones(xy.shape[:3]), score)

    def _to_runtime(self) -> dict[str, Any]:
        return {"kind": "average", "members": [member._to_runtime() for member in self.members_]}


class WeightedVote(_Members):
    """Members weighted per landmark, per picture, by what out-of-fold errors say they are worth.

    The variance of member m at landmark k is its out-of-fold mean squared error there; when
    ``confidence`` is on it is multiplied by a factor that depends on the member's own score in
    this picture, learned by isotonic regression (a higher score never means a larger error).
    ``correlation`` is the members' out-of-fold error correlation per landmark, shrunk towards
    the identity by ``shrinkage``: two members that err together count as little more than one.
    The weights are those of the best linear unbiased combination (Bates & Granger 1969; for
    correlated regressors Perrone & Cooper 1993), clipped at zero so that it stays a vote.

    Parameters
    ----------
    members : sequence of (name, detector)
    cv : folds for the out-of-fold errors
    confidence, correlation : bool
    shrinkage : 0 trusts the measured correlation, 1 ignores it

    Attributes
    ----------
    variance_ : (M, K) px², robust (errors are clipped at their 97.5th percentile)
    correlation_ : (K, M, M)
    factor_ : list of M dicts with ``x`` and ``y`` of the isotonic curve score -> factor
    weights_ : (M, K) the weights at average confidence, for people to read
    """

    def __init__(
        self,
        members: Members,
        cv: int = 2,
        confidence: bool = True,
        correlation: bool = True,
        shrinkage: float = 0.3,
    ):
        self.members = members
        self.cv = cv
        self.confidence = confidence
        self.correlation = correlation
        self.shrinkage = shrinkage

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> WeightedVote:
        images = check_crops(images)
        truth = check_xy(xy, len(images))
        answer, score = self._out_of_fold(images, truth, groups, flip, self.cv)
        error = answer - truth
        squared = 0.5 * (error**2).sum(-1)  # (M, B, K), per coordinate
        limit = np.nanpercentile(squared, 97.5, axis=1, keepdims=True)
        clipped = np.minimum(squared, limit)
        self.variance_ = np.maximum(np.nanmean(clipped, axis=1), 1e-6)
        ratio = clipped / self.variance_[:, None]
        self.factor_ = [_decreasing(s, r) for s, r in zip(score, ratio, strict=True)]
        self.correlation_ = self._correlations(error)
        self.weights_ = vote_weights(self.variance_[:, None], self.correlation_)[:, 0]
        self._fit_members(images, truth, groups, flip)
        return self

    def _correlations(self, error: Array) -> Array:
        m, _, k, _ = error.shape
        out = np.tile(np.eye(m), (k, 1, 1))
        if not self.correlation:
            return out
        spread = np.nanstd(error, axis=1, keepdims=True) + 1e-9
        z = np.clip(error / spread, -3, 3)  # outliers must not make the correlation
        z = np.where(np.isfinite(z).all(axis=0), z, 0.0)
        power = np.einsum("mbkc,nbkc->kmn", z, z)
        scale = np.sqrt(np.einsum("kmm->km", power)) + 1e-9
        measured = power / (scale[:, :, None] * scale[:, None, :])
        return (1 - self.shrinkage) * measured * (1 - np.eye(m)) + np.eye(m)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 points in crop px and (B, K) float32 weighted scores."""
        _, xy, score = self._ask(images)
        factors = self.factor_ if self.confidence else None
        return vote(xy, score, self.variance_, self.correlation_, factors)

    def _to_runtime(self) -> dict[str, Any]:
        return {
            "kind": "vote",
            "members": [member._to_runtime() for member in self.members_],
            "variance": self.variance_,
            "correlation": self.correlation_,
            "factors": self.factor_ if self.confidence else [],
        }


class MapFusion(_Members):
    """Average or product of the members' score maps; the answer is the fused map's peak.

    A member without ``score_maps`` takes part with a Gaussian around its point, as wide as its
    out-of-fold error at that landmark.

    Parameters
    ----------
    members : sequence of (name, detector)
    how : "average" (sum rule) or "product" (product rule; Kittler et al. 1998)
    stride : crop px per map px
    cv : folds for the out-of-fold errors of members without maps
    """

    def __init__(self, members: Members, how: str = "product", stride: int = 2, cv: int = 2):
        self.members = members
        self.how = how
        self.stride = stride
        self.cv = cv

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> MapFusion:
        if self.how not in ("average", "product"):
            raise InputError(f"how must be 'average' or 'product', got {self.how!r}")
        images = check_crops(images)
        truth = check_xy(xy, len(images))
        self._fit_members(images, truth, groups, flip)
        self.width_ = np.full((len(self.members_), truth.shape[1]), np.nan)  # px
        for m, ((_, detector), member) in enumerate(zip(self.members, self.members_, strict=True)):
            if not hasattr(member, "score_maps"):
                answer, _ = memory.out_of_fold(detector, images, truth, groups=groups, flip=flip, cv=self.cv)
                error = np.sqrt(0.5 * ((answer - truth) ** 2).sum(-1))
                self.width_[m] = np.maximum(np.nanmedian(error, axis=0) * 1.2, 0.5)
        return self

    def score_maps(self, images: Any, stride: int | None = None) -> Array:
        """(B, K, H/stride, W/stride) float32, each map summing to 1."""
        check_is_fitted(self, "width_")
        images = check_crops(images, self.size_hw_)
        stride = stride or self.stride
        maps = [
            member.score_maps(images, stride=stride)
            if hasattr(member, "score_maps")
            else _gaussians(member.predict(images), self.width_[m], self.size_hw_, stride)
            for m, member in enumerate(self.members_)
        ]
        if self.how == "average":
            fused = np.mean(maps, axis=0)
        else:
            logs = np.sum([np.log(np.maximum(m, 1e-7)) for m in maps], axis=0)
            fused = np.exp(logs - logs.max(axis=(2, 3), keepdims=True))
        return (fused / np.maximum(fused.sum(axis=(2, 3), keepdims=True), 1e-12)).astype(np.float32)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """The fused maps' sub-pixel peaks, and how much of each map lies within two map px."""
        maps = self.score_maps(images)
        peak, _ = subpixel_peak(np.log(np.maximum(maps, 1e-12)))
        rows = np.arange(maps.shape[2])[:, None] - peak[..., 1][..., None, None]
        columns = np.arange(maps.shape[3])[None, :] - peak[..., 0][..., None, None]
        near = (rows**2 + columns**2) <= 4.0
        score = (maps * near).sum(axis=(2, 3))
        return resize_points(peak, self.stride).astype(np.float32), np.clip(score, 0, 1).astype(np.float32)


def _decreasing(score: Array, ratio: Array) -> dict[str, Array]:
    """The isotonic curve score -> relative squared error, kept within a factor of 10."""
    keep = np.isfinite(ratio) & np.isfinite(score)
    if keep.sum() < 20 or np.ptp(score[keep]) < 1e-9:
        return {"x": np.array([0.0, 1.0]), "y": np.array([1.0, 1.0])}
    curve = IsotonicRegression(increasing=False, y_min=0.1, y_max=10.0).fit(score[keep], ratio[keep])
    return {
        "x": np.asarray(curve.X_thresholds_, float),
        "y": np.asarray(curve.y_thresholds_, float),
    }


def _gaussians(xy: Array, width: Array, size_hw: Sequence[int], stride: int) -> Array:
    """Normalised Gaussian maps (B, K, h, w) around points; flat where the point is NaN."""
    h, w = int(size_hw[0]) // stride, int(size_hw[1]) // stride
    x = resize_points(xy[..., 0], 1 / stride)[..., None, None]
    y = resize_points(xy[..., 1], 1 / stride)[..., None, None]
    sd = (width / stride)[None, :, None, None]
    square = (np.arange(w)[None, :] - x) ** 2 + (np.arange(h)[:, None] - y) ** 2
    maps = np.exp(-0.5 * np.nan_to_num(square / sd**2))
    return maps / np.maximum(maps.sum(axis=(2, 3), keepdims=True), 1e-12)
