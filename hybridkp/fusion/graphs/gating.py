"""The gate of a vote: weights from the scores and from how far the members lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Crop, Points, logit, members, recalibrated


def emit(node: dict[str, Any], crop: Crop) -> Points:
    g = crop.graph
    xy, score = members(node, crop)
    m, k = node["bias"].shape
    columns = []  # (1, K) each, as gate_features makes them
    if node["confidence"]:
        odds = logit(score)
        mean = odds.mean(1)
        columns += [odds, mean * np.ones((m, k))]
    if node["agreement"]:
        first, second = np.triu_indices(m, 1)
        apart = xy.take(first) - xy.take(second)
        length = (apart * apart).sum(2, keep=False).sqrt()
        columns.append((length / float(node["side"]) + 0.01).log())
    z = g.tensor(node["bias"], float)
    if columns:
        seen = g.concat(columns) - np.asarray(node["centre"], float)[:, None]
        z = g.tensor(node["slope"], float) @ seen + z
    weights = (z - z.largest(0)).exp()
    weights = weights / weights.sum(0)
    fused = (xy * g.op("Unsqueeze", weights, g.ints([2]))).sum(0, keep=False)
    return fused.to(np.float32), recalibrated((score * weights).sum(0, keep=False), node["calibration"])
