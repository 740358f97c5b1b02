"""The weighted vote, and the one that tells x and y apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Graph, Points, Tensor, members, recalibrated


def emit(node: dict[str, Any], crop: Crop) -> Points:
    xy, score = members(node, crop)
    fused, confidence = (_full if node["full"] else _plain)(node, crop.graph, xy, score)
    return fused.to(np.float32), recalibrated(confidence, node["calibration"])


def _factors(node: dict[str, Any], g: Graph, score: Tensor) -> Tensor:
    """(M, K): what the members' scores make of their variances."""
    parts = [_interpolated(score.take([m]), c["x"], c["y"]) for m, c in enumerate(node["factors"])]
    return g.concat(parts) if parts else g.tensor(np.ones((1, 1)))


def _interpolated(value: Tensor, x: Any, y: Any) -> Tensor:
    """``np.interp``: the curve is y[0] and a slope for how far the value has come in each piece."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    wide = np.diff(x) > 0
    low, slope = x[:-1][wide], (np.diff(y)[wide] / np.diff(x)[wide])
    out = value * 0.0 + y[0]
    for start, end, s in zip(low, x[1:][wide], slope, strict=True):
        out = out + (value.clip(start, end) - start) * s
    return out


def _plain(node: dict[str, Any], g: Graph, xy: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    m = len(node["variance"])
    variance = _factors(node, g, score) * np.asarray(node["variance"], float)
    inverse = np.linalg.inv(node["correlation"] + 1e-3 * np.eye(m))  # (K, M, M)
    over = (1.0 / variance.sqrt()).transpose(1, 0)  # (K, M)
    left = (g.op("Unsqueeze", over, g.ints([1])) * inverse).sum(2, keep=False)
    weights = (left * over).at_least(0.0)
    lone = weights.sum(1) > 0.0
    weights = g.where(lone, weights, over * over)
    weights = (weights / weights.sum(1).at_least(1e-12)).transpose(1, 0)
    return _weighed(g, weights, xy), (score * weights).sum(0, keep=False)


def _weighed(g: Graph, weights: Tensor, xy: Tensor) -> Tensor:
    return (xy * g.op("Unsqueeze", weights, g.ints([2]))).sum(0, keep=False)


def _full(node: dict[str, Any], g: Graph, xy: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    v, k = node["variance"].shape
    m = v // 2
    factor = g.op("Unsqueeze", _factors(node, g, score), g.ints([1]))  # (M, 1, K)
    variance = factor * np.asarray(node["variance"], float).reshape(m, 2, k)
    over = (1.0 / variance.sqrt()).reshape(v, k).transpose(1, 0)  # (K, 2M)
    inverse = np.linalg.inv(node["correlation"] + 1e-3 * np.eye(v)).reshape(k, m, 2, v)
    left = (over.reshape(k, m, 2, 1) * inverse).sum(1, keep=False) * over.reshape(k, 1, v)  # (K, 2, 2M)
    total = left.reshape(k, 2, m, 2).sum(2, keep=False)
    matrices = _inverse_2x2(g, total) @ left
    flat = xy.transpose(1, 0, 2).reshape(k, v, 1)
    fused = (matrices @ flat).reshape(k, 2)
    trace = (matrices.reshape(k, 2, m, 2) * np.eye(2).reshape(1, 2, 1, 2)).sum(1, 3, keep=False)
    weights = (trace.transpose(1, 0) * 0.5).at_least(0.0)
    weights = weights / weights.sum(0).at_least(1e-12)
    return fused, (score * weights).sum(0, keep=False)


def _inverse_2x2(g: Graph, matrix: Tensor) -> Tensor:
    flat = matrix.reshape(-1, 4)
    a, b, c, d = (flat.take([i], 1) for i in range(4))
    return (g.concat([d, -b, -c, a], 1) / (a * d - b * c)).reshape(-1, 2, 2)
