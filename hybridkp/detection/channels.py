"""Gradient channels of a whole picture, averaged over cells: what window finders look at.

NumPy and OpenCV only; nothing is learned.  A level (h, w[, 3]) comes in, cells (H, W, C) go out.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..imaging.images import to_grey
from ..structures import Array, Parameters

LOBE = 0.5  #: cosine of the angle to its direction at which a channel fades to 0
CONTRAST_CELLS = 5  #: side of the window, in cells, whose mean gradient normalises the channels
NOISE = 4.0  #: grey levels per px of the 2 px central difference; weaker gradients fade to 0
COLOR_RANGE = 64.0  #: grey levels that a colour channel counts as one


@lru_cache(maxsize=16)
def directions(n: int) -> Array:
    """(3, n + 1) float32: what (gx, gy, magnitude) are multiplied with; the last is the magnitude itself."""
    angle = 2 * np.pi * np.arange(n) / n
    lobes = np.stack([np.cos(angle), np.sin(angle), np.full(n, -LOBE)]) / (1 - LOBE)
    return np.column_stack([lobes, [0, 0, 1]]).astype(np.float32)


class Cells(Parameters):
    """Oriented gradients, averaged over square cells: HOG's votes without its blocks, as ACF has them.

    Parameters
    ----------
    cell_px : side of a cell, px of the level
    n_orientations : directions over the full turn
    color : also the mean of blue, green and red, each relative to the picture's mean

    Notes
    -----
    The gradient is divided by its mean magnitude around, rectified along each direction, averaged over the
    cell, and its root is taken.  Departures from Dalal & Triggs (2005): cells are normalised by the
    contrast around them and not by overlapping blocks; directions over 360 degrees.  From Dollár et al.
    (Fast feature pyramids for object detection, TPAMI 36(8), 2014): no smoothing before and after.

    Examples
    --------
    >>> Cells().cells(np.zeros((42, 64), np.uint8)).shape
    (10, 16, 9)
    """

    def __init__(self, cell_px: int = 4, n_orientations: int = 8, color: bool = False) -> None:
        self.cell_px = cell_px
        self.n_orientations = n_orientations
        self.color = color

    @property
    def n_channels(self) -> int:
        return self.n_orientations + 1 + 3 * bool(self.color)

    def cells(self, level: Array) -> Array:
        """(h // cell_px, w // cell_px, n_channels) float32 of (h, w[, 3]) uint8; 0 where it is blank."""
        n = self.cell_px
        h, w = level.shape[0] // n * n, level.shape[1] // n * n
        level, size, border = level[:h, :w], (w // n, h // n), cv2.BORDER_REPLICATE
        grey = to_grey(level)
        gx = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1, borderType=border)
        gy = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1, borderType=border)
        magnitude = np.sqrt(gx * gx + gy * gy)  # cv2.magnitude's last bit depends on where the arrays lie
        planes = cv2.merge([gx, gy, magnitude]).reshape(-1, 3) @ directions(self.n_orientations)
        np.maximum(planes, 0, out=planes)
        planes = planes.reshape(h, w, -1)
        # an average over whole cells, one axis at a time: quicker than a general resize of many channels
        rows = planes.reshape(h // n, n, -1).sum(1, dtype=np.float32)
        out = rows.reshape(h // n, w // n, n, -1).sum(2, dtype=np.float32) / np.float32(n * n)
        side = (CONTRAST_CELLS, CONTRAST_CELLS)
        contrast = cv2.blur(np.ascontiguousarray(out[..., -1]), side, borderType=border) + np.float32(NOISE)
        out = np.sqrt(out / contrast[..., None])
        if not self.color:
            return out
        bgr = level if level.ndim == 3 else np.repeat(level[..., None], 3, 2)
        small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        shade = (small - small.mean((0, 1))) / np.float32(COLOR_RANGE)
        return np.concatenate([out, shade], 2)
