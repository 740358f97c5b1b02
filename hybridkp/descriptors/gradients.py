"""Dense histograms of gradient orientation: computed once per level, then sampled everywhere.

Here live the maps (H, W, n_orientations) behind :class:`~hybridkp.descriptors.HOG` and behind
dense linear experts, which correlate with them.  NumPy and OpenCV only; no scikit-learn, no files.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..geometry import grid_offsets
from ..structures import Array, InputError

_CHUNK = 4096  # points sampled at a time: the rows being built stay in the cache


def orientation_maps(
    image: Array,
    n_orientations: int = 9,
    cell: int = 4,
    signed: bool = False,
    *,
    pad: int = 0,
    clip: float | None = 0.2,
    eps: float = 1.0,
) -> Array:
    """At every pixel, the histogram of gradient orientations of the cell centred there.

    Each pixel's gradient magnitude is split between the two nearest orientations, and spread over
    the cells around it with a triangular window of half-width ``cell``: together the trilinear
    votes of HOG, for cells at *any* position.  Each histogram is then divided by the energy of
    the 2 x 2 cells around it, clipped and rescaled (L2-Hys).  A HOG descriptor around a point is
    therefore these maps read on a grid of offsets: :func:`sample_cells`.

    Parameters
    ----------
    image : (H, W) float32 in 0..255
    n_orientations : int, at least 2
        Bins over 180 degrees, or over 360 when ``signed``; bin o is centred at o + 1/2 bin widths.
    cell : int
        Side of a cell in px.
    signed : bool
        Tell light-to-dark from dark-to-light.
    pad : int
        Border px that are added to the picture on each side first, its border pixel repeated.
    clip : float or None
        Ceiling after the normalisation; None returns the plain histograms, in grey levels per px.
    eps : float
        Contrast in grey levels per px below which a histogram fades to 0 instead of being
        stretched: a blank picture gives zeros.

    Returns
    -------
    (H + 2 pad, W + 2 pad, n_orientations) float32, not negative

    References
    ----------
    N. Dalal, B. Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
    Departure: the paper keeps each cell once per overlapping block (four times); here it is kept
    once, normalised by the block centred on it.
    """
    if image.ndim != 2 or n_orientations < 2 or cell < 1:
        raise InputError(
            "orientation_maps needs a grey picture (H, W), n_orientations >= 2 and cell >= 1, got"
            f" {image.shape}, {n_orientations}, {cell}"
        )
    image = np.asarray(image, np.float32)
    if pad:
        image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    window = triangular_window(cell)
    votes = _orientation_votes(image, n_orientations, signed)
    for plane in votes:  # one plane per orientation: a whole row of pixels is filtered at a time
        plane[:] = _smooth(plane, window)
    if clip is not None:
        _normalise(votes, window, clip, eps)
    return cv2.merge(votes)


def maps_reach(cell: int) -> int:
    """How far in px a value of :func:`orientation_maps` looks: gradient, cell, block twice."""
    return 1 + 3 * (cell - 1)


def sample_cells(maps: Array, xy: ArrayLike, cells: int = 4, cell_px: float = 4.0, pad: int = 0) -> Array:
    """Read ``cells`` x ``cells`` histograms around each point: HOG descriptors.

    Parameters
    ----------
    maps : (H + 2 pad, W + 2 pad, n_orientations) from :func:`orientation_maps`
    xy : (N, 2) in px of the picture, sub-pixel positions are interpolated (bilinear)
    cells, cell_px
        The grid: cell centres are ``cell_px`` apart and lie symmetrically around the point.
    pad : int
        As given to :func:`orientation_maps`.  Outside the maps, their border repeats.

    Returns
    -------
    (N, cells * cells * n_orientations) float32
        In the order row of cells, cell in the row, orientation.
    """
    h, w, n = maps.shape
    xy = np.asarray(xy, np.float32).reshape(-1, 2)
    offsets = cell_offsets(cells, cell_px) + np.float32(pad)
    table = np.ascontiguousarray(maps).reshape(h * w, n)
    out = np.empty((len(xy), len(offsets) * n), np.float32)
    for i in range(0, len(xy), _CHUNK):
        corners, weights = _bilinear(xy[i : i + _CHUNK, None] + offsets, h, w)
        rows = np.einsum("ck,cko->ko", weights, table[corners])
        out[i : i + _CHUNK] = rows.reshape(-1, out.shape[1])
    return out


def cell_offsets(cells: int, cell_px: float) -> Array:
    """(cells * cells, 2) float32, (x, y) of the cell centres from the point, row by row."""
    return grid_offsets(cells, cell_px).reshape(-1, 2).astype(np.float32)


def triangular_window(cell: int) -> Array:
    """(2 cell - 1,) float32 weights of sum 1: what bilinear voting between cells amounts to."""
    ramp = np.arange(1, cell + 1, dtype=np.float32)
    return np.concatenate([ramp, ramp[-2::-1]]) / cell**2


def _orientation_votes(image: Array, n_orientations: int, signed: bool) -> Array:
    """(n, H, W) float32: each pixel's gradient magnitude, split between two orientations."""
    options = {"ksize": 1, "scale": 0.5, "borderType": cv2.BORDER_REPLICATE}
    magnitude, angle = cv2.cartToPolar(
        cv2.Sobel(image, cv2.CV_32F, 1, 0, **options), cv2.Sobel(image, cv2.CV_32F, 0, 1, **options)
    )
    n_turn = n_orientations if signed else 2 * n_orientations  # bins in 360 degrees
    position = angle.ravel() * np.float32(n_turn / (2 * np.pi)) + np.float32(n_turn - 0.5)
    low = position.astype(np.intp)  # positive, so this is the floor
    upper = (position - low) * magnitude.ravel()
    plane = np.arange(2 * n_turn + 2) % n_orientations * image.size  # where each bin's plane starts
    pixel = np.arange(image.size)
    votes = np.zeros(n_orientations * image.size, np.float32)
    votes[plane[low] + pixel] = magnitude.ravel() - upper
    votes[plane[low + 1] + pixel] = upper
    return votes.reshape(n_orientations, *image.shape)


def _bilinear(xy: Array, h: int, w: int) -> tuple[Array, Array]:
    """Four flat pixel indices (4, M) and weights (4, M) for points (..., 2), M in all."""
    top = np.array([w - 1, h - 1], np.float32)
    xy = np.clip(xy.reshape(-1, 2), 0, top)
    low = np.minimum(xy.astype(np.intp), np.maximum(top - 1, 0).astype(np.intp))
    fx, fy = (xy - low).astype(np.float32).T
    step_x, step_y = int(w > 1), w * int(h > 1)
    first = low[:, 1] * w + low[:, 0]
    corners = np.stack([first, first + step_x, first + step_y, first + step_x + step_y])
    weights = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    return corners, weights


def _smooth(image: Array, window: Array) -> Array:
    return cv2.sepFilter2D(image, -1, window, window, borderType=cv2.BORDER_REPLICATE)


def _normalise(votes: Array, window: Array, clip: float, eps: float) -> None:
    """L2-Hys of (n, H, W) in place, block by block; the block is four cells seen through ``window``."""
    energy = 4 * _smooth(np.einsum("ohw,ohw->hw", votes, votes), window)
    total = energy + np.float32(eps**2)
    votes *= 1 / np.sqrt(total)
    np.minimum(votes, np.float32(clip), out=votes)
    left = 4 * _smooth(np.einsum("ohw,ohw->hw", votes, votes), window)
    tiny = np.float32(1e-6)
    votes *= np.sqrt((energy / total + tiny) / (left + tiny))  # what the clipping took, given back
