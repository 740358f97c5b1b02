"""A network from crop to points: its own graph, inlined."""

from __future__ import annotations

from typing import Any

from ...runtime.builder import Crop, Points


def emit(node: dict[str, Any], crop: Crop) -> Points:
    image = {"image": crop.planes(node["channels"])}
    xy, score = crop.graph.inline(node["graph"], image, ["xy", "score"])
    return xy.reshape(-1, 2), score.reshape(-1)
