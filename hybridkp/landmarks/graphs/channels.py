"""Gradient channels of a frame, and reading them at points: :mod:`..fast_descent` as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...imaging.geometry import rescale
from ...runtime.builder import Complex, Tensor
from ..fast_descent import CELL_PX, CONTRAST_PX, HALVE_FROM, NOISE, directions, gaussian_taps
from .pictures import resized, separable


def channel_maps(
    frame: Tensor, size_hw: tuple[int, int], n: int, sigmas: Sequence[float]
) -> list[tuple[Tensor, tuple[int, int], int]]:
    """For each sigma (n, h, w) float32, (h, w), and how many px of the frame a pixel covers."""
    g, (h, w) = frame.graph, size_hw
    one = g.op("Unsqueeze", frame, g.ints([0]))
    across, down = g.pad_edge(one, 0, 0, 1, 0, 0, 1), g.pad_edge(one, 0, 1, 0, 0, 1, 0)
    gx = across.slice(2, 2, w + 2) - across.slice(2, 0, w)
    gy = down.slice(1, 2, h + 2) - down.slice(1, 0, h)
    magnitude = (gx * gx + gy * gy).sqrt()
    mean = np.full(CONTRAST_PX, 1 / CONTRAST_PX)
    contrast = separable(magnitude, 1, mean) + NOISE
    planes = g.concat([gx, gy, magnitude]) / contrast
    mixed = g.tensor(directions(n).T) @ planes.reshape(3, -1)
    current, shrink, variance, out = mixed.relu().reshape(n, h, w), 1, 0.0, []
    for sigma in sigmas:
        if shrink == 1 and sigma >= HALVE_FROM:
            one = g.op("Unsqueeze", current, g.ints([0]))
            one = g.op("AveragePool", one, kernel_shape=[2, 2], strides=[2, 2])
            current = g.op("Squeeze", one, g.ints([0]))
            h, w, shrink, variance = h // 2, w // 2, 2, variance + 0.25
        if sigma**2 > variance:
            taps = gaussian_taps(float(np.sqrt(sigma**2 - variance)) / shrink).ravel()
            current = separable(current, n, taps)
        variance = max(variance, sigma**2)
        out.append((current, (h, w), shrink))
    return out


def read_pattern(
    maps: Sequence[tuple[Tensor, tuple[int, int], int]],
    at: Complex,
    turn: Complex,
    pattern: Any,
    k: int,
    n: int,
) -> Tensor:
    """(1, D) as :func:`..fast_descent.read_pattern` of (K,) points and n channels."""
    parts = []
    for (channels, size_hw, shrink), ring in zip(maps, pattern, strict=True):
        g = channels.graph
        places = at.reshape(k, 1) + turn * Complex.of(g, ring.offsets)
        x, y = (rescale(v.reshape(-1), 1 / shrink) for v in (places.re, places.im))
        rows = channels.transpose(1, 2, 0).reshape(-1, n)
        parts.append(read_rows(rows, size_hw, x, y).reshape(1, -1))
    return parts[0].graph.concat(parts, 1).sqrt()


def read_rows(rows: Tensor, size_hw: tuple[int, int], x: Tensor, y: Tensor) -> Tensor:
    """(N, C) float32 of maps (h * w, C) at float64 x (N,), y (N,): :func:`hybridkp.imaging.sample_rows`."""
    g, (h, w) = rows.graph, size_hw
    x, y = x.clip(0, w - 1.0), y.clip(0, h - 1.0)
    x0, y0 = x.floor().at_most(max(w - 2.0, 0)), y.floor().at_most(max(h - 2.0, 0))
    fx, fy = (g.op("Unsqueeze", (a - b).to(np.float32), g.ints([1])) for a, b in ((x, x0), (y, y0)))
    first = (y0 * float(w) + x0).to(np.int32)
    across, down = min(w - 1, 1), w if h > 1 else 0

    def read(step: int) -> Tensor:
        return rows.take(first + step if step else first)

    top, bottom = read(0), read(down)
    top = top + (read(across) - top) * fx
    bottom = bottom + (read(down + across) - bottom) * fx
    return top + (bottom - top) * fy


def grid_rows(grey: Tensor, size_hw: tuple[int, int], grid: int, n: int) -> tuple[Tensor, Any]:
    """(1, D) of a crop's channels on a grid, and where they stand in :func:`..fast_descent.grid_channels`."""
    gh, gw = (max(1, round(grid * side / min(size_hw))) for side in size_hw)
    small_hw = gh * CELL_PX, gw * CELL_PX
    small = resized(grey, size_hw, small_hw, min(size_hw) > grid * CELL_PX)
    ((channels, _, _),) = channel_maps(small, small_hw, n, (CELL_PX / 2,))
    rows = channels.slice(1, CELL_PX // 2, 2**31, CELL_PX).slice(2, CELL_PX // 2, 2**31, CELL_PX)
    order = np.arange(gh * gw * n).reshape(gh, gw, n).transpose(2, 0, 1).ravel()
    return rows.sqrt().reshape(1, -1), order
