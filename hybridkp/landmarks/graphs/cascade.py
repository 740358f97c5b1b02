"""The stages of a cascade on dense HOG: histograms of a frame around all points, one product."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import rescale
from ...runtime.builder import Complex, Crop, Points
from ...runtime.builder import emit as emitted
from ..fast_descent import ShapeFrame
from ..frames import frame_size
from .histograms import point_order, point_rows
from .pictures import warped
from .steps import laid_on, step_scores

BLURRED = float(1 / np.sqrt(1 + 4 * 0.3**2))  #: ``imaging.warp`` blurs from a sigma of 0.3 px on


def emit(node: dict[str, Any], crop: Crop) -> Points:
    start, _ = emitted(node["start"], crop)
    mean, k, z = ShapeFrame.of(node["mean"]), len(node["mean"]), Complex.points(start)
    order, lengths = point_order(node["hog"], k), []
    for scale, weights, offset in zip(node["scales"], node["weights"], node["offsets"], strict=True):
        a = laid_on(mean, z, k).scaled(scale)
        landed = complex(*(rescale(part, scale) for part in (mean.centre.real, mean.centre.imag)))
        b = Complex.of(crop.graph, [landed]) - a * z.sum(0, keep=True).scaled(1 / k)
        frame = warped(crop.grey, crop.size_hw, a, b, scale, BLURRED)
        rows = point_rows(frame, frame_size(crop.size_hw, scale), a * z + b, node["hog"], k)
        weights = np.asarray(weights)[order]
        step = (rows.to(weights.dtype) @ weights).to(np.float64) + np.asarray(offset, float)
        moved = Complex.points(step.reshape(k, 2)) * a.inverse()
        z = z + moved
        lengths.append(moved.abs())
    return z.xy().to(np.float32), step_scores(lengths, node["curve"])
