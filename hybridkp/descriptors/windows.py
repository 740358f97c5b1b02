"""What of a picture a set of points can see, as one picture: the least that must be worked through.

Square windows go in, a strip that holds them all comes out.  Outside the picture its border pixel
repeats.  Never here: what is computed in the strip.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..structures import Array


def window_strip(image: Array, corner: Array, side: int) -> tuple[Array, Array]:
    """A picture that holds the ``side`` x ``side`` windows, and their corners in it.

    Either the box around all windows (a view where possible) or, where that is fewer pixels, the
    windows themselves side by side.

    Parameters
    ----------
    image : (H, W)
    corner : (N, 2) int32, x and y of each window's first pixel, N >= 1
        Anywhere; a window that sees nothing of the picture is moved to where it just does not.

    Returns
    -------
    strip : (H', W') of the picture's dtype
    corner : (N, 2) int in the strip
    """
    h, w = image.shape
    x, y, columns, rows = _box(corner, side)
    if x < -side or y < -side or x + columns > w + side or y + rows > h + side:
        corner = np.clip(corner, -side, np.array([w, h], np.int32))
        x, y, columns, rows = _box(corner, side)
    apart = len(corner) * side**2 < columns * rows
    if apart and x >= 0 and y >= 0 and x + columns <= w and y + rows <= h:
        return _side_by_side(image, corner, side)
    part, corner = cut_part(image, x, y, columns, rows), corner - (x, y)
    return _side_by_side(part, corner, side) if apart else (part, corner)


def _box(corner: Array, side: int) -> tuple[int, int, int, int]:
    """x, y, columns and rows of the box around all windows."""
    x, y, columns, rows = cv2.boundingRect(corner)
    return x, y, columns + side - 1, rows + side - 1


def _side_by_side(image: Array, corner: Array, side: int) -> tuple[Array, Array]:
    # one wide picture: OpenCV's filters spend a fixed time on every row
    flat, width = np.ascontiguousarray(image).reshape(-1), image.shape[1]
    runs = np.ndarray((len(flat) - side + 1, side), flat.dtype, flat, 0, flat.strides * 2)
    first = corner[:, 0] + corner[:, 1].astype(np.intp) * width
    strip = runs[first + np.arange(0, side * width, width)[:, None]].reshape(side, -1)
    corner = np.zeros_like(corner)
    corner[:, 0] = np.arange(0, strip.shape[1], side)
    return strip, corner


def cut_part(image: Array, x: int, y: int, columns: int, rows: int) -> Array:
    """``rows`` x ``columns`` px from (x, y) on; outside, the border pixel repeats."""
    h, w = image.shape
    if x >= 0 and y >= 0 and x + columns <= w and y + rows <= h:
        return image[y : y + rows, x : x + columns]
    row = np.clip(np.arange(y, y + rows), 0, h - 1)
    return image[row].take(np.clip(np.arange(x, x + columns), 0, w - 1), axis=1)
