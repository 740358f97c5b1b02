"""Dense histograms of gradient orientation: computed once per level, then sampled everywhere.

Here live the maps (H, W, n_orientations) behind :class:`~hybridkp.descriptors.HOG` and behind
dense linear experts, which correlate with them.  NumPy and OpenCV only; no scikit-learn, no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError
from .windows import window_strip

CLIP = 0.2  #: ceiling of a normalised histogram (Lowe 2004; Dalal & Triggs 2005)
NOISE = 1.0  #: grey levels per px; histograms of less contrast fade to 0 instead of being stretched

_CHUNK = 512  # points sampled at a time: what is gathered stays in the cache
_MOST_WASTE = 1.6  # pixels of a sheet of several pictures, relative to those of the pictures
_TILE_HW = 128, 192  # px worked through at a time, likewise


def orientation_maps(
    image: Array,
    n_orientations: int = 9,
    cell: int = 4,
    signed: bool = False,
    *,
    pad: int = 0,
    clip: float | None = CLIP,
    eps: float = NOISE,
) -> Array:
    """At every pixel, the histogram of gradient orientations of the cell centred there.

    Each pixel's gradient magnitude is split between the two nearest orientations, and spread over
    the cells around it with a triangular window of half-width ``cell``: together the trilinear
    votes of HOG, for cells at *any* position.  Each histogram is then divided by the energy of
    the 2 x 2 cells around it and clipped.  A HOG descriptor around a point is therefore these
    maps read on a grid of offsets: :func:`sample_cells`.

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

    Raises
    ------
    InputError
        For a picture that is not (H, W), or parameters out of range.

    References
    ----------
    N. Dalal, B. Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
    P. F. Felzenszwalb et al., Object detection with discriminatively trained part-based models,
    TPAMI 32(9), 2010.
    Departures: Dalal and Triggs keep each cell once per overlapping block (four times); here it
    is kept once, normalised by the block centred on it.  As in Felzenszwalb et al., the clipped
    block is not rescaled.
    """
    if pad:
        image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    votes = histograms(image, n_orientations, cell, signed)
    if clip is not None:
        votes *= block_scale(votes, cell, eps)[:, :, None]
        np.minimum(votes, np.float32(clip), out=votes)
    return votes


def sample_cells(maps: Array, xy: ArrayLike, cells: int = 4, cell_px: int = 4, pad: int = 0) -> Array:
    """Read ``cells`` x ``cells`` histograms around each point: HOG descriptors.

    Parameters
    ----------
    maps : (H + 2 pad, W + 2 pad, n_orientations) from :func:`orientation_maps`
    xy : (N, 2) in px of the picture; sub-pixel positions are interpolated (bilinear)
    cells, cell_px : int
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
    table = np.ascontiguousarray(maps).reshape(h * w, n)
    out = np.empty((len(xy), cells * cells * n), np.float32)
    for i in range(0, len(xy), _CHUNK):
        rows, columns, weights = cell_corners(xy[i : i + _CHUNK] + pad, cells, cell_px, (h, w))
        part = table[rows * w + columns].reshape(len(rows), 4, -1)
        out[i : i + _CHUNK] = np.einsum("pc,pcf->pf", weights, part)
    return out


def describe_points(
    image: Array, xy: Array, cells: int, cell_px: int, n_orientations: int, signed: bool
) -> Array:
    """``sample_cells(orientation_maps(image, ...), xy, ...)``, of only what the points can see.

    The quick way when the maps are needed once.  Histograms are normalised where they are read and
    clipped after the interpolation, not before: equal where all cells' centres are whole px, that
    is at whole px where ``(cells - 1) * cell_px`` is even and at half px where it is odd; a few
    hundredths apart elsewhere.  ``image`` is (H, W) float32, ``xy`` (N, 2) finite with N >= 1;
    outside, the border repeats.
    """
    return describe_pictures([image], [xy], cells, cell_px, n_orientations, signed)


def describe_pictures(
    images: Sequence[Array], xy: Sequence[Array], cells: int, cell_px: int, n_orientations: int, signed: bool
) -> Array:
    """:func:`describe_points` of points (N, 2) in each of several pictures, all rows below each other.

    Small pictures (the levels of a crop) are worked through as one: that saves most of the time,
    which there goes into the number of calls.
    """
    reach, grid = maps_reach(cell_px), (cells, cell_px)
    side = (cells - 1) * cell_px + 2 * reach + 2
    low, weights = _low_corner(np.concatenate(xy), cells, cell_px)
    low = low.astype(np.int32)
    low -= reach
    ends = np.cumsum([len(places) for places in xy])[:-1]
    strips, corners = zip(
        *(window_strip(i, c, side) for i, c in zip(images, np.split(low, ends), strict=True)), strict=True
    )
    n_rows, n_columns = sum(len(strip) for strip in strips), max(strip.shape[1] for strip in strips)
    if n_rows * n_columns > _MOST_WASTE * sum(strip.size for strip in strips):
        apart = zip(strips, corners, np.split(weights, ends), strict=True)
        return np.concatenate([_read_windows(*one, *grid, n_orientations, signed) for one in apart])
    if len(strips) == 1:
        return _read_windows(strips[0], corners[0], weights, *grid, n_orientations, signed)
    sheet, y = np.zeros((n_rows, n_columns), np.float32), 0
    for strip, corner in zip(strips, corners, strict=True):
        sheet[y : y + len(strip), : strip.shape[1]] = strip
        corner[:, 1] += y
        y += len(strip)
    return _read_windows(sheet, np.concatenate(corners), weights, *grid, n_orientations, signed)


def _read_windows(
    strip: Array, corner: Array, weights: Array, cells: int, cell_px: int, n_orientations: int, signed: bool
) -> Array:
    """Rows of the windows of a strip; weights (N, 4) are those of :func:`_low_corner`."""
    votes = histograms(strip, n_orientations, cell_px, signed)
    scale, table = block_scale(votes, cell_px, NOISE).ravel(), votes.reshape(-1, n_orientations)
    first = corner.astype(np.intp) @ np.array([1, strip.shape[1]])
    offset = _cell_offsets_flat(strip.shape[1], cells, cell_px)
    out = np.empty((len(corner), cells * cells * n_orientations), np.float32)
    for i in range(0, len(corner), _CHUNK):
        pixel = first[i : i + _CHUNK, None, None] + offset
        factor = scale.take(pixel)
        factor *= weights[i : i + _CHUNK, :, None]
        corners = table.take(pixel, axis=0)
        corners *= factor[..., None]
        part = corners[:, 0]
        part += corners[:, 1]
        part += corners[:, 2]
        part += corners[:, 3]
        np.minimum(part.reshape(len(part), -1), np.float32(CLIP), out=out[i : i + _CHUNK])
    return out


@lru_cache(maxsize=256)
def _cell_offsets_flat(width: int, cells: int, cell_px: int) -> Array:
    """(4, cells * cells) int: from a window's first pixel to those around its cells' centres."""
    at = maps_reach(cell_px) + np.array([[0], [1]]) + np.arange(cells) * cell_px  # (2, cells)
    return (at[:, None, :, None] * width + at[None, :, None, :]).reshape(4, -1)


def cells_reach(cells: int, cell_px: int) -> int:
    """How far from its point a row of ``cells`` x ``cells`` histograms looks, in px."""
    return int(np.ceil((cells - 1) / 2 * cell_px)) + maps_reach(cell_px) + 1


def maps_reach(cell: int) -> int:
    """How far in px a value of :func:`orientation_maps` looks: gradient, cell, block."""
    return 1 + 2 * (cell - 1)


def cell_corners(xy: Array, cells: int, cell_px: int, size_hw: tuple[int, int]) -> tuple[Array, Array, Array]:
    """The pixels around each cell's centre, and their bilinear weights.

    Cells are whole px apart, so that all cells of a point have the same four weights.

    Returns
    -------
    rows : (N, 2, 1, cells, 1) int; columns : (N, 1, 2, 1, cells) int
        They broadcast to (N, 2, 2, cells, cells); outside ``size_hw``, the border's pixel.
    weights : (N, 4) float32
    """
    low, weights = _low_corner(xy, cells, cell_px)
    pair = (np.array([[0], [1]]) + np.arange(cells) * cell_px).ravel()
    both = low.astype(np.intp)[:, :, None] + pair  # (N, 2, 2 cells)
    np.clip(both, 0, np.array([[size_hw[1] - 1], [size_hw[0] - 1]]), out=both)
    columns = both[:, 0].reshape(-1, 1, 2, 1, cells)
    rows = both[:, 1].reshape(-1, 2, 1, cells, 1)
    return rows, columns, weights


def _low_corner(xy: Array, cells: int, cell_px: int) -> tuple[Array, Array]:
    """The pixel left of and above the first cell's centre (N, 2) float64, and bilinear weights (N, 4)."""
    corner = np.asarray(xy, np.float64) - (cells - 1) / 2 * cell_px
    low = np.floor(corner)
    fx, fy = (corner - low).astype(np.float32).T
    weights = np.empty((len(low), 4), np.float32)
    weights[:, 3] = fx * fy
    weights[:, 2] = fy - weights[:, 3]
    weights[:, 1] = fx - weights[:, 3]
    weights[:, 0] = 1 - fx - weights[:, 2]
    return low, weights


def histograms(image: Array, n_orientations: int, cell: int, signed: bool) -> Array:
    """(H, W, n_orientations) float32, not normalised: mean gradient per px in grey levels."""
    if image.ndim != 2 or n_orientations < 2 or cell < 1:
        raise InputError(
            "orientation maps need a grey picture (H, W), n_orientations >= 2 and cell >= 1, got"
            f" {image.shape}, {n_orientations}, {cell}"
        )
    h, w = image.shape
    around = cv2.copyMakeBorder(np.asarray(image, np.float32), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    window, halo = triangular_window(cell), cell - 1
    out = np.empty((h, w, n_orientations), np.float32)
    for top, bottom in _spans(h, _TILE_HW[0]):
        for left, right in _spans(w, _TILE_HW[1]):
            y, x = max(top - halo, 0), max(left - halo, 0)
            votes = _orientation_votes(
                around[y : bottom + halo + 2, x : right + halo + 2], n_orientations, signed
            )
            votes = _smooth(votes, window)
            if votes.shape == out.shape:  # a tile holds it all
                return votes
            out[top:bottom, left:right] = votes[top - y : bottom - y, left - x : right - x]
    return out


def _spans(length: int, step: int) -> list[tuple[int, int]]:
    """0..length cut into pieces of ``step``; a last piece under half of that is not left alone."""
    edges = list(range(0, max(length - step // 2, 1), step))
    return list(zip(edges, [*edges[1:], length], strict=True))


def block_scale(votes: Array, cell: int, eps: float) -> Array:
    """(H, W) float32, one over the length of the 2 x 2 cells of (H, W, n) around each pixel."""
    h, w, n = votes.shape
    # a product with a vector of fours: sums runs of n numbers far faster than a reduction does
    fours, table, energy = np.full(n, 4, np.float32), votes.reshape(-1, n), np.empty(h * w, np.float32)
    for start, end in _spans(h * w, _TILE_HW[0] * _TILE_HW[1]):
        np.matmul(np.square(table[start:end]), fours, out=energy[start:end])
    energy = _smooth(energy.reshape(h, w), triangular_window(cell))
    energy += np.float32(eps**2)
    return 1 / np.sqrt(energy)


def triangular_window(cell: int) -> Array:
    """(2 cell - 1,) float32 weights of sum 1: what bilinear voting between cells amounts to."""
    ramp = np.arange(1, cell + 1, dtype=np.float32)
    return np.concatenate([ramp, ramp[-2::-1]]) / cell**2


def _orientation_votes(around: Array, n_orientations: int, signed: bool) -> Array:
    """(H, W, n) float32 of (H + 2, W + 2): each pixel's gradient magnitude, split between two bins."""
    h, w = around.shape[0] - 2, around.shape[1] - 2
    magnitude, angle = cv2.cartToPolar(
        around[1:-1, 2:] - around[1:-1, :-2], around[2:, 1:-1] - around[:-2, 1:-1]
    )
    magnitude *= np.float32(0.5)
    n_turn = n_orientations if signed else 2 * n_orientations  # bins in 360 degrees
    angle *= np.float32(n_turn / (2 * np.pi))
    angle += np.float32(n_turn - 0.5)
    low = angle.astype(np.int32)  # positive, so this is the floor
    upper = np.subtract(angle, low, out=angle)
    upper *= magnitude
    magnitude -= upper
    low -= low // n_orientations * n_orientations  # far quicker than the remainder
    pixel = np.arange(0, h * w * n_orientations, n_orientations).reshape(h, w)
    votes = np.zeros(h * w * n_orientations, np.float32)
    votes[low + pixel] = magnitude
    low += 1
    low *= low < n_orientations
    pixel += low
    votes[pixel] = upper
    return votes.reshape(h, w, n_orientations)


def _smooth(image: Array, window: Array) -> Array:
    return cv2.sepFilter2D(image, -1, window, window, borderType=cv2.BORDER_REPLICATE)
