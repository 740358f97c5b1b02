"""Test-time augmentation: a network's score maps of a crop that is turned and sized a little, averaged.

Crops (B, H, W[, 3]) in, points (B, K, 2) and maps (B, K, h, w) out; each look is laid back on the crop by
:mod:`hybridkp.imaging.looks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..imaging.crops import move_batch
from ..imaging.geometry import resize_points
from ..imaging.images import check_batch
from ..imaging.looks import MOST_LOOKS, looks, mean_maps
from ..stats.calibration import calibrated, logit
from ..structures import (
    Array,
    DetectorMixin,
    HeldOutMaps,
    InputError,
    Stage,
    check_xy,
    stages_of,
    supports,
)
from .kernels import recalibrated
from .nodes.pictorial import read_mode


@dataclass(eq=False, repr=False)
class SeveralLooks(DetectorMixin, BaseEstimator):
    """The mean of a network's score maps over several looks at a crop, read near its mode.

    Multi-scale testing of the pose literature (Cao et al. 2017), with turns too.  It costs a look each, and
    trains nothing.  What is doubtful in one look is told by the others: a tree of landmarks behind it
    gains more from that than the points themselves.

    Parameters
    ----------
    detector : Detector with score maps that keeps groups out of its training
    turns : degrees, of further looks
    sizes : of further looks, times the usual
    stride : crop px per map px

    Attributes
    ----------
    detector_ : the fitted detector
    calibration_ : (2,) from the log-odds of the mass around a point to its score, by the groups kept out

    Examples
    --------
    >>> from hybridkp import recipes
    >>> recipes.make_method("heatmap:flip:looks[turns=-15:15,sizes=0.9:1.1]:tree").detector.turns
    (-15.0, 15.0)
    """

    detector: Any
    turns: Sequence[float] = (-20.0, -10.0, 10.0, 20.0)
    sizes: Sequence[float] = (0.8, 0.9, 1.1, 1.2)
    stride: int = 4

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> SeveralLooks:
        """Fit the detector on crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        self._check_parameters()
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        self.detector_ = memory.fitted(self.detector, images, truth, groups=groups, flip=flip)
        self.size_hw_ = images.shape[1:3]
        rows, self.calibration_ = self.held_out(len(images), groups), np.array([1.0, 0.0])
        if len(rows):
            found, mass = self._read(images[rows])
            off = np.linalg.norm(found - truth[rows], axis=-1)
            self.calibration_ = np.array(calibrated(logit(mass), off / max(self.size_hw_)))
        return self

    def _check_parameters(self) -> None:
        if not supports(self.detector, HeldOutMaps):
            who = type(self.detector).__name__
            raise InputError(f"{who} gives no score maps, or keeps no groups out: looks need both")
        values = np.array([*self.turns, *self.sizes], float)
        if not np.isfinite(values).all() or not all(0.1 <= size <= 10 for size in self.sizes):
            raise InputError(
                f"looks need turns in degrees and sizes in 0.1..10, got {self.turns}, {self.sizes}"
            )
        if len(values) >= MOST_LOOKS:
            raise InputError(f"at most {MOST_LOOKS} looks, the plain one included, got {len(values) + 1}")
        if self.stride < 1:
            raise InputError(f"stride must be at least 1, got {self.stride}")

    def held_out(self, n: int, groups: ArrayLike | None = None) -> Array:
        """Which of ``n`` rows the detector learned nothing from."""
        rows: Array = self.detector.held_out(n, groups)
        return rows

    def score_maps(self, images: Any, stride: int | None = None) -> Array:
        """(B, K, H/stride, W/stride) float32, each summing to 1: the mean over all looks."""
        check_is_fitted(self, "detector_")
        images, stride = check_batch(images, self.size_hw_), stride or self.stride

        def look(matrix: Array) -> Array:
            maps: Array = self.detector_.score_maps(move_batch(images, [matrix] * len(images)), stride=stride)
            return maps

        return mean_maps(look, self._matrices(), stride).astype(np.float32)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) the probability of an error under 2.5 % of the side."""
        xy, mass = self._read(images)
        return xy.astype(np.float32), recalibrated(mass, self.calibration_, True)

    def _read(self, images: Any) -> tuple[Array, Array]:
        xy, mass = read_mode(self.score_maps(images).astype(float))
        return resize_points(xy, self.stride), mass

    def _matrices(self) -> Array:
        return looks(self.turns, self.sizes, self.size_hw_)

    def held(self) -> list[tuple[str, Any]]:
        return [("each look", self.detector_)]

    def stages(self, images: Any) -> list[Stage]:
        """The detector's, and the mean of all looks."""
        return [*stages_of(self.detector_, images, "one look"), Stage("several looks", self.predict(images))]

    def maps_node(self, stride: int) -> dict[str, Any]:
        return {**self.detector_.maps_node(stride), "looks": self._matrices(), "stride": stride}

    def runtime_node(self) -> dict[str, Any]:
        return {"kind": "fusion.looks", **self.maps_node(self.stride), "calibration": self.calibration_}
