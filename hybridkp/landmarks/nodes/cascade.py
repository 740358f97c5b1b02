"""The stages of :class:`.CascadedRegressor` on dense HOG in the runtime.

NumPy and OpenCV alone; the arithmetic is in :mod:`..descent`.  One grey crop (H, W) in, points (K, 2)
and scores (K,) out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...descriptors.gradients import describe_points
from ...runtime.nodes import Node, Run, build, on_grey
from ...runtime.values import array, number, whole
from ...structures import Array
from ..descent import descend

MOST_MAPS = 2**28  #: numbers of the maps of one frame: 1 GB
MOST_PADDED = 2**26  #: numbers of the maps of a frame that is padded by the HOG's reach: 256 MB


def make(node: Node, engine: str) -> Run:
    start, hog, mean = build(node["start"], engine), checked_hog(node["hog"]), array(node["mean"], -1, 2)
    width = len(mean) * hog["cells"] ** 2 * hog["n_orientations"]
    stages = [
        (number(s, 0.05, 8), array(w, width, mean.size), array(o, mean.size))
        for s, w, o in zip(node["scales"], node["weights"], node["offsets"], strict=True)
    ]
    curve = array(node["curve"], 4)
    if not stages:
        raise ValueError("no stages")

    def describe(frame: Array, xy: Array) -> Array:
        return describe_points(frame, xy.astype(np.float32).astype(float), **hog)

    widest = max(scale for scale, *_ in stages) ** 2 * hog["n_orientations"]

    def run(grey: Array) -> tuple[Array, Array]:
        if grey.size * widest > MOST_MAPS:
            raise ValueError(f"frames of {grey.shape} px at {widest:g} numbers a px are too large")
        first = start(grey)[0][None].astype(float)
        xy, score = descend(grey[None], first, stages, curve, mean, describe, np.float32)
        return xy[0], score[0]

    return on_grey(run)


def checked_hog(hog: Node) -> dict[str, Any]:
    """How a dense HOG lies around its point, as ``hog_layout`` gives it, within bounds."""
    cells, cell_px = whole(hog, "cells", 1, 32), whole(hog, "cell_px", 1, 64)
    n = whole(hog, "n_orientations", 2, 64)
    if (cells * cell_px) ** 2 * n > MOST_PADDED:
        raise ValueError(f"a HOG of {cells * cell_px} px with {n} orientations is too large")
    return {"cells": cells, "cell_px": cell_px, "n_orientations": n, "signed": bool(hog["signed"])}
