"""The refining network behind given points: squares, patches, one step after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import rescale
from ...runtime.builder import Crop, Points, Tensor, sigmoid


def emit(node: dict[str, Any], crop: Crop, start: Tensor) -> Points:
    g, side, k = crop.graph, int(node["side"]), len(node["mean_xy"])
    square, scale = _square(crop, side)
    square = square - square.mean(0, 1)
    square = square / ((square * square).mean(0, 1) + 16.0).sqrt()
    half = _averaged(square.reshape(1, 1, side, side), (2, 2)).reshape(side // 2, side // 2)
    levels = (square, side), (half, side // 2)
    xy = rescale(start.to(np.float64), scale)
    for _ in range(int(node["n_steps"])):
        xy = xy.clip(-0.25 * side, 1.25 * side)
        seen = [_patches(level, n, xy, int(node["patch_px"]), side) for level, n in levels]
        given = {"patches": g.stack(seen, 1), "start": xy.to(np.float32).reshape(1, k, 2)}
        found, raw = g.inline(node["graph"], given, ["xy", "score"])
        xy = found.reshape(k, 2).to(np.float64)
    slope, offset = (float(c) for c in node["calibration"])
    score = sigmoid(raw.reshape(k).to(np.float64) * slope + offset)
    return rescale(xy, 1 / scale).to(np.float32), score.to(np.float32)


def _averaged(picture: Tensor, cell_hw: tuple[int, int]) -> Tensor:
    cell = list(cell_hw)
    return picture.graph.op("AveragePool", picture, kernel_shape=cell, strides=cell)


def _square(crop: Crop, side: int) -> tuple[Tensor, Any]:
    """(side, side) of the grey crop, and (2,) the scale of its points, as ``nodes.refiner.to_square``."""
    h, w = crop.size_hw
    pool = max(1, h // side), max(1, w // side)
    inner = h // pool[0], w // pool[1]
    picture = crop.planes(1)
    square = (picture if pool == (1, 1) else _averaged(picture, pool)).reshape(*inner)
    if inner != (side, side):
        rows, columns = (_linear(n, side) for n in inner)
        square = crop.graph.tensor(rows) @ square @ columns.T
    return square, np.array([side / (inner[1] * pool[1]), side / (inner[0] * pool[0])])


def _linear(n: int, m: int) -> Any:
    """(m, n) float32 weights of a bilinear resize; the border repeats."""
    place = rescale(np.arange(m), n / m)
    low = np.floor(place).astype(int)
    out = np.zeros((m, n))
    np.add.at(out, (np.arange(m), np.clip(low, 0, n - 1)), 1 - (place - low))
    np.add.at(out, (np.arange(m), np.clip(low + 1, 0, n - 1)), place - low)
    return out.astype(np.float32)


def _patches(level: Tensor, n: int, xy: Tensor, size: int, side: int) -> Tensor:
    """(K, size, size) around (K, 2) px of the square, one px of the level apart; as ``nodes.refiner``."""
    corner = rescale(xy, n / side) - (size - 1) / 2
    low = corner.floor()
    part = (corner - low).to(np.float32)
    fx, fy = part.slice(1, 0, 1).reshape(-1, 1, 1), part.slice(1, 1, 2).reshape(-1, 1, 1)
    steps = np.arange(size + 1, dtype=float)
    columns = (low.slice(1, 0, 1) + steps).clip(0, n - 1.0).reshape(-1, 1, size + 1)
    rows = (low.slice(1, 1, 2) + steps).clip(0, n - 1.0).reshape(-1, size + 1, 1)
    seen = level.reshape(-1).take((rows * float(n) + columns).to(np.int32))
    above, below = seen.slice(1, 0, size), seen.slice(1, 1, size + 1)
    mixed = above + fy * (below - above)
    left, right = mixed.slice(2, 0, size), mixed.slice(2, 1, size + 1)
    return left + fx * (right - left)
