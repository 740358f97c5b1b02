"""How a level of a coarse-to-fine search learns to read its windows of scores.

Calibration of the windows, the correction that all landmarks' posteriors suggest, the score of the
last level.  Where the windows (N, K, S, S) come from is the detectors' business; no pictures here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..stats.calibration import NEAR, calibrate
from ..structures import Array
from . import response
from .ridge import ridge
from .search import suggestion
from .shape import PointDistribution

_ALPHAS = (100.0, 1e3, 1e4, 1e5)  # px² of the frame


def fit_level(
    windows: Array,
    points: Array,
    wanted: Array,
    window: tuple[int, int],
    scale: float,
    shape: PointDistribution,
    names: Array,
    alpha: float | None,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], Array, Array]:
    """What :func:`.search.search` needs of a level besides its experts.

    Parameters
    ----------
    windows : (N, K, S, S) raw scores of pictures that the experts did not see
    points, wanted : (N, K, 2) estimates and truth in frame px, NaN in the truth = not labelled
    window : (radius in steps, step in px)
    names : (N,) groups, which the correction is held-out of
    alpha : ridge penalty of the correction; None = what does best on held-out pictures

    Returns
    -------
    state : "curve" (K, 2), "scale", and "weights_update", "offset_update" where a correction helps
    moved : (N, K, 2) held-out predictions in the frame
    raw : (N, K) calibrated log odds there
    """
    radius, step = window
    curve = _fit_curves(windows, wanted - response.snapped(points, step), radius, step, rng)
    state = {"curve": curve, "scale": float(scale)}
    base, features, centre = suggestion(state, windows, points, step, shape)
    complete = np.where(np.isfinite(wanted), wanted, base)
    update, left = _fit_update(features, (complete - base).reshape(len(base), -1), names, alpha)
    moved = base + left.reshape(base.shape)
    raw = response.read_windows(response.calibrated(windows, curve), moved - centre, step)
    return {**state, **update}, moved, raw


def _fit_curves(windows: Array, offset: Array, radius: int, step: int, rng: np.random.Generator) -> Array:
    """(K, 2) Platt curves: is this place of the window the one nearest to the truth?"""
    some = rng.permutation(len(windows))[:60]
    distance = np.linalg.norm(response.window_offsets(radius, step) - offset[some][:, :, None], axis=-1)
    scores = windows[some].reshape(distance.shape)
    out = np.tile([1.0, -3.0], (windows.shape[1], 1))
    for k in range(len(out)):
        seen = np.isfinite(distance[:, k, 0])
        if seen.any():
            out[k] = calibrate(scores[seen, k].ravel(), (distance[seen, k] <= 0.75 * step).ravel())
    return out


def _fit_update(
    features: Array, target: Array, names: Array, alpha: float | None
) -> tuple[dict[str, Array], Array]:
    """The correction's state (empty = none is better) and its held-out predictions (N, 2K)."""
    state: dict[str, Array] = {}
    best = np.zeros_like(target)
    least = np.abs(target).mean() if alpha is None else np.inf
    for penalty in _ALPHAS if alpha is None else (alpha,):
        if np.isfinite(penalty):
            weights, offset, left = ridge(features.copy(), target, penalty, names)
            error = np.abs(left - target).mean()
            if error < least:
                state = {"weights_update": weights, "offset_update": offset}
                least, best = error, left
    return state, best


def fit_scores(raw: Array, error: Array, size_hw: tuple[int, int]) -> Array:
    """(K, 2) curves from log odds (N, K) to the probability that a point lies near the truth.

    ``error`` is (N, K) in px of crops of ``size_hw``; NaN = not labelled.
    """
    hit, seen = error < NEAR * max(size_hw), np.isfinite(error)
    return np.array([calibrate(r[s], h[s]) for r, s, h in zip(raw.T, seen.T, hit.T, strict=True)])
