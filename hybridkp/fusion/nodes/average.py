"""The mean of the members' points, plain or with given weights: what :class:`.Average` is in the runtime.

Pure NumPy.  M members' points (M, 1, K, 2) and scores (M, 1, K) in, one crop's (K, 2) and (K,) out.
"""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Combine, Node, Run, combination
from ...runtime.values import array
from ...structures import Array
from ..kernels import weighted_points


def make(node: Node, engine: str) -> Run:
    return combination(node, engine, _rule)


def _rule(node: Node, m: int) -> Combine:
    weights = array(node["weights"], m)
    if (weights <= 0).any():
        raise ValueError("weights must be positive")

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        return weighted_points(xy, np.broadcast_to(weights[:, None, None], score.shape), score)

    return rule
