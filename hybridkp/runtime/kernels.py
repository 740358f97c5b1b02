"""The arithmetic of fusion, shared by the estimators that learn it and the runtime that applies it.

Pure NumPy.  M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

import numpy as np

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
