"""Votes between matches: which are confirmed by their neighbourhood, and which are said twice.

Matched points (M, 2) and who said them go in, one number a match comes out.  Never here: rows,
pictures, estimation.
"""

from __future__ import annotations

import numpy as np

from ..structures import Array
from .matching import candidate_pairs

#: neighbours may move differently by this share of their distance (perspective, a bent surface)
_BEND = 0.25
_SLACK_PX = 3.0
TWIN_PX = 1.5  #: matches of two members nearer than this in both pictures are one


def confirmed(xy_a: Array, xy_b: Array, weight: Array, radius_px: float, n_rounds: int = 2) -> Array:
    """Support (M,) in 0..1: the weighted share of a match's neighbours that move along with it.

    Parameters
    ----------
    xy_a, xy_b : (M, 2) matched points
    weight : (M,) what each match's own vote counts
    radius_px : neighbours are the matches whose points lie this near in picture a

    Returns
    -------
    (M,) float64; 0 for a match without neighbours

    Notes
    -----
    Two neighbours move along when picture b shows them in the same place relative to each other,
    turned and scaled by the similarity that most matches of the neighbourhood follow, within 3 px
    and a quarter of their distance.  That similarity is fitted by least squares, first to the
    neighbours whose distance changes by a factor of less than 2.5, then to those that agreed.
    """
    support = np.zeros(len(xy_a))
    if len(xy_a) < 2:
        return support
    i, j = candidate_pairs(xy_a, xy_a, radius_px)
    i, j = i[i != j], j[i != j]
    if len(i) == 0:
        return support
    a, b = (xy[j].astype(float) - xy[i] for xy in (xy_a, xy_b))
    far_a, far_b = np.hypot(*a.T), np.hypot(*b.T)
    vote = weight[j].astype(float)
    total = np.bincount(i, vote, len(xy_a))
    agree = np.abs(np.log(np.maximum(far_b, 1) / np.maximum(far_a, 1))) < np.log(2.5)
    ratio = np.zeros(len(xy_a), complex)
    turn_a, turn_b = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    for _ in range(n_rounds):
        w = vote * agree
        cross = w * np.conj(turn_a) * turn_b
        power = np.bincount(i, w * far_a**2, len(xy_a))
        product = np.bincount(i, cross.real, len(xy_a)) + 1j * np.bincount(i, cross.imag, len(xy_a))
        ratio = product / np.maximum(power, 1e-9)
        scale = np.abs(ratio)
        agree = np.abs(turn_b - ratio[i] * turn_a) <= _SLACK_PX + _BEND * scale[i] * far_a
    support = np.bincount(i, vote * agree, len(xy_a)) / np.maximum(total, 1e-12)
    return support


def without_twins(xy_a: Array, xy_b: Array, side: Array, reach_px: float = TWIN_PX) -> Array:
    """(M,) bool: False where a member of lower index says nearly the same match."""
    keep = np.ones(len(xy_a), bool)
    if len(xy_a) < 2 or len(np.unique(side)) < 2:
        return keep
    i, j = candidate_pairs(xy_a, xy_a, reach_px)
    same = (side[i] > side[j]) & (((xy_b[i] - xy_b[j]) ** 2).sum(axis=1) <= reach_px**2)
    keep[i[same]] = False
    return keep
