"""Weighted means of the members' points: weights given, or learned from out-of-fold errors.

The arithmetic is in :mod:`.nodes.votes`, which the runtime shares.
Shapes: M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.isotonic import IsotonicRegression

from ..imaging.images import check_batch
from ..stats.calibration import NEAR, calibrate, logit
from ..structures import Array, InputError, check_xy
from .kernels import recalibrated, weighted_points
from .members import Combination, LearnedCombination, Members, Rule
from .nodes.votes import full_counts, full_vote, full_weights, vote, vote_counts, vote_weights


@dataclass(eq=False, repr=False)
class Average(Combination):
    """The mean of the members' points, plain or with fixed weights; a member that gives NaN has no say.

    Parameters
    ----------
    members : sequence of (name, detector)
    weights : (M,) positive numbers, given in advance; None = all the same
    """

    members: Members
    weights: Sequence[float] | None = None

    @classmethod
    def of(cls, fitted: Sequence[Any]) -> Average:
        """The mean of detectors that are fitted, for crops of one size: nothing is left to learn."""
        made = cls([(f"member {i + 1}", clone(each)) for i, each in enumerate(fitted)])
        made.members_, made.size_hw_ = list(fitted), tuple(fitted[0].size_hw_)
        return made

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Average:
        self._shares()
        images = check_batch(images)
        self._fit_members(images, check_xy(xy, len(images)), groups, flip)
        return self

    def _shares(self) -> Array:
        """(M,) weights that sum to 1."""
        m = len(self.members)
        shares = np.ones(m) if self.weights is None else np.asarray(self.weights, float)
        if shares.shape != (m,) or not (np.isfinite(shares).all() and (shares > 0).all()):
            raise InputError(f"weights must be {m} positive numbers, one for each member, got {self.weights}")
        return shares / shares.sum()

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) and (B, K), the mean of the members' points and scores."""
        _, xy, score = self._ask(images)
        return self._mean(xy, score)

    def combiner(
        self, xy: Array, score: Array, truth: Array, groups: Array, side: int
    ) -> Callable[[Array, Array], tuple[Array, Array]]:
        """The mean, of which nothing is learned; see :class:`.CombinesPredictions`."""
        return self._mean

    def _mean(self, xy: Array, score: Array) -> tuple[Array, Array]:
        return weighted_points(xy, np.broadcast_to(self._shares()[:, None, None], score.shape), score)

    def _counts(self, xy: Array, score: Array) -> Array:
        weight = super()._counts(xy, score) * self._shares()[:, None, None]
        return weight / np.maximum(weight.sum(0), 1e-12)

    def runtime_node(self) -> dict[str, Any]:
        return self._node("average", weights=self._shares())


@dataclass(eq=False, repr=False)
class WeightedVote(LearnedCombination):
    """Members weighted per landmark, per picture, by what out-of-fold errors say they are worth.

    The variance of member m at landmark k is its out-of-fold mean squared error there; when
    ``confidence`` is on it is multiplied by a factor that depends on the member's own score in
    this picture, learned by isotonic regression (a higher score never means a larger error).
    ``correlation`` is the members' out-of-fold error correlation per landmark, shrunk towards
    the identity by ``shrinkage``: two members that err together count as little more than one.
    The weights are those of the best linear unbiased combination (Bates & Granger 1969; for
    correlated regressors Perrone & Cooper 1993), clipped at zero so that it stays a vote.

    With ``covariance="full"`` x and y are told apart: the 2M x 2M covariance of all members'
    errors at a landmark (along a cheek a point slides, across it does not) gives a 2 x 2 matrix of
    weights for each member.  These are not clipped: a combination, no longer a vote.

    Parameters
    ----------
    members : sequence of (name, detector)
    cv : folds for the out-of-fold errors
    confidence, correlation : bool
    shrinkage : 0 trusts the measured correlation, 1 ignores it
    covariance : "scalar" (one variance for x and y) or "full"
    spread : "mean" (squared errors, clipped at their 97.5th percentile) or "median" (of the squared
        errors, scaled so that Gaussian errors give the same): the latter judges a member by its
        usual error, not by its blunders
    guard : drop members whose absence costs no more than one standard error

    Attributes
    ----------
    kept_ : positions of the members that the guard kept (M of them below)
    variance_ : (M, K) px², robust; with "full" (2M, K), x and y of the first member, ...
    correlation_ : (K, M, M), with "full" (K, 2M, 2M)
    factor_ : list of M dicts with ``x`` and ``y`` of the isotonic curve score -> factor
    weights_ : (members, K) the weights at average confidence, for people to read; 0 where dropped
    calibration_ : (2,) from the weighted score's log-odds to those of an error below 2.5 % of the side:
        where members agree, the vote is surer than their mean
    """

    _learned: ClassVar[tuple[str, ...]] = ("variance", "correlation", "factor", "weights", "calibration")

    members: Members
    cv: int = 2
    confidence: bool = True
    correlation: bool = True
    shrinkage: float = 0.3
    covariance: str = "scalar"
    spread: str = "mean"
    guard: bool = False

    def _check_parameters(self) -> None:
        if self.covariance not in ("scalar", "full"):
            raise InputError(f"covariance must be 'scalar' or 'full', got {self.covariance!r}")
        if self.spread not in ("mean", "median"):
            raise InputError(f"spread must be 'mean' or 'median', got {self.spread!r}")

    def _learn(self, prediction: Array, score: Array, truth: Array, groups: Any, side: int) -> Rule:
        error = prediction - truth
        squared = 0.5 * (error**2).sum(-1)  # (M, B, K), per coordinate
        variance, clipped = self._spread(squared)
        ratio = clipped / variance[:, None]
        factor = [_decreasing(s, r) for s, r in zip(score, ratio, strict=True)]
        if self.covariance == "full":
            m, b, k, _ = error.shape
            error = np.moveaxis(error, -1, 1).reshape(2 * m, b, k, 1)
            variance, _ = self._spread(error[..., 0] ** 2)
            correlation = self._correlations(error)
            weights = full_weights(variance[:, None], correlation)[1][:, 0]
        else:
            correlation = self._correlations(error)
            weights = vote_weights(variance[:, None], correlation)[:, 0]
        rule = {"variance": variance, "correlation": correlation, "factor": factor, "weights": weights}
        fused, confidence = self._combine(rule | {"calibration": (1.0, 0.0)}, prediction, score)
        distance = np.linalg.norm(fused - truth, axis=-1)
        there = np.isfinite(distance)
        calibration = calibrate(logit(confidence)[there], distance[there] < NEAR * side)
        return rule | {"calibration": np.array(calibration)}

    def _spread(self, squared: Array) -> tuple[Array, Array]:
        """Robust mean (V, K) of squared errors (V, B, K) over the pictures, and the errors, clipped."""
        if self.spread == "mean":
            clipped = np.minimum(squared, np.nanpercentile(squared, 97.5, axis=1, keepdims=True))
            return np.maximum(np.nanmean(clipped, axis=1), 1e-6), clipped
        gaussian = np.log(2) if self.covariance == "scalar" else 0.4549  # medians of chi2 over its mean
        variance = np.maximum(np.nanmedian(squared, axis=1) / gaussian, 1e-6)
        return variance, np.minimum(squared, 9 * variance[:, None])

    def _correlations(self, error: Array) -> Array:
        """(K, V, V) from the errors (V, B, K, C) of V members, or V coordinates of them."""
        v, _, k, _ = error.shape
        out = np.tile(np.eye(v), (k, 1, 1))
        if not self.correlation:
            return out
        spread = np.nanstd(error, axis=1, keepdims=True) + 1e-9
        z = np.clip(error / spread, -3, 3)  # outliers must not make the correlation
        z = np.where(np.isfinite(z).all(axis=0), z, 0.0)
        power = np.einsum("mbkc,nbkc->kmn", z, z)
        scale = np.sqrt(np.einsum("kmm->km", power)) + 1e-9
        measured = power / (scale[:, :, None] * scale[:, None, :])
        return (1 - self.shrinkage) * measured * (1 - np.eye(v)) + np.eye(v)

    def _combine(self, rule: Rule, xy: Array, score: Array) -> tuple[Array, Array]:
        factors = rule["factor"] if self.confidence else None
        combine = full_vote if self.covariance == "full" else vote
        fused, confidence = combine(xy, score, rule["variance"], rule["correlation"], factors)
        return fused, recalibrated(confidence, rule["calibration"], np.isfinite(fused).all(-1))

    def _counts(self, xy: Array, score: Array) -> Array:
        counts = full_counts if self.covariance == "full" else vote_counts
        factors = self.factor_ if self.confidence else None
        return counts(xy, score, self.variance_, self.correlation_, factors)

    def runtime_node(self) -> dict[str, Any]:
        factors = self.factor_ if self.confidence else []
        full = self.covariance == "full"
        return self._node("votes", "variance", "correlation", "calibration", factors=factors, full=full)


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
