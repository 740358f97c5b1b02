"""The kinds of node that a runtime file may hold, and what each of them computes.

A node is a dict of plain values, arrays and ONNX bytes, as the estimators' ``_to_runtime()``
gives it; here it becomes a function of one grey crop.  The arithmetic is not here: it is in the
light modules that the estimators use too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..descriptors.gradients import describe_points
from ..geometry import flip_image
from ..landmarks import fast_descent
from ..landmarks.binary_descent import descend_binary
from ..landmarks.descent import descend
from ..landmarks.grid import grid_rows
from ..landmarks.linear import row_by_row
from ..landmarks.search import dense_windows, found_score, search
from ..landmarks.shape import PointDistribution
from ..landmarks.trees import checked_balanced
from ..structures import Array, InputError
from .engines import open_graph
from .kernels import full_vote, gate_features, gated_vote, mirror_mean, recalibrated, vote, weighted_points
from .looks import look_closer
from .stacked import stacked
from .values import array, number, whole

Run = Callable[[Array], tuple[Array, Array]]  #: grey crop (H, W) -> (K, 2), (K,)
Node = dict[str, Any]


def build(node: Node, engine: str) -> Run:
    """The function that a node describes.

    Raises
    ------
    InputError
        For an unknown kind, or an engine that is not there.
    KeyError, TypeError, ValueError
        For a node that lacks something or holds something else than its kind asks for.
    """
    kind = node["kind"]
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"holds a node of kind {str(kind)[:30]!r}, which this hybridkp cannot run: update")
    return _KINDS[kind](node, engine)


def _hog(node: Node) -> dict[str, Any]:
    hog = node["hog"]
    return {
        "cells": whole(hog, "cells", 1, 32),
        "cell_px": whole(hog, "cell_px", 1, 64),
        "n_orientations": whole(hog, "n_orientations", 2, 64),
        "signed": bool(hog["signed"]),
    }


# --------------------------------------------------------------------------------------------
# kinds
# --------------------------------------------------------------------------------------------


def _constant(node: Node, engine: str) -> Run:
    xy = array(node["xy"], -1, 2).astype(np.float32)
    score = array(node["score"], len(xy)).astype(np.float32)
    return lambda grey: (xy.copy(), score.copy())


def _grid(node: Node, rows: Callable[[Array, int, int], Array]) -> Run:
    """Ridge regression from ``rows`` (D,) of the whole crop on a grid."""
    grid, n_orientations = whole(node, "grid", 1, 256), whole(node, "n_orientations", 2, 64)
    score = array(node["score"], -1).astype(np.float32)
    weights = array(node["weights"], -1, 2 * len(score))
    offset = array(node["offset"], 2 * len(score))

    def run(grey: Array) -> tuple[Array, Array]:
        found = row_by_row(rows(grey, grid, n_orientations)[None], weights) + offset
        return found.reshape(-1, 2).astype(np.float32), score.copy()

    return run


def _holistic(node: Node, engine: str) -> Run:
    return _grid(node, lambda grey, grid, n: grid_rows(grey[None], grid, n)[0])


def _channel_grid(node: Node, engine: str) -> Run:
    return _grid(node, fast_descent.grid_channels)


def _fast_cascade(node: Node, engine: str) -> Run:
    start, mean = build(node["start"], engine), array(node["mean"], -1, 2)
    n_orientations = whole(node, "n_orientations", 2, 64)
    rings = [
        (number(r, 0, 1000), int(number(n, 1, 1000)), number(sigma, 0.01, 100))
        for r, n, sigma in node["rings"]
    ]
    k, curve = len(mean), array(node["curve"], 4)
    width, n_maps, cells, unit, ask = k * n_orientations * sum(n for _, n, _ in rings), 0, 1, None, None
    if "maps" in node:
        maps = node["maps"]
        unit, cells, stride = array(maps["unit"], -1), whole(maps, "cells", 1, 64), maps["stride"]
        n_maps, ask = k * cells**2 * len(unit), open_graph(maps["graph"], engine, ["image"], ["maps"])
        stride = number(stride, 0.01, 1000)
    stages = []
    for stage in node["stages"]:
        uses, directions = bool(stage["uses_maps"]), array(stage["directions"], -1, 2 * k)
        weights = array(stage["weights"], width + uses * n_maps, len(directions))
        scale, shift = number(stage["scale"], 0.05, 8), array(stage["shift"], 2 * k)
        stages.append(fast_descent.Stage(scale, weights, directions, shift, uses))
    if not stages or not rings:
        raise ValueError("no stages, or no rings")
    pattern, shape = fast_descent.rings_pattern(rings), fast_descent.MeanShape.of(mean)
    reader = fast_descent.Reader(shape, pattern, n_orientations, cells, unit)

    def run(grey: Array) -> tuple[Array, Array]:
        maps = None
        if ask is not None:
            made = ask(grey[None, None].astype(np.float32))[0][0]
            maps = np.ascontiguousarray(np.moveaxis(made, 0, -1)), stride
        return fast_descent.descend(grey, start(grey)[0], stages, reader, curve, maps)

    return run


def _cascade(node: Node, engine: str) -> Run:
    start, hog, mean = build(node["start"], engine), _hog(node), array(node["mean"], -1, 2)
    width = len(mean) * hog["cells"] ** 2 * hog["n_orientations"]
    stages = [
        (number(s, 0.05, 8), array(w, width, mean.size), array(o, mean.size))
        for s, w, o in zip(node["scales"], node["weights"], node["offsets"], strict=True)
    ]
    curve = array(node["curve"], 4)
    if not stages:
        raise ValueError("no stages")

    def describe(frame: Array, xy: Array) -> Array:
        return describe_points(frame.astype(np.float32), xy.astype(np.float32).astype(float), **hog)

    def run(grey: Array) -> tuple[Array, Array]:
        xy, score = descend(grey[None], start(grey)[0][None].astype(float), stages, curve, mean, describe)
        return xy[0], score[0]

    return run


def _local_binary(node: Node, engine: str) -> Run:
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

    return run


def _patches(node: Node, engine: str) -> Run:
    start, hog, shape = build(node["start"], engine), _hog(node), _shape(node["shape"])
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
        xy, raw, _, _ = search(grey[None], start(grey)[0][None].astype(float), levels, shape, respond)
        return xy[0].astype(np.float32), found_score(raw, curve)[0]

    return run


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


def _net(node: Node, engine: str) -> Run:
    ask = open_graph(node["graph"], engine, ["image"], ["xy", "score"])

    def run(grey: Array) -> tuple[Array, Array]:
        xy, score = ask(grey[None, None].astype(np.float32))
        return xy.reshape(-1, 2), score.reshape(-1)

    return run


def _refined(node: Node, engine: str) -> Run:
    detector, refiner = build(node["detector"], engine), node["refiner"]
    side, size = whole(refiner, "side", 8, 2048), whole(refiner, "patch_px", 4, 256)
    n_looks = whole(refiner, "n_looks", 1, 100)
    mean, calibration = array(refiner["mean_xy"], -1, 2), array(refiner["calibration"], 2)
    ask = open_graph(refiner["graph"], engine, ["patches", "start"], ["xy", "score"])

    def run(grey: Array) -> tuple[Array, Array]:
        start, _ = detector(grey)
        return look_closer(grey, start, ask, side, size, n_looks, mean, calibration)

    return run


def _members(node: Node, engine: str) -> tuple[int, Run]:
    runs = [build(member, engine) for member in node["members"]]
    if not runs:
        raise ValueError("no members")

    def ask(grey: Array) -> tuple[Array, Array]:
        pairs = [run(grey) for run in runs]
        return np.stack([p[0][None] for p in pairs]).astype(float), np.stack([p[1][None] for p in pairs])

    return len(runs), ask


def _average(node: Node, engine: str) -> Run:
    _, ask = _members(node, engine)

    def run(grey: Array) -> tuple[Array, Array]:
        xy, score = ask(grey)
        fused, confidence = weighted_points(xy, np.ones(score.shape), score)
        return fused[0], confidence[0]

    return run


def _mirrored(node: Node, engine: str) -> Run:
    detector, flip = build(node["detector"], engine), array(node["flip"], -1)
    if not np.array_equal(np.sort(flip), np.arange(len(flip))):
        raise ValueError("flip must be a permutation")

    def run(grey: Array) -> tuple[Array, Array]:
        (xy, score), (other, trust) = detector(grey), detector(flip_image(grey))
        fused, both = mirror_mean(xy[None], score[None], other[None], trust[None], flip, grey.shape[1])
        return fused[0], both[0]

    return run


def _weighted_average(node: Node, engine: str) -> Run:
    m, ask = _members(node, engine)
    weights = array(node["weights"], m)
    if (weights <= 0).any():
        raise ValueError("weights must be positive")

    def run(grey: Array) -> tuple[Array, Array]:
        xy, score = ask(grey)
        fused, confidence = weighted_points(xy, np.broadcast_to(weights[:, None, None], score.shape), score)
        return fused[0], confidence[0]

    return run


def _vote(node: Node, engine: str) -> Run:
    m, ask = _members(node, engine)
    full = node["kind"] == "full-vote"
    v = 2 * m if full else m
    variance, correlation = array(node["variance"], v, -1), array(node["correlation"], -1, v, v)
    factors = [{"x": array(c["x"], -1), "y": array(c["y"], -1)} for c in node["factors"]]
    if (
        (variance <= 0).any()
        or len(factors) not in (0, m)
        or any(len(c["x"]) != len(c["y"]) for c in factors)
    ):
        raise ValueError("a vote needs positive variances and a curve for every member")
    if full and (np.linalg.eigvalsh(correlation + 1e-3 * np.eye(v)) <= 0).any():
        raise ValueError("a correlation that is none")
    combine = full_vote if full else vote
    calibration = array(node["calibration"], 2) if "calibration" in node else None  # older files have none

    def run(grey: Array) -> tuple[Array, Array]:
        fused, confidence = combine(*ask(grey), variance, correlation, factors)
        if calibration is not None:
            confidence = recalibrated(confidence, calibration, np.isfinite(fused).all(-1))
        return fused[0], confidence[0]

    return run


def _gated_vote(node: Node, engine: str) -> Run:
    m, ask = _members(node, engine)
    looks_at, side = (bool(node["confidence"]), bool(node["agreement"])), whole(node, "side", 1, 4096)
    bias = array(node["bias"], m, -1)
    nothing = np.zeros((m, 1, bias.shape[1], 2))
    width = gate_features(nothing, nothing[..., 0], side, *looks_at).shape[-1]
    gate = array(node["centre"], width), array(node["slope"], m, width), bias
    calibration = array(node["calibration"], 2)

    def run(grey: Array) -> tuple[Array, Array]:
        fused, confidence = gated_vote(*ask(grey), side, looks_at, gate, calibration)
        return fused[0], confidence[0]

    return run


def _stacked(node: Node, engine: str) -> Run:
    m, ask = _members(node, engine)
    mean = array(node["mean"], -1, 2)
    k = len(mean)
    neighbours = array(node["neighbours"], k, -1)
    if neighbours.dtype.kind != "i" or neighbours.size == 0:
        raise ValueError("neighbours are missing")
    if neighbours.min() < 0 or neighbours.max() >= k:
        raise ValueError("neighbours must be landmarks")
    width = neighbours.shape[1] * (3 * m + 2)
    rule = {
        "mean": mean,
        "neighbours": neighbours,
        "weights": array(node["weights"], m, k),
        "coefficients": array(node["coefficients"], k, width, 2),
        "offset": array(node["offset"], k, 2),
        "calibration": array(node["calibration"], 2),
    }
    if (rule["weights"] <= 0).any():
        raise ValueError("weights must be positive")

    def run(grey: Array) -> tuple[Array, Array]:
        fused, confidence = stacked(*ask(grey), rule)
        return fused[0], confidence[0]

    return run


_KINDS: dict[str, Callable[[Node, str], Run]] = {
    "average": _average,
    "cascade": _cascade,
    "channel_grid": _channel_grid,
    "constant": _constant,
    "full-vote": _vote,
    "gated-vote": _gated_vote,
    "fast_cascade": _fast_cascade,
    "holistic": _holistic,
    "local-binary": _local_binary,
    "mirrored": _mirrored,
    "net": _net,
    "patches": _patches,
    "refined": _refined,
    "stacked": _stacked,
    "vote": _vote,
    "weighted-average": _weighted_average,
}
