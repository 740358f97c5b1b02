"""Looking at a crop again, turned and sized about its middle, and laying what was found back on it.

Maps are (..., h, w): densities on the crop's grid at some stride.  For the estimator and the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array
from .geometry import about_middle, apply_affine, middle_of, resize_points

MOST_LOOKS = 64  #: at a crop
_KEPT_CELLS = 256 * 256  # of a map: where larger ones are laid back is not kept, which takes 64 bytes a cell


def looks(turns: Sequence[float], sizes: Sequence[float], size_hw: tuple[int, int]) -> Array:
    """(N, 2, 3) maps from a crop to each look: as it is, turned by so many degrees, and sized."""
    middle = middle_of(size_hw)
    turned = [about_middle(size_hw, degrees) for degrees in (0.0, *turns)]
    return np.stack(turned + [np.column_stack([s * np.eye(2), (1 - s) * middle]) for s in sizes])


def laid_back(maps: Array, matrix: ArrayLike, stride: int) -> Array:
    """Maps (..., h, w) of a look on the crop itself: read bilinearly, 0 beyond the edges of the look.

    Densities, so that a look that shows things larger counts a px for more.
    """
    h, w = maps.shape[-2:]
    flat, key = maps.reshape(*maps.shape[:-2], h * w), np.asarray(matrix, float).tobytes()
    out = np.zeros(flat.shape)
    corners = _corners if h * w <= _KEPT_CELLS else _corners.__wrapped__
    for at, weight in corners((h, w), key, stride):
        out += flat[..., at] * weight
    return (out * abs(np.linalg.det(np.asarray(matrix)[:, :2]))).reshape(maps.shape)


@lru_cache(maxsize=MOST_LOOKS // 2)
def _corners(size_hw: tuple[int, int], matrix: bytes, stride: int) -> list[tuple[Array, Array]]:
    """The four cells of a look's map around each cell of the crop's: indices and weights (h w,)."""
    h, w = size_hw
    grid = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1).reshape(-1, 2)
    moved = apply_affine(np.frombuffer(matrix).reshape(2, 3), resize_points(grid, stride))
    xy = resize_points(moved, 1 / stride)
    low = np.floor(xy).astype(int)
    part, out = (xy - low).T, []
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = low[:, 0] + dx, low[:, 1] + dy
        weight = (part[0] if dx else 1 - part[0]) * (part[1] if dy else 1 - part[1])
        weight *= (x >= 0) & (x < w) & (y >= 0) & (y < h)
        out.append((y.clip(0, h - 1) * w + x.clip(0, w - 1), weight))
    return out


def mean_maps(look: Callable[[Array], Array], matrices: Array, stride: int) -> Array:
    """The mean of what ``look`` (a map of the crop -> score maps) gives, laid back; each of sum 1."""
    total = np.sum([laid_back(look(matrix), matrix, stride) for matrix in matrices], axis=0)
    mean: Array = total / np.maximum(total.sum(axis=(-2, -1), keepdims=True), 1e-12)
    return mean
