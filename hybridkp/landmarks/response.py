"""Response maps: what an expert says of every place in a window, and what that says of the point.

Dense correlation of orientation maps with linear experts, posteriors over the window, peaks.
All K landmarks at once; arrays only.  NumPy and OpenCV only: an exported model runs from here.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..imaging.geometry import rescale, sample_bilinear, subpixel_peak
from ..structures import Array

_EXACT_ROWS = 2**23  #: rows of windows read at a time: float32 tells them apart


def window_offsets(radius: int, step: int = 1) -> Array:
    """(S * S, 2) offsets (x, y) in px of a square window, S = 2 radius + 1, row by row."""
    axis = np.arange(-radius, radius + 1) * step
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def snapped(points: Array, step: int) -> Array:
    """(..., 2) int: the lattice place nearest to each point."""
    return np.rint(points / step).astype(int) * step


def linear_responses(
    maps: Array, weights: Array, bias: Array, centre: Array, radius: int, cells: int, cell_px: int, pad: int
) -> Array:
    """Linear experts on HOG at every px of a window per landmark, without building any row.

    Parameters
    ----------
    maps : (h + 2 pad, w + 2 pad, n) float32 from :func:`hybridkp.descriptors.orientation_maps`
    weights : (K, cells * cells * n) in the order of ``HOG.describe``'s rows
    bias : (K,)
    centre : (K, 2) int, px of the picture; windows may hang out of it
    radius : int, px; the window has S = 2 radius + 1 px a side

    Returns
    -------
    (K, S, S) float32, equal to ``describe(...) @ weights + bias`` at those places
    """
    k, n = len(weights), maps.shape[2]
    reach = (cells - 1) * cell_px
    if reach % 2:  # cell centres lie between pixels: average the four around, once for all
        maps = cv2.blur(maps, (2, 2), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE).reshape(maps.shape)
        # anchor (0, 0): value at (i, j) is the mean of (i..i+1, j..j+1), the place (i + 1/2, j + 1/2)
    s, side = 2 * radius + 1, 2 * radius + 1 + reach
    first = centre + pad - radius - (reach + reach % 2) // 2
    columns = np.clip(first[:, :1] + np.arange(side), 0, maps.shape[1] - 1)
    rows = np.clip(first[:, 1:] + np.arange(side), 0, maps.shape[0] - 1)
    part = maps[rows[:, :, None], columns[:, None, :]].reshape(k, side * side, n)
    by_cell = np.matmul(weights.reshape(k, cells * cells, n), part.transpose(0, 2, 1))
    by_cell = by_cell.reshape(k, cells, cells, side, side)
    out = np.empty((k, s, s), np.float32)
    out[:] = bias[:, None, None]
    for i in range(cells):
        for j in range(cells):
            y, x = i * cell_px, j * cell_px
            out += by_cell[:, i, j, y : y + s, x : x + s]
    return out


def evidence(log_odds: Array, step: int = 1) -> tuple[Array, Array]:
    """Where the point is, relative to the window's centre, in px.

    Parameters
    ----------
    log_odds : (..., S, S) calibrated: if one place of the window is right, its posterior is
        proportional to the odds

    Returns
    -------
    mean : (..., 2) of that posterior
    peak : (..., 2) its highest place, sub-pixel
    """
    s = log_odds.shape[-1]
    mass = posterior(log_odds)
    axis = (np.arange(s) - s // 2) * float(step)
    mean = np.stack([mass.sum(-2) @ axis, mass.sum(-1) @ axis], axis=-1)
    peak, _ = subpixel_peak(log_odds)
    return mean, (peak - s // 2) * step


def calibrated(windows: Array, curve: Array) -> Array:
    """Log odds (N, K, S, S) from raw windows and curves (K, 2)."""
    return windows * curve[:, 0, None, None].astype(np.float32) + curve[:, 1, None, None].astype(np.float32)


def posterior(log_odds: Array) -> Array:
    """(..., S, S) proportional to the odds, each map of sum 1."""
    top = log_odds.max(axis=(-2, -1), keepdims=True)
    mass = np.exp(np.maximum(log_odds - top, -30.0))
    return mass / mass.sum(axis=(-2, -1), keepdims=True)


def read_windows(windows: Array, offset: Array, step: int = 1) -> Array:
    """Values (N, K) of windows (N, K, S, S) at offsets (N, K, 2) px from their centres; clamped."""
    n, k, s, _ = windows.shape
    most = max(1, _EXACT_ROWS // (k * s))
    if n > most:
        blocks = range(0, n, most)
        return np.concatenate(
            [read_windows(windows[i : i + most], offset[i : i + most], step) for i in blocks]
        )
    tall = windows.reshape(n * k * s, s)
    place = np.nan_to_num(np.clip(offset / step + s // 2, 0, s - 1)).reshape(-1, 2)  # of no place: NaN too
    place[:, 1] = np.minimum(place[:, 1], s - 1 - 1e-6)  # never blend into the next window
    low = np.floor(place[:, 1])
    frac = place[:, 1] - low
    base = np.arange(n * k) * s + low
    x = place[:, 0]
    upper = sample_bilinear(tall, np.stack([x, base], -1))
    lower = sample_bilinear(tall, np.stack([x, np.minimum(base + 1, np.arange(n * k) * s + s - 1)], -1))
    return (upper * (1 - frac) + lower * frac).reshape(n, k)


def splat(mass: Array, xy: Array, size_hw: tuple[int, int], stride: int) -> Array:
    """Weights (B, K, P) at crop points (B, K, P, 2) as maps (B, K, H / stride, W / stride), bilinear."""
    h, w = max(1, size_hw[0] // stride), max(1, size_hw[1] // stride)
    place = rescale(np.asarray(xy, float), 1 / stride)
    x, y = np.clip(place[..., 0], 0, w - 1), np.clip(place[..., 1], 0, h - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    b, k = mass.shape[:2]
    first = (np.arange(b * k) * h * w).reshape(b, k, 1)
    out = np.zeros(b * k * h * w)
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            index = first + np.minimum(y0 + dy, h - 1) * w + np.minimum(x0 + dx, w - 1)
            out += np.bincount(index.ravel(), (mass * wy * wx).ravel(), len(out))
    return out.reshape(b, k, h, w)


def posterior_maps(mass: Array, xy: Array, size_hw: tuple[int, int], stride: int) -> Array:
    """(B, K, H / stride, W / stride) float32 of windows' masses (B, K, P) at crop points; each of sum 1.

    A hundredth of the mass is spread evenly: the window is not certain to hold the point.
    """
    maps = splat(mass, xy, size_hw, stride)
    maps = 0.99 * maps + 0.01 / np.prod(maps.shape[2:])
    return (maps / maps.sum(axis=(2, 3), keepdims=True)).astype(np.float32)


def window_votes(offset: Array, weight: Array, radius: int) -> Array:
    """(K, S, S) float32 sums of weights (K, V) at offsets (K, V, 2) px from the centres, bilinear.

    S = 2 radius + 1; votes that fall outside of their window do not count.
    """
    k, s = len(offset), 2 * radius + 1
    place = np.asarray(offset, np.float32) + radius
    inside = ((place >= 0) & (place <= s - 1)).all(axis=-1)
    weight = np.where(inside, weight, 0)
    place = np.clip(place, 0, s - 1)
    low = np.minimum(place.astype(np.int32), s - 2)
    x, y = np.moveaxis(place - low, -1, 0)
    first = low[..., 1] * s + low[..., 0] + (np.arange(k) * s * s)[:, None]
    index = np.stack([first, first + 1, first + s, first + s + 1])
    part = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]) * weight
    return np.bincount(index.ravel(), part.ravel(), k * s * s).reshape(k, s, s).astype(np.float32)


def blurred(maps: Array, sigma: float) -> Array:
    """(K, S, S) float32 smoothed by a Gaussian of ``sigma`` px; nothing comes in from outside."""
    axis = np.arange(maps.shape[-1])
    kernel = np.exp(-0.5 * ((axis[:, None] - axis) / sigma) ** 2).astype(np.float32)
    return np.matmul(np.matmul(kernel, maps), kernel)
