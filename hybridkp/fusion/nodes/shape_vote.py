"""The most probable shape behind several predictions: Gaussian shapes, predictions with noise, some wild.

Shared by :class:`.ShapeVote`, which learns it, and the runtime that applies it; pure NumPy.
Letters: M members, each (B, K, 2) points and (B, K) scores; R modes of shapes,
which are rows (B, 2K), x and y interleaved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.nodes import SCORELESS, Combine, Node, Run, combination
from ...runtime.values import array, number
from ...stats.calibration import logit, probability
from ...structures import Array

DEGREES_OF_FREEDOM = 3.0  #: of Student's distribution of a prediction's error
ROUNDS = 4  #: of weighing the predictions anew
SILENT = 1e12  #: px², variance of what was not said
_BLOCK = 64  # pictures whose matrices are held at a time


def noise(score: Array, rule: dict[str, Any]) -> Array:
    """(M, B, K) px², the variance of a coordinate that goes with each member's score.

    ``slope`` (M,) and ``level`` (M, K): its logarithm is linear in the log-odds of the score.
    """
    return np.exp(rule["level"][:, None] + rule["slope"][:, None, None] * logit(score))


def most_probable(
    xy: Array, variance: Array, rule: dict[str, Any], with_left: bool = True
) -> tuple[Array, Array]:
    """Shapes (B, K, 2), crop px, and the variance (B, K) left of a coordinate.

    Predictions err by Student's distribution, so that one far from what the others and the shapes make
    probable counts little: weights and shapes are found in turn (expectation maximisation).

    Parameters
    ----------
    xy : (M, B, K, 2), NaN where a member is silent
    variance : (M, B, K) px², squared scale of a prediction's error
    rule : ``mean`` (2K,), ``modes`` (R, 2K) and ``residual`` px²: a shape is the mean, plus modes times
        standard normal numbers, plus noise of variance ``residual`` in every coordinate
    with_left : False where the variance left is not asked for: then the noise's stands in its place
    """
    parts = [
        _most_probable(xy[:, i : i + _BLOCK], variance[:, i : i + _BLOCK], rule, with_left)
        for i in range(0, xy.shape[1], _BLOCK)
    ]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _most_probable(xy: Array, variance: Array, rule: dict[str, Any], with_left: bool) -> tuple[Array, Array]:
    m, b, k, _ = xy.shape
    said: Array = np.asarray(np.isfinite(xy).all(-1))
    points = np.where(said[..., None], xy, 0.0)
    precision = said / variance
    share, mean = precision, points[0].reshape(b, 2 * k)
    for last in (*[False] * (ROUNDS - 1), True):
        total = np.maximum(share.sum(0), 1 / SILENT)
        if m > 1:  # of one, the mean is itself
            mean = ((share[..., None] * points).sum(0) / total[..., None]).reshape(b, 2 * k)
        shape, left = _given(mean, np.repeat(1 / total, 2, axis=1), rule, last and with_left)
        if not last:
            off = points - shape.reshape(b, k, 2)
            off *= off
            square = off[..., 0] + off[..., 1]
            share = precision * ((DEGREES_OF_FREEDOM + 2) / (DEGREES_OF_FREEDOM + square / variance))
    return shape.reshape(b, k, 2), left.reshape(b, k, 2).mean(-1)


def _given(row: Array, spread: Array, rule: dict[str, Any], with_left: bool) -> tuple[Array, Array]:
    """Shapes (B, 2K) given rows with noise of variance ``spread`` (B, 2K), and the variance left.

    Probabilistic principal components (Tipping & Bishop 1999) with noise that differs: matrices are of the
    size of the modes, not of the landmarks.  Without ``with_left`` the second is ``spread``.
    """
    modes, residual = rule["modes"], rule["residual"]
    both = residual + spread
    off = row - rule["mean"]
    root = np.sqrt(1 / both)
    weighed = modes * root[:, None]  # (B, R, 2K)
    inside = weighed @ weighed.swapaxes(1, 2)  # with its own transpose BLAS works out one half
    inside.reshape(len(inside), -1)[:, :: len(modes) + 1] += 1  # the diagonal
    found = np.linalg.solve(inside, weighed @ (root * off)[..., None])[..., 0] @ modes
    kept = residual / both  # of what the modes do not explain
    shape = rule["mean"] + found + kept * (off - found)
    if not with_left:
        return shape, spread
    known = np.linalg.solve(inside, np.broadcast_to(modes, weighed.shape))
    left = kept * spread + (1 - kept) ** 2 * (modes * known).sum(1)
    return shape, left


def shaped(xy: Array, score: Array, rule: dict[str, Any], scored: bool = True) -> tuple[Array, Array]:
    """Points (B, K, 2) and scores (B, K) of predictions (M, B, K, 2) with scores (M, B, K).

    ``rule`` holds what :func:`noise` and :func:`most_probable` ask for, and ``calibration`` (2,) from the
    logarithm of the deviation left to a score.  Scores that nobody reads (``scored`` is False) are 0.
    """
    found, left = most_probable(xy, noise(score, rule), rule, scored)
    score = probability(confidence(left), rule["calibration"]) if scored else 0 * left
    return found.astype(np.float32), score.astype(np.float32)


def confidence(left: Array) -> Array:
    """(B, K) minus the logarithm of the deviation left, the raw confidence."""
    return -0.5 * np.log(np.maximum(left, 1e-6))


def make(node: Node, engine: str) -> Run:
    return combination(node, engine, _rule)


def _rule(node: Node, m: int) -> Combine:
    mean = array(node["mean"], -1)
    width = len(mean)
    slope, level = array(node["slope"], m), array(node["level"], m, width // 2)
    learned = {
        "mean": mean,
        "modes": array(node["modes"], -1, width),
        "residual": number(node["residual"], 1e-9, 1e9),
        "slope": slope,
        "level": level,
        "calibration": array(node["calibration"], 2),
    }
    if width % 2 or np.abs(level).max() > 100 or np.abs(slope).max() > 100:
        raise ValueError("shapes have x and y, and noise has a scale")
    scored = not node.get(SCORELESS)
    return lambda xy, score: shaped(xy, score, learned, scored)
