"""From a net's dense maps to points and rows, and back: NumPy and OpenCV only.

Shapes that pass: logits (H, W) float32, rows (D, H/4, W/4) float32, points (N, 2) px with an integer
at a pixel's centre.  No network and no file here; training and runtime decode by the same functions.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..imaging.geometry import rescale
from ..structures import Array

TEMPERATURE = 0.5  #: of the soft-argmax; below 1 it forgets less of an offset at the window's edge
RADIUS = 2  #: px of the window that a sub-pixel position is taken from


def peaks(logits: Array, n_points: int, threshold: float, radius: int = 2, border: int = 4) -> Array:
    """(N, 2) int, x and y of the largest local maxima of (H, W) logits, best first.

    A maximum is the largest of its (2 radius + 1) square; equal scores keep reading order, and of
    a plateau every pixel counts.  Nothing within ``border`` px of the edge.
    """
    height, width = logits.shape
    edge = max(border, RADIUS)
    if min(height, width) <= 2 * edge:
        return np.zeros((0, 2), np.int64)
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    largest = cv2.dilate(logits, window)
    inner = (slice(edge, height - edge), slice(edge, width - edge))
    found = (logits[inner] >= largest[inner]) & (logits[inner] > threshold)
    place = np.flatnonzero(found)
    score = logits[inner][found]
    if len(place) > n_points:
        floor = np.partition(score, len(score) - n_points)[len(score) - n_points]
        keep = score >= floor
        place, score = place[keep], score[keep]
    place = place[np.argsort(-score, kind="stable")[:n_points]]
    y, x = np.divmod(place, width - 2 * edge)
    return np.stack([x + edge, y + edge], 1)


def soft_argmax(logits: Array, xy: Array, temperature: float = TEMPERATURE) -> tuple[Array, Array]:
    """Sub-pixel (N, 2) float32 positions of integer peaks, and the spread (N,) px² around them.

    The expectation over a 5 x 5 window of softmax(logits / temperature); windows must lie inside.
    """
    step = np.arange(-RADIUS, RADIUS + 1)
    dy, dx = (g.ravel() for g in np.meshgrid(step, step, indexing="ij"))
    window = logits[xy[:, 1, None] + dy, xy[:, 0, None] + dx]
    weight = np.exp((window - window.max(1, keepdims=True, initial=-np.inf)) / np.float32(temperature))
    weight /= weight.sum(1, keepdims=True)
    offset = np.stack([weight @ dx.astype(np.float32), weight @ dy.astype(np.float32)], 1)
    spread = weight @ (dx * dx + dy * dy).astype(np.float32) - (offset**2).sum(1)
    return (xy + offset).astype(np.float32), spread


def parabola_offsets(response: Array, at: Array) -> Array:
    """(N, 2) sub-pixel offsets of integer maxima, within half a pixel: a parabola along x, one along y."""
    h, w = response.shape
    out = np.zeros(at.shape)
    for axis, last in enumerate((w - 1, h - 1)):
        step = np.eye(2, dtype=np.intp)[axis]
        low, high = np.maximum(at - step, 0), np.minimum(at + step, [w - 1, h - 1])
        left, centre, right = (response[p[:, 1], p[:, 0]].astype(np.float64) for p in (low, at, high))
        bend = left + right - 2 * centre
        inner = (at[:, axis] > 0) & (at[:, axis] < last) & (bend < 0)
        out[:, axis] = np.where(inner, 0.5 * (left - right) / np.where(inner, bend, 1.0), 0.0)
    return np.clip(out, -0.5, 0.5)


def sample_rows(rows: Array, xy: Array, stride: int = 4) -> Array:
    """(N, D) float32 rows of unit length, read bilinearly at points from the map (D, h, w).

    Cell j lies at px stride j + (stride - 1) / 2; beyond the outermost cells the map repeats.
    """
    depth, height, width = rows.shape
    at = rescale(np.asarray(xy, np.float32).reshape(-1, 2), 1 / stride)
    x, y = at[:, 0].clip(0, width - 1), at[:, 1].clip(0, height - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = x - x0, y - y0
    flat = rows.reshape(depth, -1)
    out = flat[:, y0 * width + x0] * ((1 - fx) * (1 - fy))
    out += flat[:, y0 * width + x1] * (fx * (1 - fy))
    out += flat[:, y1 * width + x0] * ((1 - fx) * fy)
    out += flat[:, y1 * width + x1] * (fx * fy)
    out /= np.maximum(np.sqrt((out * out).sum(0)), 1e-9)
    return np.ascontiguousarray(out.T, np.float32)
