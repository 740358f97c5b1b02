"""From a raw confidence to a probability, for every room that gives scores.

A score in this library estimates how probable it is that the point lies within :data:`NEAR`, so
that the scores of different methods can be compared and weighed.  Pure NumPy, no pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array

NEAR = 0.025  #: a point counts as found within this part of the crop's longer side
#: parts of that side; an error counts as at most this while something is chosen on held-out predictions
FAR = 0.05


def probability(raw: Array, calibration: Sequence[float] | Array) -> Array:
    """Of raw confidences, by what :func:`calibrate` gave: 1 / (1 + exp(-(a raw + b))), in ``raw``'s shape."""
    slope, offset = calibration
    return 1 / (1 + np.exp(-(slope * raw + offset)))


def logit(score: Array) -> Array:
    """Log-odds of a score, kept within 1 % and 99 %."""
    clipped = np.clip(np.nan_to_num(score), 0.01, 0.99)
    return np.log(clipped / (1 - clipped))


def calibrated(raw: Array, error: Array) -> tuple[float, float]:
    """Two numbers that turn raw confidence into the probability of an error, in sides, below NEAR."""
    known = np.isfinite(error)
    return calibrate(raw[known], error[known] < NEAR)


def calibrate(raw: ArrayLike, hit: ArrayLike, steps: int = 30) -> tuple[float, float]:
    """(a, b) so that sigmoid(a raw + b) is the probability of ``hit`` (Platt 1999).

    Newton's method with a ridge towards a = 1, b = logit of Laplace's hit rate, so that few or
    one-sided examples still give a finite, increasing score.
    """
    raw = np.asarray(raw, float).ravel()
    design = np.stack([raw, np.ones(len(raw))], 1)
    hit = np.asarray(hit, float).ravel()
    rate = (hit.sum() + 1) / (len(hit) + 2)
    prior = np.array([1.0, np.log(rate / (1 - rate)) - (raw.mean() if len(raw) else 0.0)])
    w = prior.copy()
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(design @ w, -30, 30)))
        gradient = design.T @ (p - hit) + (w - prior)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.eye(2)
        w = w - np.linalg.solve(curvature, gradient)
    if not (np.isfinite(w).all() and w[0] > 0):
        w = prior
    return float(w[0]), float(w[1])
