"""A refiner for printed matter: points moved to the corners of lines of print that lie near.

Lines are found in the pixels, as dark or light marks that stand side by side.  Crops (B, H, W[, 3]) uint8 and
points (B, K, 2) in crop px pass; text itself is never read here.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.images import check_crops, crops_to_grey
from ..stats.calibration import NEAR
from ..structures import Array, InputError, check_start, check_xy

_CONTRAST = 12  #: grey levels by which ink differs from the paper around it
_PAPER = 0.06  #: of the longer side: the neighbourhood that says what paper is
_GAPS = (0.008, 0.016, 0.03)  #: of the longer side: the widest gap within a line, of several readings
_HEIGHT = (0.006, 0.08)  #: of the longer side: how high a line may be
_ROUNDS = 4
_LEAST = 5  #: training points from which a corner is learned


class InkRefiner(BaseEstimator):
    """Each point goes to the corner of a line of print that suits it best, where one is near enough.

    A landmark's corner (top left to bottom right), the width of the gaps in its line, how far from the ink it
    lies, and how far starts are off in x and in y are learned in turn; a landmark that this does not bring
    nearer in training stays.

    Parameters
    ----------
    reach : spreads of the starts' errors within which a corner is looked for

    Notes
    -----
    The score of a point is the share of training points of its landmark that came within 2.5 % of the
    crop's longer side, less where no corner was near.

    Examples
    --------
    >>> page = np.full((1, 80, 80), 255, np.uint8)
    >>> page[:, 30:36, 20:60] = 0
    >>> truth = np.array([[[20.0, 30.0]]])
    >>> many, at = np.repeat(page, 6, axis=0), np.repeat(truth, 6, axis=0)
    >>> start = at + np.array([[3, 1], [-2, 2], [4, -1], [-4, 0], [1, 2], [2, -2]])[:, None]
    >>> moved, _ = InkRefiner().fit(many, at, start).refine(page, truth + [[[3, 2]]])
    >>> bool(np.abs(moved - truth).max() < 1)
    True
    """

    def __init__(self, reach: float = 3.0):
        self.reach = reach

    def fit(
        self,
        images: Any,
        xy: ArrayLike,
        start: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        flip: ArrayLike | None = None,
    ) -> InkRefiner:
        """Learn from crops, truth and starts, both (B, K, 2) in crop px."""
        if not self.reach > 0:
            raise InputError(f"InkRefiner: reach must be positive, got {self.reach}")
        grey = crops_to_grey(check_crops(images))
        truth = check_xy(xy, len(grey))
        begin = check_start(start, truth.shape)
        self.size_hw_ = (int(grey.shape[1]), int(grey.shape[2]))
        lines = [print_lines(picture) for picture in grey]
        k, side = truth.shape[1], max(self.size_hw_)
        self.corner_, self.gap_, self.use_ = np.zeros(k, int), np.zeros(k, int), np.zeros(k, bool)
        self.offset_, self.spread_ = np.zeros((k, 2)), np.ones((k, 2))
        self.near_ = np.zeros((k, 2))
        for j in range(k):
            self._learn(j, lines, truth[:, j], begin[:, j], NEAR * side)
        return self

    def _learn(self, j: int, lines: list[list[Array]], truth: Array, start: Array, near: float) -> None:
        known = np.flatnonzero(np.isfinite(truth[:, 0]) & np.isfinite(start[:, 0]))
        self.near_[j] = float(np.mean(np.hypot(*(start - truth)[known].T) < near)) if len(known) else 0.0
        if len(known) < _LEAST:
            return
        spread = np.maximum(1.5 * np.median(np.abs(start - truth)[known], axis=0), 1.0)
        cap = float(np.hypot(*spread)) * self.reach
        before = np.minimum(np.hypot(*(start - truth)[known].T), cap)
        best = float(before.mean())
        for gap, corner in np.ndindex(len(_GAPS), 4):
            boxes, offset = [found[gap] for found in lines], np.zeros(2)
            places = [_corners(boxes[b], corner) for b in known]
            for _ in range(_ROUNDS):  # by the truth: which corners the landmark lies at
                close = [_closest(p, truth[b] - offset, spread) for p, b in zip(places, known, strict=True)]
                off = np.array([truth[b] - c for c, b in zip(close, known, strict=True) if c is not None])
                if len(off) < _LEAST:
                    break
                offset = np.median(off, axis=0)
            moved = np.array([self._moved(boxes[b], start[b], corner, offset, spread)[0] for b in known])
            far = np.hypot(*(moved - truth[known]).T)
            if np.minimum(far, cap).mean() < best:
                best = float(np.minimum(far, cap).mean())
                self.corner_[j], self.offset_[j], self.spread_[j] = corner, offset, spread
                self.gap_[j], self.use_[j], self.near_[j, 0] = gap, True, float(np.mean(far < near))

    def _moved(
        self, boxes: Array, start: Array, corner: int, offset: Array, spread: Array
    ) -> tuple[Array, bool]:
        """A start moved to the best corner, and whether there was one."""
        close = _closest(_corners(boxes, corner) + offset, start, spread)
        if close is None or np.hypot(*((close - start) / spread)) > self.reach:
            return start, False
        return close, True

    def refine(self, images: Any, start: ArrayLike) -> tuple[Array, Array]:
        """(B, K, 2) float32 moved points, (B, K) float32 scores; a start that is NaN stays so, score 0."""
        check_is_fitted(self, "corner_")
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        begin = check_start(start, (len(grey), *self.offset_.shape))
        out, score = begin.copy(), np.tile(self.near_[:, 1], (len(grey), 1))
        for b, picture in enumerate(grey):
            lines = print_lines(picture)
            for j in np.flatnonzero(self.use_ & np.isfinite(begin[b, :, 0])):
                corner = int(self.corner_[j])
                boxes = lines[self.gap_[j]]
                out[b, j], there = self._moved(boxes, begin[b, j], corner, self.offset_[j], self.spread_[j])
                score[b, j] = self.near_[j, 0 if there else 1]
        score[~np.isfinite(out[..., 0])] = 0
        return out.astype(np.float32), score.astype(np.float32)


def print_lines(grey: Array) -> list[Array]:
    """Boxes (N, 4) of print in (H, W) uint8: x0, y0, x1, y1 of the first and last px of the ink.

    Once for each width of the gaps across which marks are joined: words, phrases, whole lines.
    """
    side = max(grey.shape)
    around = int(_PAPER * side) | 1
    soft = grey.astype(np.float32)
    paper = cv2.medianBlur(grey, min(around, 255)).astype(np.float32)
    ink = ((np.abs(soft - paper) > _CONTRAST) & _inside(grey)).astype(np.uint8)
    found = []
    for gap in _GAPS:
        width = max(1, round(gap * side)) | 1
        joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, width), np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        box = stats[1:, :4]
        high = (box[:, 3] >= _HEIGHT[0] * side) & (box[:, 3] <= _HEIGHT[1] * side)
        box = box[high & (box[:, 2] >= _HEIGHT[0] * side)]
        found.append(np.column_stack([box[:, :2], box[:, :2] + box[:, 2:] - 1]))
    return [boxes.astype(float) for boxes in found]


def _inside(grey: Array) -> Array:
    """(H, W) bool: not beyond the picture's border, where a crop repeats its last row or column."""
    h, w = grey.shape
    alike = (grey[:, 1:] == grey[:, :-1]).all(axis=0), (grey[1:] == grey[:-1]).all(axis=1)
    (left, right), (top, bottom) = (
        (int(np.argmin(same)), int(np.argmin(same[::-1]))) if not same.all() else (0, 0) for same in alike
    )
    out = np.zeros((h, w), bool)
    out[top : h - bottom, left : w - right] = True
    return out


def _corners(boxes: Array, corner: int) -> Array:
    """(N, 2): 0 top left, 1 top right, 2 bottom left, 3 bottom right."""
    return boxes[:, [2 * (corner % 2), 1 + 2 * (corner // 2)]]


def _closest(places: Array, point: Array, spread: Array) -> Array | None:
    if not len(places):
        return None
    return np.asarray(places[(((places - point) / spread) ** 2).sum(1).argmin()])
