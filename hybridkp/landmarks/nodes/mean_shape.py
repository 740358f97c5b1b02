"""The same points for every crop: what :class:`.MeanShape` is in the runtime.  Points (K, 2), scores (K,)."""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Node, Run
from ...runtime.values import array


def make(node: Node, engine: str) -> Run:
    xy = array(node["xy"], -1, 2).astype(np.float32)
    score = array(node["score"], len(xy)).astype(np.float32)
    return lambda picture: (xy.copy(), score.copy())
