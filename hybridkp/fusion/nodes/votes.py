"""The vote of :class:`.WeightedVote`: weights of the best linear unbiased combination of points.

Pure NumPy; shared by the estimator that learns the variances and the runtime that applies them.
M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

import numpy as np

from ...runtime.nodes import Combine, Node, Run, combination
from ...runtime.values import array
from ...structures import Array
from ..kernels import recalibrated, weighted_points


def vote_weights(variance: Array, correlation: Array, given: Array | None = None) -> Array:
    """Weights (M, B, K) of the best linear unbiased combination, clipped at zero, summing to 1.

    Parameters
    ----------
    variance : (M, B, K) px², expected squared error of each member at each point
    correlation : (K, M, M) error correlation of the members
    given : (M, B, K) bool; a member without a prediction gets weight 0
    """
    sd = np.sqrt(variance)
    inverse = np.linalg.inv(correlation + 1e-3 * np.eye(len(variance)))
    weights = np.maximum(np.einsum("kmn,nbk->mbk", inverse, 1 / sd) / sd, 0)
    if given is not None:
        lone = (weights * given).sum(0, keepdims=True) <= 0
        weights = np.where(lone, 1 / variance, weights) * given
    return weights / np.maximum(weights.sum(0, keepdims=True), 1e-12)


def vote(
    xy: Array, score: Array, variance: Array, correlation: Array, factors: list[dict[str, Array]] | None
) -> tuple[Array, Array]:
    """One vote: (M, B, K, 2) and (M, B, K) to (B, K, 2) and (B, K).

    ``variance`` is (M, K); ``factors[m]`` is the curve score -> factor on member m's variance.
    """
    return weighted_points(xy, vote_counts(xy, score, variance, correlation, factors), score)


def vote_counts(
    xy: Array, score: Array, variance: Array, correlation: Array, factors: list[dict[str, Array]] | None
) -> Array:
    """(M, B, K) the weights of :func:`vote`."""
    spread = np.broadcast_to(variance[:, None], score.shape).copy()
    for m, curve in enumerate(factors or []):
        spread[m] *= np.interp(score[m], curve["x"], curve["y"])
    return vote_weights(spread, correlation, np.asarray(np.isfinite(xy).all(-1)))


# --------------------------------------------------------------------------------------------
# x and y told apart
# --------------------------------------------------------------------------------------------

ABSENT = 1e12  #: factor on the variance of a member without a prediction


def full_weights(variance: Array, correlation: Array) -> tuple[Array, Array]:
    """Matrix weights of the best linear unbiased combination of points.

    Parameters
    ----------
    variance : (2M, B, K) px², expected squared error of x and y of the first member, then the second, ...
    correlation : (K, 2M, 2M)

    Returns
    -------
    matrices : (B, K, 2, 2M); the M blocks of 2 x 2 sum to the identity
    weights : (M, B, K) half the trace of each block, summing to 1: a member's say, for people to read
    """
    inverse_sd = np.moveaxis(1 / np.sqrt(variance), 0, -1)  # (B, K, 2M)
    b, k, v = inverse_sd.shape
    inverse = np.linalg.inv(correlation + 1e-3 * np.eye(v)).reshape(k, v // 2, 2, v)
    left = np.einsum("kmcv,bkmc->bkcv", inverse, inverse_sd.reshape(b, k, v // 2, 2))
    left = left * inverse_sd[:, :, None]
    total = left.reshape(b, k, 2, v // 2, 2).sum(3)
    matrices = np.linalg.solve(total, left)
    weights = 0.5 * np.einsum("bkcmc->mbk", matrices.reshape(b, k, 2, v // 2, 2))
    return matrices, weights


def full_vote(
    xy: Array, score: Array, variance: Array, correlation: Array, factors: list[dict[str, Array]] | None
) -> tuple[Array, Array]:
    """As :func:`vote`, with ``variance`` (2M, K) and ``correlation`` (K, 2M, 2M).

    A member without a prediction is given :data:`ABSENT` times its variance; its correlation with the
    others is left in place, which changes their weights a little.
    """
    return _full(xy, score, variance, correlation, factors)[:2]


def full_counts(
    xy: Array, score: Array, variance: Array, correlation: Array, factors: list[dict[str, Array]] | None
) -> Array:
    """(M, B, K) the weights of :func:`full_vote`: half the trace of each matrix, not below 0."""
    return _full(xy, score, variance, correlation, factors)[2]


def _full(
    xy: Array, score: Array, variance: Array, correlation: Array, factors: list[dict[str, Array]] | None
) -> tuple[Array, Array, Array]:
    """Points, scores and the members' weights of :func:`full_vote`."""
    m, b, k, _ = xy.shape
    spread = np.broadcast_to(variance[:, None], (2 * m, b, k)).copy().reshape(m, 2, b, k)
    for i, curve in enumerate(factors or []):
        spread[i] *= np.interp(score[i], curve["x"], curve["y"])
    given: Array = np.asarray(np.isfinite(xy).all(-1))
    spread = np.where(given[:, None], spread, ABSENT * spread)
    matrices, weights = full_weights(spread.reshape(2 * m, b, k), correlation)
    flat = np.nan_to_num(np.moveaxis(xy, 0, 2)).reshape(b, k, 2 * m)
    fused = np.einsum("bkcv,bkv->bkc", matrices, flat)
    fused[~given.any(0)] = np.nan
    weights = np.maximum(weights, 0) * given
    weights = weights / np.maximum(weights.sum(0), 1e-12)
    confidence = (np.nan_to_num(score) * weights).sum(0)
    return fused.astype(np.float32), confidence.astype(np.float32), weights


# --------------------------------------------------------------------------------------------
# the runtime
# --------------------------------------------------------------------------------------------


def make(node: Node, engine: str) -> Run:
    return combination(node, engine, _rule)


def _rule(node: Node, m: int) -> Combine:
    full = bool(node["full"])
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
    combine, calibration = full_vote if full else vote, array(node["calibration"], 2)

    def rule(xy: Array, score: Array) -> tuple[Array, Array]:
        fused, confidence = combine(xy, score, variance, correlation, factors)
        return fused, recalibrated(confidence, calibration, np.isfinite(fused).all(-1))

    return rule
