"""The whole crop at once: coarse HOG of the crop, regressed to all points.

A cheap detector of its own and the usual start of the finer ones.  Crops go in, points come out;
local search is elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.images import check_crops, crops_to_grey
from ..structures import Array, DetectorMixin, InputError
from .grid import grid_rows
from .linear import row_by_row
from .ridge import ridge
from .shape import PointDistribution
from .training import hit_rates, mirrored, prepare


class HolisticRegressor(DetectorMixin, BaseEstimator):
    """Ridge regression from a grid of orientation histograms to every landmark.

    Parameters
    ----------
    grid : int
        Cells along the crop's shorter side.
    n_orientations : int
    alpha : float
        Ridge penalty, in units of squared, normalised histogram values.
    shape : PointDistribution or None
        Fills in landmarks that are missing in training; the answer itself is not projected.

    Notes
    -----
    The score of a landmark is how often it came within 2.5 % of the crop's longer side in training,
    each group left out in turn: the same for all pictures.
    """

    def __init__(
        self,
        grid: int = 16,
        n_orientations: int = 8,
        alpha: float = 100.0,
        shape: PointDistribution | None = None,
    ):
        self.grid = grid
        self.n_orientations = n_orientations
        self.alpha = alpha
        self.shape = shape

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> HolisticRegressor:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        if self.grid < 1 or self.alpha < 0:
            raise InputError(
                f"HolisticRegressor: need grid >= 1 and alpha >= 0, got {self.grid}, {self.alpha}"
            )
        grey, truth = prepare(images, xy)
        self.size_hw_ = tuple(grey.shape[1:3])
        shape = PointDistribution() if self.shape is None else self.shape
        grey, truth, rows = mirrored(grey, truth, groups, flip)
        model = type(shape)(**shape.get_params()).fit(truth)
        wanted = model.complete(truth).reshape(len(grey), -1)
        self.weights_, self.offset_, left_out = ridge(self._rows(grey), wanted, self.alpha, rows)
        self.score_ = hit_rates(left_out, truth, self.size_hw_)
        return self

    def _rows(self, grey: Array) -> Array:
        return grid_rows(grey, self.grid, self.n_orientations)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px; (B, K), see the notes."""
        check_is_fitted(self)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        found = row_by_row(self._rows(grey), self.weights_) + self.offset_
        return found.reshape(len(grey), -1, 2), np.tile(self.score_, (len(grey), 1))

    def runtime_node(self) -> dict[str, Any]:
        return {
            "kind": "holistic",
            "grid": self.grid,
            "n_orientations": self.n_orientations,
            "weights": self.weights_,
            "offset": self.offset_,
            "score": self.score_,
        }
