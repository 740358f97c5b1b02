"""The mean-shape frame: each picture warped so that its current shape lies on the mean shape.

In the frame all objects have one size and one angle, so that a local expert or a regressor sees
less variation.  Crops (H, W) and shapes (B, K, 2) pass through.  NumPy and OpenCV only.
"""

from __future__ import annotations

import numpy as np

from ..imaging.geometry import compose, resize_matrix, scale_of, similarity, warp
from ..structures import Array

MAX_ZOOM = 2.0  #: a start shape may be taken to be at most this much smaller or larger than it says


def frame_size(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """(h, w) of the frame at ``scale`` times the crop's resolution; at least 8 px a side."""
    h, w = size_hw
    return max(8, round(h * scale)), max(8, round(w * scale))


def frame_maps(xy: Array, mean: Array, scale: float) -> Array:
    """(B, 2, 3) maps from crop to frame for current shapes (B, K, 2) and a mean shape (K, 2).

    The frame is the crop in which the mean shape was measured, resized by ``scale``.  With one
    point the map only shifts; a collapsed shape is not zoomed by more than ``MAX_ZOOM``.
    """
    pose = similarity(xy, np.broadcast_to(mean, xy.shape))
    size = scale_of(pose)
    zoom = np.clip(size, 1 / MAX_ZOOM, MAX_ZOOM) / np.maximum(size, 1e-9)
    centre = xy.mean(axis=1)  # stays where it was
    landed = np.einsum("bij,bj->bi", pose[:, :, :2], centre) + pose[:, :, 2]
    pose[:, :, :2] *= zoom[:, None, None]
    pose[:, :, 2] = landed - np.einsum("bij,bj->bi", pose[:, :, :2], centre)
    return compose(resize_matrix(scale), pose)


def to_frame(grey: Array, matrix: Array, size_hw: tuple[int, int]) -> Array:
    """One grey crop (H, W) seen in its frame, (h, w) of its dtype.

    Of a float32 crop no grey level is rounded: what is found there moves with the frame and never jumps.
    """
    return warp(grey, matrix, size_hw)
