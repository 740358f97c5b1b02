"""Several finders as one: their boxes fused by score and weight.

Knows no finder by name; what fuses is :func:`.fuse_boxes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..structures import Array, Finder, InputError, NamedMembers, Sample
from .boxes_math import fuse_boxes
from .fitting import fit_finder


@dataclass(eq=False, repr=False)
class FusedFinder(NamedMembers, BaseEstimator):
    """Weighted box fusion of several finders (Solovyev et al. 2021).

    Parameters
    ----------
    members : (name, finder) pairs
    weights : one of each; None: all alike
    overlap : of two boxes, above which they are one object's

    Notes
    -----
    A box that only some members see has the score of a weighted mean in which the others say 0.
    """

    members: Sequence[tuple[str, Finder]]
    weights: tuple[float, ...] | None = None
    overlap: float = 0.5

    def fit(self, samples: Iterable[Sample]) -> FusedFinder:
        """Fit every member on the same samples."""
        if self.weights is not None and len(self.weights) != len(self.members):
            raise InputError(f"{len(self.members)} finders need as many weights, got {len(self.weights)}")
        samples = list(samples)
        self.finders_ = [fit_finder(member, samples) for _, member in self.members]
        return self

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        check_is_fitted(self)
        boxes, scores = zip(*(finder.find(image, name=name) for finder in self.finders_), strict=True)
        return fuse_boxes(boxes, scores, self._weights, self.overlap)

    @property
    def _weights(self) -> Array:
        return np.ones(len(self.members)) if self.weights is None else np.array(self.weights, float)

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        return {
            "kind": "detection.fused",
            "members": [finder.runtime_node() for finder in self.finders_],  # type: ignore[attr-defined]
            "weights": self._weights,
            "overlap": float(self.overlap),
        }
