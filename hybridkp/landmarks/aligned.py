"""What a crop looks like once the points found in it are laid over the mean shape: rows for a linear rule.

NumPy and OpenCV only: an exported model runs from here.  One grey crop (H, W) and its points (K, 2) come in,
a row (D,) goes out.
"""

from __future__ import annotations

import numpy as np

from ..stats.calibration import logit
from ..structures import Array
from .fast_descent import ShapeFrame, as_complex, channel_maps, warp_frame

FRAME_PX = 64  #: longer side of the frame that the crop is laid in
CELL_PX = 8
N_ORIENTATIONS = 8
N_FACTS = 5  #: numbers of a row that are no cells


def frame_scale(size_hw: tuple[int, int]) -> float:
    """Px of the frame per px of a crop."""
    return FRAME_PX / max(size_hw)


def aligned_row(grey: Array, xy: Array, score: Array, mean: Array) -> Array:
    """(D,) float64: roots of gradient channels on a grid of the frame, then :data:`N_FACTS` numbers.

    Parameters
    ----------
    grey : (H, W) uint8
    xy : (K, 2), crop px; a point that is NaN is taken to be at its mean place
    score : (K,) in 0..1
    mean : (K, 2) mean shape, crop px

    Notes
    -----
    The numbers are the log of the size that the points have by the mean shape's, its square, the squared
    distance between their centres in halves of the crop's longer side, and the mean and the least log-odds
    of the scores.  How the points are turned is no part of it: an object is as present upside down.
    """
    shape, scale = ShapeFrame.of(mean), frame_scale(grey.shape)  # type: ignore[arg-type]
    z = as_complex(np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, mean))
    frame = warp_frame(grey, *shape.frame_pose(z, scale), scale)
    ((channels, _),) = channel_maps(frame, N_ORIENTATIONS, (CELL_PX / 2,))
    cells = np.sqrt(channels[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX].ravel())
    size = np.log(abs(shape.turn(z)))
    shift = abs(z.mean() - shape.centre) / (max(grey.shape) / 2)
    odds = logit(np.asarray(score, float))
    return np.concatenate([cells.astype(float), [size, size**2, shift**2, odds.mean(), odds.min()]])
