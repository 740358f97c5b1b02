"""Regression-forest voting: patches around a landmark say where it is, their votes make a map.

Crops go in, points and scores come out.  The forests are any of scikit-learn's, read as plain
arrays; how a map of votes becomes a shape is in ``level_search.py``, as for patch experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor

from ..descriptors import HOG
from ..memory.threads import limit_threads
from ..structures import Array, Descriptor, Detector, InputError
from . import response
from .candidates import describe_places
from .level_search import LevelSearch
from .search import voted_windows, voters
from .shape import PointDistribution
from .trees import packed

_PIXEL = 0.25  # px² added to a leaf's variance: places are whole pixels, and few rows reach a leaf
_ROW_BYTES = 300 * 2**20  # ceiling for the rows that one level's forests learn from


@dataclass(eq=False, repr=False)
class HoughForest(LevelSearch):
    """Coarse to fine search in maps of votes, one regression forest per landmark.

    On each level the crop is warped into the mean-shape frame of the estimate so far.  Patches on
    a lattice around each landmark fall into leaves of its forest; each leaf votes for a place,
    with a weight that falls with the spread of the training displacements in it.  The smoothed
    map of votes is calibrated into a posterior, whose mean the point distribution model makes
    plausible; a ridge correction from what all landmarks' maps say finishes the level.

    Parameters
    ----------
    descriptor : Descriptor or None
        Rows of patches; None is ``HOG(cells=4, cell_px=4)``.
    regressor : scikit-learn forest regressor or None
        From rows to displacements (x, y); None is 5 extremely randomised trees of depth 9.
    scales : sequence of float
        Resolution of each level's frame relative to the crop, coarse to fine.
    radius : int
        Half-width in px of the frame of the window that is voted on.
    step : int
        Px between the patches that vote.
    n_samples : int
        Patches per landmark and training picture, anywhere in the window.
    smoothing : float
        Standard deviation in px of the Gaussian that the votes are smoothed with.
    alpha : float or None
        Ridge penalty of the correction, in px² of the frame; infinity switches it off.  None
        takes, level by level, what does best on pictures held out of the correction.
    shape : PointDistribution or None
    start : Detector or None
        Gives the first estimate; None is ``HolisticRegressor()``.  Points that it gives as NaN are
        filled in by ``shape``.
    n_levels : int
        Pyramid levels built in each frame, as many as the descriptor needs.
    max_pictures : int or None
        Training pictures at most (drawn at random), for slow descriptors.
    mirror : bool
        Also learn from mirrored pictures, where ``flip`` is known.
    n_jobs : int or None
        Forests fitted at a time (joblib).
    random_state : int
        Also of the forests, where they have none of their own.

    Notes
    -----
    Forests are fitted crosswise on two folds of groups; in a new picture the trees of both vote.
    So calibration, correction and the next level learn from votes on pictures that the trees did
    not see.  The score of a landmark is the calibrated probability that it lies within 2.5 % of
    the crop (:mod:`hybridkp.stats.calibration`).

    References
    ----------
    T. Cootes, M. Ionita, C. Lindner, P. Sauer, Robust and accurate shape model fitting using random
    forest regression voting, ECCV 2012.  M. Dantone, J. Gall, G. Fanelli, L. Van Gool, Real-time
    facial feature detection using conditional regression forests, CVPR 2012: votes weighted by
    their leaves.  Departures: any descriptor in place of Haar-like features; the shape is fitted
    to the posterior's mean in one step per level, not by climbing the maps; the learned correction.
    """

    descriptor: Descriptor | None = None
    regressor: Any = None
    scales: Sequence[float] = (0.5, 1.0)
    radius: int = 8
    step: int = 3
    n_samples: int = 8
    smoothing: float = 1.5
    alpha: float | None = None
    shape: PointDistribution | None = None
    start: Detector | None = None
    n_levels: int = 1
    max_pictures: int | None = None
    mirror: bool = False
    n_jobs: int | None = None
    random_state: int = 0

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 1 <= self.step <= self.radius:
            raise InputError(
                f"HoughForest: need 1 <= step <= radius, got step {self.step}, radius {self.radius}"
            )
        if self.n_samples < 1 or self.smoothing <= 0:
            raise InputError(
                f"HoughForest: need n_samples >= 1 and smoothing > 0,"
                f" got {self.n_samples} and {self.smoothing}"
            )

    def _regressor(self) -> Any:
        if self.regressor is not None:
            return self.regressor
        return ExtraTreesRegressor(5, max_depth=9, min_samples_leaf=5, max_features="sqrt")

    def _descriptor(self) -> Descriptor:
        return HOG(cells=4, cell_px=4) if self.descriptor is None else self.descriptor

    def _window(self, level: int) -> tuple[int, int]:
        return self.radius, 1

    def _learn(
        self, level: int, frames: list[Array], points: Array, wanted: Array, fold: Array, rng: Any
    ) -> dict[str, Any]:
        return {"trees": self._fit_forests(frames, points, wanted, fold, rng)}

    def _windows(
        self, level: int, state: dict[str, Any], frames: list[Array], points: Array, fold: Array | None
    ) -> Array:
        folds = [None] * len(frames) if fold is None else fold.tolist()
        jobs = zip(frames, points, folds, strict=True)
        return np.stack([self._votes(state["trees"], *job) for job in jobs])

    def _fit_forests(
        self, frames: list[Array], points: Array, wanted: Array, fold: Array, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Packed trees with "root" (F, K, T): fold f's saw only the pictures of other folds."""
        n, k, _ = points.shape
        most = _ROW_BYTES // (2 * self.descriptor_.n_features * n * k)
        m = int(np.clip(most, 1, self.n_samples))
        places = rng.integers(-self.radius, self.radius + 1, (n, k, m, 2))
        places += response.snapped(points, 1)[:, :, None]
        rows = np.empty((k, n, m, self.descriptor_.n_features), np.float16)
        for b in range(n):
            rows[:, b] = describe_places(self.descriptor_, frames[b], places[b], self.n_levels)
        vote = wanted[:, :, None] - places
        n_folds = 2 if fold.any() else 1
        seeds = rng.integers(2**31, size=(n_folds, k)).tolist()
        jobs = [(f, j) for f in range(n_folds) for j in range(k)]
        forests = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_one)(self._regressor(), rows[j], vote[:, j], fold != f, seeds[f][j]) for f, j in jobs
        )
        n_trees = max((len(trees) for trees in forests), default=1)
        flat = [tree for trees in forests for tree in (trees or [None] * n_trees)]
        trees = packed(flat, _votes_of)
        return {**trees, "root": trees["root"].reshape(n_folds, k, n_trees)}

    def _votes(self, trees: dict[str, Any], frame: Array, points: Array, fold: int | None) -> Array:
        """(K, S, S) log shares of the votes at each px of the windows around snapped points (K, 2)."""
        rows = describe_places(self.descriptor_, frame, voters(points, self.radius, self.step), self.n_levels)
        root = trees["root"]
        root = np.concatenate(root, axis=-1) if fold is None else root[fold]
        return voted_windows(trees, root, rows, self.radius, self.step, self.smoothing)

    def _level_node(self, level: int, state: dict[str, Any]) -> dict[str, Any]:
        trees = state["trees"]
        return {
            "radius": self.radius,
            "voters_px": self.step,
            "smoothing": self.smoothing,
            "trees": {**trees, "root": np.concatenate(trees["root"], axis=-1)},
        }


def _fit_one(regressor: Any, rows: Array, vote: Array, train: Array, seed: int) -> list[Any]:
    """The trees of one fitted clone; none where nothing is labelled."""
    seen = np.isfinite(vote).all(axis=(1, 2))
    for chosen in (seen & train, seen):
        if chosen.any():
            model = clone(regressor)
            if model.get_params().get("random_state", 0) is None:
                model.set_params(random_state=seed)
            with limit_threads(1):
                model.fit(
                    rows[chosen].reshape(-1, rows.shape[-1]).astype(np.float32), vote[chosen].reshape(-1, 2)
                )
            trees = [getattr(tree, "tree_", None) for tree in np.ravel(getattr(model, "estimators_", [None]))]
            if any(tree is None or tree.value.shape[1] != 2 for tree in trees):
                name = type(regressor).__name__
                raise InputError(
                    f"HoughForest: {name} is not a forest that predicts both coordinates at once"
                )
            return trees
    return []


def _votes_of(tree: Any) -> dict[str, Array]:
    """What the nodes of a tree vote for, px, and with which weight."""
    if tree is None:
        return {"vote": np.zeros((1, 2)), "weight": np.ones(1)}
    return {"vote": tree.value[:, :, 0], "weight": _PIXEL / (_PIXEL + tree.impurity)}
