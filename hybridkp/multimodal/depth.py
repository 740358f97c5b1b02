"""Depth maps made whole, and what a surface looks like by them.

(H, W) mm, 0 = none.  No learning, no file.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..structures import Array

_SMOOTH = 1.0  #: px, sigma before slopes are taken


def fill_holes(depth: Array) -> Array:
    """(H, W) float32: each pixel without a value has that of the nearest pixel with one.

    The nearest, not a mean: at the rim of an object a mean is the depth of nothing.  Without any value
    all stays 0.

    >>> fill_holes(np.array([[0, 0, 800, 0, 0, 0, 0, 900]]))
    array([[800., 800., 800., 800., 800., 900., 900., 900.]], dtype=float32)
    """
    out = np.array(depth, np.float32)
    empty = ~(out > 0)
    if not empty.any() or empty.all():
        return out
    _, labels = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    value_of = np.zeros(int(labels.max()) + 1, np.float32)
    value_of[labels[~empty]] = out[~empty]
    filled: Array = value_of[labels]
    return filled


def slopes(whole: Array) -> Array:
    """(H, W, 2) float32: mm by which a whole depth map rises per px, along x and along y."""
    soft = cv2.GaussianBlur(whole, (0, 0), _SMOOTH, borderType=cv2.BORDER_REPLICATE)
    border = cv2.BORDER_REPLICATE
    return np.stack(
        [
            cv2.Sobel(soft, cv2.CV_32F, *way, ksize=1, scale=0.5, borderType=border)
            for way in ((1, 0), (0, 1))
        ],
        -1,
    )


def tilts(slope: Array, steep: float) -> Array:
    """(H, W, 2) float32 in -1..1 and 0..1: how far a surface faces up or down, and how far the viewer.

    Two parts of the unit normal (-dx, -dy, s) of a surface whose ``steep`` slope s, mm per px, is 45 degrees.
    Both mean the same in the mirror; the third, left or right, would not.
    """
    s = max(steep, 1e-6)
    length = np.sqrt((slope**2).sum(-1) + s * s)
    return np.stack([-slope[..., 1] / length, s / length], -1)
