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
from .dense import parabola_offsets, peaks, sample_rows

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
    if rows is None or (cells is None and not singles) or not all(m.size for m in maps):
        raise InputError(
            f"{path}: outputs {told} are no map of scores (1, 1, h, w) or (1, 65, h/8, w/8) with one of rows"
        )
    score = _resized(singles.pop() if cells is None else _unfolded(cells), net_hw)
    for reliability in singles:
        score = score * _resized(reliability, net_hw)
    score = score[: seen_hw[0], : seen_hw[1]]
    known = np.isfinite(score)
    lowest = float(score.min(initial=np.inf, where=known))
    score = np.where(known, score, np.float32(lowest))
    floor = max(float(threshold), lowest)  # a flat map has no maxima
    found = peaks(score, n_points, floor)
    scale = np.array(net_hw[::-1], float) / rows.shape[:0:-1]
    xy = found + parabola_offsets(score, found)
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
