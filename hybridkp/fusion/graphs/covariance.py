"""How far off each point may be: a covariance of each landmark, larger where its score is low."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Points, Tensor, emit_all, logit
from ...runtime.builder import emit as emitted


def emit(node: dict[str, Any], crop: Crop) -> Points:
    return emitted(node["detector"], crop)


def emit_outputs(node: dict[str, Any], crop: Crop) -> dict[str, Tensor]:
    """As :class:`..nodes.covariance.Measured`: ``covariance`` (K, 2, 2) beside what the detector says."""
    found = emit_all(node["detector"], crop)
    size = (logit(found["score"].to(np.float64)) * -float(node["slope"])).exp().reshape(-1, 1, 1)
    return {**found, "covariance": (size * np.asarray(node["shape"], float)).to(np.float32)}
