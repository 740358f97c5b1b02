"""Matches from two sets of rows: mutual nearest neighbours, ratio, GMS, guided by a homography.

Rows (N, D) of two pictures go in, :class:`Matches` (index pairs, best first) come out; nothing on
either side gives no matches.  No Python loop over points.  Never here: pictures, estimation of
geometry (``robust.py``), matchers as estimators (``matchers.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from ..imaging.geometry import apply_homography
from ..imaging.opencv import contrib
from ..structures import Array, InputError, Keypoints
from ..structures.pairs import Features

_BLOCK = 1 << 23  # distances at a time: 32 MB, whatever the number of points
_CANDIDATES = 1 << 20  # guided candidates at a time
_ROWS_AT_A_TIME = 2048  # rows of guided candidates: they stay in the cache
RULES = ("mutual", "ratio", "gms")  #: rules of :func:`match`


class Matches(NamedTuple):
    """M pairs of indices, best first; no point occurs twice on either side.

    ``score`` (M,) float32 is 1 - nearest / second nearest distance, 0..1: how alone the match is.
    """

    index_a: Array  #: (M,) int
    index_b: Array  #: (M,) int
    score: Array  #: (M,) float32


class _Nearest(NamedTuple):
    best: Array  #: (N,) int, nearest row of b
    first: Array  #: (N,) squared distance to it
    second: Array  #: (N,) squared distance to the next one, infinite where there is none
    column: Array  #: (M,) least squared distance of each row of b


def match(
    features_a: Features, features_b: Features, norm: str = "L2", rule: str = "mutual", ratio: float = 0.9
) -> Matches:
    """Matches of two pictures' features by one of :data:`RULES`.

    Raises
    ------
    InputError
        For an unknown rule, rows that do not fit together, a ratio outside 0..1.
    """
    if rule == "mutual":
        return mutual_nearest(features_a.rows, features_b.rows, norm)
    if rule == "ratio":
        return ratio_test(features_a.rows, features_b.rows, norm, ratio)
    if rule == "gms":
        return gms(features_a, features_b, norm)
    raise InputError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")


def mutual_nearest(rows_a: Array, rows_b: Array, norm: str = "L2") -> Matches:
    """Pairs that are each other's nearest neighbour.

    Parameters
    ----------
    rows_a, rows_b : (N, D) and (M, D), float32 for ``norm`` "L2", uint8 for "HAMMING"
        Rows of zeros stand for "no description" and are never matched.
    norm : "L2" or "HAMMING"
    """
    return _mutual(rows_a, rows_b, norm, None)


def ratio_test(rows_a: Array, rows_b: Array, norm: str = "L2", ratio: float = 0.9) -> Matches:
    """Mutual nearest neighbours that are clearly nearer than the second nearest (Lowe 2004).

    A match stays when nearest < ``ratio`` * second nearest, from picture a; unlike the paper's,
    it must be mutual too.
    """
    if not 0 < ratio <= 1:
        raise InputError(f"ratio must lie in (0, 1], got {ratio}")
    return _mutual(rows_a, rows_b, norm, ratio)


def _mutual(rows_a: Array, rows_b: Array, norm: str, ratio: float | None) -> Matches:
    a, b = _vectors(rows_a, rows_b, norm)
    real_a, real_b = a.any(axis=1), b.any(axis=1)
    whole = bool(real_a.all() and real_b.all())
    if not whole:
        a, b = a[real_a], b[real_b]
    if len(a) == 0 or len(b) == 0:
        return _none()
    near = _nearest(a, b)
    index_a = np.flatnonzero(near.first <= near.column[near.best])
    index_b = near.best[index_a]
    _, once = np.unique(index_b, return_index=True)  # of equally near ones the first
    once.sort()
    index_a, index_b = index_a[once], index_b[once]
    first, second = _root(near.first[index_a], norm), _root(near.second[index_a], norm)
    if ratio is not None:
        clear = first < ratio * second
        index_a, index_b, first, second = index_a[clear], index_b[clear], first[clear], second[clear]
    if not whole:
        index_a, index_b = np.flatnonzero(real_a)[index_a], np.flatnonzero(real_b)[index_b]
    return _best_first(index_a, index_b, _alone(first, second))


def gms(
    features_a: Features,
    features_b: Features,
    norm: str = "L2",
    rotation: bool = True,
    scale: bool = True,
    threshold: float = 6.0,
) -> Matches:
    """Nearest neighbours whose surroundings move along: grid-based motion statistics.

    Parameters
    ----------
    rotation, scale : whether the pictures may be turned and zoomed against each other
    threshold : support that a grid cell needs, in units of the root of its number of points

    Notes
    -----
    ``cv2.xfeatures2d.matchGMS``; of several matches of one point of picture b the most distinct
    one stays.  Made for thousands of points; at a few hundred it finds little.

    References
    ----------
    J. Bian et al., GMS: grid-based motion statistics for fast, ultra-robust feature
    correspondence, CVPR 2017.
    """
    a, b = _vectors(features_a.rows, features_b.rows, norm)
    if len(a) == 0 or len(b) == 0:
        return _none()
    near = _nearest(a, b)
    pairs = tuple(
        cv2.DMatch(i, j, d)
        for i, (j, d) in enumerate(zip(near.best.tolist(), near.first.tolist(), strict=True))
    )
    sizes = (features_a.size_hw[::-1], features_b.size_hw[::-1])
    points = tuple(_inside(features).to_cv2() for features in (features_a, features_b))
    kept = contrib("matchGMS")(sizes[0], sizes[1], points[0], points[1], pairs, rotation, scale, threshold)
    index_a = np.array([m.queryIdx for m in kept], np.intp)
    score = _alone(_root(near.first[index_a], norm), _root(near.second[index_a], norm))
    found = _best_first(index_a, near.best[index_a], score)
    _, once = np.unique(found.index_b, return_index=True)
    once.sort()
    return Matches(*(column[once] for column in found))


def _inside(features: Features) -> Keypoints:
    """The points, moved into the picture: OpenCV's GMS crashes on one outside."""
    h, w = features.size_hw
    return Keypoints(np.clip(features.keypoints.xy, 0, [w - 1, h - 1]))


def guided_matches(
    features_a: Features,
    features_b: Features,
    homography: Array,
    radius_px: float,
    norm: str = "L2",
    ratio: float | None = None,
) -> Matches:
    """Mutual nearest neighbours among the points near the place that a homography predicts.

    Parameters
    ----------
    homography : (3, 3), takes points of picture a to picture b; not finite = no matches
    radius_px : float
        Candidates of a point lie at most this far from its predicted place, px of picture b.
    ratio : float or None
        Also ask for nearest < ``ratio`` * second nearest *candidate*; a lone candidate passes.

    Notes
    -----
    Candidates come from a grid of cells of ``radius_px``, so that the cost grows with the number
    of candidates and not with N * M.  The second distance of a lone candidate, which only its
    score needs, is the median distance of all candidates that are nobody's nearest.
    """
    if not radius_px > 0:
        raise InputError(f"radius_px must be positive, got {radius_px}")
    if not np.isfinite(homography).all():
        return _none()
    predicted = apply_homography(homography, features_a.keypoints.xy)
    ask = np.flatnonzero(np.isfinite(predicted).all(axis=1))
    i, j = candidate_pairs(predicted[ask], features_b.keypoints.xy, radius_px)
    return candidate_matches(features_a.rows, features_b.rows, ask[i], j, norm, ratio)


def candidate_matches(
    rows_a: Array, rows_b: Array, i: Array, j: Array, norm: str = "L2", ratio: float | None = None
) -> Matches:
    """:func:`guided_matches` among given candidates: pairs (P,), (P,) of rows of a and of b."""
    a, b = _vectors(rows_a, rows_b, norm)
    real = np.asarray(a.any(axis=1))[i] & np.asarray(b.any(axis=1))[j]
    i, j = i[real], j[real]
    if len(i) == 0:
        return _none()
    return _mutual_candidates(i, j, _pair_distances(a, b, i, j, norm), ratio)


def _mutual_candidates(i: Array, j: Array, distance: Array, ratio: float | None) -> Matches:
    """Matches from candidate pairs (i, j) with their distances; of equal ones the first wins."""
    order = np.lexsort((j, distance, i))
    i, j, distance = i[order], j[order], distance[order]
    top = np.flatnonzero(np.r_[True, i[1:] != i[:-1]])  # the nearest of each i
    following = np.minimum(top + 1, len(i) - 1)
    lone = (following == top) | (i[following] != i[top])
    back = np.lexsort((i, distance, j))
    best_of_j = back[np.r_[True, j[back][1:] != j[back][:-1]]]
    mutual = np.isin(top, best_of_j)
    other = np.ones(len(i), bool)
    other[top] = False
    typical = float(np.median(distance[other])) if other.any() else float(distance.max())
    second = np.where(lone, typical, distance[following])
    keep = mutual
    if ratio is not None:
        keep = keep & (lone | (distance[top] < ratio * second))
    top, second = top[keep], second[keep]
    return _best_first(i[top], j[top], _alone(distance[top], second))


def candidate_pairs(xy_a: Array, xy_b: Array, radius_px: float) -> tuple[Array, Array]:
    """All index pairs with ``|xy_a[i] - xy_b[j]| <= radius_px``, each (P,) int, sorted by i."""
    a, b = np.asarray(xy_a, float).reshape(-1, 2), np.asarray(xy_b, float).reshape(-1, 2)
    if len(a) == 0 or len(b) == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    parts = list(_candidates(a, b, float(radius_px)))
    return np.concatenate([i for i, _ in parts]), np.concatenate([j for _, j in parts])


def _candidates(xy_a: Array, xy_b: Array, radius: float) -> Iterator[tuple[Array, Array]]:
    """Index pairs with ``|xy_a[i] - xy_b[j]| <= radius``, in blocks of bounded size."""
    origin = xy_b.min(axis=0)
    cell_b = np.floor((xy_b - origin) / radius).astype(np.int64) + 1
    columns, rows = cell_b.max(axis=0) + 2
    number = cell_b[:, 1] * columns + cell_b[:, 0]
    order = np.argsort(number, kind="stable")
    number = number[order]
    cell_a = np.floor((xy_a - origin) / radius)  # far outside: clipped to cells without points
    cell_a = (np.clip(cell_a, -2, [columns, rows]) + 1).astype(np.int64)
    row = cell_a[:, 1, None] + np.arange(-1, 2)
    base = row * columns
    low = np.clip(cell_a[:, :1] - 1, 0, columns - 1)
    high = np.clip(cell_a[:, :1] + 1, 0, columns - 1)
    inside = (row >= 0) & (row < rows)
    first = np.where(inside, np.searchsorted(number, base + low, side="left"), 0)
    last = np.where(inside, np.searchsorted(number, base + high, side="right"), 0)
    count = last - first  # (N, 3): three rows of cells, each a run of `order`
    total = np.cumsum(count.sum(axis=1))
    start = 0
    while start < len(xy_a):
        done = int(total[start - 1]) if start else 0
        stop = max(int(np.searchsorted(total, done + _CANDIDATES, side="right")), start + 1)
        runs, begin = count[start:stop].ravel(), first[start:stop].ravel()
        offset = np.arange(runs.sum()) - np.repeat(np.cumsum(runs) - runs, runs)
        i = np.repeat(np.repeat(np.arange(start, stop), 3), runs)
        j = order[np.repeat(begin, runs) + offset]
        near = ((xy_a[i] - xy_b[j]) ** 2).sum(axis=1) <= radius * radius
        yield i[near], j[near]
        start = stop


def _pair_distances(a: Array, b: Array, i: Array, j: Array, norm: str) -> Array:
    """(P,) distances of ``a[i]`` and ``b[j]``."""
    out = np.empty(len(i), np.float32)
    for start in range(0, len(i), _ROWS_AT_A_TIME):
        some = slice(start, start + _ROWS_AT_A_TIME)
        difference = a[i[some]] - b[j[some]]
        np.einsum("pd,pd->p", difference, difference, out=out[some])
    return _root(out, norm)


def _vectors(rows_a: Array, rows_b: Array, norm: str) -> tuple[Array, Array]:
    """Both as float32 vectors whose *squared* Euclidean distance is the norm's, or its square.

    Bits become 0 and 1: their squared distance is the Hamming distance, exactly; one product of
    matrices then finds it three times as fast as ``cv2.batchDistance`` (9 against 27 ms for
    1024 x 1024 rows of 256 bits; for 128 floats 5 against 53 ms).
    """
    if norm not in ("L2", "HAMMING"):
        raise InputError(f'norm must be "L2" or "HAMMING", got {norm!r}')
    a, b = np.asarray(rows_a), np.asarray(rows_b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"rows must be (N, D) and (M, D) of one method, got {a.shape} and {b.shape}")
    if norm == "L2":
        return a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise InputError(f"HAMMING needs rows of uint8, got {a.dtype} and {b.dtype}")
    return np.unpackbits(a, axis=1).astype(np.float32), np.unpackbits(b, axis=1).astype(np.float32)


def distances(rows_a: Array, rows_b: Array, norm: str = "L2") -> Array:
    """(N, M) float32 distances of all rows to all: Euclidean, or numbers of bits that differ.

    For looking at; the matchers hold a block of them at a time.
    """
    a, b = _vectors(rows_a, rows_b, norm)
    return _root(_squared(a, b, np.einsum("md,md->m", b, b)), norm)


def _squared(a: Array, b: Array, length_b: Array) -> Array:
    """(N, M) squared distances; ``length_b`` (M,) are the squared lengths of b's rows."""
    distance: Array = a @ b.T
    distance *= -2
    distance += length_b
    distance += np.einsum("nd,nd->n", a, a)[:, None]
    return distance


def _nearest(a: Array, b: Array) -> _Nearest:
    """Nearest and second nearest of each row of a, in blocks of bounded memory."""
    n, m = len(a), len(b)
    best, first, second = np.empty(n, np.intp), np.empty(n, np.float32), np.full(n, np.inf, np.float32)
    column = np.full(m, np.inf, np.float32)
    length_b = np.einsum("md,md->m", b, b)
    step = max(1, _BLOCK // m)
    for start in range(0, n, step):
        some = a[start : start + step]
        rows = slice(start, start + len(some))
        distance = _squared(some, b, length_b)
        np.minimum(column, distance.min(axis=0), out=column)
        best[rows] = nearest = distance.argmin(axis=1)
        place = np.arange(len(some)), nearest
        first[rows] = distance[place]
        distance[place] = np.inf
        if m > 1:
            second[rows] = distance.min(axis=1)
    return _Nearest(best, first, second, column)


def _root(squared: Array, norm: str) -> Array:
    return squared if norm == "HAMMING" else np.sqrt(np.maximum(squared, 0))


def _alone(first: Array, second: Array) -> Array:
    """1 - first / second in 0..1; a match without a rival scores 1, one of two equal ones 0."""
    known = np.isfinite(second) & (second > 0)
    share = np.where(known, first / np.where(known, second, 1), np.where(np.isfinite(second), 1, 0))
    return np.clip(1 - share, 0, 1).astype(np.float32)


def _best_first(index_a: Array, index_b: Array, score: Array) -> Matches:
    order = np.argsort(-score, kind="stable")
    return Matches(index_a[order], index_b[order], score[order])


def _none() -> Matches:
    return Matches(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32))
