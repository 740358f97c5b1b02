"""Local features made of others: rows of several methods side by side, and points without their angle.

Every class is a :class:`~hybridkp.structures.LocalFeature` around others.  Never here: matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..structures import Array, InputError, Keypoints, NamedMembers, Parameters
from .local import picture


@dataclass(eq=False, repr=False)
class ConcatFeature(NamedMembers, Parameters):
    """Points of the first part; rows of all parts at these points, side by side.

    Parameters
    ----------
    parts : sequence of (name, LocalFeature)
        Each with L2 rows; all but the first need ``compute(image, keypoints)``.
    weights : sequence of float or None
        The squared length of each part's share of a row: with ``(0, 1)`` only the second part
        describes.  None is 1 for each.
    """

    norm = "L2"
    _named = "parts"

    parts: Sequence[tuple[str, Any]]
    weights: Sequence[float] | None = None

    @property
    def n_points(self) -> int:
        return int(self.parts[0][1].n_points)

    @property
    def n_features(self) -> int:
        return sum(part.n_features for (_, part), w in zip(self.parts, self._weights(), strict=True) if w > 0)

    def detect(self, image: Array) -> Keypoints:
        """The first part's points."""
        found: Keypoints = self.parts[0][1].detect(image)
        return found

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """Points, best first, and rows (N, D) float32 of unit length where every part gave one."""
        weights, image = self._weights(), picture(image)
        first = self.parts[0][1]
        if weights[0] > 0:
            keypoints, rows = first.detect_and_describe(image)
            return keypoints, self._compute(image, keypoints, weights, rows)
        keypoints = first.detect(image)
        return keypoints, self._compute(image, keypoints, weights, None)

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        """Rows at given points, row i for keypoint i."""
        return self._compute(picture(image), keypoints, self._weights(), None)

    def _compute(self, image: Array, keypoints: Keypoints, weights: Array, first: Array | None) -> Array:
        blocks = []
        for i, ((_, part), weight) in enumerate(zip(self.parts, weights, strict=True)):
            if weight > 0:
                rows = first if i == 0 and first is not None else part.compute(image, keypoints)
                length = np.linalg.norm(rows, axis=1, keepdims=True)
                share = np.float32(np.sqrt(weight / weights.sum()))
                blocks.append(rows * (share / np.maximum(length, 1e-12)))
        return np.concatenate(blocks, axis=1).astype(np.float32, copy=False)

    def _weights(self) -> Array:
        n = len(self.parts)
        weights = np.ones(n) if self.weights is None else np.asarray(self.weights, float)
        if n == 0 or weights.shape != (n,) or not (weights >= 0).all() or not weights.any():
            raise InputError("ConcatFeature: give one weight from 0 on for each part")
        wrong = [name for name, part in self.parts if part.norm != "L2"]
        if wrong and weights[[name in wrong for name, _ in self.parts]].any():
            raise InputError(f"ConcatFeature: {wrong[0]!r} has no L2 rows")
        return weights


class Upright(Parameters):
    """A feature's points with angle 0, each place once, described again without their orientation.

    Parameters
    ----------
    feature : LocalFeature with ``detect`` and ``compute``
    """

    def __init__(self, feature: Any):
        self.feature = feature

    @property
    def norm(self) -> str:
        return str(self.feature.norm)

    @property
    def n_points(self) -> int:
        return int(self.feature.n_points)

    @property
    def n_features(self) -> int:
        return int(self.feature.n_features)

    def detect(self, image: Array) -> Keypoints:
        """The points, best first; of several that differ in their angle only, the first."""
        found = self.feature.detect(image)
        columns = np.column_stack([found.xy, found.size])
        _, once = np.unique(columns, axis=0, return_index=True)
        found = found[np.sort(once)]
        return Keypoints(found.xy, found.score, found.size, np.zeros(len(found)), found.octave, found.label)

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        rows: Array = self.feature.compute(image, keypoints)
        return rows

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        image = picture(image)
        keypoints = self.detect(image)
        return keypoints, self.compute(image, keypoints)
