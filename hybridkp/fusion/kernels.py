"""The arithmetic that rules of fusion share, learned here and applied by the runtime; pure NumPy.

Weighted means of points where some are missing, and scores as log-odds.  No rule lives here.
M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..stats.calibration import logit, probability
from ..structures import Array


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


def recalibrated(score: Array, calibration: Array, there: ArrayLike) -> Array:
    """float32 scores whose log-odds are mapped by ``calibration`` (2,); 0 where nobody is ``there``."""
    return np.where(there, probability(logit(score), calibration), 0).astype(np.float32)
