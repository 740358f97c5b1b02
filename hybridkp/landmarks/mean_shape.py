"""The floor: every picture gets the same points.

A method that does not beat it has learned nothing from the pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.images import check_crops
from ..stats.calibration import NEAR
from ..structures import Array, DetectorMixin, check_xy


class MeanShape(DetectorMixin, BaseEstimator):
    """The mean position of each landmark in the training crops.

    The score of a landmark is the share of training points that lie within 2.5 % of the
    crop's longer side of the mean: the same for all pictures.
    """

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> MeanShape:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        images = check_crops(images)
        truth = check_xy(xy, len(images))
        self.size_hw_ = tuple(images.shape[1:3])
        self.mean_ = np.nanmean(truth, axis=0)
        distance = np.linalg.norm(truth - self.mean_, axis=-1)
        near = np.where(np.isnan(distance), np.nan, distance < NEAR * max(self.size_hw_))
        self.score_ = np.nanmean(near, axis=0).astype(np.float32)
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 and (B, K) float32, the same row for every picture."""
        check_is_fitted(self)
        b = len(check_crops(images, self.size_hw_))
        return np.tile(self.mean_.astype(np.float32), (b, 1, 1)), np.tile(self.score_, (b, 1))

    def runtime_node(self) -> dict[str, Any]:
        return {"kind": "landmarks.mean_shape", "xy": self.mean_, "score": self.score_}
