"""The stages of :class:`.FastCascade` in the runtime, its further maps included.

NumPy and OpenCV alone; the arithmetic is in :mod:`..fast_descent`.  One crop in, points (K, 2) and
scores (K,) out.
"""

from __future__ import annotations

import numpy as np

from ...imaging.images import to_grey
from ...runtime.nodes import Node, Run, build_start, on_planes
from ...runtime.values import array, number, whole
from ...structures import Array
from .. import fast_descent


def make(node: Node, engine: str) -> Run:
    start, mean = build_start(node["start"], engine), array(node["mean"], -1, 2)
    n_orientations = whole(node, "n_orientations", 2, 64)
    rings = [
        (number(r, 0, 1000), int(number(n, 1, 1000)), number(sigma, 0.01, 100))
        for r, n, sigma in node["rings"]
    ]
    k, curve = len(mean), array(node["curve"], 4)
    width, n_maps, cells, unit, ask = k * n_orientations * sum(n for _, n, _ in rings), 0, 1, None, None
    if "maps" in node:
        maps = node["maps"]
        unit, cells = array(maps["unit"], -1), whole(maps, "cells", 1, 64)
        n_maps, ask = k * cells**2 * len(unit), on_planes(maps, engine, ["maps"])
        stride = number(maps["stride"], 0.01, 1000)
    stages = []
    for stage in node["stages"]:
        uses, directions = bool(stage["uses_maps"]), array(stage["directions"], -1, 2 * k)
        weights = array(stage["weights"], width + uses * n_maps, len(directions))
        scale, shift = number(stage["scale"], 0.05, 8), array(stage["shift"], 2 * k)
        stages.append(fast_descent.Stage(scale, weights, directions, shift, uses))
    if not stages or not rings:
        raise ValueError("no stages, or no rings")
    pattern, shape = fast_descent.rings_pattern(rings), fast_descent.ShapeFrame.of(mean)
    reader = fast_descent.Reader(shape, pattern, n_orientations, cells, unit)

    def run(picture: Array) -> tuple[Array, Array]:
        maps = None
        if ask is not None:
            maps = np.ascontiguousarray(np.moveaxis(ask(picture)[0][0], 0, -1)), stride
        return fast_descent.descend(to_grey(picture), start(picture), stages, reader, curve, maps)

    return run
