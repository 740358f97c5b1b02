"""Centres with offsets in the runtime: one graph on a square, read in NumPy."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...runtime.nodes import Node, on_planes
from ...runtime.values import array, number, whole
from ...structures import Array
from ..centre_maps import STRIDE, CentreReader
from ..objects_read import OffsetReader
from . import Look


def make(node: Node, engine: str) -> Look:
    ask = on_planes(node, engine, ["offsets", "change", "centre"])
    slope, offset = array(node["calibration"], 2).tolist()
    side = whole(node, "side", 32, 2048)
    centres = CentreReader(side, node["channels"] == 3, number(node["overlap"], 1e-6, 1), (slope, offset))
    cells = side // STRIDE

    def maps(square: Array) -> tuple[Array, Array, Array]:
        offsets, change, centre = (each.reshape(-1, cells, cells) for each in ask(square))
        return offsets, change, np.ascontiguousarray(centre)

    return partial(OffsetReader(centres).detect, maps)
