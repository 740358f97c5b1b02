"""SURF's orientation and rows at given points: Haar wavelets read from one integral image.

Points go in with their scale s (px) and angle, in px of the picture behind the integral image;
all arithmetic is vectorised over blocks of points.  Never here: detection (``_surf_hessian.py``),
parameters and checks (``surf.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..structures import Array
from ._surf_hessian import integral

_SIDE = 20  # samples along the window of 20 s
_CELLS = 4  # subregions along the window
#: Gaussian over the window, in s, fitted to the rows of the authors' program (the paper: 3.3)
_WINDOW_SIGMA = 12.0
#: half-width of a wavelet of a row, in s, fitted likewise (the paper: 1)
_ROW_WAVELET = 1.35
_RING = 6  # radius in s of the circle that votes on the orientation
_RING_SIGMA = 2.5  # in s, and the half-width of the wavelets there: fitted (the paper: 2 and 2)
_RING_WAVELET = 2.35
_BINS = 72  # of 5 degrees; the window of 60 degrees slides by one
_WIDEST = 1024  # px; wider wavelets are cut to this, so that int32 sums suffice
_BLOCK = 64  # points at a time: their samples stay in the cache


class Wavelets:
    """First-order Haar wavelets of any size at any place of one grey picture.

    A wavelet of half-width r covers the 2 r + 1 px around its pixel; beyond the border the
    picture goes on with the border's pixels.

    Parameters
    ----------
    grey : (H, W) uint8 or float32 in 0..255
    half : (N,) int
        The half-widths that will be asked for.
    n_samples : int
        How many places per half-width will be asked for.  Where all have one width and outnumber
        the pixels, the wavelets are computed once per pixel; the answers are the same.
    """

    def __init__(self, grey: Array, half: Array, n_samples: int):
        self.limit = min(max(grey.shape), _WIDEST)  # a wider wavelet sees nothing new
        widest = min(int(half.max(initial=1)), self.limit)
        self.size_hw, self.pad = grey.shape, 2 * widest + 2
        pad = self.pad
        self.table = integral(cv2.copyMakeBorder(grey, pad, pad, pad, pad, cv2.BORDER_REPLICATE))
        self.dense: tuple[Array, Array] | None = None
        if len(half) * n_samples > grey.size and half.min() == half.max():
            self.dense = self._everywhere(widest)

    def __call__(self, x: Array, y: Array, half: Array) -> tuple[Array, Array]:
        """Right minus left and lower minus upper half, per px, (N, S) float32 at (N, S) places."""
        h, w = self.size_hw
        half = np.minimum(half, self.limit)[:, None]
        # half + 1 px outside nothing changes any more
        low = (-half - 1).astype(np.float32)
        row = np.rint(y).clip(low, (h + half).astype(np.float32)).astype(np.intp)
        column = np.rint(x).clip(low, (w + half).astype(np.float32)).astype(np.intp)
        if self.dense is not None:
            stride, edge = self.dense[0].shape[1], int(half[0, 0]) + 1
        else:
            stride, edge = self.table.shape[1], self.pad
        place = row * stride
        place += column
        place += edge * (stride + 1)
        if self.dense is not None:
            return self.dense[0].take(place, mode="clip"), self.dense[1].take(place, mode="clip")

        def at(dy: Array | int, dx: Array | int) -> Array:
            return self.table.take(place + (dy * stride + dx), mode="clip")

        return _haar(at, half)

    def _everywhere(self, half: int) -> tuple[Array, Array]:
        """Both wavelets at every pixel, and half + 1 px around the picture."""
        first = self.pad - half - 1
        rows, columns = (side + 2 * half + 2 for side in self.size_hw)

        def at(dy: int, dx: int) -> Array:
            return self.table[first + dy : first + dy + rows, first + dx : first + dx + columns]

        return _haar(at, half)


def _haar(at: Callable[[Any, Any], Array], half: Any) -> tuple[Array, Array]:
    """Both wavelets from ``at(dy, dx)``, the integral image relative to the wavelet's pixel.

    The pixel's own column (row) has weight zero.
    """
    near, far = -half, half + 1
    top_left, top_right = at(near, near), at(near, far)
    low_left, low_right = at(far, near), at(far, far)
    gx = low_right - top_right - at(far, 1) + at(near, 1)
    gx -= at(far, 0) - at(near, 0) - low_left + top_left
    gy = low_right - low_left - at(1, far) + at(1, near)
    gy -= at(0, far) - at(0, near) - top_right + top_left
    norm = np.float32(1) / np.asarray(half * (2 * half + 1), np.float32)
    return gx.astype(np.float32) * norm, gy.astype(np.float32) * norm


def wavelet_half(scale: Array, factor: float) -> Array:
    """(N,) int half-width of the wavelets for scale s, at least 1 px."""
    return np.maximum(np.rint(factor * np.minimum(scale, 1e6)), 1).astype(np.intp)


def orientations(grey: Array, xy: Array, scale: Array) -> Array:
    """Dominant direction (N,) float32 degrees in [0, 360), clockwise as on screen.

    The sector of 60 degrees whose wavelet responses have the longest sum, Gaussian-weighted, in a
    circle of 6 s; the direction is that of the sum.  A blank neighbourhood gives 0.
    """
    n = len(xy)
    half = wavelet_half(scale, _RING_WAVELET)
    dx, dy, weight = _ring()
    haar = Wavelets(grey, half, len(dx))
    out = np.zeros(n, np.float32)
    places = xy.astype(np.float32)
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        s = scale[block, None].astype(np.float32)
        x, y = places[block, :1] + s * dx, places[block, 1:] + s * dy
        gx, gy = haar(x, y, half[block])
        out[block] = _dominant(gx * weight, gy * weight)
    return out


def _dominant(gx: Array, gy: Array) -> Array:
    n = len(gx)
    bins = np.floor(np.arctan2(gy, gx) * (_BINS / (2 * np.pi))).astype(np.intp) % _BINS
    bins += _BINS * np.arange(n)[:, None]
    width = _BINS // 6
    sums = []
    for g in (gx, gy):
        votes = np.bincount(bins.ravel(), g.ravel(), n * _BINS).reshape(n, _BINS)
        total = np.cumsum(np.concatenate([votes, votes[:, :width]], axis=1), axis=1)
        total = np.concatenate([np.zeros((n, 1)), total], axis=1)
        sums.append(total[:, width : width + _BINS] - total[:, :_BINS])
    best = np.argmax(sums[0] ** 2 + sums[1] ** 2, axis=1)
    row = np.arange(n)
    angle = np.rad2deg(np.arctan2(sums[1][row, best], sums[0][row, best]))
    return (angle % 360.0).astype(np.float32) % np.float32(360)


def rows(grey: Array, xy: Array, scale: Array, angle: Array, extended: bool) -> Array:
    """Unit rows (N, 64 or 128) float32; a blank neighbourhood gives a zero row.

    Per subregion, row by row: sum dx, sum dy, sum abs(dx), sum abs(dy); the extended row keeps
    those of dx apart for dy < 0 and dy >= 0, and those of dy by the sign of dx.
    """
    n = len(xy)
    half = wavelet_half(scale, _ROW_WAVELET)
    u, v, pool = _window()
    haar = Wavelets(grey, half, len(u))
    out = np.empty((n, _CELLS * _CELLS, 8 if extended else 4), np.float32)
    turn = np.deg2rad(angle.astype(np.float64))
    cos, sin = np.cos(turn)[:, None].astype(np.float32), np.sin(turn)[:, None].astype(np.float32)
    places = xy.astype(np.float32)
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        c, s, size = cos[block], sin[block], scale[block, None].astype(np.float32)
        x = places[block, :1] + size * (c * u - s * v)
        y = places[block, 1:] + size * (s * u + c * v)
        gx, gy = haar(x, y, half[block])
        dx, dy = c * gx + s * gy, c * gy - s * gx
        for column, part in enumerate(_parts(dx, dy, extended)):
            out[block, :, column] = part @ pool
    flat = out.reshape(n, out.shape[1] * out.shape[2])
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _parts(dx: Array, dy: Array, extended: bool) -> list[Array]:
    if not extended:
        return [dx, dy, np.abs(dx), np.abs(dy)]
    up, left = dy < 0, dx < 0
    out = []
    for d, mask in ((dx, up), (dy, left)):
        one = np.where(mask, d, np.float32(0))
        other = d - one
        out += [one, np.abs(one), other, np.abs(other)]
    return out


@lru_cache(maxsize=1)
def _window() -> tuple[Array, Array, Array]:
    """Sample places (S,), (S,) in s, and the (S, 16) weights with which samples enter subregions.

    A sample is shared between the nearest subregions in proportion to its closeness to their
    centres, so that rows change smoothly with the point.
    """
    line = np.arange(_SIDE) - (_SIDE - 1) / 2
    v, u = (a.ravel() for a in np.meshgrid(line, line, indexing="ij"))
    per_cell = _SIDE / _CELLS
    centre = (np.arange(_CELLS) - (_CELLS - 1) / 2) * per_cell
    share_u = np.maximum(0, 1 - np.abs(u[:, None] - centre) / per_cell)
    share_v = np.maximum(0, 1 - np.abs(v[:, None] - centre) / per_cell)
    weight = np.exp(-(u**2 + v**2) / (2 * _WINDOW_SIGMA**2))
    pool = weight[:, None, None] * share_v[:, :, None] * share_u[:, None, :]
    return u.astype(np.float32), v.astype(np.float32), pool.reshape(len(u), -1).astype(np.float32)


@lru_cache(maxsize=1)
def _ring() -> tuple[Array, Array, Array]:
    line = np.arange(-_RING, _RING + 1, dtype=np.float32)
    dy, dx = (a.ravel() for a in np.meshgrid(line, line, indexing="ij"))
    inside = dx**2 + dy**2 <= _RING**2
    dx, dy = dx[inside], dy[inside]
    return dx, dy, np.exp(-(dx**2 + dy**2) / (2 * _RING_SIGMA**2)).astype(np.float32)
