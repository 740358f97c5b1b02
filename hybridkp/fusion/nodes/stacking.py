"""What a stacked regressor sees of the members' predictions, for :class:`.Stacking` and the runtime.

They are seen in a frame in which the mean of the members has the mean shape's position, size
and angle, so that a correction learned on upright objects serves turned ones.  NumPy and geometry.
Shapes: M members, each (B, K, 2) points and (B, K) scores; n neighbours of each landmark, itself included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import apply_affine, scale_of, similarity
from ...runtime.nodes import Combine, Node, Run, combination
from ...runtime.values import array
from ...stats.calibration import logit, probability
from ...structures import Array
from ..kernels import weighted_points

MAX_ZOOM = 2.0  #: the frame is at most this much larger or smaller than the crop


def stacked_rows(
    xy: Array, score: Array, weights: Array, mean: Array, neighbours: Array
) -> tuple[Array, Array, Array]:
    """Rows for the regressor, the points that it corrects, and the maps into the frame.

    Parameters
    ----------
    xy, score : (M, B, K, 2), (M, B, K)
    weights : (M, K) of the points that are corrected, a weighted mean of the members
    mean : (K, 2) mean shape, crop px
    neighbours : (K, n) int

    Returns
    -------
    rows : (B, K, F) with F = n (3 M + 2): at each neighbour, the members' offsets from the base in
        frame px, their log-odds, and the base's own offset from the mean shape
    base : (B, K, 2) in crop px, NaN where no member predicted
    linear : (B, 2, 2) from crop px to frame px
    """
    m, b, k, _ = xy.shape
    base = weighted_points(xy, np.broadcast_to(weights[:, None], score.shape), score)[0].astype(float)
    pose = similarity(base, np.broadcast_to(mean, base.shape))
    size = scale_of(pose)
    zoom = np.clip(size, 1 / MAX_ZOOM, MAX_ZOOM) / np.maximum(size, 1e-9)
    linear = pose[:, :, :2] * zoom[:, None, None]
    offset = np.nan_to_num(np.einsum("bij,mbkj->bkmi", linear, xy - base)).reshape(b, k, 2 * m)
    odds = np.where(np.isfinite(xy).all(-1), logit(score), 0.0)
    shape = np.nan_to_num(apply_affine(pose, base) - mean)
    seen = np.concatenate([offset, np.moveaxis(odds, 0, -1), shape], axis=-1)  # (B, K, 3M + 2)
    return seen[:, neighbours].reshape(b, k, -1), base, linear


def corrected(base: Array, linear: Array, correction: Array) -> Array:
    """Points (B, K, 2): ``base`` moved by corrections (B, K, 2) in frame px."""
    back = np.linalg.inv(linear)
    return (base + np.einsum("bij,bkj->bki", back, correction)).astype(np.float32)


def stacked(xy: Array, score: Array, rule: dict[str, Any]) -> tuple[Array, Array]:
    """Points (B, K, 2) and scores (B, K) of a linear stacked regressor.

    ``rule`` holds what :func:`stacked_rows` asks for, ``coefficients`` (K, F, 2), ``offset`` (K, 2)
    and ``calibration`` (2,).
    """
    rows, base, linear = stacked_rows(xy, score, rule["weights"], rule["mean"], rule["neighbours"])
    move = np.einsum("bkf,kfc->bkc", rows, rule["coefficients"]) + rule["offset"]
    return corrected(base, linear, move), mean_confidence(xy, score, rule["calibration"])


def mean_confidence(xy: Array, score: Array, calibration: Array) -> Array:
    """(B, K) the probability that goes with the members' mean log-odds; 0 where none predicted."""
    given = np.isfinite(xy).all(-1)
    mean = np.where(given, logit(score), 0.0).sum(0) / np.maximum(given.sum(0), 1)
    return np.where(given.any(0), probability(mean, calibration), 0.0).astype(np.float32)


def make(node: Node, engine: str) -> Run:
    return combination(node, engine, _rule)


def _rule(node: Node, m: int) -> Combine:
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
    return lambda xy, score: stacked(xy, score, learned)
