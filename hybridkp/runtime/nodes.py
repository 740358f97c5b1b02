"""The kinds of node that a runtime file may hold, and what each of them computes.

A node is a dict of plain values, arrays and ONNX bytes, as the estimators' ``runtime_node()``
gives it; here it becomes a function of one crop, grey or BGR.  The arithmetic is not here: it is in
the light modules that the estimators use too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..descriptors.gradients import describe_points
from ..imaging.geometry import flip_image, resize_points
from ..imaging.images import to_grey
from ..landmarks import fast_descent
from ..landmarks.binary_descent import descend_binary
from ..landmarks.descent import descend
from ..landmarks.grid import grid_rows
from ..landmarks.linear import row_by_row
from ..landmarks.search import dense_windows, found_score, search
from ..landmarks.shape import PointDistribution
from ..landmarks.trees import checked_balanced
from ..structures import Array, InputError
from . import combined
from .combined import Node, Rule
from .engines import open_graph, planes
from .kernels import mirror_mean, recalibrated
from .looks import look_closer
from .tree import Tree, marginals, read_mode
from .values import array, number, whole

Run = Callable[[Array], tuple[Array, Array]]  #: crop (H, W) or BGR (H, W, 3), uint8 -> (K, 2), (K,)


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
    run = _KINDS[kind](node, engine)
    return (lambda picture: run(to_grey(picture))) if kind in _GREY else run


def _hog(node: Node) -> dict[str, Any]:
    hog = node["hog"]
    return {
        "cells": whole(hog, "cells", 1, 32),
        "cell_px": whole(hog, "cell_px", 1, 64),
        "n_orientations": whole(hog, "n_orientations", 2, 64),
        "signed": bool(hog["signed"]),
    }


def _channels(node: Node) -> int:
    """What a graph sees: 1 is grey, as in older files, which do not say it."""
    channels = whole(node, "channels", 1, 3) if "channels" in node else 1
    if channels == 2:
        raise ValueError("a picture has 1 channel or 3")
    return channels


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
        stride, channels = number(stride, 0.01, 1000), _channels(maps)
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

    def run(picture: Array) -> tuple[Array, Array]:
        maps = None
        if ask is not None:
            made = ask(planes(picture, channels))[0][0]
            maps = np.ascontiguousarray(np.moveaxis(made, 0, -1)), stride
        return fast_descent.descend(to_grey(picture), start(picture)[0], stages, reader, curve, maps)

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
    channels = _channels(node)

    def run(picture: Array) -> tuple[Array, Array]:
        xy, score = ask(planes(picture, channels))
        return xy.reshape(-1, 2), score.reshape(-1)

    return run


def _refined(node: Node, engine: str) -> Run:
    detector, refiner = build(node["detector"], engine), node["refiner"]
    side, size = whole(refiner, "side", 8, 2048), whole(refiner, "patch_px", 4, 256)
    n_steps = whole(refiner, "n_steps", 1, 100)
    mean, calibration = array(refiner["mean_xy"], -1, 2), array(refiner["calibration"], 2)
    ask = open_graph(refiner["graph"], engine, ["patches", "start"], ["xy", "score"])

    def run(picture: Array) -> tuple[Array, Array]:
        start, _ = detector(picture)
        return look_closer(to_grey(picture), start, ask, side, size, n_steps, mean, calibration)

    return run


def _combination(rule_of: Callable[[Node, int], Rule]) -> Callable[[Node, str], Run]:
    def make(node: Node, engine: str) -> Run:
        runs = [build(member, engine) for member in node["members"]]
        if not runs:
            raise ValueError("no members")
        rule = rule_of(node, len(runs))

        def run(picture: Array) -> tuple[Array, Array]:
            pairs = [run(picture) for run in runs]
            answers = np.stack([p[0][None] for p in pairs]).astype(float)
            fused, score = rule(answers, np.stack([p[1][None] for p in pairs]))
            return fused[0], score[0]

        return run

    return make


def _mirrored(node: Node, engine: str) -> Run:
    detector, flip = build(node["detector"], engine), array(node["flip"], -1)
    if not np.array_equal(np.sort(flip), np.arange(len(flip))):
        raise ValueError("flip must be a permutation")

    def run(picture: Array) -> tuple[Array, Array]:
        (xy, score), (other, trust) = detector(picture), detector(flip_image(picture))
        fused, both = mirror_mean(xy[None], score[None], other[None], trust[None], flip, picture.shape[1])
        return fused[0], both[0]

    return run


def _tree(node: Node, engine: str) -> Run:
    ask, channels = open_graph(node["graph"], engine, ["image"], ["maps"]), _channels(node)
    kernel, stride = array(node["kernel"], -1, -1, -1), whole(node, "stride", 1, 64)
    parent, calibration = array(node["parent"], len(kernel)), array(node["calibration"], 2)
    if parent.dtype.kind != "i" or (kernel < 0).any():
        raise ValueError("a tree has whole parents and no negative density")
    tree, trust = Tree.of(parent, kernel), number(node["trust"], 1e-3, 1e3)

    def run(picture: Array) -> tuple[Array, Array]:
        xy, mass = read_mode(marginals(ask(planes(picture, channels))[0], tree, trust))
        return resize_points(xy[0], stride).astype(np.float32), recalibrated(mass[0], calibration, True)

    return run


_KINDS: dict[str, Callable[[Node, str], Run]] = {
    "average": _combination(combined.average),
    "cascade": _cascade,
    "channel_grid": _channel_grid,
    "constant": _constant,
    "full-vote": _combination(combined.votes),
    "gated-vote": _combination(combined.gate),
    "fast_cascade": _fast_cascade,
    "holistic": _holistic,
    "local-binary": _local_binary,
    "mirrored": _mirrored,
    "net": _net,
    "patches": _patches,
    "refined": _refined,
    "shape-vote": _combination(combined.shape_vote),
    "stacked": _combination(combined.stack),
    "tree": _tree,
    "vote": _combination(combined.votes),
    "weighted-average": _combination(combined.weighted_average),
}
#: kinds that are given the crop in grey; the others hand it on, or look at its colours themselves
_GREY = frozenset({"cascade", "channel_grid", "constant", "holistic", "local-binary", "patches"})
