"""The coarse-to-fine search in windows of scores, given what was learned.

Windows of expert scores become plausible shapes, level by level.  Arrays and dicts of arrays
only.  NumPy and OpenCV only: an exported model runs from here; the learning is in ``level_search.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..descriptors.gradients import cells_reach, orientation_maps, sample_cells
from ..imaging.geometry import apply_affine, invert_affine
from ..structures import Array
from . import response
from .frames import frame_maps, frame_size, to_frame
from .linear import row_by_row
from .shape import PointDistribution
from .trees import packed_leaves

LEAST_SHARE = 0.02  #: of the votes, spread evenly over a window: no place is impossible

#: level, frames (h, w), points (N, K, 2) in them -> raw scores (N, K, S, S) around the points
Respond = Callable[[int, list[Array], Array], Array]


def search(
    grey: Array, current: Array, levels: Sequence[dict[str, Any]], shape: PointDistribution, respond: Respond
) -> tuple[Array, Array, Array, Array]:
    """From starting shapes (B, K, 2) to what the last level says.

    Parameters
    ----------
    grey : (B, H, W) uint8, or float32: then frames are not rounded to whole grey levels
    levels : dicts with ``window`` (radius in steps, step in px), ``scale``, ``curve`` (K, 2) and,
        where a correction was learned, ``weights_update`` and ``offset_update``

    Returns
    -------
    points (B, K, 2) and raw scores (B, K); the last level's posteriors (B, K, S * S) and their
    places in the crop (B, K, S * S, 2)
    """
    for level, state in enumerate(levels):
        _, step = state["window"]
        maps = frame_maps(current, shape.mean_, state["scale"])
        points = apply_affine(maps, current)
        size = frame_size(grey.shape[1:], state["scale"])
        frames = [to_frame(g, m, size) for g, m in zip(grey, maps, strict=True)]
        windows = respond(level, frames, points)
        base, features, centre = suggestion(state, windows, points, step, shape)
        if "weights_update" in state:
            update = row_by_row(features, state["weights_update"]) + state["offset_update"]
            base = base + update.reshape(base.shape)
        current = apply_affine(invert_affine(maps), base)
    radius, step = state["window"]
    log_odds = response.calibrated(windows, state["curve"])
    raw = response.read_windows(log_odds, base - centre, step)
    mass = response.posterior(log_odds).reshape(*base.shape[:2], -1)
    offset = response.window_offsets(radius, step)
    mean = mass @ offset  # the posterior is shown around the prediction, not around its own mean
    places = base[:, :, None] + offset - mean[:, :, None]
    return current, raw, mass, apply_affine(invert_affine(maps), places)


def suggestion(
    state: dict[str, Any], windows: Array, points: Array, step: int, shape: PointDistribution
) -> tuple[Array, Array, Array]:
    """Plausible shapes (N, K, 2) in the frame, the correction's rows, the windows' centres."""
    centre = response.snapped(points, step)
    mean, peak = response.evidence(response.calibrated(windows, state["curve"]), step)
    mean, peak = centre + mean, centre + peak
    base = shape.in_frame(state["scale"]).project(mean)
    n = len(points)
    parts = [p.reshape(n, -1) for p in (mean - base, peak - base, points - base)]
    return base, np.concatenate(parts, axis=1).astype(np.float32), centre


def dense_windows(
    frame: Array,
    points: Array,
    weights: Array,
    bias: Array,
    radius: int,
    cells: int,
    cell_px: int,
    n_orientations: int,
    signed: bool,
) -> Array:
    """(K, S, S) scores of linear experts on dense HOG around points (K, 2) of one frame."""
    pad = cells_reach(cells, cell_px)
    maps = orientation_maps(frame.astype(np.float32), n_orientations, cell_px, signed, pad=pad)
    centre = response.snapped(points, 1)
    return response.linear_responses(maps, weights, bias, centre, radius, cells, cell_px, pad)


def hog_rows(
    frame: Array, places: Array, cells: int, cell_px: int, n_orientations: int, signed: bool
) -> Array:
    """Rows (..., D) of a frame's dense HOG at whole places (..., 2): what dense responses are products of."""
    pad = cells_reach(cells, cell_px)
    maps = orientation_maps(np.asarray(frame, np.float32), n_orientations, cell_px, signed, pad=pad)
    return rows_at(places, lambda xy: sample_cells(maps, xy, cells, cell_px, pad))


def rows_at(places: Array, describe: Callable[[Array], Array]) -> Array:
    """(..., D) float32 of places (..., 2); ``describe`` is asked about equal ones once."""
    unique, inverse = np.unique(places.reshape(-1, 2), axis=0, return_inverse=True)
    rows = np.asarray(describe(unique), np.float32)[inverse.ravel()]
    return rows.reshape(*places.shape[:-1], -1)


def window_places(points: Array, radius: int, step: int) -> Array:
    """(K, P, 2) int, the lattice window around each of the points (K, 2)."""
    return response.snapped(points, step)[:, None] + response.window_offsets(radius, step)


def voters(points: Array, radius: int, step: int) -> Array:
    """(K, Q, 2) int, where patches vote on windows of ``radius`` px around points (K, 2)."""
    return response.snapped(points, 1)[:, None] + response.window_offsets(radius // step, step)


def voted_windows(
    trees: dict[str, Any], root: Array, rows: Array, radius: int, step: int, smoothing: float
) -> Array:
    """(K, S, S) log shares of the votes at each px of a window, of rows (K, Q, D) at :func:`voters`.

    ``root`` is (K, T); leaves have a "vote" (2,) in px and its "weight".
    """
    leaf, k = packed_leaves(trees, rows, root[:, None]), len(rows)
    offset = response.window_offsets(radius // step, step)
    vote = trees["vote"][leaf] + offset[:, None].astype(np.float32)
    mass = response.window_votes(vote.reshape(k, -1, 2), trees["weight"][leaf].reshape(k, -1), radius)
    mass = response.blurred(mass, smoothing)
    mass /= np.maximum(mass.sum(axis=(1, 2), keepdims=True), 1e-9)
    return np.log(mass + np.float32(LEAST_SHARE / mass[0].size))


def found_score(raw: Array, curve: Array) -> Array:
    """(B, K) float32 probabilities from raw scores and curves (K, 2)."""
    logit = np.clip(raw * curve[:, 0] + curve[:, 1], -30, 30)
    return (1 / (1 + np.exp(-logit))).astype(np.float32)
