"""A two-stage finder in the runtime: the members' boxes, each judged by one graph."""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Node, build, on_planes
from ...runtime.values import array, number, whole
from ...structures import Array
from ..proposals import VerifiedReader, proposed
from . import Find, Found


def make(node: Node, engine: str) -> Find:
    finders = [Found(build(member, engine)) for member in node["members"]]
    ask = on_planes(node, engine, ["change", "logit"])  # the larger one first
    slope, offset = array(node["calibration"], 2).tolist()
    side, margin = whole(node, "side", 16, 512), number(node["margin"], 0.1, 10)
    overlap, least = number(node["overlap"], 1e-6, 1), number(node["min_score"], 0, 1)
    reader = VerifiedReader(side, margin, node["channels"] == 3, overlap, (slope, offset))

    def judge(crops: Array) -> tuple[Array, Array]:
        pairs = [ask(crop) for crop in crops]
        return np.stack([c.reshape(4) for c, _ in pairs]), np.stack([v.reshape(()) for _, v in pairs])

    def find(picture: Array) -> tuple[Array, Array]:
        return reader.find(judge, picture, *proposed(finders, picture), least)

    return find
