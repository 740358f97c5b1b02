"""The stages of :class:`.LocalBinaryFeatures` in the runtime.

NumPy and OpenCV alone; the arithmetic is in :mod:`..binary_descent`.  One grey crop (H, W) in, points
(K, 2) and scores (K,) out.
"""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Node, Run, build, on_grey
from ...runtime.values import array, number
from ...structures import Array
from ..binary_descent import descend_binary
from ..trees import checked_balanced


def make(node: Node, engine: str) -> Run:
    start, mean = build(node["start"], engine), array(node["mean"], -1, 2)
    k, curve, smoothing = len(mean), array(node["curve"], 4), number(node["smoothing"], 0, 100)
    stages = []
    for stage in node["stages"]:
        offsets = array(stage["offsets"], k, -1, 2)
        number(np.abs(offsets).max(), 0, 1e5)
        pairs = array(stage["pairs"], -1, -1, 2)
        threshold = array(stage["threshold"], *pairs.shape[:2])
        n_leaves = checked_balanced(pairs, threshold, offsets.shape[0] * offsets.shape[1])
        weights, bias = array(stage["weights"], n_leaves, 2 * k), array(stage["bias"], 2 * k)
        trees = {"pairs": pairs, "threshold": threshold, "weights": weights, "bias": bias}
        stages.append({"offsets": offsets.astype(np.float32), **trees})
    if not stages:
        raise ValueError("no stages")

    def run(grey: Array) -> tuple[Array, Array]:
        current = start(grey)[0][None].astype(float)
        xy, score = descend_binary(grey[None], current, stages, curve, mean, smoothing)
        return xy[0], score[0]

    return on_grey(run)
