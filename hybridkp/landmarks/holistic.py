"""The whole crop at once: what is seen on a coarse grid over it, regressed to all points.

A cheap detector of its own and the usual start of the finer ones.  Crops go in, points come out;
local search is elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import rescale
from ..imaging.images import check_batch, check_crops, crops_to_grey
from ..multimodal import ReadsPlanes
from ..structures import Array, Contributions, DetectorMixin, InputError, check_xy
from .crop_features import FEATURES
from .linear import row_by_row
from .preparing import fitted_shape, hit_rates, mirrored
from .ridge import ridge_of
from .shape import PointDistribution

_ALPHA = {"hog": 100.0, "channels": 0.007}


@dataclass(eq=False, repr=False)
class HolisticRegressor(ReadsPlanes, DetectorMixin, BaseEstimator):
    """Ridge regression from a grid over the whole crop to every landmark.

    Parameters
    ----------
    features : "hog" or "channels"
        Orientation histograms, or gradient channels: a little coarser, in a third of the time, the
        usual start of the fast cascade.
    grid : int
        Cells along the crop's shorter side.
    n_orientations : int
        Over half the turn for histograms, over the full turn for channels.
    alpha : float or None
        Ridge penalty in units of squared features, for channels per training row.  None is 100 for
        histograms, 0.007 for channels.
    shape : PointDistribution or None
        Fills in landmarks that are missing in training; the prediction itself is not projected.
    inputs : what is read, of :data:`~hybridkp.multimodal.INPUTS`; rows of several stand side by side

    Notes
    -----
    The score of a landmark is how often it came within 2.5 % of the crop's longer side in training,
    each group held out in turn: the same for all pictures.
    """

    features: str = "hog"
    grid: int = 16
    n_orientations: int = 8
    alpha: float | None = None
    shape: PointDistribution | None = None
    inputs: tuple[str, ...] = ("image",)

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> HolisticRegressor:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        if self.features not in FEATURES:
            raise InputError(
                f"HolisticRegressor: features must be one of {', '.join(FEATURES)}, got {self.features!r}"
            )
        if self.grid < 1 or self.n_orientations < 2 or (self.alpha is not None and self.alpha < 0):
            raise InputError(
                "HolisticRegressor: need grid >= 1, n_orientations >= 2 and alpha >= 0, got"
                f" {self.grid}, {self.n_orientations}, {self.alpha}"
            )
        grey = self.learn_planes(images)
        truth = check_xy(xy, len(grey))
        self.size_hw_ = tuple(grey.shape[1:3])
        grey, truth, rows = mirrored(grey, truth, groups, flip)
        model = fitted_shape(self.shape, truth)
        wanted = model.complete(truth).reshape(len(grey), -1)
        alpha = _ALPHA[self.features] if self.alpha is None else self.alpha
        penalty = alpha * len(grey) if self.features == "channels" else alpha

        def read(chosen: Array) -> Array:
            return self._rows(grey if len(chosen) == len(grey) else grey[chosen])

        width = self._rows(grey[:1]).shape[1]
        self.weights_, self.offset_, held_out = ridge_of(read, len(grey), width, wanted, penalty, rows)
        self.score_ = hit_rates(held_out, truth, self.size_hw_)
        return self

    def _rows(self, grey: Array) -> Array:
        parts = [grey] if grey.ndim == 3 else np.moveaxis(np.asarray(grey), -1, 0)
        rows = [FEATURES[self.features](part, self.grid, self.n_orientations) for part in parts]
        return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px; (B, K), see the notes."""
        check_is_fitted(self)
        grey = self.read_planes(check_batch(images, self.size_hw_))
        found = row_by_row(self._rows(grey), self.weights_.astype(float)) + self.offset_
        return found.reshape(len(grey), -1, 2).astype(np.float32), np.tile(self.score_, (len(grey), 1))

    def contributions(self, image: Array, landmark: int) -> Contributions:
        """How far each cell of the grid pulls a point, along the way that all of them pull it together.

        The rest is 0: the way begins where the point would be in a crop without any edge.
        """
        self.check_export()
        grey = crops_to_grey(check_crops(np.asarray(image)[None], self.size_hw_))
        h, w = self.size_hw_
        gh, gw = (max(1, round(self.grid * side / min(h, w))) for side in (h, w))
        parts = self._rows(grey)[0][:, None] * self.weights_[:, 2 * landmark : 2 * landmark + 2]
        pull = parts.reshape(gh * gw, -1, 2).sum(1)
        way = pull.sum(0)
        value = pull @ way / max(float(np.linalg.norm(way)), 1e-9)
        places = np.meshgrid(rescale(np.arange(gw), w / gw), rescale(np.arange(gh), h / gh))
        xy = np.stack(places, axis=-1).reshape(-1, 2)
        return Contributions("px of the way that the whole crop gives", xy, value, min(w / gw, h / gh), 0.0)

    def runtime_node(self) -> dict[str, Any]:
        self.check_export()
        return {
            "kind": "landmarks.holistic",
            "features": self.features,
            "grid": self.grid,
            "n_orientations": self.n_orientations,
            "weights": self.weights_,
            "offset": self.offset_,
            "score": self.score_,
        }
