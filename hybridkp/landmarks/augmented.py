"""Changed copies of the training crops, for detectors that do not make any themselves.

Any detector can be inside; what it says of a crop stays as it is.  Networks change each crop anew each time
they see it; here the classical side gets copies that are turned, sized and moved alike.
Shapes: crops (B, H, W[, 3]), points (B, K, 2).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..imaging.crops import move_batch
from ..imaging.geometry import about_middle, apply_affine, box_about, compose, crop_matrix, middle_of
from ..imaging.images import check_batch
from ..memory import fitted
from ..memory.budget import on_disk, rows_in
from ..structures import (
    Array,
    Batch,
    DataWarning,
    DetectorMixin,
    InputError,
    Prediction,
    ScoreMaps,
    Stage,
    check_xy,
    predict_all,
    stages_of,
    supports,
)


@dataclass(eq=False, repr=False)
class Augmented(DetectorMixin, BaseEstimator):
    """A detector that also learns from changed copies of its training crops; predictions cost nothing more.

    Each copy is turned, sized and moved, its points with it; beyond the edge the border repeats.  A crop's
    copies are of its group, so that no fold is judged by pictures it has seen.  It pays where pictures are
    few and the detector reads the whole crop (forests, ridge regression); networks have an augmentation of
    their own.

    Parameters
    ----------
    detector : Detector, unfitted; cloned, never changed
    copies : of each crop
    rotation, scale, shift : standard deviations, of the turn in degrees, of the log of the size, and of the
        move in units of the side
    turns : further turn in degrees, uniform to both sides; 180 for objects at any angle
    random_state : int

    Attributes
    ----------
    detector_ : the fitted detector

    Examples
    --------
    >>> from hybridkp.checks import make_problem
    >>> from hybridkp.landmarks import HolisticRegressor
    >>> images, xy, groups, flip = make_problem(40)
    >>> model = Augmented(HolisticRegressor(), copies=2).fit(images, xy, groups=groups)
    >>> model.predict(images[:3]).shape
    (3, 5, 2)
    """

    detector: Any
    copies: int = 8
    rotation: float = 10.0
    scale: float = 0.08
    shift: float = 0.02
    turns: float = 0.0
    random_state: int = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Augmented:
        """Fit the detector on crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled, and on copies.

        Raises
        ------
        InputError
            For a negative or infinite number of copies or amount of change.
        """
        amounts = [self.rotation, self.scale, self.shift, self.turns]
        if self.copies < 0 or not all(0 <= amount < math.inf for amount in amounts):
            raise InputError(
                "augment: copies, rotation, scale, shift and turns must be 0 or more, and finite"
            )
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        self.size_hw_ = tuple(images.shape[1:3])
        kept = np.arange(len(images)) if groups is None else np.asarray(groups)
        rng = np.random.default_rng(self.random_state)
        parts = [
            (images, truth),
            *(self._changed(images, truth, rng) for _ in range(self._affordable(images))),
        ]
        seen = parts[0][0] if len(parts) == 1 else _joined([crops for crops, _ in parts])
        points = np.concatenate([points for _, points in parts])
        self.detector_ = fitted(self.detector, seen, points, groups=np.tile(kept, len(parts)), flip=flip)
        return self

    def _affordable(self, images: Any) -> int:
        """How many copies of all crops may lie in memory; a warning where they are fewer than asked for."""
        bytes_each = math.prod(images.shape[1:])
        most = 0 if on_disk(images) else max(0, rows_in(1, bytes_each) // len(images) - 1)
        if most < self.copies:
            warnings.warn(
                f"augment: {most} of {self.copies} copies of {len(images)} crops fit into memory",
                DataWarning,
                stacklevel=3,
            )
        return min(most, self.copies)

    def _changed(self, images: Any, xy: Array, rng: np.random.Generator) -> tuple[Any, Array]:
        """One copy of each crop, and its points."""
        size_hw, n = self.size_hw_, len(images)
        angles = rng.normal(0, self.rotation, n) + rng.uniform(-self.turns, self.turns, n)
        sizes = np.exp(rng.normal(0, self.scale, n))
        side = np.array(size_hw[::-1], float)
        middles = middle_of(size_hw) + rng.normal(0, self.shift, (n, 2)) * side
        maps = [
            compose(about_middle(size_hw, angle), crop_matrix(box_about(at, *(side * size)), size_hw, 1.0))
            for angle, size, at in zip(angles, sizes, middles, strict=True)
        ]
        points = np.stack([apply_affine(m, points) for m, points in zip(maps, xy, strict=True)])
        return move_batch(images, maps), points

    # ----------------------------------------------------------------------------------------
    # prediction: the detector's own
    # ----------------------------------------------------------------------------------------

    def predict_all(self, images: Any) -> Prediction:
        """All that is known of crops."""
        check_is_fitted(self, "detector_")
        return predict_all(self.detector_, check_batch(images, self.size_hw_))

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32 in 0..1."""
        found = self.predict_all(images)
        return found.xy, found.score

    @available_if(lambda self: supports(self.detector, ScoreMaps))
    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H/stride, W/stride) float32, each summing to 1."""
        check_is_fitted(self, "detector_")
        maps: Array = self.detector_.score_maps(check_batch(images, self.size_hw_), stride=stride)
        return maps

    def maps_node(self, stride: int) -> dict[str, Any]:
        node: dict[str, Any] = self.detector_.maps_node(stride)
        return node

    def stages(self, images: Any) -> list[Stage]:
        return stages_of(self.detector_, images)

    def held(self) -> list[tuple[str, Any]]:
        return [("taught copies too", self.detector_)]

    def runtime_node(self) -> dict[str, Any]:
        node: dict[str, Any] = self.detector_.runtime_node()
        return node


def _joined(parts: list[Any]) -> Any:
    """Rows of the first, then of the second, ..."""
    if not isinstance(parts[0], Batch):
        return np.concatenate(parts)
    return Batch({name: np.concatenate([part[name] for part in parts]) for name in parts[0].modalities})
