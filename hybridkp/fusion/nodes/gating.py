"""The gate of :class:`.GatedVote`: weights from the scores and from how far the members lie apart.

Pure NumPy; shared by the estimator that learns it and the runtime that applies it.
M members, each (B, K, 2) points and (B, K) scores; F features.
"""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Combine, Node, Run, combination
from ...runtime.values import array, whole
from ...stats.calibration import logit
from ...structures import Array
from ..kernels import recalibrated, weighted_points


def gate_features(xy: Array, score: Array, side: float, confidence: bool, agreement: bool) -> Array:
    """(B, K, F) what a gate sees; NaN where a member gave nothing.

    With ``confidence`` each member's log-odds at the landmark and their mean over the picture's
    landmarks (2M columns); with ``agreement`` the logarithm of the distance of each two members, in
    parts of the crop's longer ``side`` (M (M - 1) / 2 columns).
    """
    m, b, k, _ = xy.shape
    columns = []
    if confidence:
        odds = np.where(np.isfinite(xy).all(-1), logit(score), np.nan)
        there = np.isfinite(odds)
        mean = np.where(there, odds, 0).sum(-1, keepdims=True) / np.maximum(there.sum(-1, keepdims=True), 1)
        columns += [*odds, *np.broadcast_to(mean, odds.shape)]
    if agreement:
        first, second = np.triu_indices(m, 1)
        columns += list(np.log(np.hypot(*np.moveaxis(xy[first] - xy[second], -1, 0)) / side + 0.01))
    return np.stack(columns, -1) if columns else np.zeros((b, k, 0))


def gate_weights(features: Array, given: Array, mean: Array, slope: Array, bias: Array) -> Array:
    """(M, B, K) softmax of ``slope (features - mean) + bias`` over the members that gave a prediction.

    Parameters
    ----------
    features : (B, K, F); NaN counts as ``mean``
    given : (M, B, K) bool
    mean : (F,); slope : (M, F); bias : (M, K)
    """
    z = np.einsum("bkf,mf->mbk", np.nan_to_num(features - mean), slope) + bias[:, None]
    z = np.where(given, z, -np.inf)
    top = z.max(0, initial=-1e30)
    weights = np.exp(z - top)
    return weights / np.maximum(weights.sum(0), 1e-12)


def gated_vote(
    xy: Array,
    score: Array,
    side: float,
    sees: tuple[bool, bool],
    gate: tuple[Array, Array, Array],
    calibration: Array,
) -> tuple[Array, Array]:
    """Points (B, K, 2) and scores (B, K) of a gate (mean, slope, bias) of :func:`gate_weights`.

    ``sees`` says whether the gate sees confidence and agreement; ``calibration`` (2,) maps the log-odds of
    the weighted score to that of the result.
    """
    given: Array = np.asarray(np.isfinite(xy).all(-1))
    weights = gate_weights(gate_features(xy, score, side, *sees), given, *gate)
    fused, confidence = weighted_points(xy, weights, score)
    return fused, recalibrated(confidence, calibration, given.any(0))


def make(node: Node, engine: str) -> Run:
    return combination(node, engine, _rule)


def _rule(node: Node, m: int) -> Combine:
    sees, side = (bool(node["confidence"]), bool(node["agreement"])), whole(node, "side", 1, 4096)
    bias = array(node["bias"], m, -1)
    nothing = np.zeros((m, 1, bias.shape[1], 2))
    width = gate_features(nothing, nothing[..., 0], side, *sees).shape[-1]
    gate = array(node["centre"], width), array(node["slope"], m, width), bias
    calibration = array(node["calibration"], 2)

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        return gated_vote(xy, score, side, sees, gate, calibration)

    return rule
