"""Ridge regression from the whole crop on a grid: what :class:`.HolisticRegressor` is in the runtime.

NumPy and OpenCV alone.  One grey crop (H, W) in, points (K, 2) and scores (K,) out.
"""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Node, Run, on_grey
from ...runtime.values import array, whole
from ...structures import Array
from ..crop_features import FEATURES
from ..linear import row_by_row


def make(node: Node, engine: str) -> Run:
    rows, grid, n_orientations = (
        FEATURES[node["features"]],
        whole(node, "grid", 1, 256),
        whole(node, "n_orientations", 2, 64),
    )
    score = array(node["score"], -1).astype(np.float32)
    weights = array(node["weights"], -1, 2 * len(score)).astype(float)  # the last bits decide what follows
    offset = array(node["offset"], 2 * len(score))

    def run(grey: Array) -> tuple[Array, Array]:
        found = row_by_row(rows(grey[None], grid, n_orientations), weights) + offset
        return found.reshape(-1, 2).astype(np.float32), score.copy()

    return on_grey(run)
