"""SURF's interest points: the determinant of a box-filter Hessian over octaves, and its maxima.

Everything is computed densely on the sampling grid from one integral image, layer by layer;
the only Python loops run over octaves and layers.  Never here: orientation and rows
(``_surf_rows.py``), parameters and checks (``surf.py``).
"""

from __future__ import annotations

import cv2
import numpy as np

from ..structures import Array

#: (0.6)^2: relative weight of the mixed derivative.  The paper's 0.9 goes with mixed lobes of the
#: size of the others; the authors' program has larger ones, see :func:`hessian`.
MIXED_WEIGHT = 0.36
_MOVE = 0.6  # grid steps; a maximum further off belongs to the neighbouring sample
_FAR = 1.5  # grid steps; a fit further off is no fit
_MAX_MOVES = 5


def integral(grey: Array) -> Array:
    """(H + 1, W + 1) sums over all pixels above and left: int32 of uint8, else float64.

    Sums of int32 wrap around in pictures over 8 megapixels; sums of *boxes*, which is all that is
    ever used, stay exact while they are less than 2^31.
    """
    if grey.dtype == np.uint8:
        return cv2.integral(grey, sdepth=cv2.CV_32S)
    return cv2.integral(grey, sdepth=cv2.CV_64F)


def lobes(octave: int, n_layers: int) -> Array:
    """(n_layers + 2,) int, lobe lengths in px: 3, 5, 7, ...; 7, 11, 15, ...; 15, 23, 31, ..."""
    return (4 << octave) - 1 + (2 << octave) * np.arange(n_layers + 2)


def scale_of_lobe(lobe: Array, octave: int) -> Array:
    """Scale s, in px, of a (fractional) lobe: s = 1.2 for the 9 px filter (lobe 3)."""
    return 0.4 * (lobe + (1 << octave) - 1)


class _Boxes:
    """Sums of boxes round every sample of a grid of the integral image."""

    def __init__(self, table: Array, first: int, count_hw: tuple[int, int], step: int):
        self._phases: dict[tuple[int, int], Array] = {}
        self._table, self._first, self._count, self._step = table, first, count_hw, step

    def _corner(self, dy: int, dx: int) -> Array:
        """The integral image at offset (dy, dx) from every sample; rows are contiguous."""
        y, x, step = self._first + dy, self._first + dx, self._step
        key = y % step, x % step
        if key not in self._phases:
            self._phases[key] = np.ascontiguousarray(self._table[key[0] :: step, key[1] :: step])
        rows, columns = self._count
        return self._phases[key][y // step : y // step + rows, x // step : x // step + columns]

    def sum(self, top: int, bottom: int, left: int, right: int) -> Array:
        """Pixels top..bottom, left..right (inclusive, relative to the sample)."""
        out = self._corner(bottom + 1, right + 1) - self._corner(top, right + 1)
        out -= self._corner(bottom + 1, left)
        out += self._corner(top, left)
        return out


def hessian(boxes: _Boxes, lobe: int) -> tuple[Array, Array]:
    """Determinant (float32) and "trace > 0" of the area-normalised Hessian, on the grid of ``boxes``.

    The pure second derivatives are three lobes of ``lobe`` x ``2 lobe - 1`` px weighted 1, -2, 1;
    the mixed one is four squares of side ``3 (lobe - 1) / 2`` round the sample's row and column.
    """
    far, near, wide = 3 * lobe // 2, lobe // 2, lobe - 1
    area = np.float32(1.0 / (9 * lobe * lobe))
    dyy = boxes.sum(-far, far, -wide, wide)
    dyy -= 3 * boxes.sum(-near, near, -wide, wide)
    dxx = boxes.sum(-wide, wide, -far, far)
    dxx -= 3 * boxes.sum(-wide, wide, -near, near)
    m = 3 * (lobe - 1) // 2
    dxy = boxes.sum(-m, -1, -m, -1)
    dxy += boxes.sum(1, m, 1, m)
    dxy -= boxes.sum(-m, -1, 1, m)
    dxy -= boxes.sum(1, m, -m, -1)
    xx, yy = dxx.astype(np.float32) * area, dyy.astype(np.float32) * area
    xy = dxy.astype(np.float32) * (area * np.float32(MIXED_WEIGHT**0.5))
    return xx * yy - xy * xy, xx + yy > 0


def octave_maxima(
    table: Array, octave: int, n_layers: int, step: int, threshold: float
) -> dict[str, Array] | None:
    """Maxima of one octave, or None when the picture is too small for its filters.

    Returns columns ``xy`` (N, 2), ``scale``, ``score`` (interpolated determinant), ``layer``
    (1..n_layers) and ``sign`` of the Laplacian (1 = dark blob on a bright ground, or -1).
    """
    h, w = table.shape[0] - 1, table.shape[1] - 1
    lobe = lobes(octave, n_layers)
    reach = 3 * int(lobe[-1]) // 2
    first = -(-reach // step) * step
    count = (h - 1 - reach - first) // step + 1, (w - 1 - reach - first) // step + 1
    if min(count) < 3:
        return None
    boxes = _Boxes(table, first, count, step)
    maps, dark = np.empty((len(lobe), *count), np.float32), np.empty((len(lobe), *count), bool)
    for layer, length in enumerate(lobe.tolist()):
        maps[layer], dark[layer] = hessian(boxes, length)
    z, y, x = _grid_maxima(maps, 0.5 * threshold)
    z, y, x, offset, value = _interpolate(maps, z, y, x)
    good = (np.abs(offset) < _FAR).all(axis=1) & (value > threshold)
    z, y, x, offset = z[good], y[good], x[good], offset[good]
    return {
        "xy": first + step * (np.stack([x, y], axis=1) + offset[:, :2]),
        "scale": scale_of_lobe(lobe[z] + offset[:, 2] * (2 << octave), octave),
        "score": value[good],
        "layer": z,
        "sign": np.where(dark[z, y, x], 1, -1),
    }


def _grid_maxima(maps: Array, threshold: float) -> tuple[Array, Array, Array]:
    """Strict 3 x 3 x 3 maxima above ``threshold`` as (layer, row, column); of ties the first wins."""
    box = np.ones((3, 3), np.uint8)
    around = [cv2.dilate(m, box) for m in maps]
    found = []
    for z in range(1, len(maps) - 1):
        mask = maps[z] > threshold
        mask &= maps[z] >= around[z]
        mask &= maps[z] > around[z - 1]
        mask &= maps[z] >= around[z + 1]
        mask[[0, -1]] = False
        mask[:, [0, -1]] = False
        y, x = np.nonzero(mask)
        v = maps[z, y, x]
        earlier = [maps[z, y - 1, x + d] for d in (-1, 0, 1)] + [maps[z, y, x - 1]]
        first = (v > np.stack(earlier)).all(axis=0)
        found.append(np.stack([np.full(len(y), z), y, x])[:, first])
    z, y, x = np.concatenate(found, axis=1)
    return z, y, x


def _interpolate(maps: Array, z: Array, y: Array, x: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Quadratic fits (Brown & Lowe 2002): samples, offsets (N, 3) as x, y, layer, and fitted values.

    A fit whose maximum lies more than 0.6 steps off is repeated at the neighbouring sample.
    """
    last = np.array(maps.shape)[[2, 1, 0]] - 2
    at = np.stack([x, y, z], axis=1)
    for move in range(_MAX_MOVES + 1):
        offset, value = _quadratic(maps, at[:, 2], at[:, 1], at[:, 0])
        if move == _MAX_MOVES:
            break
        target = at + np.where(np.abs(offset) > _MOVE, np.sign(offset), 0).astype(at.dtype)
        target = np.clip(target, 1, last)
        if (target == at).all():
            break
        at = target
    return at[:, 2], at[:, 1], at[:, 0], offset, value


def _quadratic(maps: Array, z: Array, y: Array, x: Array) -> tuple[Array, Array]:
    """Offset (N, 3) of the stationary point of the 3 x 3 x 3 parabola, and its value (N,)."""
    near = np.arange(-1, 2)
    cube = maps[
        (z[:, None] + near)[:, :, None, None],
        (y[:, None] + near)[:, None, :, None],
        (x[:, None] + near)[:, None, None, :],
    ].astype(np.float64)
    centre = cube[:, 1, 1, 1]
    lines = cube[:, 1, 1, :], cube[:, 1, :, 1], cube[:, :, 1, 1]
    planes = {(0, 1): cube[:, 1], (0, 2): cube[:, :, 1], (1, 2): cube[:, :, :, 1]}
    gradient = np.stack([(line[:, 2] - line[:, 0]) / 2 for line in lines], axis=1)
    second = np.zeros((len(x), 3, 3))
    for axis, line in enumerate(lines):
        second[:, axis, axis] = line[:, 0] + line[:, 2] - 2 * centre
    for (i, j), p in planes.items():
        second[:, i, j] = second[:, j, i] = (p[:, 2, 2] + p[:, 0, 0] - p[:, 0, 2] - p[:, 2, 0]) / 4
    size = np.abs(second).max(axis=(1, 2), initial=0.0)
    flat = np.abs(np.linalg.det(second)) <= 1e-9 * size**3
    second[flat] = -np.eye(3)
    offset = -np.linalg.solve(second, gradient[:, :, None])[:, :, 0]
    offset[flat] = np.inf  # no peak: dropped by the caller
    value = centre + 0.5 * np.einsum("ni,ni->n", gradient, np.where(flat[:, None], 0.0, offset))
    return offset, value
