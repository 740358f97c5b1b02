"""A finder and a detector of crops in the runtime: a picture in, all its objects out."""

from __future__ import annotations

from typing import Any

from ...runtime.nodes import Node, Run, build, told
from ...runtime.values import array, number, whole
from ...structures import Array, Prediction
from ..top_down import TopDown
from . import Found


class _OfCrops:
    """A function of one crop as a detector."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def predict_all(self, images: Any) -> Prediction:
        return Prediction.stacked([told(self._run, crop) for crop in images])

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        found = self.predict_all(images)
        return found.xy, found.score


def make(node: Node, engine: str) -> TopDown:
    height, width = ({"side": side} for side in node["size_hw"])
    return TopDown(
        Found(build(node["finder"], engine)),
        _OfCrops(build(node["detector"], engine)),
        (whole(height, "side", 2, 4096), whole(width, "side", 2, 4096)),
        number(node["margin"], 0.01, 100),
        number(node["min_score"], 0, 1),
        None if node.get("rebox") is None else array(node["rebox"], 4),
    )
