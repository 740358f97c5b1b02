"""Whether a crop holds the object: a linear rule over the crop laid on the mean shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Complex, Crop, Points, Tensor, emit_all, logit, sigmoid
from ..aligned import CELL_PX, N_ORIENTATIONS, WHOLE_CELL_PX, WHOLE_PX, frame_scale, middles
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
    found, weights = emit_all(node["detector"], crop), np.asarray(node["weights"], float)
    g, mean = crop.graph, np.asarray(node["mean"], float)
    missing = g.op("IsNaN", found["xy"].to(np.float64), dtype=bool)
    z = Complex.points(g.where(missing, mean, found["xy"].to(np.float64)))
    row, n = _aligned_row(ShapeFrame.of(mean), crop, z, found["score"])
    if len(weights) > n:
        row = g.concat([_whole_row(ShapeFrame.of(mean), crop, z), row])
    raw = row @ weights
    presence = sigmoid((raw + float(node["offset"])).clip(-30, 30)).to(np.float32)
    return {**found, "score": found["score"] * presence, "presence": presence}


def _aligned_row(shape: ShapeFrame, crop: Crop, z: Complex, score: Tensor) -> tuple[Tensor, int]:
    """As :func:`..aligned.aligned_row`, and how many numbers it has."""
    g, scale, k = crop.graph, frame_scale(crop.size_hw), len(shape.offset)
    cells, n = _cells(crop, *pose_of(shape, z, scale, k), scale, CELL_PX)
    size = turn_of(shape, z).abs().log()
    apart = z.sum(0, keep=True).scaled(1 / k) - Complex.of(g, [shape.centre])
    shift = apart.scaled(2 / max(crop.size_hw)).abs()
    odds = logit(score.to(np.float64))
    facts = [size, size * size, shift * shift, odds.mean(0), -(-odds).largest(0)]
    return g.concat([cells, *facts]), n + len(facts)


def _whole_row(shape: ShapeFrame, crop: Crop, z: Complex) -> Tensor:
    """As :func:`..aligned.whole_row`."""
    g, scale = crop.graph, frame_scale(crop.size_hw, WHOLE_PX)
    turn = turn_of(shape, z)
    a = turn.conj().scaled(scale / turn.abs())
    middle, landed = (Complex.of(g, [place]) for place in middles(crop.size_hw, scale))
    return _cells(crop, a, landed - a * middle, scale, WHOLE_CELL_PX)[0]


def _cells(crop: Crop, a: Complex, b: Complex, scale: float, cell: int) -> tuple[Tensor, int]:
    frame = warped(crop.grey, crop.size_hw, a, b, scale)
    size_hw = frame_size(crop.size_hw, scale)
    ((channels, size_hw, _),) = channel_maps(frame, size_hw, N_ORIENTATIONS, (cell / 2,))
    cells = channels.slice(1, cell // 2, 2**31, cell).slice(2, cell // 2, 2**31, cell)
    n = N_ORIENTATIONS * int(np.prod([len(range(cell // 2, side, cell)) for side in size_hw]))
    return cells.sqrt().transpose(1, 2, 0).reshape(-1).to(np.float64), n
