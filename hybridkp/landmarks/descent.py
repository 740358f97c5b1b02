"""The steps of a cascaded regression: rows in the mean-shape frame, moves, the score of a shape.

What :class:`.CascadedRegressor` learns is applied here, and what it learns from is made here.
NumPy and OpenCV only: an exported model runs from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..imaging.geometry import apply_affine, invert_affine
from ..structures import Array
from .frames import frame_maps, frame_size, to_frame
from .linear import row_by_row

Describe = Callable[[Array, Array], Array]  #: frame (h, w), points (K, 2) -> rows (K, D)


def stage_rows(
    grey: Array,
    picture: Array,
    xy: Array,
    mean: Array,
    size_hw: tuple[int, int],
    scale: float,
    describe: Describe,
    dtype: Any = np.uint8,
) -> tuple[Array, Array, Array]:
    """Rows (N, K * D) of the points in their frames, the maps (N, 2, 3), the points (N, K, 2) there.

    ``grey`` is (B, H, W), ``picture`` (N,) says which of them each shape of ``xy`` (N, K, 2) is in; frames
    are of ``dtype``, uint8 or float32.
    """
    size = frame_size(size_hw, scale)
    maps = frame_maps(xy, mean, scale)
    points = apply_affine(maps, xy)
    rows = [
        describe(to_frame(grey[b].astype(dtype, copy=False), matrix, size), shape).ravel()
        for b, matrix, shape in zip(picture, maps, points, strict=True)
    ]
    return np.stack(rows).astype(np.float32, copy=False), maps, points


def descend(
    grey: Array,
    current: Array,
    stages: Sequence[tuple[float, Array, Array]],
    curve: Array,
    mean: Array,
    describe: Describe,
    dtype: Any = np.uint8,
) -> tuple[Array, Array]:
    """Every stage (scale, weights, offset) in turn: (B, K, 2) and (B, K) float32."""
    lengths = []
    for scale, weights, offset in stages:
        rows, maps, points = stage_rows(
            grey, np.arange(len(grey)), current, mean, grey.shape[1:], scale, describe, dtype
        )
        current, length = moved(current, points, row_by_row(rows, weights) + offset, maps)
        lengths.append(length)
    return current.astype(np.float32), step_scores(lengths, curve)


def moved(current: Array, points: Array, step: Array, maps: Array) -> tuple[Array, Array]:
    """New shapes (N, K, 2) in the crop, and how far each point went (N, K) in crop px."""
    new = apply_affine(invert_affine(maps), points + step.reshape(points.shape))
    return new, np.linalg.norm(new - current, axis=-1)


def score_rows(lengths: list[Array]) -> Array:
    """(3, N, K): log lengths of the last two steps of the point, and of the whole shape's last."""
    last, before = lengths[-1], lengths[-min(2, len(lengths))]
    shape = np.broadcast_to(last.mean(axis=1, keepdims=True), last.shape)
    return np.log(np.stack([last, before, shape]) + 0.1)


def step_scores(lengths: list[Array], curve: Array) -> Array:
    """(N, K) float32 probabilities from how far points went in each stage and a curve (4,)."""
    logit = curve[0] + np.tensordot(curve[1:], score_rows(lengths), 1)
    return (1 / (1 + np.exp(-np.clip(logit, -30, 30)))).astype(np.float32)
