"""A two-stage finder in the runtime whose judge is a learned window."""

from __future__ import annotations

from ...runtime.nodes import Node, build
from ...runtime.values import array, number
from ...structures import Array
from ..proposals import JudgedReader, proposed
from . import Find, Found
from .windows import model_of


def make(node: Node, engine: str) -> Find:
    finders = [Found(build(member, engine)) for member in node["members"]]
    slope, offset = array(node["calibration"], 2).tolist()
    reader = JudgedReader(model_of(node["judge"]), number(node["overlap"], 1e-6, 1), (slope, offset))
    least = number(node["min_score"], 0, 1)

    def find(picture: Array) -> tuple[Array, Array]:
        return reader.find(picture, *proposed(finders, picture), least)

    return find
