"""How far off each point may be, and in which direction: :class:`..covariance.WithCovariance` in the runtime.

Pure NumPy; for the estimator and the runtime.  Points (B, K, 2) and scores (B, K) pass through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...runtime.nodes import Node, Run, build, told
from ...runtime.values import array, number
from ...stats.calibration import logit
from ...structures import Array, Prediction


def covariances(score: Array, shape: Array, slope: float) -> Array:
    """(..., K, 2, 2) float32 px² of scores (..., K): ``shape`` (K, 2, 2), larger where the score is low."""
    size = np.exp(-slope * logit(score).astype(float))
    return (size[..., None, None] * shape).astype(np.float32)


@dataclass(eq=False, repr=False)
class Measured:
    """A :data:`.Run` that tells more than points and scores."""

    detector: Run
    shape: Array
    slope: float

    def predict_all(self, picture: Array) -> Prediction:
        found = told(self.detector, picture)
        return replace(found, covariance=covariances(found.score, self.shape, self.slope))

    def __call__(self, picture: Array) -> tuple[Array, Array]:
        return self.detector(picture)


def make(node: Node, engine: str) -> Run:
    shape = array(node["shape"], -1, 2, 2)
    return Measured(build(node["detector"], engine), shape, number(node["slope"], -100, 100))
