"""The most probable shape behind the members' predictions, with its linear systems written out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Graph, Points, Tensor, logit, members, sigmoid
from ..nodes.shape_vote import DEGREES_OF_FREEDOM, ROUNDS, SILENT


def emit(node: dict[str, Any], crop: Crop) -> Points:
    g = crop.graph
    xy, score = members(node, crop)  # (M, K, 2), (M, K)
    k = len(node["mean"]) // 2
    slope, level = np.asarray(node["slope"], float), np.asarray(node["level"], float)
    variance = (logit(score) * slope[:, None] + level).exp()
    precision = 1.0 / variance
    weight = None
    for last in (*[False] * (ROUNDS - 1), True):
        share = precision if weight is None else weight * precision
        total = share.sum(0, keep=False).at_least(1 / SILENT)  # (K,)
        wide = g.op("Unsqueeze", share, g.ints([2]))
        row = ((xy * wide).sum(0, keep=False) / total.reshape(k, 1)).reshape(2 * k, 1)
        spread = (1.0 / total).reshape(k, 1) * np.ones((1, 2))
        shape, left = _given(node, g, row, spread.reshape(2 * k, 1), last)
        shape = shape.reshape(k, 2)
        if not last:
            off = xy - shape
            square = (off * off).sum(2, keep=False)
            weight = (DEGREES_OF_FREEDOM + 2) / (square / variance + DEGREES_OF_FREEDOM)
    confidence = left.reshape(k, 2).mean(1).reshape(k).at_least(1e-6).log() * -0.5
    steep, offset = (float(c) for c in node["calibration"])
    return shape.to(np.float32), sigmoid(confidence * steep + offset).to(np.float32)


def _given(
    node: dict[str, Any], g: Graph, row: Tensor, spread: Tensor, with_left: bool
) -> tuple[Tensor, Tensor]:
    """Shapes (2K, 1) given a row with noise of variance ``spread`` (2K, 1), and the variance left."""
    modes, residual = np.asarray(node["modes"], float), float(node["residual"])
    r = len(modes)
    both = spread + residual
    off = row - np.asarray(node["mean"], float)[:, None]
    weighed = (g.tensor(modes.T) / both).transpose(1, 0)  # (R, 2K)
    inside = weighed @ modes.T + np.eye(r)
    wanted = g.concat([weighed @ off, g.tensor(modes)], 1) if with_left else weighed @ off
    solved = solution(g, inside, wanted, r)
    found = g.tensor(modes.T) @ solved.slice(1, 0, 1)
    kept = residual / both
    shape = found + kept * (off - found) + np.asarray(node["mean"], float)[:, None]
    if not with_left:
        return shape, off
    known = (solved.slice(1, 1, 2**31) * modes).sum(0, keep=False).reshape(-1, 1)
    rest = 1.0 - kept
    return shape, kept * spread + rest * rest * known


def solution(g: Graph, matrix: Tensor, wanted: Tensor, n: int) -> Tensor:
    """(n, c) of a symmetric positive definite system (n, n), (n, c): Gauss and Jordan, row by row.

    Such a matrix needs no exchange of rows.
    """
    both = g.concat([matrix, wanted], 1)
    for i in range(n):
        row = both.slice(0, i, i + 1)
        row = row / row.slice(1, i, i + 1)
        column = both.slice(1, i, i + 1) - np.eye(n)[:, i : i + 1]  # leaves 1 on the diagonal
        both = both - column * row
    return both.slice(1, n, 2**31)
