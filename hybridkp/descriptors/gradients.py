"""Dense histograms of gradient orientation: computed once per level, then sampled everywhere.

Here live the maps (H, W, n_orientations) behind :class:`~hybridkp.descriptors.HOG` and behind
dense linear experts, which correlate with them.  NumPy and OpenCV only; no scikit-learn, no files.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError

CLIP = 0.2  #: ceiling of a normalised histogram (Lowe 2004; Dalal & Triggs 2005)
NOISE = 1.0  #: grey levels per px; histograms of less contrast fade to 0 instead of being stretched

_CHUNK = 2048  # points sampled at a time: what is gathered stays in the cache


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


def describe_cells(
    image: Array, xy: Array, cells: int, cell_px: int, n_orientations: int, signed: bool
) -> Array:
    """``sample_cells(orientation_maps(image, ...), xy, ...)``, normalised only where it is read.

    The quick way when the maps are needed once.  Histograms are clipped after the interpolation,
    not before: equal where all cells' centres are whole px, that is at whole px where
    ``(cells - 1) * cell_px`` is even and at half px where it is odd; a few hundredths apart elsewhere.
    """
    votes = histograms(image, n_orientations, cell_px, signed)
    h, w, n = votes.shape
    scale = block_scale(votes, cell_px, NOISE).ravel()
    table = votes.reshape(-1, n)
    out = np.empty((len(xy), cells * cells * n), np.float32)
    for i in range(0, len(xy), _CHUNK):
        rows, columns, weights = cell_corners(xy[i : i + _CHUNK], cells, cell_px, (h, w))
        pixel = (rows * w + columns).reshape(len(rows), 4, -1)
        factor = scale.take(pixel)
        factor *= weights[:, :, None]
        corners = table.take(pixel, axis=0)
        corners *= factor[..., None]
        part = corners[:, 0] + corners[:, 1]
        part += corners[:, 2]
        part += corners[:, 3]
        np.minimum(part.reshape(len(rows), -1), np.float32(CLIP), out=out[i : i + _CHUNK])
    return out


def describe_points(
    image: Array, xy: Array, cells: int, cell_px: int, n_orientations: int, signed: bool
) -> Array:
    """:func:`describe_cells` of points anywhere, looking only at what of the picture they can see.

    ``image`` is (H, W) float32, ``xy`` (N, 2) finite with N >= 1; outside, the border repeats.
    """
    strip, xy = _strip(image, xy, cells_reach(cells, cell_px))
    return describe_cells(strip, xy, cells, cell_px, n_orientations, signed)


def cells_reach(cells: int, cell_px: int) -> int:
    """How far from its point a row of ``cells`` x ``cells`` histograms looks, in px."""
    return int(np.ceil((cells - 1) / 2 * cell_px)) + maps_reach(cell_px) + 1


def maps_reach(cell: int) -> int:
    """How far in px a value of :func:`orientation_maps` looks: gradient, cell, block."""
    return 1 + 2 * (cell - 1)


def cell_offsets(cells: int, cell_px: int) -> Array:
    """(cells,) float, where the cells' centres lie from the point, along x or y."""
    return (np.arange(cells) - (cells - 1) / 2) * cell_px


def cell_corners(xy: Array, cells: int, cell_px: int, size_hw: tuple[int, int]) -> tuple[Array, Array, Array]:
    """The pixels around each cell's centre, and their bilinear weights.

    Cells are whole px apart, so that all cells of a point have the same four weights.

    Returns
    -------
    rows : (N, 2, 1, cells, 1) int; columns : (N, 1, 2, 1, cells) int
        They broadcast to (N, 2, 2, cells, cells); outside ``size_hw``, the border's pixel.
    weights : (N, 4) float32
    """
    corner = np.asarray(xy, np.float64) - (cells - 1) / 2 * cell_px
    low = np.floor(corner)
    fx, fy = (corner - low).astype(np.float32).T
    pair = (np.array([[0], [1]]) + np.arange(cells) * cell_px).ravel()
    both = low.astype(np.intp)[:, :, None] + pair  # (N, 2, 2 cells)
    np.clip(both, 0, np.array([[size_hw[1] - 1], [size_hw[0] - 1]]), out=both)
    columns = both[:, 0].reshape(-1, 1, 2, 1, cells)
    rows = both[:, 1].reshape(-1, 2, 1, cells, 1)
    weights = np.empty((len(both), 4), np.float32)
    weights[:, 3] = fx * fy
    weights[:, 2] = fy - weights[:, 3]
    weights[:, 1] = fx - weights[:, 3]
    weights[:, 0] = 1 - fx - weights[:, 2]
    return rows, columns, weights


def histograms(image: Array, n_orientations: int, cell: int, signed: bool) -> Array:
    """(H, W, n_orientations) float32, not normalised: mean gradient per px in grey levels."""
    if image.ndim != 2 or n_orientations < 2 or cell < 1:
        raise InputError(
            "orientation maps need a grey picture (H, W), n_orientations >= 2 and cell >= 1, got"
            f" {image.shape}, {n_orientations}, {cell}"
        )
    votes = _orientation_votes(np.asarray(image, np.float32), n_orientations, signed)
    return _smooth(votes, triangular_window(cell))


def block_scale(votes: Array, cell: int, eps: float) -> Array:
    """(H, W) float32, one over the length of the 2 x 2 cells of (H, W, n) around each pixel."""
    h, w, n = votes.shape
    # a product with a vector of fours: sums runs of n numbers far faster than a reduction does
    energy = np.square(votes).reshape(-1, n) @ np.full(n, 4, np.float32)
    energy = _smooth(energy.reshape(h, w), triangular_window(cell))
    energy += np.float32(eps**2)
    return 1 / np.sqrt(energy)


def _strip(image: Array, xy: Array, reach: int) -> tuple[Array, Array]:
    """A picture that holds all that the points (N, 2) can see, and the points in it.

    Either the box around the points or, where that is less work, the points' own
    neighbourhoods stacked into one tall picture.  Same rows either way.
    """
    h, w = image.shape
    low, high = np.floor(xy.min(axis=0)), np.floor(xy.max(axis=0)) + 1
    if low.min() < -reach or high[0] > w - 1 + reach or high[1] > h - 1 + reach:
        # farther out nothing changes any more along that direction
        xy = np.clip(xy, -reach, [w - 1 + reach, h - 1 + reach])
        low, high = np.floor(xy.min(axis=0)), np.floor(xy.max(axis=0)) + 1
    side = 2 * reach + 2
    if len(xy) * side**2 >= (high[0] - low[0] + side) * (high[1] - low[1] + side):
        first = low.astype(int) - reach
        return cut_part(image, first, high.astype(int) + reach), xy - first
    corner = np.floor(xy).astype(np.intp) - reach
    columns = np.clip(corner[:, None, 0] + np.arange(side), 0, w - 1)
    rows = np.clip(corner[:, None, 1] + np.arange(side), 0, h - 1)
    stack = image[rows[:, :, None], columns[:, None, :]].reshape(-1, side)
    local = xy - corner
    local[:, 1] += np.arange(len(xy)) * side
    return stack, local


def cut_part(image: Array, first: Array, last: Array) -> Array:
    """Pixels ``first`` to ``last`` (x, y, both included); outside, the border pixel repeats."""
    h, w = image.shape
    (x0, y0), (x1, y1) = first.tolist(), last.tolist()
    if min(x0, y0) >= 0 and x1 < w and y1 < h:
        return image[y0 : y1 + 1, x0 : x1 + 1]
    rows = np.clip(np.arange(y0, y1 + 1), 0, h - 1)
    return image[rows].take(np.clip(np.arange(x0, x1 + 1), 0, w - 1), axis=1)


def triangular_window(cell: int) -> Array:
    """(2 cell - 1,) float32 weights of sum 1: what bilinear voting between cells amounts to."""
    ramp = np.arange(1, cell + 1, dtype=np.float32)
    return np.concatenate([ramp, ramp[-2::-1]]) / cell**2


def _orientation_votes(image: Array, n_orientations: int, signed: bool) -> Array:
    """(H, W, n) float32: each pixel's gradient magnitude, split between two orientations."""
    h, w = image.shape
    around = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    magnitude, angle = cv2.cartToPolar(
        around[1:-1, 2:] - around[1:-1, :-2], around[2:, 1:-1] - around[:-2, 1:-1]
    )
    magnitude *= np.float32(0.5)
    n_turn = n_orientations if signed else 2 * n_orientations  # bins in 360 degrees
    angle *= np.float32(n_turn / (2 * np.pi))
    angle += np.float32(n_turn - 0.5)
    low = angle.astype(np.int32)  # positive, so this is the floor
    upper = angle
    upper -= low
    upper *= magnitude
    bins = np.arange(2 * n_turn + 2) % n_orientations
    pixel = np.arange(0, h * w * n_orientations, n_orientations).reshape(h, w)
    votes = np.zeros(h * w * n_orientations, np.float32)
    votes[bins.take(low) + pixel] = magnitude - upper
    votes[bins[1:].take(low) + pixel] = upper
    return votes.reshape(h, w, n_orientations)


def _smooth(image: Array, window: Array) -> Array:
    return cv2.sepFilter2D(image, -1, window, window, borderType=cv2.BORDER_REPLICATE)
