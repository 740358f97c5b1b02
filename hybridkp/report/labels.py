"""Places text labels beside points so that none covers another label, a point or the frame.

Pure geometry on rectangles: no drawing and no fonts here.  Rectangles are (x0, y0, x1, y1), in
any unit with y up or down alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array

_REACH = (0.0, 3.0, 8.0, 15.0, 24.0, 36.0, 50.0, 70.0, 95.0, 125.0)  # gaps tried, in the points' unit
_DIRECTIONS = 16
_SWEEPS = 12


def overlap_area(boxes: Array, others: Array) -> Array:
    """Area shared by each of (N, 4) with each of (M, 4), (N, M)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    side = np.maximum(high - low, 0)
    return side[..., 0] * side[..., 1]


def _candidates(point: Array, size: Array, clear: float) -> tuple[Array, Array]:
    """Boxes (C, 4) around one point and the gap (C,) of each: the label touches an ellipse there."""
    angle = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    reach = np.repeat(np.array(_REACH), _DIRECTIONS)
    direction = np.tile(direction, (len(_REACH), 1))
    # the half size is scaled by the direction's dominant axis: right and left stay on the line
    push = direction / np.abs(direction).max(axis=1, keepdims=True)
    centre = point + direction * (clear + reach)[:, None] + push * size / 2
    return np.concatenate([centre - size / 2, centre + size / 2], 1), reach


def _leader_samples(point: Array, boxes: Array) -> Array:
    """Nine points (C, 9, 2) from the point to the nearest spot of each box."""
    near = np.clip(point, boxes[:, :2], boxes[:, 2:])
    t = np.linspace(0.1, 0.95, 9)[None, :, None]
    return point + (near - point)[:, None] * t


def _inside(samples: Array, boxes: Array) -> Array:
    """How many of (C, S, 2) samples lie in any of (M, 4) boxes, (C,)."""
    if len(boxes) == 0:
        return np.zeros(len(samples))
    x, y = samples[..., None, 0], samples[..., None, 1]
    hit = (x > boxes[:, 0]) & (x < boxes[:, 2]) & (y > boxes[:, 1]) & (y < boxes[:, 3])
    return hit.sum(axis=(1, 2))


def place_labels(
    points: ArrayLike,
    sizes: ArrayLike,
    frame: ArrayLike,
    obstacles: ArrayLike = (),
    *,
    clear: float = 6.0,
    pad: float = 1.5,
) -> Array:
    """The rectangle of each label.

    Each label tries 16 directions at ten distances; the costs are shared area (with labels,
    points, obstacles), leaving the frame, leaders that cross labels, and distance.  Sweeps of
    coordinate descent, the most crowded label first, give the same places each time.

    Parameters
    ----------
    points : (N, 2)
    sizes : (N, 2) width and height of the labels
    frame : (4,) where labels may stand
    obstacles : (M, 4) rectangles to keep off, weighted a tenth of a label
    clear : radius of a point's marker
    pad : kept free around each label

    Returns
    -------
    (N, 4) float64
    """
    points = np.asarray(points, float).reshape(-1, 2)
    sizes = np.asarray(sizes, float).reshape(-1, 2) + 2 * pad
    frame = np.asarray(frame, float)
    blocks = np.asarray(obstacles, float).reshape(-1, 4)
    n = len(points)
    if n == 0:
        return np.zeros((0, 4))
    markers = np.concatenate([points - clear, points + clear], 1)
    tried = [_candidates(p, s, clear) for p, s in zip(points, sizes, strict=True)]
    fixed = []
    for (boxes, reach), point, size in zip(tried, points, sizes, strict=True):
        outside = size.prod() - overlap_area(boxes, frame[None])[:, 0]
        cost = 50 * outside + 8 * overlap_area(boxes, markers).sum(1) + 0.6 * reach**1.3
        cost += 0.5 * overlap_area(boxes, blocks).sum(1) if len(blocks) else 0
        others = np.delete(markers, np.flatnonzero((points == point).all(1)), axis=0)
        cost += 15 * _inside(_leader_samples(point, boxes), others)
        fixed.append(cost)
    crowd = np.linalg.norm(points[:, None] - points[None], axis=-1)
    order = np.argsort(np.sort(crowd, axis=1)[:, : min(n, 4)].sum(1), kind="stable")
    chosen = np.array([boxes[c.argmin()] for (boxes, _), c in zip(tried, fixed, strict=True)])
    for _ in range(_SWEEPS):
        before = chosen.copy()
        for i in order:
            others = np.delete(chosen, i, axis=0)
            boxes = tried[i][0]
            cost = fixed[i] + 20 * overlap_area(boxes, others).sum(1)
            cost += 30 * _inside(_leader_samples(points[i], boxes), others)
            chosen[i] = boxes[cost.argmin()]
        if np.array_equal(before, chosen):
            break
    return chosen + pad * np.array([1, 1, -1, -1])
