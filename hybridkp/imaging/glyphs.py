"""What a descriptor sees, drawn on the picture: its cells and what each says; maps with two signs.

As :mod:`.draw`: a picture comes in, a new (H, W, 3) BGR uint8 array goes out.  No descriptor
is computed here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError
from .draw import POINT_COLOR, RIGHT_COLOR, TRUTH_COLOR, WRONG_COLOR, canvas_of, draw_lines, stroke_unit


def draw_signed(image: Array, values: ArrayLike, *, strength: float = 0.8) -> Array:
    """A map with two signs laid over the picture: blue speaks for, orange against, nothing is clear.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
    values : (h, w); it covers the picture whatever its size.  NaN counts as 0.
    strength : opacity of the largest magnitude, 0..1
    """
    canvas = canvas_of(image)
    amount = np.nan_to_num(np.asarray(values, np.float32))
    if amount.ndim != 2:
        raise InputError(f"values must have shape (h, w), got {amount.shape}")
    top = float(np.abs(amount).max()) if amount.size else 0.0
    if top == 0:
        return canvas
    h, w = canvas.shape[:2]
    share = cv2.resize(amount / top, (w, h), interpolation=cv2.INTER_NEAREST)[..., None]
    color = np.where(share > 0, RIGHT_COLOR, WRONG_COLOR)
    opacity = strength * np.abs(share)
    return np.rint(canvas * (1 - opacity) + color * opacity).astype(np.uint8)


def draw_cells(
    image: Array, xy: ArrayLike, offsets: ArrayLike, side: float, rays: ArrayLike, angles: ArrayLike
) -> Array:
    """The cells of a descriptor around a point, and in each a ray for every direction.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
    xy : (2,) the point, px
    offsets : (C, 2) centres of the cells from the point, px
    side : of a cell, px
    rays : (C, n), not negative; the longest reaches the cell's border
    angles : (n,) degrees, clockwise on screen
    """
    canvas = canvas_of(image)
    centre = np.asarray(xy, float) + np.asarray(offsets, float).reshape(-1, 2)
    length = np.maximum(np.nan_to_num(np.asarray(rays, float)), 0)
    if length.shape != (len(centre), len(np.atleast_1d(angles))):
        raise InputError(
            f"{len(centre)} cells and {np.size(angles)} angles need as many rays, got {length.shape}"
        )
    unit, half = stroke_unit(canvas), side / 2
    corner = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    for first, second in zip(corner, np.roll(corner, -1, axis=0), strict=True):
        draw_lines(canvas, centre + first, centre + second, TRUTH_COLOR, 0.5 * unit)
    turn = np.radians(np.atleast_1d(angles))
    way = np.stack([np.cos(turn), np.sin(turn)], axis=-1) * length[..., None]
    way *= half / max(float(length.max()), 1e-12)
    start = np.repeat(centre, len(turn), axis=0)
    draw_lines(canvas, start, start + way.reshape(-1, 2), POINT_COLOR, unit)
    return canvas
