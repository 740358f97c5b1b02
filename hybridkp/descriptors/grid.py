"""Orientation histograms on a coarse grid over a whole crop: one row a picture.

Grey crops go in, rows come out.  NumPy and OpenCV only: an exported model runs from here.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..imaging.geometry import rescale, sample_bilinear
from ..structures import Array
from .gradients import orientation_maps

STEP, CELL = 8, 12  #: px of the resized crop: between cells, and a cell's side (they overlap)


def grid_rows(grey: Array, grid: int, n_orientations: int) -> Array:
    """(B, gh * gw * n_orientations) float32 of (B, H, W): histograms over their 3 x 3 neighbours' energy.

    ``grid`` cells lie along the crop's shorter side, which is resized to 8 px per cell first.
    """
    h, w = grey.shape[1:]
    gh, gw = (max(1, round(grid * side / min(h, w))) for side in (h, w))
    x, y = rescale(np.arange(gw), STEP), rescale(np.arange(gh), STEP)
    places = np.stack(np.meshgrid(x, y), axis=-1)
    method = cv2.INTER_AREA if min(h, w) > grid * STEP else cv2.INTER_LINEAR
    out = np.empty((len(grey), gh, gw, n_orientations), np.float32)
    for row, picture in zip(out, grey, strict=True):
        resized = cv2.resize(picture, (gw * STEP, gh * STEP), interpolation=method)
        maps = orientation_maps(resized.astype(np.float32), n_orientations, CELL, clip=None)
        cells = sample_bilinear(maps, places)
        energy = cv2.blur(np.linalg.norm(cells, axis=-1), (3, 3), borderType=cv2.BORDER_REPLICATE)
        row[:] = cells / (energy + np.float32(1.0))[..., None]
    return out.reshape(len(grey), -1)
