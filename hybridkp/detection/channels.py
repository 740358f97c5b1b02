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
STRIP = 8  #: rows of cells that are made at once, so that they stay in the processor's cache
COLOR_RANGE = 64.0  #: grey levels that a colour channel counts as one


@lru_cache(maxsize=16)
def directions(n: int) -> Array:
    """(n + 1, 3) float32: what (gx, gy, magnitude) are multiplied with; the last is the magnitude itself."""
    angle = 2 * np.pi * np.arange(n) / n
    lobes = np.stack([np.cos(angle), np.sin(angle), np.full(n, -LOBE)]) / (1 - LOBE)
    return np.ascontiguousarray(np.column_stack([lobes, [0, 0, 1]]).T, np.float32)


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
        planes = np.empty((self.n_orientations + 1, h // n, w // n), np.float32)
        for y in range(0, h // n, STRIP):
            rows = slice(y * n, (y + STRIP) * n)
            planes[:, y : y + STRIP] = self._averaged(gx[rows], gy[rows])
        contrast = cv2.blur(planes[-1], (CONTRAST_CELLS, CONTRAST_CELLS), borderType=border)
        contrast += np.float32(NOISE)
        out = np.ascontiguousarray(np.moveaxis(np.sqrt(planes / contrast), 0, 2))
        if not self.color:
            return out
        bgr = level if level.ndim == 3 else np.repeat(level[..., None], 3, 2)
        small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        shade = (small - small.mean((0, 1))) / np.float32(COLOR_RANGE)
        return np.concatenate([out, shade], 2)

    def _averaged(self, gx: Array, gy: Array) -> Array:
        """(n_channels, rows, columns) of the gradient of whole cells, not yet divided by the contrast."""
        n, (h, w) = self.cell_px, gx.shape
        magnitude = np.sqrt(gx * gx + gy * gy)  # cv2.magnitude's last bit depends on where the arrays lie
        planes = directions(self.n_orientations) @ np.stack([gx, gy, magnitude]).reshape(3, -1)
        cv2.threshold(planes, 0, 0, cv2.THRESH_TOZERO, dst=planes)  # np.maximum takes eight times as long
        rows = np.add.reduce(planes.reshape(-1, h // n, n, w), axis=2)
        return np.asarray(rows.reshape(-1, n) @ np.full(n, 1 / n**2, np.float32)).reshape(-1, h // n, w // n)
