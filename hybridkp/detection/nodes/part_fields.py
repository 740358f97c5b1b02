"""Bottom-up in the runtime: one graph on a square, its peaks grouped in NumPy."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...runtime.nodes import Node, on_planes
from ...runtime.values import array, number, whole
from ...structures import Array
from ..centre_maps import STRIDE
from ..objects_read import FieldReader
from . import Look


def make(node: Node, engine: str) -> Look:
    ask = on_planes(node, engine, ["flow", "heat"])
    slope, offset = array(node["calibration"], 2).tolist()
    mean, skeleton = array(node["mean"], -1, 2), array(node["skeleton"], -1, 2)
    if skeleton.dtype.kind != "i" or not ((skeleton >= 0) & (skeleton < len(mean))).all():
        raise ValueError("skeleton")
    reader = FieldReader(
        whole(node, "side", 32, 2048),
        node["channels"] == 3,
        skeleton,
        mean,
        array(node["grow"], 2),
        number(node["least_height"], 1e-6, 1),
        number(node["least_part"], 0, 1),
        number(node["overlap"], 1e-6, 1),
        (slope, offset),
    )
    cells, limbs, k = reader.side // STRIDE, len(skeleton), len(mean)

    def maps(square: Array) -> tuple[Array, Array]:
        flow, heat = ask(square)
        return flow.reshape(2 * limbs, cells, cells), np.ascontiguousarray(heat.reshape(k, cells, cells))

    return partial(reader.detect, maps)
