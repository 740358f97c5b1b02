"""What a crop looks like, as it is and once its points are laid over the mean shape: rows for a linear rule.

NumPy and OpenCV only: an exported model runs from here.  One grey crop (H, W) and its points (K, 2) come in,
a row (D,) goes out.
"""

from __future__ import annotations

import numpy as np

from ..imaging.geometry import middle_of, rescale
from ..stats.calibration import logit
from ..structures import Array
from .fast_descent import ShapeFrame, as_complex, channel_maps, warp_frame

FRAME_PX = 64  #: longer side of the frame that the crop is laid in
CELL_PX = 8  #: of its maps, which are half as large
WHOLE_PX = 40  #: longer side of the frame that shows all of the crop, only turned
WHOLE_CELL_PX = 5
N_ORIENTATIONS = 8
N_FACTS = 5  #: numbers of a row that are no cells


def frame_scale(size_hw: tuple[int, int], side: int = FRAME_PX) -> float:
    """Px of a frame of that longer side per px of a crop."""
    return side / max(size_hw)


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
    z = _places(xy, mean)
    size = np.log(abs(shape.turn(z)))
    shift = abs(z.mean() - shape.centre) / (max(grey.shape) / 2)
    odds = logit(np.asarray(score, float))
    facts = [size, size**2, shift**2, odds.mean(), odds.min()]
    return np.concatenate([_cells(grey, *shape.frame_pose(z, scale), scale, CELL_PX), facts])


def whole_row(grey: Array, xy: Array, mean: Array) -> Array:
    """(D,) float64: roots of gradient channels of the whole crop, turned about its middle as its points are.

    Wherever points are taken to be, it shows where the object is and how large; where the points are bad,
    it still shows that there is one.
    """
    scale = frame_scale(grey.shape, WHOLE_PX)  # type: ignore[arg-type]
    turn = ShapeFrame.of(mean).turn(_places(xy, mean))
    a = scale * abs(turn) / turn
    middle, landed = middles(grey.shape, scale)  # type: ignore[arg-type]
    return _cells(grey, a, landed - a * middle, scale, WHOLE_CELL_PX)


def middles(size_hw: tuple[int, int], scale: float) -> tuple[complex, complex]:
    """The middle of a crop, and of its frame."""
    middle = complex(*middle_of(size_hw))
    return middle, complex(rescale(middle.real, scale), rescale(middle.imag, scale))


def _places(xy: Array, mean: Array) -> Array:
    """(K,) complex; a point that is NaN is at its mean place."""
    return as_complex(np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, mean))


def _cells(grey: Array, a: complex, b: complex, scale: float, cell: int) -> Array:
    ((channels, _),) = channel_maps(warp_frame(grey, a, b, scale), N_ORIENTATIONS, (cell / 2,))
    cells: Array = np.sqrt(channels[cell // 2 :: cell, cell // 2 :: cell].ravel()).astype(float)
    return cells
