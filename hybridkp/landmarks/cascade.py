"""Cascaded regression: descriptor rows at the current points, regressed to where they should go.

A few linear stages, each in the mean-shape frame of the estimate so far.  Crops go in, points
come out; the descriptors and the start are others' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..descriptors import HOG
from ..descriptors.gradients import describe_points
from ..imaging.geometry import apply_affine
from ..imaging.images import check_crops, crops_to_grey
from ..imaging.pyramid import gaussian_pyramid
from ..structures import (
    Array,
    Descriptor,
    Detector,
    DetectorMixin,
    InputError,
    Keypoints,
    Stage,
    stages_of,
)
from .candidates import hog_layout, is_dense_hog
from .descent import descend, moved, stage_rows
from .frames import frame_maps
from .holistic import HolisticRegressor
from .preparing import given_starts, mean_error, perturbed, prepared, step_curve
from .ridge import ridge_of
from .shape import PointDistribution


@dataclass(eq=False, repr=False)
class CascadedRegressor(DetectorMixin, BaseEstimator):
    """The supervised descent method (Xiong & De la Torre 2013) with any descriptor.

    Parameters
    ----------
    descriptor : Descriptor or None
        Rows at the points; None is ``HOG(cells=4, cell_px=6)``.
    scales : sequence of float
        One stage each: resolution of the mean-shape frame relative to the crop.
    alpha : float
        Ridge penalty of a stage.
    n_perturbations : int
        Extra copies of each training picture with a disturbed pose of the starting shape.
    n_levels : int
        Pyramid levels built in the frame, as many as the descriptor needs.
    start : Detector or None
        Gives the starting shape; None is ``HolisticRegressor()``.  Points that it gives as NaN are
        filled in by ``shape``.
    shape : PointDistribution or None
        Defines the frame and fills in landmarks that are missing in training.
    random_state : int

    Notes
    -----
    Departures from the paper: rows are taken in the mean-shape frame; training starts are
    out-of-fold predictions of ``start``; and each next stage is trained on what the stage says of a
    picture when that picture's group is held out (exact, see :func:`.ridge.ridge`), so that
    later stages meet errors of the size they will meet in use.  The score of a landmark is the
    probability that its error is below 2.5 % of the crop's longer side, from a logistic curve
    over the last steps' lengths, fitted on the held-out predictions.

    References
    ----------
    X. Xiong, F. De la Torre, Supervised descent method and its applications to face alignment,
    CVPR 2013.
    """

    descriptor: Descriptor | None = None
    scales: tuple[float, ...] = (0.7, 1.0, 1.25, 1.25)
    alpha: float = 100.0
    n_perturbations: int = 0
    n_levels: int = 1
    start: Detector | None = None
    shape: PointDistribution | None = None
    random_state: int = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> CascadedRegressor:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        if len(self.scales) < 1 or min(self.scales) <= 0:
            raise InputError(f"CascadedRegressor: scales must be positive, got {self.scales}")
        start = HolisticRegressor() if self.start is None else self.start
        grey, truth, rows, self.shape_, self.start_, current = prepared(
            images, xy, groups, flip, self.shape, start
        )
        self.size_hw_ = tuple(grey.shape[1:3])
        rng = np.random.default_rng(self.random_state)
        picture, current = perturbed(current, truth, self.n_perturbations, rng)
        wanted, rows = self.shape_.complete(truth)[picture], rows[picture]
        self.weights_: list[Array] = []
        self.offsets_: list[Array] = []
        lengths = []
        self.history_ = {"held-out error (px)": [mean_error(current, truth[picture])]}
        for scale in self.scales:
            current, length = self._fit_stage(grey, picture, current, wanted, scale, rows)
            lengths.append(length)
            self.history_["held-out error (px)"].append(mean_error(current, truth[picture]))
        self.curve_ = step_curve(lengths, np.linalg.norm(current - truth[picture], axis=-1), self.size_hw_)
        return self

    def _fit_stage(
        self, grey: Array, picture: Array, current: Array, wanted: Array, scale: float, rows: Array
    ) -> tuple[Array, Array]:
        maps = frame_maps(current, self.shape_.mean_, scale)
        points = apply_affine(maps, current)
        step = (apply_affine(maps, wanted) - points).reshape(len(points), -1)

        def read(chosen: Array) -> Array:
            return self._features(grey, picture[chosen], current[chosen], scale)[0]

        width = read(np.arange(1)).shape[1]
        weights, offset, held_out = ridge_of(read, len(points), width, step, self.alpha, rows)
        self.weights_.append(weights)
        self.offsets_.append(offset)
        return moved(current, points, held_out, maps)

    def _features(self, grey: Array, picture: Array, xy: Array, scale: float) -> tuple[Array, Array, Array]:
        mean, size = self.shape_.mean_, self.size_hw_
        return stage_rows(grey, picture, xy, mean, size, scale, self._describe, self._dtype())

    def _descriptor(self) -> Descriptor:
        return HOG(cells=4, cell_px=6) if self.descriptor is None else self.descriptor

    def _dtype(self) -> Any:
        """Of the frames: histograms need no whole grey levels, others' descriptors may."""
        return np.float32 if is_dense_hog(self._descriptor()) else np.uint8

    def _describe(self, frame: Array, xy: Array) -> Array:
        descriptor = self._descriptor()
        if is_dense_hog(descriptor):
            return describe_points(frame, xy.astype(np.float32).astype(float), **hog_layout(descriptor))
        return descriptor.describe(gaussian_pyramid(frame, self.n_levels), Keypoints(xy))

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) probability, see the notes."""
        check_is_fitted(self)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        start = given_starts(self.start_.predict(grey), self.shape_)
        stages = list(zip(self.scales, self.weights_, self.offsets_, strict=True))
        return descend(grey, start, stages, self.curve_, self.shape_.mean_, self._describe, self._dtype())

    def stages(self, images: Any) -> list[Stage]:
        """The start's points and those after each step."""
        check_is_fitted(self)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        start = given_starts(self.start_.predict(grey), self.shape_)
        steps = list(zip(self.scales, self.weights_, self.offsets_, strict=True))
        shape = self.curve_, self.shape_.mean_, self._describe, self._dtype()
        found = [descend(grey, start, steps[: i + 1], *shape)[0] for i in range(len(steps))]
        names = [f"cascade step {i}" for i in range(1, len(found) + 1)]
        return stages_of(self.start_, grey) + [Stage(*each) for each in zip(names, found, strict=True)]

    def held(self) -> list[tuple[str, Any]]:
        """What gives the first points."""
        return [("start", self.start_)]

    def runtime_node(self) -> dict[str, Any]:
        descriptor = self._descriptor()
        if not is_dense_hog(descriptor):
            raise InputError(
                f"CascadedRegressor on {type(descriptor).__name__}: the runtime knows dense HOG only"
            )
        return {
            "kind": "landmarks.cascade",
            "start": self.start_.runtime_node(),
            "hog": hog_layout(descriptor),
            "mean": self.shape_.mean_,
            "scales": [float(s) for s in self.scales],
            "weights": self.weights_,
            "offsets": self.offsets_,
            "curve": self.curve_,
        }
