"""Which points will be matched: learned from a picture and its own warps, without any annotation.

Keypoints and rows of one picture go in, a probability per point comes out; a feature that ranks by
it spends its budget on points that pay.  Never here: matching of two real pictures, files but the
shipped model.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import apply_homography
from ..structures import Array, InputError, Keypoints, Parameters
from . import local
from .boosting import BoostedTrees
from .classical import SIFTFeature
from .matching import candidate_pairs, mutual_nearest
from .views import random_view

SHIPPED = Path(__file__).with_name("weights") / "matchability.hkp"
RIGHT_PX = 3.0  #: a match this near to the truth is right
_CROWD_PX = 24.0  # the neighbourhood whose points are counted
_ROWS = 256  # rows that are compared at a time: their distances stay in the cache
_SAME_PX = 3.0  # points this near are the same place: their rows do not rival


@dataclass(eq=False, repr=False)
class Matchability(BaseEstimator):
    """The probability that a point of a picture will be matched correctly.

    Parameters
    ----------
    feature : LocalFeature with L2 rows, or None
        None is RootSIFT with a low contrast threshold, ``default_feature()``.
    n_pool : int
        Points per picture in training.
    n_views : int
        Warped views per picture: homographies, light, blur, noise.
    n_trees, n_leaves, learning_rate : of the boosted trees
    random_state : int

    Notes
    -----
    A point is a positive example when its mutual nearest neighbour among the ``n_pool`` points of
    a warped view lies within 3 px of where the warp takes it; points that leave the view count as
    negative, as they would in use.  What the trees see: the row, response and its rank, size,
    distance to the border, how crowded the place is, how far a stronger point, and how near the
    nearest row of another place (a texture that repeats cannot be matched).

    References
    ----------
    W. Hartmann, M. Havlena, K. Schindler, Predicting matchability, CVPR 2014.  Departures: boosted
    trees in place of a random forest, warps in place of reconstructions, and more than the row.
    """

    feature: Any = None
    n_pool: int = 2048
    n_views: int = 8
    n_trees: int = 100
    n_leaves: int = 24
    learning_rate: float = 0.1
    random_state: int = 0

    def fit(self, images: Sequence[Array]) -> Matchability:
        """Learn from pictures alone, (H, W) or (H, W, 3) each.

        Raises
        ------
        InputError
            When the pictures give no matched or no unmatched point.
        """
        feature = clone(default_feature() if self.feature is None else self.feature)
        feature.set_params(n_points=self.n_pool)
        rng = np.random.default_rng(self.random_state)
        tables, labels = [], []
        for image in images:
            grey = local.grey_picture(image)
            a = feature.detect_and_describe(grey)
            table = describe_points(a[0], a[1], grey.shape)
            for _ in range(self.n_views):
                warped, homography = random_view(grey, rng)
                tables.append(table)
                labels.append(_matched(a, feature.detect_and_describe(warped), homography))
        x, y = np.concatenate(tables), np.concatenate(labels)
        if len(np.unique(y)) < 2:
            raise InputError("Matchability: the pictures give no points to tell apart; use more texture")
        self.trees_ = BoostedTrees(self.n_trees, self.n_leaves, self.learning_rate, self.random_state)
        self.trees_.fit(x, y)
        self.base_rate_ = float(y.mean())
        return self

    def predict(self, keypoints: Keypoints, rows: Array, size_hw: tuple[int, int]) -> Array:
        """(N,) float32 probabilities for all points found in one picture."""
        check_is_fitted(self)
        result: Array = self.trees_.predict(describe_points(keypoints, rows, size_hw))
        return result


@dataclass(eq=False, repr=False)
class MatchabilityRanked(Parameters):
    """A feature that finds more points than asked for and keeps those most likely to be matched.

    Parameters
    ----------
    feature : LocalFeature with L2 rows, or None
        None is the one that the shipped model was trained for.
    n_points : int
        Budget.
    n_spare : int
        How many more points are looked at.  Rows of points that are then dropped are what it costs.
    model : fitted Matchability, path or None
        None is the shipped model.  ``sklearn.base.clone`` forgets what a model in here has learned,
        as it does everywhere, unless it comes as ``sklearn.frozen.FrozenEstimator(model)``.

    Notes
    -----
    The keypoints' ``score`` is the probability.
    """

    norm = "L2"
    _least: ClassVar = {"n_points": 1, "n_spare": 0}

    feature: Any = None
    n_points: int = 1024
    n_spare: int = 768
    model: Any = None

    @property
    def n_features(self) -> int:
        return int(self._feature().n_features)

    def detect(self, image: Array) -> Keypoints:
        """The keypoints alone, at the same cost."""
        return self.detect_and_describe(image)[0]

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        """The feature's rows at given points."""
        rows: Array = self._feature().compute(image, keypoints)
        return rows

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """At most ``n_points`` keypoints, the most matchable first, and their rows."""
        self.check_numbers()
        grey = local.grey_picture(image)
        found, rows = self._feature().detect_and_describe(grey)
        chance = self._model().predict(found, rows, grey.shape)
        order = np.argsort(-chance, kind="stable")[: self.n_points]
        points = found[order]
        ranked = Keypoints(points.xy, chance[order], points.size, points.angle, points.octave, points.label)
        return ranked, rows[order]

    def _feature(self) -> Any:
        feature = clone(default_feature() if self.feature is None else self.feature)
        return feature.set_params(n_points=self.n_points + self.n_spare)

    def _model(self) -> Matchability:
        if isinstance(self.model, FrozenEstimator):
            return self.model.estimator  # type: ignore[no-any-return]
        if isinstance(self.model, Matchability):
            return self.model
        path = SHIPPED if self.model is None else Path(self.model)
        try:
            return _open(str(path), path.stat().st_mtime_ns)
        except OSError:
            raise InputError(f"{path}: no such matchability model") from None


def default_feature(n_points: int = 2048) -> SIFTFeature:
    """What the shipped model was trained for."""
    return SIFTFeature(n_points, root=True, contrast_threshold=0.01)


@lru_cache(maxsize=4)
def _open(path: str | os.PathLike[str], date: int) -> Matchability:
    from ..files import load_model

    model = load_model(path)
    if not isinstance(model, Matchability):
        raise InputError(f"{path}: holds a {type(model).__name__}, not a Matchability")
    return model


def describe_points(keypoints: Keypoints, rows: Array, size_hw: tuple[int, ...]) -> Array:
    """What the trees see of each point, (N, D + 10) float32: the row, then ten numbers."""
    n = len(keypoints)
    if n == 0:
        return np.zeros((0, rows.shape[1] + 10), np.float32)
    xy, size = keypoints.xy, np.maximum(keypoints.size, 1e-3)
    edge = np.minimum(xy, np.array(size_hw[1::-1], np.float32) - 1 - xy).min(axis=1)
    order = np.argsort(-keypoints.score, kind="stable")
    rank = np.empty(n)
    rank[order] = np.arange(n)
    crowd, same, stronger = _neighbours(xy, rank)
    first, second = _rivals(rows, xy)
    columns = [
        np.log(np.maximum(keypoints.score, 1e-9)),
        rank / n,
        np.log(size),
        edge / size,
        edge,
        crowd,
        same,
        stronger,
        first,
        second,
    ]
    return np.concatenate([rows, np.stack(columns, axis=1)], axis=1).astype(np.float32)


def _neighbours(xy: Array, rank: Array) -> tuple[Array, Array, Array]:
    """Of each point (N,): points in its neighbourhood, points at its place, how far the next stronger."""
    i, j = candidate_pairs(xy, xy, _CROWD_PX)
    i, j = i[i != j], j[i != j]
    far = np.hypot(*(xy[i] - xy[j]).T)
    crowd = np.bincount(i, minlength=len(xy))
    same = np.bincount(i[far < _SAME_PX], minlength=len(xy))
    stronger = np.full(len(xy), _CROWD_PX)
    better = (rank[j] < rank[i]) & (far >= _SAME_PX)
    i, far = i[better], far[better]
    if len(i):
        top = np.flatnonzero(np.r_[True, i[1:] != i[:-1]])  # candidates come sorted by i
        stronger[i[top]] = np.minimum.reduceat(far, top)
    return crowd, same, stronger


def _rivals(rows: Array, xy: Array) -> tuple[Array, Array]:
    """Distances (N,) to the nearest and second nearest row of another place in the same picture."""
    n = len(rows)
    length = np.einsum("nd,nd->n", rows, rows)
    near = np.full((n, 2), 2 * float(length.max(initial=0)), np.float32)
    same_i, same_j = candidate_pairs(xy, xy, _SAME_PX)  # sorted by i
    turned = np.ascontiguousarray(-2 * rows.T)
    for start in range(0, n, _ROWS):
        stop = min(start + _ROWS, n)
        likeness = rows[start:stop] @ turned
        likeness += length  # a row's own length comes last: it changes no order
        mine = slice(*np.searchsorted(same_i, [start, stop]))
        likeness[same_i[mine] - start, same_j[mine]] = np.inf
        for turn in range(2):
            best = likeness.argmin(axis=1)
            place = np.arange(stop - start), best
            found = likeness[place] + length[start:stop]
            near[start:stop, turn] = np.where(np.isfinite(found), found, near[start:stop, turn])
            likeness[place] = np.inf
    near = np.sqrt(np.clip(near, 0, None))
    return near[:, 0], near[:, 1]


def _matched(a: tuple[Keypoints, Array], b: tuple[Keypoints, Array], homography: Array) -> Array:
    """(N,) bool: the points of a whose mutual nearest neighbour in b is right."""
    matches = mutual_nearest(a[1], b[1])
    away = apply_homography(homography, a[0].xy[matches.index_a]) - b[0].xy[matches.index_b]
    right = np.zeros(len(a[0]), bool)
    right[matches.index_a[np.hypot(*away.T) <= RIGHT_PX]] = True
    return right
