"""Whether a crop holds the object: a linear rule over the crop laid on the mean shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Complex, Crop, Points, Tensor, emit_all, logit, sigmoid
from ..aligned import CELL_PX, N_ORIENTATIONS, frame_scale
from ..fast_descent import ShapeFrame
from ..frames import frame_size
from .channels import channel_maps
from .pictures import warped
from .steps import pose_of, turn_of


def emit(node: dict[str, Any], crop: Crop) -> Points:
    found = emit_all(node, crop)
    return found["xy"], found["score"]


def emit_outputs(node: dict[str, Any], crop: Crop) -> dict[str, Tensor]:
    """As :class:`..nodes.presence.Judged`: ``presence`` () beside what the detector says."""
    found = emit_all(node["detector"], crop)
    raw = _row(node, crop, found["xy"], found["score"]) @ np.asarray(node["weights"], float)
    presence = sigmoid((raw + float(node["offset"])).clip(-30, 30)).to(np.float32)
    return {**found, "score": found["score"] * presence, "presence": presence}


def _row(node: dict[str, Any], crop: Crop, xy: Tensor, score: Tensor) -> Tensor:
    """(D,) as :func:`..aligned.aligned_row`."""
    g, shape, scale = crop.graph, ShapeFrame.of(node["mean"]), frame_scale(crop.size_hw)
    k = len(shape.offset)
    missing = g.op("IsNaN", xy.to(np.float64), dtype=bool)
    z = Complex.points(g.where(missing, np.asarray(node["mean"], float), xy.to(np.float64)))
    a, b = pose_of(shape, z, scale, k)
    size_hw = frame_size(crop.size_hw, scale)
    frame = warped(crop.grey, crop.size_hw, a, b, scale)
    ((channels, _, _),) = channel_maps(frame, size_hw, N_ORIENTATIONS, (CELL_PX / 2,))
    cells = channels.slice(1, CELL_PX // 2, 2**31, CELL_PX).slice(2, CELL_PX // 2, 2**31, CELL_PX)
    size = turn_of(shape, z).abs().log()
    apart = z.sum(0, keep=True).scaled(1 / k) - Complex.of(g, [shape.centre])
    shift = apart.scaled(2 / max(crop.size_hw)).abs()
    row = cells.sqrt().transpose(1, 2, 0).reshape(-1).to(np.float64)
    odds = logit(score.to(np.float64))
    return g.concat([row, size, size * size, shift * shift, odds.mean(0), -(-odds).largest(0)])
