"""The arithmetic of fusion, shared by the estimators that learn it and the runtime that applies it.

Pure NumPy.  M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import flip_points
from ..structures import Array


def vote_weights(variance: Array, correlation: Array, given: Array | None = None) -> Array:
    """Weights (M, B, K) of the best linear unbiased combination, clipped at zero, summing to 1.

    Parameters
    ----------
    variance : (M, B, K) px², expected squared error of each member at each point
    correlation : (K, M, M) error correlation of the members
    given : (M, B, K) bool; a member without an answer gets weight 0
    """
    sd = np.sqrt(variance)
    inverse = np.linalg.inv(correlation + 1e-3 * np.eye(len(variance)))
    weights = np.maximum(np.einsum("kmn,nbk->mbk", inverse, 1 / sd) / sd, 0)
    if given is not None:
        lone = (weights * given).sum(0, keepdims=True) <= 0
        weights = np.where(lone, 1 / variance, weights) * given
    return weights / np.maximum(weights.sum(0, keepdims=True), 1e-12)


def weighted_points(xy: Array, weights: Array, score: Array) -> tuple[Array, Array]:
    """NaN-aware weighted means over the first axis; NaN only where every member gives NaN.

    Parameters
    ----------
    xy : (M, B, K, 2); weights, score : (M, B, K)

    Returns
    -------
    (B, K, 2) float32 points and (B, K) float32 scores
    """
    weights = weights * np.isfinite(xy).all(-1)
    total = weights.sum(0)
    weights = weights / np.where(total > 0, total, 1)
    fused = (np.nan_to_num(xy) * weights[..., None]).sum(0)
    fused[total <= 0] = np.nan
    return fused.astype(np.float32), (np.nan_to_num(score) * weights).sum(0).astype(np.float32)


def mirror_mean(
    xy: Array, score: Array, other: Array, confidence: Array, flip: Array, width: int
) -> tuple[Array, Array]:
    """Means of the answers on pictures and on their mirror images, ``width`` px wide.

    Parameters
    ----------
    xy, other : (B, K, 2); ``other`` as it was found in the mirror image
    score, confidence : (B, K)
    flip : (K,) ``flip[k]`` is the landmark that k becomes in the mirror image

    Returns
    -------
    (B, K, 2) float32 points and (B, K) float32 scores
    """
    both = np.stack([xy, flip_points(other, width, flip)])
    scores = np.stack([score, confidence[:, flip]])
    return weighted_points(both, np.ones(scores.shape), scores)


def vote(
    xy: Array, score: Array, variance: Array, correlation: Array, factors: list[dict[str, Array]] | None
) -> tuple[Array, Array]:
    """One vote: (M, B, K, 2) and (M, B, K) to (B, K, 2) and (B, K).

    ``variance`` is (M, K); ``factors[m]`` is the curve score -> factor on member m's variance.
    """
    spread = np.broadcast_to(variance[:, None], score.shape).copy()
    for m, curve in enumerate(factors or []):
        spread[m] *= np.interp(score[m], curve["x"], curve["y"])
    given: Array = np.asarray(np.isfinite(xy).all(-1))
    weights = vote_weights(spread, correlation, given)
    return weighted_points(xy, weights, score)


# --------------------------------------------------------------------------------------------
# x and y told apart
# --------------------------------------------------------------------------------------------

ABSENT = 1e12  #: factor on the variance of a member without an answer


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

    A member without an answer is given :data:`ABSENT` times its variance; its correlation with the
    others is left in place, which changes their weights a little.
    """
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
    return fused.astype(np.float32), (np.nan_to_num(score) * weights).sum(0).astype(np.float32)


# --------------------------------------------------------------------------------------------
# a gate that looks at the scores and at how the members agree
# --------------------------------------------------------------------------------------------


def logit(score: Array) -> Array:
    """Log-odds of a score, kept within 1 % and 99 %."""
    clipped = np.clip(np.nan_to_num(score), 0.01, 0.99)
    return np.log(clipped / (1 - clipped))


def recalibrated(score: Array, calibration: Array, there: ArrayLike) -> Array:
    """float32 scores whose log-odds are mapped by ``calibration`` (2,); 0 where nobody is ``there``."""
    mapped = 1 / (1 + np.exp(-(calibration[0] * logit(score) + calibration[1])))
    return np.where(there, mapped, 0).astype(np.float32)


def gate_features(xy: Array, score: Array, side: float, confidence: bool, agreement: bool) -> Array:
    """(B, K, F) what a gate looks at; NaN where a member gave nothing.

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
    """(M, B, K) softmax of ``slope (features - mean) + bias`` over the members that answered.

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
    looks_at: tuple[bool, bool],
    gate: tuple[Array, Array, Array],
    calibration: Array,
) -> tuple[Array, Array]:
    """Points (B, K, 2) and scores (B, K) of a gate (mean, slope, bias) of :func:`gate_weights`.

    ``looks_at`` says whether at confidence and agreement; ``calibration`` (2,) maps the log-odds of
    the weighted score to that of the result.
    """
    given: Array = np.asarray(np.isfinite(xy).all(-1))
    weights = gate_weights(gate_features(xy, score, side, *looks_at), given, *gate)
    fused, trust = weighted_points(xy, weights, score)
    return fused, recalibrated(trust, calibration, given.any(0))
