"""Landmarks of printed matter from its text alone: which line each landmark belongs to, and where at it.

A batch with ``words`` comes in, points, scores and score maps come out.  Pixels are never read here: what
the picture knows better (where exactly the ink ends) is a step's or another member's part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import rescale
from ..imaging.images import check_batch
from ..multimodal import LineRows
from ..structures import Array, DetectorMixin, InputError, as_batch, check_xy

_ROUNDS = 6  #: of assigning lines to landmarks and learning where at the line they are
_FAR = 0.03  #: of the longer side: a line further from its landmark than that is none of its
_SIDES = (-0.5, 0.0, 0.5)  #: of a line: where a landmark may sit at first
_LETTER, _LINE = 0.008, 0.012  #: of the longer side: the width of a letter, the height of a line, at first
_SURE = 2.0  #: power of the shares that lines get


@dataclass(eq=False, repr=False)
class WordDetector(DetectorMixin, BaseEstimator):
    """Points from lines of text: a forest says which line, a regression where at it.

    Which line a landmark belongs to is not labelled: the nearest one is taken, by a rule for where at a line
    the landmark sits (its side, times the number of letters), and rule and lines are learned in turn.

    Parameters
    ----------
    cells, n_topics, queries : see :class:`~hybridkp.multimodal.LineRows`; ``cells=0`` is the control that
        sees exact boxes
    n_trees : of the forest
    random_state : int

    Notes
    -----
    A picture without a line of text has no points (NaN).  The score of a point is the share of its line
    among all lines of the picture.

    Examples
    --------
    >>> lines = [[(4, 10 * i, 34, 10 * i + 6, "total"), (4, 50, 9, 56, "end")] for i in range(4)]
    >>> batch = {"image": np.zeros((4, 64, 64), np.uint8), "words": lines}
    >>> xy = np.array([[[4, 10 * i]] for i in range(4)])
    >>> found = WordDetector(n_trees=10).fit(batch, xy).predict(batch)
    >>> bool((np.abs(found - xy) < 6).all())
    True
    """

    cells: int = 40
    n_topics: int = 32
    queries: tuple[str, ...] = ()
    n_trees: int = 200
    random_state: int = 0

    def seen_modalities(self) -> tuple[str, ...]:
        return ("words",)

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> WordDetector:
        """Learn from a batch with ``words`` (B,) and points (B, K, 2) in crop px, NaN = not labelled."""
        words, self.size_hw_ = self._words(images)
        truth = check_xy(xy, len(words))
        queries = (self.queries,) if isinstance(self.queries, str) else tuple(self.queries)
        self.lines_ = LineRows(self.cells, self.n_topics, queries, self.random_state)
        self.lines_.fit(words, self.size_hw_)
        written = [b for b, lines in enumerate(words) if lines]
        found = [self.lines_.transform(words[b]) for b in written]
        picture = np.repeat(written, [len(rows) for rows, _ in found])
        rows, centre = np.concatenate([r for r, _ in found]), np.concatenate([c for _, c in found])
        letters = np.array([len(line[4]) for lines in words for line in lines], float)
        about = self._about(letters, centre, words)
        k = truth.shape[1]
        mine = np.zeros((len(rows), k), int)
        self.offset_, self.spread_ = np.zeros((k, about.shape[1], 2)), np.ones((k, 2))
        for j in range(k):
            chosen, self.offset_[j], self.spread_[j] = self._assign(
                centre, about, letters, picture, truth[:, j]
            )
            mine[chosen, j] = 1
        # of 0 and 1 the squared error is half of Gini's index: a forest of classes, but one that can be saved
        forest = ExtraTreesRegressor(
            self.n_trees, min_samples_leaf=2, max_features=0.2, random_state=self.random_state
        )
        weight = compute_sample_weight("balanced", mine)
        self.forest_ = forest.fit(rows, mine if k > 1 else mine[:, 0], sample_weight=weight)
        return self

    def _words(self, images: Any) -> tuple[list[Any], tuple[int, int]]:
        batch = as_batch(images)
        crops = check_batch(batch)
        return list(batch["words"]), (int(crops.shape[1]), int(crops.shape[2]))

    def _about(self, letters: Array, centre: Array, words: Any) -> Array:
        """(N, F) of lines: what a landmark's place at a line depends on."""
        columns = [np.ones(len(letters)), letters / 10, centre[:, 0] / self.size_hw_[1]]
        if not self.cells:
            box = np.array([line[:4] for lines in words for line in lines], float).reshape(-1, 4)
            columns += [*(box[:, 2:] - box[:, :2]).T]
        return np.column_stack(columns)

    def _assign(
        self, centre: Array, about: Array, letters: Array, picture: Array, truth: Array
    ) -> tuple[Array, Array, Array]:
        """Of one landmark (B, 2): its lines, the regression (F, 2) to its place, and the spread (2,) px."""
        side = max(self.size_hw_)
        wanted = truth[picture]
        there = np.isfinite(wanted[:, 0])
        best: tuple[float, Any] = (np.inf, None)
        if not there.any():
            return np.zeros(0, int), np.zeros((about.shape[1], 2)), np.ones(2)
        for sx in _SIDES:
            for sy in _SIDES:
                move = np.column_stack(
                    [sx * letters * _LETTER * side, np.full(len(letters), sy * _LINE * side)]
                )
                for _ in range(_ROUNDS):
                    off = np.where(there[:, None], wanted - centre - move, np.inf)
                    chosen, far = _nearest(picture, np.hypot(*off.T))
                    near = far < _FAR * side
                    used = chosen[near] if near.sum() > about.shape[1] else chosen
                    weights = _solve(about[used], (wanted - centre)[used])
                    move = about @ weights
                off = np.where(there[:, None], wanted - centre - move, np.inf)
                chosen, far = _nearest(picture, np.hypot(*off.T))
                loss = float(np.minimum(far, _FAR * side).mean())
                if loss < best[0]:
                    near = far < _FAR * side
                    used = chosen[near] if near.any() else chosen
                    best = loss, (used, weights, np.maximum(np.abs(off[used]).mean(0) * 1.25, 0.5))
        found: tuple[Array, Array, Array] = best[1]
        return found

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 points in crop px, NaN without text, and (B, K) float32 scores."""
        parts = self._voices(images)
        k = len(self.offset_)
        xy, score = np.full((len(parts), k, 2), np.nan, np.float32), np.zeros((len(parts), k), np.float32)
        for b, (share, places) in enumerate(parts):
            if len(share):
                top = share.argmax(axis=0)
                xy[b] = places[top, np.arange(k)]
                score[b] = share[top, np.arange(k)]
        return xy, score

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H / stride, W / stride) float32, each map summing to 1: a Gaussian at every line's place."""
        parts, k = self._voices(images), len(self.offset_)
        h, w = (side // stride for side in self.size_hw_)
        x, y = rescale(np.arange(w), stride), rescale(np.arange(h), stride)
        out = np.full((len(parts), k, h, w), 1e-6 / (h * w), np.float32)
        for b, (share, places) in enumerate(parts):
            for j in range(k):
                for n in np.flatnonzero(share[:, j] > 1e-3):
                    sx, sy = np.maximum(self.spread_[j], 0.5 * stride)
                    gx = np.exp(-0.5 * ((x - places[n, j, 0]) / sx) ** 2) / sx
                    gy = np.exp(-0.5 * ((y - places[n, j, 1]) / sy) ** 2) / sy
                    out[b, j] += (share[n, j] * gy[:, None] * gx[None]).astype(np.float32)
        total: Array = out.sum(axis=(2, 3), keepdims=True)
        return out / total

    def _voices(self, images: Any) -> list[tuple[Array, Array]]:
        """Of each picture: shares (N, K) of its lines, summing to 1, and the points (N, K, 2) they give."""
        check_is_fitted(self, "forest_")
        words, size_hw = self._words(images)
        if size_hw != self.size_hw_:
            raise InputError(f"crops of {size_hw[0]} x {size_hw[1]} px, trained on {self.size_hw_}")
        out, k = [], len(self.offset_)
        for lines in words:
            if not lines:
                out.append((np.zeros((0, k)), np.zeros((0, k, 2))))
                continue
            rows, centre = self.lines_.transform(lines)
            share = (self.forest_.predict(rows).reshape(len(rows), k) + 1e-6) ** _SURE
            letters = np.array([len(line[4]) for line in lines], float)
            move = np.einsum("nf,kfc->nkc", self._about(letters, centre, [lines]), self.offset_)
            out.append((share / share.sum(axis=0), centre[:, None] + move))
        return out


def _nearest(picture: Array, far: Array) -> tuple[Array, Array]:
    """The nearest line of each picture that has one at a finite distance, and that distance."""
    order = np.lexsort((far, picture))
    first = order[np.append(True, np.diff(picture[order]) > 0)] if len(order) else order
    first = first[np.isfinite(far[first])]
    return first, far[first]


def _solve(rows: Array, wanted: Array) -> Array:
    """(F, 2) least squares, a little shrunk."""
    gram = rows.T @ rows + 1e-2 * np.eye(rows.shape[1])
    return np.asarray(np.linalg.solve(gram, rows.T @ wanted))
