"""What a detector says of crops, all of it: points and scores, and what it may know besides.

Letters: **B** pictures, **K** landmarks.  Never here: image processing, learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .annotated import HIDDEN, VISIBLE, Instance
from .base import Array, short_repr
from .protocols import Visibility, supports


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of B crops; what is not known is None.

    Parameters
    ----------
    xy : (B, K, 2) float32, crop px
    score : (B, K) float32, confidence in 0..1
    visibility : (B, K) float32, the probability that the landmark is visible
    presence : (B,) float32, the probability that the crop holds such an object
    covariance : (B, K, 2, 2) float32, of the error of each point, crop px²
    """

    xy: Array
    score: Array
    visibility: Array | None = None
    presence: Array | None = None
    covariance: Array | None = None

    __repr__ = short_repr

    def __getitem__(self, rows: Any) -> Prediction:
        """The same of some crops; of one by its number, without the axis B."""
        parts = (None if value is None else value[rows] for value in vars(self).values())
        return Prediction(*parts)  # type: ignore[arg-type]

    @classmethod
    def stacked(cls, crops: Sequence[Prediction]) -> Prediction:
        """Of B crops, from as many of one."""
        rows = zip(*(vars(crop).values() for crop in crops), strict=True)
        return cls(*(None if column[0] is None else np.stack(column) for column in rows))  # type: ignore[arg-type]

    def instance(self, xy: Array, box_xywh: Array, scale: float, score: float = 1.0) -> Instance:
        """Of one crop, without the axis B: the object in a box (4,) of a picture, its points ``xy`` there.

        ``scale`` is px of the crop per px of the picture.  ``score`` is the box's; the object's is that
        times the mean of the points'.  A point that is taken for hidden keeps its place, with visibility 1.
        """
        seen, known = self.visibility, self.score[np.isfinite(self.score)]
        return Instance(
            xy,
            visibility=None if seen is None else np.where(seen >= 0.5, VISIBLE, HIDDEN),  # type: ignore[arg-type]
            box_xywh=box_xywh,
            area=float(box_xywh[2] * box_xywh[3]),
            score=score * float(known.mean()) if len(known) else 0.0,
            keypoint_scores=self.score,
            keypoint_visibility=seen,
            presence=None if self.presence is None else float(self.presence),
            covariance=None if self.covariance is None else self.covariance / scale**2,
        )


@runtime_checkable
class Tells(Protocol):
    """A detector that knows more of a crop than points and scores."""

    def predict_all(self, images: Any) -> Prediction: ...


@runtime_checkable
class Presence(Protocol):
    """A detector that says whether the crop holds an object at all."""

    def predict_with_presence(self, images: Any) -> tuple[Array, Array, Array]:
        """(B, K, 2) points, (B, K) scores, (B,) probability that the object is there."""
        ...


@runtime_checkable
class Covariance(Protocol):
    """A detector that says how its points may err."""

    def predict_with_covariance(self, images: Any) -> tuple[Array, Array, Array]:
        """(B, K, 2) points, (B, K) scores, (B, K, 2, 2) covariances of the points' errors, crop px²."""
        ...


def predict_all(detector: Any, images: Any) -> Prediction:
    """All that a fitted detector says of crops, whichever promises it keeps."""
    if supports(detector, Tells):
        found: Prediction = detector.predict_all(images)
        return found
    if supports(detector, Visibility):
        return Prediction(*detector.predict_with_visibility(images))
    return Prediction(*detector.predict_with_score(images))
