"""Histograms of gradient orientation as ONNX operators: votes, cells, a grid over the crop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...descriptors.gradients import CLIP, NOISE, cells_reach, triangular_window
from ...descriptors.grid import CELL, STEP
from ...runtime.builder import Complex, Tensor
from .pictures import resized, separable

#: OpenCV's polynomial for the arc tangent, in degrees (``cv2.fastAtan2``, ``cv2.cartToPolar``)
_ATAN = tuple(
    p * 180 / np.pi
    for p in (0.9997878412794807, -0.3258083974640975, 0.1555786518463281, -0.04432655554792128)
)


def votes(grey: Tensor, size_hw: tuple[int, int], n: int, signed: bool = False) -> Tensor:
    """(n, H, W): each pixel's gradient magnitude, split between the two nearest directions."""
    g, (h, w) = grey.graph, size_hw
    one = g.op("Unsqueeze", grey, g.ints([0]))
    across, down = g.pad_edge(one, 0, 0, 1, 0, 0, 1), g.pad_edge(one, 0, 1, 0, 0, 1, 0)
    gx = across.slice(2, 2, w + 2) - across.slice(2, 0, w)
    gy = down.slice(1, 2, h + 2) - down.slice(1, 0, h)
    magnitude = (gx * gx + gy * gy).sqrt() * 0.5
    n_turn = n if signed else 2 * n
    place = _degrees(gx, gy) * (n_turn / 360) - 0.5
    off = place - np.arange(n, dtype=np.float32)[:, None, None]
    off = (off - (off / float(n)).round() * float(n)).abs()
    return magnitude * (1.0 - off).relu()


def _degrees(x: Tensor, y: Tensor) -> Tensor:
    g = x.graph
    wide, tall = x.abs(), y.abs()
    flat = (wide - tall) > -1e-9
    ratio = g.op("Min", wide, tall) / (g.op("Max", wide, tall) + float(np.spacing(1.0)))
    square = ratio * ratio
    p1, p3, p5, p7 = _ATAN
    angle = (((square * p7 + p5) * square + p3) * square + p1) * ratio
    angle = g.where(flat, angle, 90.0 - angle)
    angle = g.where(x < 0.0, 180.0 - angle, angle)
    return g.where(y < 0.0, 360.0 - angle, angle)


def point_rows(grey: Tensor, size_hw: tuple[int, int], z: Complex, hog: dict[str, Any], k: int) -> Tensor:
    """(1, D) as :func:`hybridkp.descriptors.gradients.describe_points`; by orientation, point, cell."""
    g, n, cell_px, cells = grey.graph, hog["n_orientations"], hog["cell_px"], hog["cells"]
    pad = cells_reach(cells, cell_px) + cell_px
    h, w = size_hw[0] + 2 * pad, size_hw[1] + 2 * pad
    wide = g.pad_edge(grey, pad, pad, pad, pad)
    maps = separable(votes(wide, (h, w), n, hog["signed"]), n, triangular_window(cell_px))
    energy = separable((maps * maps).sum(0) * 4.0, 1, triangular_window(cell_px))
    maps = (maps / (energy + NOISE**2).sqrt()).reshape(n, h * w)
    at = [
        part.to(np.float32).to(np.float64) - (cells - 1) / 2 * cell_px + float(pad) for part in (z.re, z.im)
    ]
    low = [part.floor() for part in at]
    fx, fy = ((a - b).to(np.float32).reshape(1, k, 1) for a, b in zip(at, low, strict=True))
    steps = np.arange(cells) * float(cell_px)
    shift_x, shift_y = np.tile(steps, cells), np.repeat(steps, cells)
    total = None
    for dy, v in ((0, 1.0 - fy), (1, fy)):
        for dx, u in ((0, 1.0 - fx), (1, fx)):
            column = (low[0].reshape(k, 1) + (shift_x + dx)).clip(0, w - 1.0)
            row = (low[1].reshape(k, 1) + (shift_y + dy)).clip(0, h - 1.0)
            part = maps.take((row * float(w) + column).to(np.int32), 1) * (u * v)
            total = part if total is None else total + part
    return total.at_most(CLIP).reshape(1, -1)  # type: ignore[union-attr]


def point_order(hog: dict[str, Any], k: int) -> Any:
    """(D,) where :func:`point_rows`' columns stand among the library's: point, cell, orientation."""
    cells, n = hog["cells"] ** 2, hog["n_orientations"]
    return np.arange(k * cells * n).reshape(k * cells, n).T.ravel()


def grid_rows(grey: Tensor, size_hw: tuple[int, int], grid: int, n: int) -> tuple[Tensor, Any]:
    """(1, D) of a crop's histograms on a grid, and where they stand (:mod:`hybridkp.descriptors.grid`)."""
    g = grey.graph
    gh, gw = (max(1, round(grid * side / min(size_hw))) for side in size_hw)
    small_hw = gh * STEP, gw * STEP
    small = resized(grey, size_hw, small_hw, min(size_hw) > grid * STEP)
    maps = separable(votes(small, small_hw, n), n, triangular_window(CELL))
    # cells lie in the middle of four pixels
    low, step = STEP // 2 - 1, STEP
    corners = [
        maps.slice(1, low + i, 2**31, step).slice(2, low + j, 2**31, step) for i in (0, 1) for j in (0, 1)
    ]
    cells = (corners[0] + corners[1] + corners[2] + corners[3]) * 0.25  # (n, gh, gw)
    energy = separable((cells * cells).sum(0).sqrt(), 1, np.full(3, 1 / 3))
    rows = cells / (energy + 1.0)
    order = np.arange(gh * gw * n).reshape(gh, gw, n).transpose(2, 0, 1).ravel()
    return g.op("Reshape", rows, g.ints([1, -1])), order
