"""The levels of :class:`.PatchDetector` and :class:`.HoughForest` on dense HOG in the runtime.

NumPy and OpenCV alone; the arithmetic is in :mod:`..search`.  One grey crop (H, W) in, points (K, 2)
and scores (K,) out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...runtime.nodes import Node, Run, build, on_grey
from ...runtime.values import array, number, whole
from ...structures import Array
from ..search import (
    dense_windows,
    found_score,
    hog_rows,
    search,
    voted_windows,
    voters,
    window_places,
)
from ..shape import PointDistribution
from ..trees import checked_packed, share_odds
from .cascade import checked_hog

MOST_NUMBERS = 2**27  #: of the rows that a level's forests see at once: half a gigabyte

Score = Callable[[Array, Array], Array]  #: a frame and points (K, 2) in it -> windows (K, S, S)


def make(node: Node, engine: str) -> Run:
    start, hog, shape = build(node["start"], engine), checked_hog(node["hog"]), _shape(node["shape"])
    k = len(shape.mean_)
    levels = [_level(level, k, k * 2, hog) for level in node["levels"]]
    curve = array(node["curve"], k, 2)
    if not levels:
        raise ValueError("no levels")

    # as it was learned: trees look at whole grey levels
    kind = np.uint8 if "trees" in node["levels"][0] else np.float32

    def respond(level: int, frames: list[Array], points: Array) -> Array:
        score = levels[level]["score"]
        return np.stack([score(f, p) for f, p in zip(frames, points, strict=True)])

    def run(grey: Array) -> tuple[Array, Array]:
        first, seen = start(grey)[0][None].astype(float), grey[None].astype(kind)
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
    step = whole(node, "step", 1, 64) if "step" in node else 1
    level: dict[str, Any] = {
        "window": (whole(node, "radius", 1, 128), step),
        "scale": number(node["scale"], 0.05, 8),
        "curve": array(node["curve"], k, 2),
    }
    experts = _linear if "weights" in node else _voting if "voters_px" in node else _forests
    level["score"] = experts(node, k, level["window"], hog)
    if "weights_update" in node:
        level["weights_update"] = array(node["weights_update"], 3 * width, width)
        level["offset_update"] = array(node["offset_update"], width)
    return level


def _check_size(k: int, radius: int, numbers: int) -> None:
    """Windows of ``radius`` steps around K points, so many numbers at each place."""
    if k * (2 * radius + 1) ** 2 * numbers > MOST_NUMBERS:
        raise ValueError(f"windows of {2 * radius + 1} places with {numbers} numbers each are too large")


def _n_features(hog: dict[str, Any]) -> int:
    return int(hog["cells"] ** 2 * hog["n_orientations"])


def _linear(node: Node, k: int, window: tuple[int, int], hog: dict[str, Any]) -> Score:
    weights, bias = array(node["weights"], k, _n_features(hog)), array(node["bias"], k)
    return lambda frame, points: dense_windows(frame, points, weights, bias, window[0], **hog)


def _forests(node: Node, k: int, window: tuple[int, int], hog: dict[str, Any]) -> Score:
    trees, unit = checked_packed(node["trees"], _n_features(hog), 3, share=0), number(node["unit"], 0, 1e9)
    side = 2 * window[0] + 1
    if trees["root"].shape[1] != k:
        raise ValueError("forests of other landmarks")
    _check_size(k, window[0], max(_n_features(hog), trees["root"].size // k))

    def score(frame: Array, points: Array) -> Array:
        rows = hog_rows(frame, window_places(points, *window), **hog) * np.float32(unit)
        return share_odds(trees, rows[None], trees["root"])[0].reshape(k, side, side)

    return score


def _voting(node: Node, k: int, window: tuple[int, int], hog: dict[str, Any]) -> Score:
    trees = checked_packed(node["trees"], _n_features(hog), 2, vote=2, weight=0)
    radius, step = window[0], whole(node, "voters_px", 1, window[0])
    smoothing = number(node["smoothing"], 1e-3, 1e3)
    if len(trees["root"]) != k:
        raise ValueError("forests of other landmarks")
    _check_size(k, radius // step, max(_n_features(hog), trees["root"].size // k))

    def score(frame: Array, points: Array) -> Array:
        rows = hog_rows(frame, voters(points, radius, step), **hog)
        return voted_windows(trees, trees["root"], rows, radius, step, smoothing)

    return score
