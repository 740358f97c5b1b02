"""Local binary features: which leaves of small forests a shape falls into, regressed to its move.

The trees compare pixels around the landmarks, in the mean-shape frame of the estimate so far.  Crops
go in, points come out; how trees grow and are walked is in ``trees.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import apply_affine
from ..imaging.images import check_crops, crops_to_grey
from ..memory.budget import affordable
from ..structures import Array, Detector, DetectorMixin, InputError, Stage, check_whole, stages_of
from .binary_descent import descend_binary, leaf_columns, pixel_values, smoothed
from .descent import moved
from .frames import frame_maps
from .holistic import HolisticRegressor
from .preparing import given_starts, mean_error, perturbed, prepared, some_rows, step_curve
from .ridge import ridge
from .shape import PointDistribution
from .trees import grow_balanced

_BLOCK = 64  # shapes whose pixels are read together
_VALUES = 3  # copies of the pixels that are held while trees grow


@dataclass(eq=False, repr=False)
class LocalBinaryFeatures(DetectorMixin, BaseEstimator):
    """Cascaded regression on local binary features (Ren et al. 2014): pixel comparisons, then sums.

    In each stage every landmark has a few small trees, grown to foretell that landmark's own move
    from differences of pixels around it.  The leaves that a shape falls into, 1 for each tree and 0
    for all other leaves, are regressed to the move of the whole shape.

    Parameters
    ----------
    radii : sequence of float
        One stage each: how far from a landmark pixels are read, in parts of the crop's longer side.
    n_trees, max_depth : int
        Trees per landmark and stage, each of ``2**max_depth`` leaves.
    n_pixels : int
        Places around a landmark that its trees of a stage choose from.
    n_candidates : int
        Pairs of places that a node chooses from.
    min_samples_leaf : int
        Training shapes that each side of a split keeps at least.
    max_samples : float in (0, 1]
        Share of the groups that a tree is grown on.
    alpha : float
        Ridge penalty of a stage, per tree: with 1, two shapes that share all leaves weigh as much
        as the penalty.
    smoothing : float
        Standard deviation in px of the Gaussian that crops are blurred with before pixels are read.
    n_perturbations : int
        Extra copies of each training picture with a disturbed pose of the starting shape.
    start : Detector or None
        Gives the starting shape; None is ``HolisticRegressor()``.  Points that it gives as NaN are
        filled in by ``shape``.
    shape : PointDistribution or None
        Defines the frame and fills in landmarks that are missing in training.
    random_state : int

    Notes
    -----
    Departures from the paper: training starts are out-of-fold predictions of ``start`` (the paper starts
    from other pictures' shapes); trees see a share of the groups and a random threshold per pair;
    the regression is a ridge, and each next stage is trained on what it says of a picture when the
    picture's group is held out of it (see :func:`.ridge.ridge`).  The trees are not grown again for
    that, so later stages meet errors that are somewhat smaller than in use.  Where the leaves of all pictures
    do not fit into the budget (:mod:`hybridkp.memory.budget`), a sample of ``learned_from_`` pictures
    teaches the stages, and a warning says so.  The score is that of
    :class:`.CascadedRegressor`.

    References
    ----------
    S. Ren, X. Cao, Y. Wei, J. Sun, Face alignment at 3000 FPS via regressing local binary features,
    CVPR 2014.
    """

    radii: Sequence[float] = (0.2, 0.14, 0.1, 0.07, 0.05)
    n_trees: int = 5
    max_depth: int = 5
    n_pixels: int = 64
    n_candidates: int = 200
    min_samples_leaf: int = 30
    max_samples: float = 0.6
    alpha: float = 3.0
    smoothing: float = 1.0
    n_perturbations: int = 1
    start: Detector | None = None
    shape: PointDistribution | None = None
    random_state: int = 0

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> LocalBinaryFeatures:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        self._check_parameters()
        start = HolisticRegressor() if self.start is None else self.start
        grey, truth, names, self.shape_, self.start_, current = prepared(
            images, xy, groups, flip, self.shape, start
        )
        self.size_hw_ = tuple(grey.shape[1:3])
        rng = np.random.default_rng(self.random_state)
        most = affordable(len(truth), self._picture_bytes(truth.shape[1]), type(self).__name__)
        if most is not None:
            rows = some_rows(truth, most, rng)
            grey, truth, names, current = grey[rows], truth[rows], names[rows], current[rows]
            self.learned_from_ = len(rows)
        grey = smoothed(np.asarray(grey), self.smoothing)
        picture, current = perturbed(current, truth, self.n_perturbations, rng)
        wanted, names = self.shape_.complete(truth)[picture], names[picture]
        truth = truth[picture]
        seen = np.isfinite(truth[..., 0])
        self.stages_: list[dict[str, Any]] = []
        lengths = []
        self.history_ = {"held-out error (px)": [mean_error(current, truth)]}
        for radius in self.radii:
            current, length = self._fit_stage(grey, picture, current, wanted, seen, radius, names, rng)
            lengths.append(length)
            self.history_["held-out error (px)"].append(mean_error(current, truth))
        self.curve_ = step_curve(lengths, np.linalg.norm(current - truth, axis=-1), self.size_hw_)
        return self

    def _picture_bytes(self, k: int) -> float:
        """What a picture's pixels and leaves take while a stage is learned, its disturbed copies included."""
        leaves = 4 * k * self.n_trees * 2**self.max_depth
        pixels = 2 * _VALUES * k * self.n_pixels
        return float((1 + self.n_perturbations) * (leaves + pixels) + np.prod(self.size_hw_))

    def _check_parameters(self) -> None:
        name = "LocalBinaryFeatures"
        if len(self.radii) < 1 or min(self.radii) <= 0:
            raise InputError(f"{name}: radii must be positive, got {self.radii}")
        check_whole(self.max_depth, f"{name}: max_depth", 1, 12)
        for count in ("n_trees", "n_pixels", "n_candidates", "min_samples_leaf"):
            check_whole(getattr(self, count), f"{name}: {count}", 1)
        if not 0 < self.max_samples <= 1:
            raise InputError(f"{name}: max_samples must lie in (0, 1], got {self.max_samples}")
        if self.smoothing < 0 or self.n_perturbations < 0:
            raise InputError(
                f"{name}: smoothing and n_perturbations must not be negative,"
                f" got {self.smoothing} and {self.n_perturbations}"
            )

    def _fit_stage(
        self,
        grey: Array,
        picture: Array,
        current: Array,
        wanted: Array,
        seen: Array,
        radius: float,
        names: Array,
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:
        maps = frame_maps(current, self.shape_.mean_, 1.0)
        points = apply_affine(maps, current)
        offsets = _in_disc(points.shape[1], self.n_pixels, radius * max(self.size_hw_), rng)
        blocks = [slice(i, i + _BLOCK) for i in range(0, len(points), _BLOCK)]
        values = np.concatenate(
            [pixel_values(grey, picture[b], current[b], maps[b], offsets) for b in blocks]
        )
        step = (apply_affine(maps, wanted) - points).reshape(len(points), -1)
        stage, held_out = self._fit_leaves(values, step, seen, names, rng)
        self.stages_.append({"offsets": offsets, **stage})
        return moved(current, points, held_out, maps)

    def _fit_leaves(
        self, values: Array, step: Array, seen: Array, names: Array, rng: np.random.Generator
    ) -> tuple[dict[str, Array], Array]:
        """Trees and weights that take pixels (N, K, P) to steps (N, 2K), and the held-out steps."""
        pairs, threshold = self._grown(values, step, seen, names, rng)
        n_leaves = threshold.shape[1] + 1
        rows = np.zeros((len(values), len(pairs) * n_leaves), np.float32)
        for i in range(0, len(values), _BLOCK):
            columns = leaf_columns(values[i : i + _BLOCK], pairs, threshold)
            np.put_along_axis(rows[i : i + _BLOCK], columns, np.float32(1), axis=1)
        weights, bias, held_out = ridge(rows, step, self.alpha * len(pairs), names)
        return {"pairs": pairs, "threshold": threshold, "weights": weights, "bias": bias}, held_out

    def _grown(
        self, values: Array, step: Array, seen: Array, names: Array, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """All landmarks' trees as :func:`.trees.balanced_leaves` walks them, over columns of (N, K * P)."""
        k, n_inner = values.shape[1], 2**self.max_depth - 1
        pairs = np.zeros((k, self.n_trees, n_inner, 2), np.int32)
        threshold = np.zeros((k, self.n_trees, n_inner), np.int16)
        options = self.max_depth, self.n_candidates, self.min_samples_leaf, rng
        groups, group = np.unique(names, return_inverse=True)
        for j in range(k):
            mine = np.ascontiguousarray(values[:, j].T)
            for t in range(self.n_trees):
                drawn = (rng.random(len(groups)) < self.max_samples)[group] & seen[:, j]
                tree, threshold[j, t] = grow_balanced(
                    mine[:, drawn], step[drawn, 2 * j : 2 * j + 2], *options
                )
                pairs[j, t] = tree + j * values.shape[2]
        return pairs.reshape(-1, n_inner, 2), threshold.reshape(-1, n_inner)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) probability, see the notes."""
        check_is_fitted(self)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        start = given_starts(self.start_.predict(grey), self.shape_)
        return descend_binary(grey, start, self.stages_, self.curve_, self.shape_.mean_, self.smoothing)

    def stages(self, images: Any) -> list[Stage]:
        """The start's points and those after each step."""
        check_is_fitted(self)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        start = given_starts(self.start_.predict(grey), self.shape_)
        rest = self.curve_, self.shape_.mean_, self.smoothing
        found = stages_of(self.start_, grey)
        for i in range(1, len(self.stages_) + 1):
            xy, _ = descend_binary(grey, start, self.stages_[:i], *rest)
            found.append(Stage(f"cascade step {i}", xy))
        return found

    def held(self) -> list[tuple[str, Any]]:
        """What gives the first points."""
        return [("start", self.start_)]

    def runtime_node(self) -> dict[str, Any]:
        return {
            "kind": "landmarks.local_binary",
            "start": self.start_.runtime_node(),
            "mean": self.shape_.mean_,
            "smoothing": float(self.smoothing),
            "stages": self.stages_,
            "curve": self.curve_,
        }


def _in_disc(n: int, m: int, radius: float, rng: np.random.Generator) -> Array:
    """(n, m, 2) float32 offsets, evenly spread over a disc."""
    angle = rng.uniform(0, 2 * np.pi, (n, m))
    distance = radius * np.sqrt(rng.uniform(0, 1, (n, m)))
    return (distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)).astype(np.float32)
