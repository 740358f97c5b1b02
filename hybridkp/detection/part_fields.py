"""From heat maps and part affinity fields to skeletons: peaks, integrals along limbs, grouping by matching.

NumPy and OpenCV only: the network itself runs elsewhere.  Heat maps (K, h, w) in 0..1 and fields
(L, 2, h, w) of unit vectors come in, points (N, K, 2) in map px with NaN for what was not found go out.

References
----------
Z. Cao, G. Hidalgo, T. Simon, S.-E. Wei, Y. Sheikh, OpenPose: realtime multi-person 2D pose estimation using
part affinity fields, TPAMI 43(1), 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..structures import Array
from ..tracking.identity import assign

MOST = 40  #: peaks of a landmark that are looked at, the highest ones
SAMPLES = 12  #: places along a limb where its field is read
ALONG = 0.1  #: of a field's projection on the limb: what a sample needs to count as on it
ENOUGH = 0.7  #: part of the samples that must lie on the limb
_BEFORE = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], np.uint8)  # of two equal neighbours the first is one


class Peaks(NamedTuple):
    """Candidates of all landmarks, in the landmarks' order."""

    landmark: Array  #: (N,) int
    xy: Array  #: (N, 2) map px
    height: Array  #: (N,) 0..1


class Skeletons(NamedTuple):
    """Objects, the best first."""

    xy: Array  #: (N, K, 2) map px, NaN where nothing was found
    score: Array  #: (N, K) heights of the peaks, 0 where nothing was found
    raw: Array  #: (N,) mean of heights and limbs, what is not there counting as 0


def find_peaks(maps: Array, least: float) -> Peaks:
    """Local maxima of at least ``least`` of heat maps (K, h, w), between pixels by parabolas of logarithms.

    A Gaussian's logarithm is a parabola: its peak is read exactly.  At the border nothing is interpolated.

    >>> x = np.arange(9.0)
    >>> bump = np.exp(-((x - 4.3) ** 2 + (x[:, None] - 2.8) ** 2) / 3)[None]
    >>> find_peaks(bump, 0.5).xy.round(6).tolist()
    [[4.3, 2.8]]
    """
    maps = np.ascontiguousarray(maps, np.float32)
    _, h, w = maps.shape
    around = np.stack([cv2.dilate(each, np.ones((3, 3), np.uint8)) for each in maps])
    before = np.stack([cv2.dilate(each, _BEFORE) for each in maps])
    k, y, x = np.nonzero((maps >= around) & (maps > before) & (maps >= least))
    height = maps[k, y, x]
    order = np.lexsort((-height, k))
    k, y, x, height = k[order], y[order], x[order], height[order]
    rank = np.arange(len(k)) - np.searchsorted(k, k)  # within its landmark
    kept = rank < MOST
    k, y, x, height = k[kept], y[kept], x[kept], height[kept]
    log = np.log(np.maximum(maps, 1e-6)).astype(float)

    def between(step: tuple[int, int], at: Array, size: int) -> Array:
        inside = (at > 0) & (at < size - 1)
        dy, dx = (np.where(inside, s, 0) for s in step)
        before, after = log[k, y - dy, x - dx], log[k, y + dy, x + dx]
        bend = before - 2 * log[k, y, x] + after
        shift = np.where(bend < -1e-9, (before - after) / np.where(bend < -1e-9, 2 * bend, 1), 0)
        return np.asarray(at + np.clip(shift, -0.5, 0.5))

    return Peaks(k, np.stack([between((0, 1), x, w), between((1, 0), y, h)], 1), height)


def limb_scores(field: Array, start: Array, end: Array) -> Array:
    """(N, M): how well a field (2, h, w) flows from each of (N, 2) to each of (M, 2); 0 where it does not.

    The mean projection of the field on the limb's direction over :data:`SAMPLES` places along it.
    """
    way = end[None] - start[:, None]
    length = np.linalg.norm(way, axis=2, keepdims=True)
    unit = way / np.maximum(length, 1e-6)
    share = (np.arange(SAMPLES) + 0.5) / SAMPLES
    places = start[:, None, None] + share[:, None] * way[:, :, None]  # (N, M, S, 2)
    x, y = (places[..., i].reshape(-1, SAMPLES).astype(np.float32) for i in (0, 1))
    planes = np.ascontiguousarray(np.moveaxis(field, 0, 2), np.float32)
    read = cv2.remap(planes, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) if x.size else x
    flow = (read.reshape(*places.shape) * unit[:, :, None]).sum(3)
    on = (flow > ALONG).mean(2) >= ENOUGH
    return np.where(on & (length[..., 0] > 1e-6), flow.mean(2), 0.0)


def group(peaks: Peaks, fields: Array, skeleton: Array, n_landmarks: int) -> Skeletons:
    """Peaks joined to objects along the limbs of a skeleton (L, 2).

    Each limb's candidates are matched by the greatest total of :func:`limb_scores`
    (:func:`~hybridkp.tracking.identity.assign`).  Limbs are taken in the order given: a match joins what its
    two ends belong to, unless both have the same landmark.  A limb beyond a tree so mends what a hidden
    landmark has torn.  Departure from OpenPose: no bound on a limb's length.
    """
    n = len(peaks.landmark)
    owner = np.arange(n)  # each peak begins as an object of its own
    has = np.zeros((n, n_landmarks), bool)
    has[np.arange(n), peaks.landmark] = True
    worth = np.zeros(n)  # of an object: the sum of its limbs
    for (a, b), field in zip(skeleton, fields, strict=True):
        i, j, score = _matched(peaks, field, a, b)
        one, other = owner[i], owner[j]
        worth += np.bincount(one[one == other], score[one == other], n)
        free = (one != other) & ~(has[one] & has[other]).any(1)
        one, other, score = one[free], other[free], score[free]
        has[one] |= has[other]
        worth[one] += worth[other] + score
        target = np.arange(n)
        target[other] = one  # an object lies in one match of a limb at most, since both ends differ
        owner = target[owner]
    alive, row = np.unique(owner, return_inverse=True)
    xy = np.full((len(alive), n_landmarks, 2), np.nan)
    height = np.zeros((len(alive), n_landmarks))
    xy[row, peaks.landmark], height[row, peaks.landmark] = peaks.xy, peaks.height
    raw = (height.sum(1) / n_landmarks + worth[alive] / max(len(skeleton), 1)) / 2
    order = np.argsort(-raw, kind="stable")
    return Skeletons(xy[order], height[order], raw[order])


def _matched(peaks: Peaks, field: Array, a: int, b: int) -> tuple[Array, Array, Array]:
    """Peaks of landmark a, of b, and their limbs' scores, each peak at most once."""
    first, last = np.flatnonzero(peaks.landmark == a), np.flatnonzero(peaks.landmark == b)
    score = limb_scores(field, peaks.xy[first], peaks.xy[last])
    pairs = np.array(assign(1 - score, 1 - 1e-9), int).reshape(-1, 2)
    return first[pairs[:, 0]], last[pairs[:, 1]], score[pairs[:, 0], pairs[:, 1]]


def in_order(skeleton: Sequence[Sequence[int]] | Array) -> Array:
    """The limbs (L, 2) of a skeleton, those of a spanning tree first, each once.

    >>> in_order([[0, 1], [1, 2], [2, 0], [1, 0], [3, 3]]).tolist()
    [[0, 1], [1, 2], [2, 0]]
    """
    seen: set[frozenset[int]] = set()
    part: dict[int, int] = {}
    tree: list[list[int]] = []
    more: list[list[int]] = []

    def root(k: int) -> int:
        while part.get(k, k) != k:
            k = part[k]
        return k

    for a, b in np.asarray(skeleton, int).reshape(-1, 2).tolist():
        if a == b or frozenset((a, b)) in seen:
            continue
        seen.add(frozenset((a, b)))
        joins = root(a) != root(b)
        (tree if joins else more).append([a, b])
        part[root(a)] = root(b)
    return np.reshape([*tree, *more], (-1, 2)).astype(int)
