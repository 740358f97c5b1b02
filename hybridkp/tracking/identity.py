"""Who is who: assignment of found objects to known ones, and rows that say how an object looks.

Costs (N, M) and crops come in; pairs of indices and rows go out.
"""

from __future__ import annotations

import numpy as np

from ..imaging.crops import cut
from ..imaging.geometry import crop_matrix
from ..structures import Array

_SIDE, _BINS = 32, 8


def assign(cost: Array, most: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of least total cost, none above ``most``, of a matrix (N, M).

    The shortest augmenting paths of Jonker and Volgenant (1987), as SciPy's ``linear_sum_assignment``, which
    an application has not.

    >>> assign(np.array([[0.1, 0.2], [0.1, 0.9]]), 0.5)
    [(0, 1), (1, 0)]
    """
    if not cost.size:
        return []
    bounded = np.minimum(np.nan_to_num(np.asarray(cost, float), nan=np.inf), 1e6)
    if len(bounded) > bounded.shape[1]:
        return sorted((i, j) for j, i in assign(np.asarray(cost).T, most))
    n, m = bounded.shape
    row_of = np.full(m + 1, -1)  # of each column; the last is where each search begins
    u, v = np.zeros(n), np.zeros(m + 1)
    for start in range(n):
        row_of[m], column = start, m
        least, before, used = np.full(m, np.inf), np.full(m, m), np.zeros(m + 1, bool)
        while row_of[column] >= 0:
            used[column] = True
            row, open_ = row_of[column], ~used[:m]
            reduced = bounded[row] - u[row] - v[:m]
            better = open_ & (reduced < least)
            least[better], before[better] = reduced[better], column
            following = int(np.where(open_, least, np.inf).argmin())
            step = least[following]
            u[row_of[used]] += step
            v[used] -= step
            least[open_] -= step
            column = following
        while column != m:
            row_of[column] = row_of[before[column]]
            column = int(before[column])
    pairs = sorted((int(i), j) for j, i in enumerate(row_of[:m]) if i >= 0)
    return [(i, j) for i, j in pairs if cost[i, j] <= most]


def appearance(image: Array, box_xywh: Array) -> Array:
    """(25,) float: how an object looks, for telling it from others: the colours in its box (square roots of
    histograms, so that distances are Hellinger's, 0 to 1 a channel) and the logarithm of its size."""
    crop = cut(image, crop_matrix(box_xywh, (_SIDE, _SIDE), 1.0), (_SIDE, _SIDE))
    bins = (crop.reshape(-1, 3) // (256 // _BINS)) + np.arange(3) * _BINS
    share = np.bincount(bins.ravel(), minlength=3 * _BINS) / (2 * _SIDE**2)
    return np.append(np.sqrt(share), np.log(np.sqrt(box_xywh[2] * box_xywh[3])))
