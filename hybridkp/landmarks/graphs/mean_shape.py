"""The same points for every crop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Points


def emit(node: dict[str, Any], crop: Crop) -> Points:
    g = crop.graph
    return g.tensor(node["xy"], np.float32), g.tensor(node["score"], np.float32)
