"""Detectors in a row, each further one asked about the crop laid on a mean shape by the points before.

:class:`..realigned.Realigned`, for the estimator and the runtime, with NumPy and OpenCV alone.
"""

from __future__ import annotations

import numpy as np

from ...imaging.geometry import apply_affine, invert_affine, scale_of, similarity, warp
from ...runtime.nodes import Node, Run, build
from ...runtime.values import array
from ...structures import Array

MOST_SCALE = 4.0  #: points that are laid larger or smaller by more than this have failed: the crop stays


def laid_on(mean: Array, xy: Array) -> Array:
    """(B, 2, 3) similarities that lay points (B, K, 2), NaN = not there, on a mean shape (K, 2)."""
    maps = similarity(xy, mean)
    scale = scale_of(maps)
    maps[~((scale * MOST_SCALE > 1) & (scale < MOST_SCALE))] = np.eye(2, 3)
    return maps


def make(node: Node, engine: str) -> Run:
    first, *others = (build(member, engine) for member in node["members"])
    mean = array(node["mean"], -1, 2)

    def run(picture: Array) -> tuple[Array, Array]:
        xy, score = first(picture)
        if xy.shape != mean.shape:
            raise ValueError(f"{len(xy)} points, and a mean shape of {len(mean)}")
        for other in others:
            laid = laid_on(mean, xy[None])[0]
            xy, score = other(warp(picture, laid, picture.shape[:2]))
            xy = apply_affine(invert_affine(laid), xy).astype(np.float32)
        return xy, score

    return run
