"""Is a landmark there to be seen?  A probability per landmark beside any detector's points.

It is learned from the detector's out-of-fold confidence and from which landmarks people labelled; the
points and scores stay the detector's own.  Never here: looking at pixels.
Shapes: crops (B, H, W[, 3]), points (B, K, 2), scores and probabilities (B, K).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..imaging.images import check_batch
from ..stats.calibration import logit
from ..structures import Array, DetectorMixin, InputError, check_xy


@dataclass(eq=False, repr=False)
class WithVisibility(DetectorMixin, BaseEstimator):
    """A detector that also says how probable it is that each landmark is labelled.

    Logistic regression on two facts, the log-odds of the score at the landmark and their mean over
    the picture's other landmarks, with slopes that all landmarks share and an intercept of each that
    a ridge draws towards the common one.  A landmark that is labelled in every training picture gets
    probability 1; if all are, nothing is learned out of fold.  A point that the detector did not give
    counts as one of score 0.

    What it learns is what NaN in the training points means.  Where only visible landmarks are
    labelled that is visibility; where labels are missing for other reasons the prediction is little more
    than each landmark's share of labels.  So it is on bodies14, whose hidden joints are not labelled
    (4.7 %; first 1000 training pictures, five folds by group): log-loss 0.1854 for the shares,
    0.1847 with a small heat-map net's scores, 0.1853 with a cascade's, 0.1855 with a ridge's.  A
    point's position in the crop and slopes per landmark made it worse and were left out.

    Parameters
    ----------
    detector : Detector, unfitted; cloned, never changed
    cv : folds for the out-of-fold scores (fewer when there are fewer groups)
    penalty : ridge on slopes (per standard deviation) and intercepts, against the summed log-loss

    Attributes
    ----------
    detector_ : the fitted detector
    slope_ : (2,) of the landmark's own log-odds and of the others' mean
    bias_ : (K,) log-odds where both are 0; infinite for a landmark that is always labelled

    Examples
    --------
    >>> from hybridkp.checks import make_problem
    >>> from hybridkp.landmarks import MeanShape
    >>> images, xy, groups, flip = make_problem(20)
    >>> xy[::4, 0] = np.nan  # the first landmark is hidden in a quarter of the pictures
    >>> model = WithVisibility(MeanShape()).fit(images, xy, groups=groups)
    >>> model.predict_visibility(images[:1]).shape
    (1, 5)
    """

    detector: Any
    cv: int = 2
    penalty: float = 1.0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> WithVisibility:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled.

        Raises
        ------
        InputError
            ``penalty`` is not positive; or some labels are missing and there is but one group, or a
            landmark is labelled in one fold only.
        """
        if not self.penalty > 0:
            raise InputError(f"penalty must be positive, got {self.penalty}")
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        labelled: Array = np.isfinite(truth[..., 0])
        self.slope_, self.bias_ = np.zeros(2), np.full(truth.shape[1], np.inf)
        if not labelled.all():
            prediction, score = memory.out_of_fold(
                self.detector, images, truth, groups=groups, flip=flip, cv=self.cv
            )
            self._learn(_evidence(prediction, score), labelled)
        self.detector_ = memory.fitted(self.detector, images, truth, groups=groups, flip=flip)
        self.size_hw_ = images.shape[1:3]
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32 in 0..1, the detector's own."""
        return self.predict_with_visibility(images)[:2]

    def predict_visibility(self, images: Any) -> Array:
        """(B, K) float32 in 0..1: how probable it is that the landmark is labelled."""
        return self.predict_with_visibility(images)[2]

    def predict_with_visibility(self, images: Any) -> tuple[Array, Array, Array]:
        """Points (B, K, 2), scores (B, K) and visibility (B, K), all float32, for one look."""
        check_is_fitted(self, "detector_")
        images = check_batch(images, self.size_hw_)
        xy, score = self.detector_.predict_with_score(images)
        return xy, score, expit(_evidence(xy, score) @ self.slope_ + self.bias_).astype(np.float32)

    def _learn(self, evidence: Array, labelled: Array) -> None:
        """Slopes and intercepts from (B, K, 2) evidence and (B, K) bool, of landmarks with both kinds."""
        open_ = np.flatnonzero(~labelled.all(axis=0))
        rows = evidence[:, open_].reshape(-1, 2)
        centre, spread = rows.mean(axis=0), rows.std(axis=0)
        spread = np.where(spread > 1e-6, spread, np.inf)  # a constant tells nothing
        which = np.tile(np.eye(len(open_)), (len(labelled), 1))
        design = np.concatenate([(rows - centre) / spread, which], axis=1)
        model = LogisticRegression(C=1 / self.penalty, max_iter=1000)
        model.fit(design, labelled[:, open_].ravel())
        self.slope_ = model.coef_[0, :2] / spread
        self.bias_[open_] = model.intercept_[0] + model.coef_[0, 2:] - centre @ self.slope_

    def held(self) -> list[tuple[str, Any]]:
        """The detector whose points these are."""
        return [("points", self.detector_)]

    def runtime_node(self) -> dict[str, Any]:
        """The detector's node: an exported file gives points and scores, no visibility."""
        node: dict[str, Any] = self.detector_.runtime_node()
        return node


def _evidence(xy: Array, score: Array) -> Array:
    """(B, K, 2) log-odds of the score at each landmark, and their mean over the others (K = 1: 0)."""
    own = logit(np.where(np.isfinite(xy).all(axis=-1), score, 0.0)).astype(float)
    k = own.shape[1]
    others = (own.sum(axis=1, keepdims=True) - own) / max(k - 1, 1)
    return np.stack([own, others if k > 1 else np.zeros_like(own)], axis=-1)
