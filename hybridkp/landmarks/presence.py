"""Does the crop hold an object at all?  A probability beside any detector's points.

It is learned from how crops look, as they are and once the points are laid over the mean shape, of objects
and of crops that hold none.  Shapes: crops (B, H, W[, 3]), points (B, K, 2), scores (B, K), presence (B,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.utils.validation import check_is_fitted

from ..imaging.images import check_batch, crops_to_grey
from ..memory import fitted
from ..memory.budget import parts_of
from ..stats.calibration import calibrate
from ..structures import (
    Array,
    DetectorMixin,
    InputError,
    Prediction,
    Stage,
    check_xy,
    predict_all,
    stages_of,
)
from .aligned import N_FACTS, aligned_row, whole_row
from .nodes.presence import presence_of, with_presence
from .preparing import checked_groups
from .views import ABSENT, PRESENT, SHUFFLED, TURNED, seen_otherwise

FOLDS = 3
BLOCK = 64  #: crops without an object that are held at a time
FACT = 3.0  #: standard deviations of a cell that one of a further number counts as


@dataclass(eq=False, repr=False)
class WithPresence(DetectorMixin, BaseEstimator):
    """A detector that also says how probable it is that the crop holds an object.

    Any detector gives points for any picture.  Here the crop is laid on the mean shape by those points and
    looked at: logistic regression on a grid of gradient channels there and on one of the whole crop, on how
    large and how far from the middle the points are, and on their scores.  The points stay the detector's;
    its scores are multiplied by the presence, so that they fall where there is nothing to be found.

    It is learned from what the fitted detector says of the training crops seen otherwise: jittered, and as
    halves, parts, corners, wide views and shuffled tiles, which hold no whole object (:mod:`.views`).  None
    of these was shown to the detector as it is, so that its scores there are about those of new pictures:
    it is fitted once.  The rule is calibrated on folds by group, as if half of all crops held an object.

    Parameters
    ----------
    detector : Detector, unfitted; cloned, never changed
    penalty : ridge on the weights, per standard deviation of a row's columns
    max_pictures : training crops that are looked at, a random part of them
    looks : how often each of them is seen as each kind, every time otherwise; behind ``upright`` once
    random_state : int
    upright : whether an object that is turned by more than 60 degrees counts as none; behind the step
        ``upright`` it does

    Attributes
    ----------
    detector_ : the fitted detector
    mean_ : (K, 2) mean shape, crop px
    weights_, offset_ : what log-odds of the presence are of an :func:`.aligned.whole_row` with an
        :func:`.aligned.aligned_row` behind it

    References
    ----------
    J. Platt, Probabilistic outputs for support vector machines, 1999: the calibration.

    Examples
    --------
    >>> from hybridkp.checks import make_problem
    >>> from hybridkp.landmarks import HolisticRegressor
    >>> images, xy, groups, flip = make_problem(40)
    >>> model = WithPresence(HolisticRegressor()).fit(images, xy, groups=groups)
    >>> _, _, presence = model.predict_with_presence(images)
    >>> bool(presence.mean() > 0.8)
    True
    >>> bool(model.predict_with_presence(images * 0)[2].max() < 0.5)
    True
    """

    detector: Any
    penalty: float = 30.0
    max_pictures: int = 500
    looks: int = 2
    random_state: int = 0
    upright: bool = False

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> WithPresence:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled.

        Raises
        ------
        InputError
            For a ``penalty`` that is not positive, fewer than two ``max_pictures``, or no ``looks``.
        """
        if not self.penalty > 0 or self.max_pictures < 2 or self.looks < 1:
            raise InputError("presence: penalty must be positive, max_pictures at least 2, looks at least 1")
        images = check_batch(images)
        truth, names = check_xy(xy, len(images)), checked_groups(groups, len(images))
        self.detector_ = fitted(self.detector, images, truth, groups=groups, flip=flip)
        self.size_hw_ = tuple(images.shape[1:3])
        self.mean_ = np.nanmean(truth, axis=0)
        rng = np.random.default_rng(self.random_state)
        chosen = np.sort(rng.permutation(len(images))[: self.max_pictures])
        rows, present, picture = self._rows(images, truth, chosen, rng)
        _, group = np.unique(names[picture].astype(str), return_inverse=True)
        self._learn(rows, present, group)
        return self

    def _rows(
        self, images: Any, truth: Array, chosen: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Rows (N, D) of crops with and without an object, whether there is one, and which crop each was."""
        rows: list[Array] = []
        picture: list[Array] = []
        shown = np.tile(chosen, 1 if self.upright else self.looks)
        for kind in (PRESENT, *ABSENT, SHUFFLED, *([TURNED] if self.upright else [])):
            for start in range(0, len(shown), BLOCK):
                for index, crops in parts_of(images, shown[start : start + BLOCK]):
                    crops = check_batch(seen_otherwise(crops, truth[index], kind, rng))
                    found = self.detector_.predict_with_score(crops)
                    three = zip(crops_to_grey(crops), *found, strict=True)
                    for grey, xy, score in three:
                        aligned = aligned_row(grey, xy, score, self.mean_)
                        rows.append(np.concatenate([whole_row(grey, xy, self.mean_), aligned]))
                    picture.append(index)
        present = np.arange(len(rows)) < len(shown)
        return np.stack(rows), present, np.concatenate(picture)

    def _learn(self, rows: Array, present: Array, group: Array) -> None:
        """Weights and offset; calibrated on rows of groups that were left out."""
        centre, spread = rows.mean(axis=0), rows.std(axis=0)
        unit = np.full(rows.shape[1], max(float(spread[:-N_FACTS].mean()), 1e-6))
        unit[-N_FACTS:] = np.where(spread[-N_FACTS:] > 1e-6, spread[-N_FACTS:], np.inf) / FACT
        design = (rows - centre) / unit
        rule = LogisticRegression(C=1 / self.penalty, class_weight="balanced", max_iter=1000)
        folds = min(FOLDS, len(np.unique(group)))
        if folds > 1:
            options = {"groups": group, "cv": GroupKFold(folds), "method": "decision_function"}
            raw = cross_val_predict(rule, design, present, **options)
        rule.fit(design, present)
        if folds < 2:
            raw = rule.decision_function(design)
        times = np.where(present, np.maximum(1, round(np.mean(~present) / np.mean(present))), 1)
        slope, offset = calibrate(np.repeat(raw, times), np.repeat(present, times))
        self.weights_ = slope * rule.coef_[0] / unit
        self.offset_ = float(slope * rule.intercept_[0] + offset - centre @ self.weights_)

    # ----------------------------------------------------------------------------------------
    # prediction
    # ----------------------------------------------------------------------------------------

    def predict_all(self, images: Any) -> Prediction:
        """All that is known of crops; scores are the detector's times the presence."""
        check_is_fitted(self, "detector_")
        images = check_batch(images, self.size_hw_)
        found = predict_all(self.detector_, images)
        learned = self.mean_, self.weights_, self.offset_
        seen = [presence_of(grey, found[i], *learned) for i, grey in enumerate(crops_to_grey(images))]
        return with_presence(found, np.array(seen))

    def predict_with_presence(self, images: Any) -> tuple[Array, Array, Array]:
        """Points (B, K, 2), scores (B, K) and presence (B,), all float32."""
        found = self.predict_all(images)
        return found.xy, found.score, found.presence  # type: ignore[return-value]

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32, the detector's, and (B, K) float32: its scores times the presence."""
        found = self.predict_all(images)
        return found.xy, found.score

    def stages(self, images: Any) -> list[Stage]:
        """The detector's."""
        return stages_of(self.detector_, images)

    def held(self) -> list[tuple[str, Any]]:
        """The detector whose points these are."""
        return [("points", self.detector_)]

    def runtime_node(self) -> dict[str, Any]:
        return {
            "kind": "landmarks.presence",
            "detector": self.detector_.runtime_node(),
            "mean": self.mean_,
            "weights": self.weights_,
            "offset": self.offset_,
        }
