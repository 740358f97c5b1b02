"""How far off may each point be, and in which direction?  A covariance beside any detector's points.

It is learned from the detector's errors out of fold and from its scores; the points and scores stay the
detector's own.  Never here: looking at pixels.
Shapes: crops (B, H, W[, 3]), points (B, K, 2), scores (B, K), covariances (B, K, 2, 2) in px².
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..imaging.images import check_batch
from ..stats.calibration import logit
from ..structures import (
    Array,
    DetectorMixin,
    InputError,
    Prediction,
    Presence,
    Stage,
    check_xy,
    predict_all,
    stages_of,
    supports,
)
from .nodes.covariance import covariances

ROUNDS = 12  #: of estimating shapes and slope in turn
LEVELS = (0.5, 0.9)  #: parts of the points that their ellipses are to hold
FREEDOM = 4.0  #: degrees of freedom of the errors' t-distribution: how little the farthest ones count
PRIOR = 10.0  #: points that the usual covariance counts as, beside a landmark's own
LEAST = 1e-3  #: px², below which no direction is believed


@dataclass(eq=False, repr=False)
class WithCovariance(DetectorMixin, BaseEstimator):
    """A detector that also says how its points may err.

    Each landmark has a covariance, of its errors out of fold: points on a contour slide along it.  It grows
    where the score is low: by one factor for all landmarks, ``exp(-slope_ logit(score))``.  Both are
    estimated under a t-distribution, so that a few lost points do not blow up everybody's ellipse; the size
    is then set so that the ellipses of 50 and of 90 % hold as many of the points out of fold, halfway between
    the two where they disagree.  An ellipse of level p are the places whose squared Mahalanobis distance
    is at most ``-2 log(1 - p)``.

    Parameters
    ----------
    detector : Detector, unfitted; cloned, never changed
    cv : folds for the errors and scores (fewer when there are fewer groups)

    Attributes
    ----------
    detector_ : the fitted detector
    shape_ : (K, 2, 2) px² at a score of one half
    slope_ : float, not negative
    coverage_ : (2,) parts of the points out of fold within their ellipses of 50 and of 90 %

    References
    ----------
    K. Lange, R. Little, J. Taylor, Robust statistical modeling using the t distribution, JASA 84, 1989.

    Examples
    --------
    >>> from hybridkp.checks import make_problem
    >>> from hybridkp.landmarks import MeanShape
    >>> images, xy, groups, flip = make_problem(40)
    >>> model = WithCovariance(MeanShape()).fit(images, xy, groups=groups)
    >>> model.predict_with_covariance(images[:2])[2].shape
    (2, 5, 2, 2)
    """

    detector: Any
    cv: int = 2

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> WithCovariance:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled.

        Raises
        ------
        InputError
            There is but one group, or a landmark is labelled in one fold only.
        """
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        found, score = memory.out_of_fold(self.detector, images, truth, groups=groups, flip=flip, cv=self.cv)
        self._learn(found - truth, score)
        self.detector_ = memory.fitted(self.detector, images, truth, groups=groups, flip=flip)
        self.size_hw_ = tuple(images.shape[1:3])
        return self

    def _learn(self, error: Array, score: Array) -> None:
        """Shapes and slope from errors (B, K, 2), NaN where there is none, and scores (B, K)."""
        known = np.asarray(np.isfinite(error).all(axis=-1))
        if not known.any():
            raise InputError("covariance: the detector gave no point that is labelled")
        odds, away = logit(score).astype(float), np.where(known[..., None], error, 0.0)
        odds = odds - odds[known].mean()
        self.slope_, weight = 0.0, known.astype(float)
        for _ in range(ROUNDS):
            size = np.exp(-self.slope_ * odds)
            self.shape_ = _shapes(away, weight / size, known)
            distance = _distances(away, size[..., None, None] * self.shape_)
            weight = np.where(known, (FREEDOM + 2) / (FREEDOM + distance), 0.0)
            self.slope_ = max(0.0, self.slope_ + _slope(odds[known], distance[known], weight[known]))
        self.shape_ = self.shape_ * np.exp(self.slope_ * logit(score)[known].astype(float).mean())
        distance = _distances(away, covariances(score, self.shape_, self.slope_))[known]
        wanted = -2 * np.log(1 - np.array(LEVELS))
        self.shape_ = self.shape_ * np.exp(np.log(np.quantile(distance, LEVELS) / wanted).mean())
        distance = _distances(away, covariances(score, self.shape_, self.slope_))[known]
        self.coverage_ = (distance[:, None] <= wanted).mean(axis=0)

    # ----------------------------------------------------------------------------------------
    # prediction
    # ----------------------------------------------------------------------------------------

    def predict_all(self, images: Any) -> Prediction:
        """All that is known of crops."""
        check_is_fitted(self, "detector_")
        found = predict_all(self.detector_, check_batch(images, self.size_hw_))
        return replace(found, covariance=covariances(found.score, self.shape_, self.slope_))

    def predict_with_covariance(self, images: Any) -> tuple[Array, Array, Array]:
        """Points (B, K, 2), scores (B, K) and covariances (B, K, 2, 2), px², all float32."""
        found = self.predict_all(images)
        return found.xy, found.score, found.covariance  # type: ignore[return-value]

    @available_if(lambda self: supports(self.detector, Presence))
    def predict_with_presence(self, images: Any) -> tuple[Array, Array, Array]:
        """Points (B, K, 2), scores (B, K) and presence (B,), the detector's own."""
        found = self.predict_all(images)
        return found.xy, found.score, found.presence  # type: ignore[return-value]

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32 in 0..1, the detector's own."""
        check_is_fitted(self, "detector_")
        pair: tuple[Array, Array] = self.detector_.predict_with_score(check_batch(images, self.size_hw_))
        return pair

    def stages(self, images: Any) -> list[Stage]:
        """The detector's."""
        return stages_of(self.detector_, images)

    def held(self) -> list[tuple[str, Any]]:
        """The detector whose points these are."""
        return [("points", self.detector_)]

    def runtime_node(self) -> dict[str, Any]:
        return {
            "kind": "fusion.covariance",
            "detector": self.detector_.runtime_node(),
            "shape": self.shape_,
            "slope": self.slope_,
        }


def _shapes(away: Array, weight: Array, known: Array) -> Array:
    """(K, 2, 2) weighted covariances of errors (B, K, 2), each drawn to a round one of the usual size."""
    total = np.einsum("bk,bki,bkj->kij", weight, away, away)
    usual = np.trace(total.sum(axis=0)) / 2 / known.sum() + LEAST
    n = known.sum(axis=0)[:, None, None]
    return (total + PRIOR * usual * np.eye(2)) / (n + PRIOR)


def _distances(away: Array, covariance: Array) -> Array:
    """(B, K) squared Mahalanobis distances of errors (B, K, 2)."""
    solved = np.linalg.solve(covariance.astype(float), away[..., None])[..., 0]
    return (away * solved).sum(axis=-1)


def _slope(odds: Array, distance: Array, weight: Array) -> float:
    """A scoring step of the slope's likelihood, errors weighted as in the t-distribution."""
    power = (odds**2).sum()
    return float((odds * (1 - weight * distance / 2)).sum() / power) if power > 1e-9 else 0.0
