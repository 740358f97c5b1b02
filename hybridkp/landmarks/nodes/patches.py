"""The levels of :class:`.PatchDetector` with linear experts on dense HOG in the runtime.

NumPy and OpenCV alone; the arithmetic is in :mod:`..search`.  One grey crop (H, W) in, points (K, 2)
and scores (K,) out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.nodes import Node, Run, build, on_grey
from ...runtime.values import array, number, whole
from ...structures import Array
from ..search import dense_windows, found_score, search
from ..shape import PointDistribution
from .cascade import checked_hog


def make(node: Node, engine: str) -> Run:
    start, hog, shape = build(node["start"], engine), checked_hog(node["hog"]), _shape(node["shape"])
    k = len(shape.mean_)
    levels = [_level(level, k, k * 2, hog) for level in node["levels"]]
    curve = array(node["curve"], k, 2)
    if not levels:
        raise ValueError("no levels")

    def respond(level: int, frames: list[Array], points: Array) -> Array:
        state = levels[level]
        experts = state["weights"], state["bias"], state["window"][0]
        return np.stack([dense_windows(f, p, *experts, **hog) for f, p in zip(frames, points, strict=True)])

    def run(grey: Array) -> tuple[Array, Array]:
        first, seen = start(grey)[0][None].astype(float), grey[None].astype(np.float32)
        xy, raw, _, _ = search(seen, first, levels, shape, respond)
        return xy[0].astype(np.float32), found_score(raw, curve)[0]

    return on_grey(run)


def _shape(node: Node) -> PointDistribution:
    mean = array(node["mean_"], -1, 2)
    rows = array(node["components_"], -1, mean.size)
    sigma = array(node["sigma_"], len(rows))
    noise = number(node["noise_"], 1e-12, 1e12)
    return PointDistribution(
        limit=number(node["limit"], 0, 1e6), mean_=mean, components_=rows, sigma_=sigma, noise_=noise
    )


def _level(node: Node, k: int, width: int, hog: dict[str, Any]) -> dict[str, Any]:
    level: dict[str, Any] = {
        "window": (whole(node, "radius", 1, 128), 1),
        "scale": number(node["scale"], 0.05, 8),
        "curve": array(node["curve"], k, 2),
        "weights": array(node["weights"], k, hog["cells"] ** 2 * hog["n_orientations"]),
        "bias": array(node["bias"], k),
    }
    if "weights_update" in node:
        level["weights_update"] = array(node["weights_update"], 3 * width, width)
        level["offset_update"] = array(node["offset_update"], width)
    return level
