"""The mean of the predictions on the crop and on its mirror image: the detector is written twice."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Points
from ...runtime.builder import emit as emitted


def emit(node: dict[str, Any], crop: Crop) -> Points:
    (xy, score), (other, confidence) = (emitted(node["detector"], c) for c in (crop, crop.mirrored()))
    flip, last = node["flip"], crop.size_hw[1] - 1
    back = (other * np.array([-1, 1]) + np.array([last, 0])).take(flip)
    return (xy + back) * 0.5, (score + confidence.take(flip)) * 0.5
