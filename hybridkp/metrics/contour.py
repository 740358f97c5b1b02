"""Errors along a contour and across it: how far a landmark slid on its line, how far it left it.

Here live pure functions of truth and predictions (B, K, 2) and a skeleton (E, 2).  Never here: files,
pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .landmarks import charged, mean_of_known, point_errors

Array = NDArray[np.float64]


def is_contour(skeleton: ArrayLike) -> bool:
    """Whether the edges (E, 2) draw lines and loops alone: no landmark has more than two, and one has two.

    >>> is_contour([[0, 1], [1, 2]]), is_contour([[0, 1], [0, 2], [0, 3]])
    (True, False)
    """
    edges = np.asarray(skeleton, int).reshape(-1, 2)
    count = np.bincount(edges.ravel(), minlength=1)
    return bool(len(edges) and count.max() == 2)


def tangents(truth: ArrayLike, skeleton: ArrayLike) -> Array:
    """(B, K, 2) unit direction of the contour at each true landmark.

    From one neighbour to the other; at a line's end, and beside a neighbour that is not labelled, between the
    landmark and the neighbour that there is.  NaN for landmarks without a neighbour or not labelled.
    """
    xy, edges = np.asarray(truth, float), np.asarray(skeleton, int).reshape(-1, 2)
    neighbours: list[list[int]] = [[] for _ in range(xy.shape[1])]
    for a, b in edges.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    out = np.full(xy.shape, np.nan)
    for k, near in enumerate(neighbours):
        if not 0 < len(near) < 3:
            continue
        ends = [np.where(np.isnan(xy[:, n]).any(1)[:, None], xy[:, k], xy[:, n]) for n in near]
        direction = ends[-1] - (ends[0] if len(ends) == 2 else xy[:, k])
        length = np.hypot(*direction.T)
        known = length > 0
        out[known, k] = direction[known] / length[known, None]
    return out


def contour_errors(
    truth: ArrayLike, predicted: ArrayLike, lengths: ArrayLike, skeleton: ArrayLike
) -> tuple[Array, Array]:
    """(B,) mean normalised error along the contour, and (B,) across it, over landmarks with a direction.

    Parameters
    ----------
    truth, predicted : (B, K, 2), NaN = not labelled, missing
    lengths : (B,), see :func:`.normalizer_lengths`
    skeleton : (E, 2)

    Notes
    -----
    A missing prediction costs in both what it costs in :func:`.nme`.  Of one landmark, the squares of the two
    sum to the square of its error; of means they do not.

    Examples
    --------
    >>> truth, predicted = [[[0, 0], [5, 0], [10, 0]]], [[[0, 0], [8, 1], [10, 0]]]
    >>> [float(v[0].round(3)) for v in contour_errors(truth, predicted, [10.0], [[0, 1], [1, 2]])]
    [0.1, 0.033]
    """
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    direction = tangents(truth, skeleton)
    off = predicted - truth
    along = np.abs((off * direction).sum(2))
    across = np.abs(off[..., 0] * direction[..., 1] - off[..., 1] * direction[..., 0])
    missing = np.isinf(point_errors(truth, predicted))
    cost, length = charged(truth, predicted, lengths, None), np.asarray(lengths, float)[:, None]
    known = np.isfinite(direction).all(2)
    found = [np.where(known, np.where(missing, cost, error / length), np.nan) for error in (along, across)]
    return mean_of_known(found[0], axis=1), mean_of_known(found[1], axis=1)
