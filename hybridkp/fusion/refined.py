"""Any refiner put behind any detector: a chain of two, itself a detector.

A refiner learns from starts that the detector gave out of fold, never from its predictions on its own
training pictures.  Shapes that pass: crops (B, H, W[, 3]) uint8, points (B, K, 2) in crop px.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..imaging.images import check_batch
from ..structures import Array, Detector, DetectorMixin, InputError, Refiner, Stage, check_xy, stages_of


@dataclass(eq=False, repr=False)
class Refined(DetectorMixin, BaseEstimator):
    """A detector with a refiner behind it, itself a detector.

    ``fit`` asks clones of the detector for out-of-fold points, trains the refiner from them to the
    truth, and fits the detector on everything.  Scores are the refiner's.

    Parameters
    ----------
    detector, refiner : unfitted; cloned, never changed
    cv : folds for the starts (fewer when there are fewer groups)
    random_state : of the folds; detector and refiner have their own
    """

    detector: Any
    refiner: Any
    cv: int = 3
    random_state: int = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Refined:
        images = check_batch(images)
        points = check_xy(xy, len(images))
        facts: dict[str, Any] = {"groups": groups, "flip": flip}
        n_groups = len(images) if groups is None else len(set(np.asarray(groups).tolist()))
        if n_groups < 2:
            raise InputError("Refined needs pictures of at least two groups for its out-of-fold starts")
        start, _ = memory.out_of_fold(
            self.detector,
            images,
            points,
            cv=min(self.cv, n_groups),
            random_state=self.random_state,
            **facts,
        )
        self.refiner_: Refiner = clone(self.refiner).fit(images, points, start, **facts)
        self.detector_: Detector = memory.fitted(self.detector, images, points, **facts)
        self.size_hw_ = (int(images.shape[1]), int(images.shape[2]))
        if hasattr(self.refiner_, "history_"):
            self.history_ = self.refiner_.history_
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, and the refiner's (B, K) score in 0..1."""
        check_is_fitted(self, "detector_")
        images = check_batch(images, self.size_hw_)
        return self.refiner_.refine(images, self.detector_.predict(images))

    def held(self) -> list[tuple[str, Any]]:
        return [("before", self.detector_)]

    def stages(self, images: Any) -> list[Stage]:
        """The detector's, and the points that the refiner moved."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self.refiner_).__name__)
        return [*stages_of(self.detector_, images), Stage(name, self.predict(images))]

    def runtime_node(self) -> dict[str, Any]:
        parts: tuple[Any, Any] = (self.detector_, self.refiner_)
        detector, refiner = (part.runtime_node() for part in parts)
        return {"kind": "fusion.refined", "detector": detector, "refiner": refiner}
