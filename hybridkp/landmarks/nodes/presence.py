"""Whether a crop holds the object: :class:`..presence.WithPresence` in the runtime.

NumPy and OpenCV alone; the arithmetic is in :mod:`..aligned`.  One crop in, points (K, 2), scores (K,) and
a probability out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...imaging.images import to_grey
from ...runtime.nodes import Node, Run, build, told
from ...runtime.values import array, number
from ...stats.calibration import probability
from ...structures import Array, Prediction
from ..aligned import aligned_row, whole_row


def presence_of(grey: Array, found: Prediction, mean: Array, weights: Array, offset: float) -> float:
    """The probability that a crop (H, W) of which a detector says so much holds an object."""
    row = aligned_row(grey, found.xy, found.score, mean)
    if len(weights) > len(row):  # not so in files of before
        row = np.concatenate([whole_row(grey, found.xy, mean), row])
    raw = float(row @ weights) + offset
    return float(probability(np.clip(raw, -30, 30), (1.0, 0.0)))


def with_presence(found: Prediction, presence: Array) -> Prediction:
    """The scores count as the detector's where there is an object, and as 0 where there is none."""
    score = found.score * presence[..., None]
    return replace(found, presence=presence.astype(np.float32), score=score.astype(np.float32))


@dataclass(eq=False, repr=False)
class Judged:
    """A :data:`.Run` that tells more than points and scores."""

    detector: Run
    mean: Array
    weights: Array
    offset: float

    def predict_all(self, picture: Array) -> Prediction:
        found = told(self.detector, picture)
        seen = presence_of(to_grey(picture), found, self.mean, self.weights, self.offset)
        return with_presence(found, np.asarray(seen))

    def __call__(self, picture: Array) -> tuple[Array, Array]:
        found = self.predict_all(picture)
        return found.xy, found.score


def make(node: Node, engine: str) -> Run:
    offset = number(node["offset"], -1e6, 1e6)
    return Judged(
        build(node["detector"], engine), array(node["mean"], -1, 2), array(node["weights"], -1), offset
    )
