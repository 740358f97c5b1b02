"""Rows that describe a whole crop: orientation histograms, or gradient channels, on a grid that covers it.

Grey crops go in, rows come out.  NumPy and OpenCV only: an exported model runs from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..descriptors.grid import grid_rows
from ..structures import Array
from .fast_descent import grid_channels


def channel_rows(grey: Array, grid: int, n_orientations: int) -> Array:
    """(B, gh * gw * n_orientations) float32 of (B, H, W): :func:`.fast_descent.grid_channels` of each."""
    return np.stack([grid_channels(picture, grid, n_orientations) for picture in grey])


#: what :class:`.HolisticRegressor` can see: grey crops (B, H, W), cells, directions -> rows (B, D)
FEATURES: Mapping[str, Callable[[Array, int, int], Array]] = {"hog": grid_rows, "channels": channel_rows}
