"""Regression-forest voting: patches around a landmark say where it is, their votes make a map.

Crops go in, points and scores come out.  The forests are any of scikit-learn's, read as plain
arrays; how a map of votes becomes a shape is in ``search.py`` and ``levels.py``, as for patch experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils.validation import check_is_fitted

from ..descriptors import HOG
from ..imaging.geometry import apply_affine, invert_affine
from ..imaging.images import check_crops, crops_to_grey
from ..memory import fitted
from ..memory.threads import limit_threads
from ..structures import Array, Descriptor, Detector, DetectorMixin, InputError
from . import response
from .candidates import describe_places, fitted_descriptor
from .frames import frame_maps, frame_size, to_frame
from .holistic import HolisticRegressor
from .levels import fit_level, fit_scores
from .search import found_score, search
from .shape import PointDistribution
from .training import given_starts, group_parts, mean_error, mirrored, prepare, some_rows, start_shapes
from .trees import packed, packed_leaves

_LEAST_SHARE = 0.02  #: of the votes, spread evenly over a window: no place is impossible
_PIXEL = 0.25  # px² added to a leaf's variance: places are whole pixels, and few rows reach a leaf
_ROW_BYTES = 300 * 2**20  # ceiling for the rows that one level's forests learn from


class HoughForest(DetectorMixin, BaseEstimator):
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
        takes, level by level, what does best on pictures left out of the correction.
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

    def __init__(
        self,
        descriptor: Descriptor | None = None,
        regressor: Any = None,
        scales: Sequence[float] = (0.5, 1.0),
        radius: int = 8,
        step: int = 3,
        n_samples: int = 8,
        smoothing: float = 1.5,
        alpha: float | None = None,
        shape: PointDistribution | None = None,
        start: Detector | None = None,
        n_levels: int = 1,
        max_pictures: int | None = None,
        mirror: bool = False,
        n_jobs: int | None = None,
        random_state: int = 0,
    ):
        self.descriptor = descriptor
        self.regressor = regressor
        self.scales = scales
        self.radius = radius
        self.step = step
        self.n_samples = n_samples
        self.smoothing = smoothing
        self.alpha = alpha
        self.shape = shape
        self.start = start
        self.n_levels = n_levels
        self.max_pictures = max_pictures
        self.mirror = mirror
        self.n_jobs = n_jobs
        self.random_state = random_state

    # ---------------------------------------------------------------------------- learning

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> HoughForest:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        self._check_parameters()
        rng = np.random.default_rng(self.random_state)
        grey, truth = prepare(images, xy)
        self.size_hw_ = tuple(grey.shape[1:3])
        both = mirrored(grey, truth, groups, flip)
        shape = PointDistribution() if self.shape is None else self.shape
        self.shape_ = type(shape)(**shape.get_params()).fit(both[1])
        start = HolisticRegressor() if self.start is None else self.start
        self.start_ = fitted(start, *both[:2], groups=both[2])
        current = start_shapes(start, self.shape_, *both)
        descriptor = HOG(cells=4, cell_px=4) if self.descriptor is None else self.descriptor
        self.descriptor_ = fitted_descriptor(descriptor, grey, truth, both[2][: len(grey)], flip)
        rows = some_rows(both[1][: None if self.mirror else len(grey)], self.max_pictures, rng)
        grey, truth, names, current = both[0][rows], both[1][rows], both[2][rows], current[rows]
        fold = group_parts(names, 2, rng)
        self.levels_: list[dict[str, Any]] = []
        self.history_ = {"out-of-fold error (px)": [mean_error(current, truth)]}
        for scale in self.scales:
            current, raw = self._fit_level(float(scale), grey, current, truth, names, fold, rng)
            self.history_["out-of-fold error (px)"].append(mean_error(current, truth))
        self.curve_ = fit_scores(raw, np.linalg.norm(current - truth, axis=-1), self.size_hw_)
        return self

    def _check_parameters(self) -> None:
        if len(self.scales) < 1 or min(self.scales) <= 0:
            raise InputError(f"HoughForest: scales must be positive, got {self.scales}")
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

    def _fit_level(
        self, scale: float, grey: Array, current: Array, truth: Array, names: Array, fold: Array, rng: Any
    ) -> tuple[Array, Array]:
        maps = frame_maps(current, self.shape_.mean_, scale)
        points, wanted = apply_affine(maps, current), apply_affine(maps, truth)
        size = frame_size(self.size_hw_, scale)
        frames = [to_frame(g, m, size) for g, m in zip(grey, maps, strict=True)]
        trees = self._fit_forests(frames, points, wanted, fold, rng)
        windows = np.stack(
            [self._votes(trees, *job) for job in zip(frames, points, fold.tolist(), strict=True)]
        )
        state, moved, raw = fit_level(
            windows, points, wanted, (self.radius, 1), scale, self.shape_, names, self.alpha, rng
        )
        self.levels_.append({"trees": trees, **state})
        return apply_affine(invert_affine(maps), moved), raw

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

    # ---------------------------------------------------------------------------- searching

    def _votes(self, trees: dict[str, Any], frame: Array, points: Array, fold: int | None) -> Array:
        """(K, S, S) log shares of the votes at each px of the windows around snapped points (K, 2)."""
        reach = self.radius // self.step
        offset = response.window_offsets(reach, self.step)
        places = response.snapped(points, 1)[:, None] + offset
        rows = describe_places(self.descriptor_, frame, places, self.n_levels)
        root = trees["root"]
        root = np.concatenate(root, axis=-1) if fold is None else root[fold]
        leaf = packed_leaves(trees, rows, root[:, None])
        vote = trees["vote"][leaf] + offset[:, None].astype(np.float32)
        k = len(points)
        mass = response.window_votes(
            vote.reshape(k, -1, 2), trees["weight"][leaf].reshape(k, -1), self.radius
        )
        mass = response.blurred(mass, self.smoothing)
        mass /= np.maximum(mass.sum(axis=(1, 2), keepdims=True), 1e-9)
        return np.log(mass + np.float32(_LEAST_SHARE / mass[0].size))

    def _search(self, images: Any) -> tuple[Array, Array, Array, Array]:
        """Points (B, K, 2), raw scores (B, K); the last level's posteriors and places in the crop."""
        check_is_fitted(self)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        current = given_starts(self.start_.predict(grey), self.shape_)
        levels = [{**state, "window": (self.radius, 1)} for state in self.levels_]

        def respond(level: int, frames: list[Array], points: Array) -> Array:
            trees = levels[level]["trees"]
            return np.stack([self._votes(trees, f, p, None) for f, p in zip(frames, points, strict=True)])

        return search(grey, current, levels, self.shape_, respond)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32 probability, see the notes."""
        xy, raw, _, _ = self._search(images)
        return xy.astype(np.float32), found_score(raw, self.curve_)

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H / stride, W / stride) float32 posteriors of the last level, each of sum 1.

        Map pixel (i, j) sits at crop point ``((j + 1/2) stride - 1/2, (i + 1/2) stride - 1/2)``.
        A hundredth of the mass is spread evenly: the window is not certain to hold the point.
        """
        _, _, mass, places = self._search(images)
        return response.posterior_maps(mass, places, self.size_hw_, stride)


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
