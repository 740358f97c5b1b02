"""What surrounds the refining network: squares, patches, one step after the other.

:class:`hybridkp.deep.CNNRefiner` without torch: a crop and points (K, 2) in, better points and
scores (K,) out.  Only its convolutions are a graph; reading the patches is done here, because ``cv2.dnn``
has no operator for it in 4.x.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ...files.graphs import Ask, open_graph
from ...imaging.geometry import rescale
from ...imaging.images import to_grey
from ...runtime.nodes import Node
from ...runtime.values import array, whole
from ...stats.calibration import probability
from ...structures import Array


def refine_points(
    grey: Array,
    start: Array,
    ask: Ask,
    side: int,
    size: int,
    n_steps: int,
    mean_xy: Array,
    calibration: Array,
) -> tuple[Array, Array]:
    """Start points (K, 2) of a crop (H, W) to better ones (K, 2) and scores (K,), float32.

    ``ask`` takes patches (K, 2, size, size) and points (1, K, 2) in px of the square of ``side``
    px, and gives moved points and raw confidences.  A start that is NaN stays NaN.
    """
    square, scale = to_square(grey, side)
    square = square - square.mean()
    square /= np.sqrt((square * square).mean() + np.float32(16))
    levels = [square, cv2.resize(square, (side // 2, side // 2), interpolation=cv2.INTER_AREA)]
    given = np.asarray(np.isfinite(start).all(axis=-1, keepdims=True))
    xy = np.where(given, rescale(start, scale), mean_xy)
    for _ in range(n_steps):
        xy = np.clip(xy, -0.25 * side, 1.25 * side)
        found = ask(point_patches(levels, xy, size), xy[None].astype(np.float32))
        xy, raw = found[0].reshape(-1, 2), found[1].reshape(-1)
    score = np.where(given[:, 0], probability(raw, calibration), 0)
    moved = np.where(given, rescale(xy, 1 / scale), np.nan)
    return moved.astype(np.float32), score.astype(np.float32)


def make(node: Node, engine: str) -> Callable[[Array, Array], tuple[Array, Array]]:
    side, size = whole(node, "side", 8, 2048), whole(node, "patch_px", 4, 256)
    n_steps = whole(node, "n_steps", 1, 100)
    mean, calibration = array(node["mean_xy"], -1, 2), array(node["calibration"], 2)
    ask = open_graph(node["graph"], engine, ["patches", "start"], ["xy", "score"])

    def refine(picture: Array, start: Array) -> tuple[Array, Array]:
        return refine_points(to_grey(picture), start, ask, side, size, n_steps, mean, calibration)

    return refine


def to_square(grey: Array, side: int) -> tuple[Array, Array]:
    """(side, side) float32 of (H, W), and the (2,) scale that points move by.

    As :func:`hybridkp.deep.batches.resize_square`: whole-number averages, then bilinear.
    """
    h, w = grey.shape
    pool_y, pool_x = max(1, h // side), max(1, w // side)
    h, w = h // pool_y, w // pool_x
    square: Array = grey[: h * pool_y, : w * pool_x].astype(np.float32)
    if pool_y > 1 or pool_x > 1:
        square = square.reshape(h, pool_y, w, pool_x).mean((1, 3))
    if (h, w) != (side, side):
        square = cv2.resize(square, (side, side), interpolation=cv2.INTER_LINEAR)
    return square, np.array([side / (w * pool_x), side / (h * pool_y)])


def point_patches(levels: list[Array], xy: Array, size: int) -> Array:
    """(K, L, size, size) float32 around (K, 2) px of the first level, one px apart on each level.

    Bilinear; outside, the border repeats.  The px of a patch share their four weights.
    """
    out = np.empty((len(xy), len(levels), size, size), np.float32)
    for i, level in enumerate(levels):
        h, w = level.shape
        corner = rescale(xy, w / levels[0].shape[1]) - (size - 1) / 2
        low = np.floor(corner)
        fx, fy = (corner - low).astype(np.float32).T[:, :, None, None]
        place = low.astype(np.intp)[:, :, None] + np.arange(size + 1)
        part = level[np.clip(place[:, 1], 0, h - 1)[:, :, None], np.clip(place[:, 0], 0, w - 1)[:, None, :]]
        rows = part[:, :-1] + fy * (part[:, 1:] - part[:, :-1])
        out[:, i] = rows[:, :, :-1] + fx * (rows[:, :, 1:] - rows[:, :, :-1])
    return out
