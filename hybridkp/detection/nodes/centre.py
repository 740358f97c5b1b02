"""The centre network in the runtime: one graph on a square, its peaks read in NumPy."""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Node, on_planes
from ...runtime.values import array, number, whole
from ...structures import Array
from ..centre_maps import STRIDE, CentreReader
from . import Find


def make(node: Node, engine: str) -> Find:
    ask = on_planes(node, engine, ["change", "centre"])  # the larger one first
    slope, offset = array(node["calibration"], 2).tolist()
    side = whole(node, "side", 32, 2048)
    reader = CentreReader(side, node["channels"] == 3, number(node["overlap"], 1e-6, 1), (slope, offset))
    least, cells = number(node["min_score"], 0, 1), side // STRIDE

    def maps(square: Array) -> tuple[Array, Array]:
        change, centre = ask(square)
        return np.ascontiguousarray(centre.reshape(cells, cells)), change.reshape(4, cells, cells)

    def find(picture: Array) -> tuple[Array, Array]:
        return reader.find(maps, picture, least)

    return find
