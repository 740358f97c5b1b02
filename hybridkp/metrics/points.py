"""Metrics of the interest-point task: repeatability, matching accuracy, homography accuracy.

Pure functions of the points of one pair of pictures and its truth, each with a value for every
pair, so that means and intervals can be taken over pairs and sequences.  Never here: files,
pictures, models, any random choice.  Shapes: points (N, 2), matches (M, 2) and (M, 2), a truth is a
homography (3, 3) or a flow (H, W, 2) that says where each pixel of the first picture lies in the
second, NaN where nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError
from .homographies import THRESHOLDS_PX, map_points

CORRECT_PX = 3.0  #: a match within this distance of the truth is a correct one

SizeHW = tuple[int, int]


# --------------------------------------------------------------------------------------------
# points through the truth
# --------------------------------------------------------------------------------------------


def transfer(xy: ArrayLike, truth: ArrayLike) -> Array:
    """Points (N, 2) of the first picture in the second, (N, 2) float64; NaN where there is no prediction.

    A homography has none at and behind its horizon.  A flow is read bilinearly; it has none outside
    its picture, where one of the pixels read is unknown, and where one of them moves over 1 px
    otherwise than their mean: an edge in depth, where a mean of both sides is the truth of neither.
    """
    points, known = _points(xy), np.asarray(truth, float)
    if known.shape == (3, 3):
        return map_points(points, known)
    if known.ndim != 3 or known.shape[2] != 2:
        raise InputError(f"a truth is a homography (3, 3) or a flow (H, W, 2), got {known.shape}")
    return _read_flow(points, known)


def match_errors(xy_a: ArrayLike, xy_b: ArrayLike, truth: ArrayLike) -> Array:
    """Distance (M,) in px of the second picture between each match and the truth.

    inf for a match that a homography sends behind its horizon; NaN where a flow does not know.  A truth of
    (1, 3, 3) is a fundamental matrix: the distance is that from the epipolar line, which is less to ask.
    """
    a, b = _points(xy_a), _points(xy_b)
    if np.shape(truth) == (1, 3, 3):
        return _epipolar_distance(a, b, np.asarray(truth, float)[0])
    if len(a) != len(b):
        raise InputError(f"matches need as many points on both sides, got {len(a)} and {len(b)}")
    errors = _length(transfer(a, truth) - b)
    if np.shape(truth) == (3, 3):
        errors[np.isnan(errors)] = np.inf
    return errors


def _epipolar_distance(a: Array, b: Array, fundamental: Array) -> Array:
    """(M,) px from the points of b to the lines of those of a."""
    lines = np.column_stack([a, np.ones(len(a))]) @ fundamental.T
    off = np.abs((lines * np.column_stack([b, np.ones(len(b))])).sum(1))
    return np.asarray(off / np.maximum(np.linalg.norm(lines[:, :2], axis=1), 1e-300))


# --------------------------------------------------------------------------------------------
# detectors
# --------------------------------------------------------------------------------------------


def repeated_points(
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    truth: ArrayLike,
    size_hw_a: SizeHW,
    size_hw_b: SizeHW,
    threshold_px: float = CORRECT_PX,
) -> tuple[Array, Array, int]:
    """Points found in both pictures, one-to-one: (pairs (R, 2) int, distances (R,), possible).

    Only the common region counts: points of either picture whose counterpart lies within the other
    (up to its pixels' outer edges).  The distance of a pair is the mean of |T(a) - b| and
    |a - T^-1(b)|, so that neither picture is favoured; with a flow, which has no inverse, it is
    |T(a) - b|.  Pairs are made greedily, nearest first, and a point is used once (as in Mikolajczyk et
    al., A comparison of affine region detectors, IJCV 2005, with distance in place of overlap).
    ``possible`` is the smaller number of points in the common region: the most pairs there could be.
    """
    a, b = _points(xy_a), _points(xy_b)
    ends_b, rows_a = _common(a, truth, size_hw_b)
    if np.shape(truth) == (3, 3):
        ends_a, rows_b = _common(b, _inverse(truth), size_hw_a)
    else:
        ends_a, rows_b = None, np.flatnonzero(_seen(b, np.asarray(truth, float), size_hw_b))
    i, j, distance = _candidates(a, b, rows_a, rows_b, ends_b, ends_a, threshold_px)
    # ties: by place, the same whatever the order of the points and of the pictures
    places = a[i] + b[j]
    order = np.lexsort((places[:, 1], places[:, 0], distance))
    i, j, distance = i[order], j[order], distance[order]
    kept: list[Array] = []
    rest = np.arange(len(i))
    while len(rest):
        # nearest of its row and of its column at once = what the greedy rule would take
        best = np.zeros(len(rest), bool)
        first_i, first_j = np.unique(i[rest], return_index=True)[1], np.unique(j[rest], return_index=True)[1]
        best[np.intersect1d(first_i, first_j)] = True
        kept.append(rest[best])
        used = np.isin(i[rest], i[rest[best]]) | np.isin(j[rest], j[rest[best]])
        rest = rest[~used]
    chosen = np.sort(np.concatenate([np.zeros(0, int), *kept]))
    return np.column_stack([i[chosen], j[chosen]]), distance[chosen], min(len(rows_a), len(rows_b))


def repeatability(
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    truth: ArrayLike,
    size_hw_a: SizeHW,
    size_hw_b: SizeHW,
    threshold_px: float = CORRECT_PX,
) -> float:
    """Share of the points in the common region that are found in both pictures, 0..1.

    Symmetric and one-to-one, see :func:`repeated_points`.  0 where the common region holds no point of
    one picture: a detector that finds nothing repeats nothing.
    """
    pairs, _, possible = repeated_points(xy_a, xy_b, truth, size_hw_a, size_hw_b, threshold_px)
    return len(pairs) / possible if possible else 0.0


def localisation_error(
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    truth: ArrayLike,
    size_hw_a: SizeHW,
    size_hw_b: SizeHW,
    threshold_px: float = CORRECT_PX,
) -> float:
    """Mean distance in px of the points found in both pictures, 0..threshold; NaN when there are none."""
    distance = repeated_points(xy_a, xy_b, truth, size_hw_a, size_hw_b, threshold_px)[1]
    return float(distance.mean()) if len(distance) else float("nan")


# --------------------------------------------------------------------------------------------
# matches
# --------------------------------------------------------------------------------------------


def mma(
    xy_a: ArrayLike, xy_b: ArrayLike, truth: ArrayLike, thresholds: Sequence[float] = THRESHOLDS_PX
) -> Array:
    """Share (T,) of the matches within each threshold of the truth, in px of the second picture.

    The pair's term of the mean matching accuracy (Dusmanov et al., D2-Net, CVPR 2019).  Matches of
    which a flow knows no truth are left out; 0 when no match is left.
    """
    errors = match_errors(xy_a, xy_b, truth)
    errors = errors[~np.isnan(errors)]
    limits = np.asarray(thresholds, float)
    return (errors[:, None] <= limits).mean(0) if len(errors) else np.zeros(len(limits))


def matching_score(
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    keypoints_a: ArrayLike,
    keypoints_b: ArrayLike,
    truth: ArrayLike,
    size_hw_a: SizeHW,
    size_hw_b: SizeHW,
    threshold_px: float = CORRECT_PX,
) -> float:
    """Correct matches per point that could have been matched, 0..1.

    The number of matches within ``threshold_px`` of the truth over the smaller number of detected
    points in the common region (DeTone et al., SuperPoint, 2018, take the mean of both directions).
    0 without points there; at most 1, also for a method that matches more points than it
    reports as detected.
    """
    errors = match_errors(xy_a, xy_b, truth)
    n_a, n_b = common_counts(keypoints_a, keypoints_b, truth, size_hw_a, size_hw_b)
    possible = min(n_a, n_b)
    return min(1.0, int((errors <= threshold_px).sum()) / possible) if possible else 0.0


def common_counts(
    xy_a: ArrayLike, xy_b: ArrayLike, truth: ArrayLike, size_hw_a: SizeHW, size_hw_b: SizeHW
) -> tuple[int, int]:
    """How many points of each picture lie in the common region, see :func:`repeated_points`."""
    n_a = len(_common(_points(xy_a), truth, size_hw_b)[1])
    if np.shape(truth) == (3, 3):
        return n_a, len(_common(_points(xy_b), _inverse(truth), size_hw_a)[1])
    return n_a, int(_seen(_points(xy_b), np.asarray(truth, float), size_hw_b).sum())


def inlier_counts(
    xy_a: ArrayLike, xy_b: ArrayLike, inlier: ArrayLike, truth: ArrayLike, threshold_px: float = CORRECT_PX
) -> tuple[int, int]:
    """(matches that the robust estimator kept, those of them within ``threshold_px`` of the truth)."""
    kept = np.asarray(inlier, bool).reshape(-1)
    errors = match_errors(xy_a, xy_b, truth)
    if len(kept) != len(errors):
        raise InputError(f"inlier: {len(kept)} marks for {len(errors)} matches")
    return int(kept.sum()), int((kept & (errors <= threshold_px)).sum())


# --------------------------------------------------------------------------------------------
# helpers
# --------------------------------------------------------------------------------------------


def _points(xy: ArrayLike) -> Array:
    points = np.asarray(xy, float)
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"points must have shape (N, 2), got {points.shape}")
    return points


def _length(vectors: Array) -> Array:
    return np.sqrt((vectors**2).sum(-1))


def _inverse(homography: ArrayLike) -> Array:
    matrix = np.asarray(homography, float)
    return np.linalg.inv(matrix / np.abs(matrix).max())


def _within(xy: Array, size_hw: SizeHW) -> Array:
    """(N,) bool: on a picture of that size, up to the outer edges of its pixels; NaN is not."""
    h, w = size_hw
    return (xy >= -0.5).all(1) & (xy[:, 0] <= w - 0.5) & (xy[:, 1] <= h - 0.5)


def _common(xy: Array, truth: ArrayLike, size_hw: SizeHW) -> tuple[Array, Array]:
    """Where the points lie in the other picture, and the rows of those that lie within it."""
    ends = transfer(xy, truth)
    return ends, np.flatnonzero(_within(ends, size_hw))


def _read_flow(xy: Array, flow: Array) -> Array:
    h, w = flow.shape[:2]
    inside = _within(xy, (h, w))
    at = np.clip(np.where(inside[:, None], xy, 0.0), 0, [w - 1, h - 1])
    low = np.minimum(np.floor(at), np.maximum([w - 2, h - 2], 0)).astype(int)
    high = np.minimum(low + 1, [w - 1, h - 1])
    weight = at - low
    corners = [
        (low[:, 0], low[:, 1]),
        (high[:, 0], low[:, 1]),
        (low[:, 0], high[:, 1]),
        (high[:, 0], high[:, 1]),
    ]
    shifts = np.stack([flow[y, x] - np.column_stack([x, y]) for x, y in corners])
    fx, fy = weight[:, :1], weight[:, 1:]
    share = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    read = share > 0  # an unread neighbour may be unknown
    mean = np.where(read, shifts * share, 0.0).sum(0)
    apart = np.where(read, np.abs(shifts - mean), 0.0).max((0, 2), initial=0.0)
    known = inside & (apart <= 1.0)  # NaN compares false
    return np.where(known[:, None], xy + mean, np.nan)


def _seen(xy_b: Array, flow: Array, size_hw_b: SizeHW) -> Array:
    """(N,) bool: points of the second picture on which, within a pixel, some pixel of the first falls."""
    h, w = size_hw_b
    ends = flow.reshape(-1, 2)
    ends = np.rint(ends[_within(ends, size_hw_b)]).astype(int).clip(0, [w - 1, h - 1])
    covered = np.zeros((h + 2, w + 2), bool)
    for dy in range(3):
        for dx in range(3):
            covered[ends[:, 1] + dy, ends[:, 0] + dx] = True
    inside = _within(xy_b, size_hw_b)
    at = np.rint(np.where(inside[:, None], xy_b, 0)).astype(int).clip(0, [w - 1, h - 1]) + 1
    return inside & covered[at[:, 1], at[:, 0]]


def _candidates(
    a: Array, b: Array, rows_a: Array, rows_b: Array, ends_b: Array, ends_a: Array | None, limit: float
) -> tuple[Array, Array, Array]:
    """All pairs (i, j) of the given rows within ``limit``, and their distances; in blocks of rows.

    A mean distance within the limit needs |T(a) - b| within twice of it: that leaves few pairs to look at.
    """
    found = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    near = (2 * limit + 1e-3) ** 2
    step = max(1, (1 << 21) // max(1, len(rows_b)))
    for start in range(0, len(rows_a), step):
        rows = rows_a[start : start + step]
        ends, others = ends_b[rows], b[rows_b]
        squared = (ends**2).sum(1)[:, None] - 2 * ends @ others.T + (others**2).sum(1)
        i, j = np.nonzero(squared <= near)
        i, j = rows[i], rows_b[j]
        distance = _length(ends_b[i] - b[j])
        if ends_a is not None:
            distance = (distance + _length(a[i] - ends_a[j])) / 2
        close = distance <= limit
        found.append((i[close], j[close], distance[close]))
    i, j, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    return i, j, distance
