"""Rules of combination that a runtime file may hold: the members' answers for one crop become one.

A rule is checked here as it is read; its arithmetic is in ``kernels.py``, ``stacked.py`` and ``shaped.py``.
Shapes: M members' points (M, 1, K, 2) and scores (M, 1, K) in, (1, K, 2) and (1, K) out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..structures import Array
from .kernels import full_vote, gate_features, gated_vote, recalibrated, vote, weighted_points
from .shaped import shaped
from .stacked import stacked
from .values import array, number, whole

Node = dict[str, Any]
Rule = Callable[[Array, Array], tuple[Array, Array]]


def average(node: Node, m: int) -> Rule:
    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        return weighted_points(xy, np.ones(score.shape), score)

    return rule


def weighted_average(node: Node, m: int) -> Rule:
    weights = array(node["weights"], m)
    if (weights <= 0).any():
        raise ValueError("weights must be positive")

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        return weighted_points(xy, np.broadcast_to(weights[:, None, None], score.shape), score)

    return rule


def votes(node: Node, m: int) -> Rule:
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

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        fused, confidence = combine(xy, score, variance, correlation, factors)
        if calibration is not None:
            confidence = recalibrated(confidence, calibration, np.isfinite(fused).all(-1))
        return fused, confidence

    return rule


def gate(node: Node, m: int) -> Rule:
    looks_at, side = (bool(node["confidence"]), bool(node["agreement"])), whole(node, "side", 1, 4096)
    bias = array(node["bias"], m, -1)
    nothing = np.zeros((m, 1, bias.shape[1], 2))
    width = gate_features(nothing, nothing[..., 0], side, *looks_at).shape[-1]
    gate = array(node["centre"], width), array(node["slope"], m, width), bias
    calibration = array(node["calibration"], 2)

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        return gated_vote(xy, score, side, looks_at, gate, calibration)

    return rule


def stack(node: Node, m: int) -> Rule:
    mean = array(node["mean"], -1, 2)
    k = len(mean)
    neighbours = array(node["neighbours"], k, -1)
    if neighbours.dtype.kind != "i" or neighbours.size == 0:
        raise ValueError("neighbours are missing")
    if neighbours.min() < 0 or neighbours.max() >= k:
        raise ValueError("neighbours must be landmarks")
    width = neighbours.shape[1] * (3 * m + 2)
    learned = {
        "mean": mean,
        "neighbours": neighbours,
        "weights": array(node["weights"], m, k),
        "coefficients": array(node["coefficients"], k, width, 2),
        "offset": array(node["offset"], k, 2),
        "calibration": array(node["calibration"], 2),
    }
    if (learned["weights"] <= 0).any():
        raise ValueError("weights must be positive")

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        return stacked(xy, score, learned)

    return rule


def shape_vote(node: Node, m: int) -> Rule:
    mean = array(node["mean"], -1)
    width = len(mean)
    slope, level = array(node["slope"], m), array(node["level"], m, width // 2)
    learned = {
        "mean": mean,
        "modes": array(node["modes"], -1, width),
        "own": number(node["own"], 1e-9, 1e9),
        "slope": slope,
        "level": level,
        "calibration": array(node["calibration"], 2),
    }
    if width % 2 or np.abs(level).max() > 100 or np.abs(slope).max() > 100:
        raise ValueError("shapes have x and y, and noise has a scale")

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        return shaped(xy, score, learned)

    return rule
