"""Local binary features: pixels around the points, trees walked by gathers, leaves' moves summed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Complex, Crop, Graph, Points, Tensor
from ...runtime.builder import emit as emitted
from ..fast_descent import ShapeFrame, as_complex
from .pictures import fixed_blur
from .steps import laid_on, step_scores


def emit(node: dict[str, Any], crop: Crop) -> Points:
    g, (h, w) = crop.graph, crop.size_hw
    start, _ = emitted(node["start"], crop)
    mean, k, z = ShapeFrame.of(node["mean"]), len(node["mean"]), Complex.points(start)
    flat, lengths = fixed_blur(crop.grey, float(node["smoothing"])).reshape(-1), []
    for stage in node["stages"]:
        back = laid_on(mean, z, k).inverse()
        turned = Complex.of(g, as_complex(stage["offsets"])) * back  # (K, P)
        x = (turned.re.to(np.float32) + z.re.to(np.float32).reshape(k, 1)).round().clip(0, w - 1.0)
        y = (turned.im.to(np.float32) + z.im.to(np.float32).reshape(k, 1)).round().clip(0, h - 1.0)
        values = flat.take((y * float(w) + x).to(np.int32)).reshape(-1)
        moved = Complex.points(_leaves(g, values, stage).reshape(k, 2)) * back
        z = z + moved
        lengths.append(moved.abs())
    return z.xy().to(np.float32), step_scores(lengths, node["curve"])


def _leaves(g: Graph, values: Tensor, stage: dict[str, Any]) -> Tensor:
    """(2K,) float64: the sum of what the leaves say that (K * P,) values fall into."""
    n_trees, n_inner = stage["threshold"].shape
    first, second = (np.ascontiguousarray(stage["pairs"][..., i].ravel(), np.int64) for i in (0, 1))
    above = (values.take(first) - values.take(second)) > stage["threshold"].ravel().astype(np.float32)
    above = above.to(np.int64)  # of all nodes: fewer operators than asking for those on the way
    place = g.ints(np.zeros(n_trees))
    root = np.arange(n_trees) * n_inner
    for _ in range((n_inner + 1).bit_length() - 1):
        place = place * 2 + above.take(place + root) + 1
    column = place - n_inner + np.arange(n_trees) * (n_inner + 1)
    said = g.tensor(np.asarray(stage["weights"])).take(column)
    return said.sum(0, keep=False).to(np.float64) + np.asarray(stage["bias"], float)
