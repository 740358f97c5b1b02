"""Ridge regression from the whole crop on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Points
from . import channels, histograms

ROWS = {"channels": channels.grid_rows, "hog": histograms.grid_rows}


def emit(node: dict[str, Any], crop: Crop) -> Points:
    rows, order = ROWS[node["features"]](crop.grey, crop.size_hw, node["grid"], node["n_orientations"])
    weights = crop.graph.tensor(np.asarray(node["weights"])[order]).to(np.float64)
    found = rows.to(np.float64) @ weights + np.asarray(node["offset"], float)
    return found.reshape(-1, 2).to(np.float32), crop.graph.tensor(node["score"], np.float32)
