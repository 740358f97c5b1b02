"""The centre network: one graph on a square, its peaks by pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import crop_matrix
from ...runtime.builder import Crop, Tensor, sigmoid
from ..centre_maps import MOST, STRIDE
from .cuts import Map, cut
from .suppression import kept_boxes


def emit(node: dict[str, Any], crop: Crop) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) float64, picture px, and scores (N,), best first."""
    g, side, (h, w) = crop.graph, int(node["side"]), crop.size_hw
    matrix = crop_matrix((0, 0, w, h), (side, side), 1.0)
    to_square = Map(*(g.tensor(np.array([v])) for v in (matrix[0, 0], matrix[0, 2], matrix[1, 2])))
    square = Crop(cut(crop.bgr, to_square, (side, side)), (side, side))
    logits, change = g.inline(node["graph"], {"image": square.planes(node["channels"])}, ["centre", "change"])
    cells, n = side // STRIDE, min(MOST, (side // STRIDE) ** 2)
    logits = logits.reshape(1, 1, cells, cells)
    around = g.op("MaxPool", logits, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    peaks = g.where(around > logits, np.float32(-1e9), logits).reshape(-1)
    value, place = g.top(peaks, n)
    values = change.reshape(4, -1).take(place, 1).to(np.float64)
    index = place.to(np.float64)
    y = (index / float(cells)).floor()
    at = g.stack([index - y * float(cells), y], 0) + values.slice(0, 0, 2) + 0.5
    size = values.slice(0, 2, 4).clip(-4, 6).exp()
    low = (at - size * 0.5) * float(STRIDE)
    # along edges: a corner is half a pixel before a centre
    corner = (low - 0.5 - g.tensor(matrix[:, 2:])) / float(matrix[0, 0]) + 0.5
    boxes = g.concat([corner, size * (STRIDE / float(matrix[0, 0]))]).transpose(1, 0)
    slope, offset = (float(v) for v in node["calibration"])
    score = sigmoid(value.to(np.float64) * slope + offset)
    return kept_boxes(boxes, value, score, float(node["overlap"]), float(node["min_score"]))
