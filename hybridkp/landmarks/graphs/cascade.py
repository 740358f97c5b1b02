"""The stages of a cascade on dense HOG: histograms of a frame around all points, one product."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Complex, Crop, Points
from ...runtime.builder import emit as emitted
from ..fast_descent import ShapeFrame
from ..frames import frame_size
from .histograms import point_order, point_rows
from .pictures import BLURRED, warped
from .steps import frame_of, step_scores


def emit(node: dict[str, Any], crop: Crop) -> Points:
    start, _ = emitted(node["start"], crop)
    mean, k, z = ShapeFrame.of(node["mean"]), len(node["mean"]), Complex.points(start)
    order, lengths = point_order(node["hog"], k), []
    for scale, weights, offset in zip(node["scales"], node["weights"], node["offsets"], strict=True):
        a, b = frame_of(mean, z, scale, k)
        frame = warped(crop.grey, crop.size_hw, a, b, scale, BLURRED)
        rows = point_rows(frame, frame_size(crop.size_hw, scale), a * z + b, node["hog"], k)
        weights = np.asarray(weights)[order]
        step = (rows.to(weights.dtype) @ weights).to(np.float64) + np.asarray(offset, float)
        moved = Complex.points(step.reshape(k, 2)) * a.inverse()
        z = z + moved
        lengths.append(moved.abs())
    return z.xy().to(np.float32), step_scores(lengths, node["curve"])
