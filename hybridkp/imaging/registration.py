"""Depth of one camera as another one beside it would see it.

Two pinhole cameras that look the same way, apart by a translation.  (h, w) mm come in, (H, W) mm go out; 0 is
no value.  No files, no learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..structures import Array, InputError

_OFF_MIDDLE = 0.2  #: of a side, by which a principal point lies off the middle at most


class Pinhole(NamedTuple):
    """Focal length and principal point, px."""

    f: float
    cx: float
    cy: float

    def check_size(self, size_hw: tuple[int, int], name: str) -> None:
        """:class:`InputError` for pictures of a size in whose middle the principal point does not lie."""
        off = [abs(at / side - 0.5) for at, side in zip((self.cy, self.cx), size_hw, strict=True)]
        if max(off) > _OFF_MIDDLE:
            raise InputError(
                f"{name}: is {size_hw[1]} x {size_hw[0]} px, but the middle of its camera is at"
                f" ({self.cx:g}, {self.cy:g}): give cameras.json for pictures of this size"
            )


def register_depth(
    depth: Array, own: Pinhole, other: Pinhole, translation_m: Sequence[float], size_hw: tuple[int, int]
) -> Array:
    """``depth`` (h, w) mm of the camera ``own`` in the pixels (H, W) of the camera ``other``, in its dtype.

    Every value is a point in space, moved by ``translation_m`` and projected; each fills the pixel that it
    falls on and, where the other camera's pixels are smaller, those up to the next.  Of two the nearer stays.
    Where nothing falls is 0.

    >>> camera = Pinhole(100.0, 1.5, 1.0)
    >>> register_depth(np.full((3, 4), 1000, np.uint16), camera, camera, (0.01, 0.0, 0.0), (3, 4))[0]
    array([   0, 1000, 1000, 1000], dtype=uint16)
    """
    values = np.asarray(depth, float)
    v, u = np.nonzero(values > 0)
    z = values[v, u] / 1000
    x = (u - own.cx) * z / own.f + translation_m[0]
    y = (v - own.cy) * z / own.f + translation_m[1]
    z = z + translation_m[2]
    ahead = z > 1e-6
    x, y, z = x[ahead], y[ahead], z[ahead]
    at_x, at_y = other.f * x / z + other.cx, other.f * y / z + other.cy
    nearest = np.full(size_hw, np.inf)
    half = 0.5 * other.f / own.f  # of a pixel of ours, in theirs
    reach = max(0, int(np.ceil(half - 0.5)))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            column, row = np.floor(at_x + dx + 0.5).astype(int), np.floor(at_y + dy + 0.5).astype(int)
            hit = (np.abs(column - at_x) <= max(half, 0.5)) & (np.abs(row - at_y) <= max(half, 0.5))
            hit &= (column >= 0) & (column < size_hw[1]) & (row >= 0) & (row < size_hw[0])
            np.minimum.at(nearest, (row[hit], column[hit]), z[hit])
    mm = np.where(np.isfinite(nearest), nearest * 1000, 0)
    if np.issubdtype(depth.dtype, np.integer):
        return np.clip(np.rint(mm), 0, np.iinfo(depth.dtype).max).astype(depth.dtype)
    return mm.astype(depth.dtype)


def checked_cameras(values: object, where: str) -> tuple[float, ...]:
    """(9,) of own f, cx, cy, the other's, and the translation; :class:`InputError` for what cannot be."""
    try:
        numbers = tuple(map(float, values))  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) != 9 or not np.isfinite(numbers).all() or numbers[0] <= 0 or numbers[3] <= 0:
        what = "f, cx, cy each, f above 0, and a translation of three numbers"
        raise InputError(f"{where}: the depth and the colour camera need {what}")
    return numbers
