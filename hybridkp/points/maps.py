"""Others' dense maps read as points: a map of scores with a map of rows, as SuperPoint and XFeat give them.

Maps (1, C, h, w) of a net's input come in, points (N, 2) px of it, rows (N, D) and scores (N,) go out.
No graph is opened here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..imaging.geometry import rescale
from ..structures import Array, InputError
from .dense import RADIUS, peaks, sample_rows

_CELL = 8  #: px of SuperPoint's cells, whose 65th class is "none"


def of_maps(
    values: Sequence[Array],
    net_hw: tuple[int, int],
    seen_hw: tuple[int, int],
    n_points: int,
    threshold: float,
    path: str | Path,
) -> tuple[Array, Array, Array]:
    """The best maxima of the score map inside the part ``seen_hw`` that the picture fills.

    Raises
    ------
    InputError
        For outputs that are no score map with a map of rows.
    """
    maps = [np.asarray(v, np.float32)[0] for v in values if np.ndim(v) == 4 and np.shape(v)[0] == 1]
    told = ", ".join(str(np.shape(v)) for v in values)
    rows = max((m for m in maps if len(m) not in (1, _CELL**2 + 1)), key=len, default=None)
    cells = next((m for m in maps if len(m) == _CELL**2 + 1), None)
    singles = sorted((m[0] for m in maps if len(m) == 1), key=np.size)
    if rows is None or (cells is None and not singles):
        raise InputError(
            f"{path}: outputs {told} are no map of scores (1, 1, h, w) or (1, 65, h/8, w/8) with one of rows"
        )
    if cells is None:
        score = _resized(singles.pop(), net_hw)
    else:
        score = _resized(_unfolded(cells), net_hw)
    for reliability in singles:
        score = score * _resized(reliability, net_hw)
    score = np.where(np.isfinite(score), score, -np.inf)[: seen_hw[0], : seen_hw[1]]
    score = np.ascontiguousarray(score, np.float32)
    floor = max(float(threshold), float(score.min(initial=np.inf)))  # a flat map has no maxima
    found = peaks(score, n_points, floor)
    scale = np.array(net_hw[::-1], float) / rows.shape[:0:-1]
    xy = _parabola(score, found)
    return xy, sample_rows(rows, rescale(xy, 1 / scale), 1), score[found[:, 1], found[:, 0]]


def _unfolded(cells: Array) -> Array:
    """(h, w) probabilities of SuperPoint's (65, h / 8, w / 8) logits."""
    share = np.exp(cells - cells.max(axis=0))
    share = (share / share.sum(axis=0))[:-1]
    h, w = share.shape[1:]
    return share.reshape(_CELL, _CELL, h, w).transpose(2, 0, 3, 1).reshape(h * _CELL, w * _CELL)


def _resized(score: Array, size_hw: tuple[int, int]) -> Array:
    if score.shape == size_hw:
        return score
    return np.asarray(cv2.resize(score, size_hw[::-1], interpolation=cv2.INTER_LINEAR))


def _parabola(score: Array, found: Array) -> Array:
    """Sub-pixel (N, 2) float of integer maxima, along x and y by themselves, at most half a pixel away."""
    assert RADIUS >= 1  # windows of one px lie inside
    x, y = found.T
    out = found.astype(float)
    for axis, (dx, dy) in enumerate(((1, 0), (0, 1))):
        before, here, after = score[y - dy, x - dx], score[y, x], score[y + dy, x + dx]
        bend = before - 2 * here + after
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.where(bend < 0, (before - after) / (2 * bend), 0)
        out[:, axis] += np.clip(np.nan_to_num(step), -0.5, 0.5)
    return out
