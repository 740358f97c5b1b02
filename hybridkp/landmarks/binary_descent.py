"""The steps of local binary features: pixels around the points, leaves, moves.

What :class:`.LocalBinaryFeatures` learns is applied here.  Crops (B, H, W) and shapes (B, K, 2) pass
through.  NumPy and OpenCV only: an exported model runs from here.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..imaging.geometry import apply_affine, invert_affine
from ..structures import Array
from .descent import moved, step_scores
from .frames import frame_maps
from .trees import balanced_leaves


def smoothed(grey: Array, sigma: float) -> Array:
    """Crops (B, H, W) uint8 blurred by a Gaussian of ``sigma`` px; 0 leaves them as they are."""
    if sigma <= 0:
        return grey
    blur = [cv2.GaussianBlur(g, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for g in grey]
    return np.stack(blur)


def pixel_values(grey: Array, picture: Array, xy: Array, maps: Array, offsets: Array) -> Array:
    """Crop pixels nearest to points plus offsets that turn and grow with the shape: (N, K, P) int16.

    Parameters
    ----------
    grey : (B, H, W) uint8; outside, the border pixel repeats
    picture : (N,) which crop each shape is in
    xy : (N, K, 2) shapes in crop px
    maps : (N, 2, 3) from the crop to the mean-shape frame
    offsets : (K, P, 2) in px of the frame
    """
    _, h, w = grey.shape
    back = invert_affine(maps)[:, :, :2].astype(np.float32)
    turned = np.matmul(offsets.reshape(-1, 2), back.transpose(0, 2, 1))
    place = np.rint(turned.reshape(len(xy), *offsets.shape) + xy[:, :, None].astype(np.float32))
    x = np.clip(place[..., 0], 0, w - 1).astype(np.int32)
    y = np.clip(place[..., 1], 0, h - 1).astype(np.int32)
    return grey.ravel()[y * w + x + (picture * (h * w))[:, None, None]].astype(np.int16)


def leaf_columns(values: Array, pairs: Array, threshold: Array) -> Array:
    """(N, F) where each tree's leaf stands among all F * 2**depth leaves, for pixels (N, K, P)."""
    leaves = balanced_leaves(values.reshape(len(values), -1), pairs, threshold)
    return leaves + np.arange(len(pairs)) * (threshold.shape[1] + 1)


def descend_binary(
    grey: Array,
    current: Array,
    stages: Sequence[dict[str, Array]],
    curve: Array,
    mean: Array,
    smoothing: float,
) -> tuple[Array, Array]:
    """Every stage in turn: points (B, K, 2) and scores (B, K), both float32.

    A stage has "offsets" (K, P, 2), "pairs" (F, 2**depth - 1, 2), "threshold" (F, 2**depth - 1),
    "weights" (F * 2**depth, 2K), of which those of the F leaves are summed, and "bias" (2K,).
    """
    grey, picture = smoothed(grey, smoothing), np.arange(len(grey))
    lengths = []
    for stage in stages:
        maps = frame_maps(current, mean, 1.0)
        values = pixel_values(grey, picture, current, maps, stage["offsets"])
        columns = leaf_columns(values, stage["pairs"], stage["threshold"])
        step = np.stack([stage["weights"][c].sum(axis=0) for c in columns]) + stage["bias"]
        current, length = moved(current, apply_affine(maps, current), step, maps)
        lengths.append(length)
    return current.astype(np.float32), step_scores(lengths, curve)
