"""Local experts and a shape model: the patch detector (constrained local model).

Crops go in, points and scores come out; descriptors, classifiers, starts and shape models are
given.  Search, candidates, experts and response maps have their own files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from ..descriptors import HOG
from ..imaging.geometry import apply_affine, invert_affine, scale_of
from ..imaging.images import check_crops, crops_to_grey
from ..structures import Array, Contributions, Descriptor, Detector, InputError, Placed, supports
from .candidates import (
    describe_places,
    hardest,
    hog_layout,
    is_dense_hog,
    training_places,
)
from .experts import Experts, can_be_taken_apart, default_classifier, is_linear
from .frames import frame_maps, frame_size, to_frame
from .level_search import LevelSearch
from .preparing import given_starts
from .search import dense_windows, window_places
from .shape import PointDistribution

_BLOCK = 16  # pictures whose candidates are scored together
_ROW_BYTES = 500 * 2**20  # ceiling for the rows that one level's experts learn from


@dataclass(eq=False, repr=False)
class PatchDetector(LevelSearch):
    """Coarse to fine search with one local expert per landmark, held together by a shape model.

    On each level the crop is warped into the mean-shape frame of the estimate so far; experts
    score the places of a window around each landmark; the calibrated scores become a posterior,
    whose mean the point distribution model makes plausible; a ridge correction from what all
    landmarks' posteriors say finishes the level.

    Parameters
    ----------
    descriptor : Descriptor or None
        Rows at candidate places; None is ``HOG(cells=5, cell_px=4)``.
    classifier : scikit-learn classifier or None
        Expert of each landmark; None is ``LinearSVC(C=0.01)``.  Linear experts on HOG run as
        dense response maps.
    scales : sequence of float
        Resolution of each level's frame relative to the crop, coarse to fine.
    radii : sequence of int
        Half-width of each level's window, in steps.
    step : int or None
        Px between candidates; None is 1 for dense response maps and 2 otherwise.
    n_negatives, n_hard : int
        Random wrong places per landmark and picture (at least 1), and hard ones added in one mining
        round (0 = none).
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
        Experts fitted at a time (joblib).
    random_state : int

    Notes
    -----
    Experts are fitted crosswise on two folds of groups; a new picture gets the mean of both.
    So calibration, correction and the next level learn from scores of pictures that the expert
    did not see.  The rows that experts learn from are held as float16 (a relative error of 5e-4,
    far below a descriptor's own noise, at half the memory); rows of new pictures are float32.
    The score of a landmark is the calibrated probability that it lies within 2.5 % of the crop
    (:mod:`hybridkp.stats.calibration`).

    References
    ----------
    D. Cristinacce, T. Cootes, Feature detection and tracking with constrained local models, BMVC
    2006.  J. Saragih, S. Lucey, J. Cohn, Deformable model fitting by regularized landmark
    mean-shift, IJCV 91, 2011.  Departures: the mean-shift is one step per level, and the
    learned correction lets all posteriors inform each landmark.
    """

    descriptor: Descriptor | None = None
    classifier: Any = None
    scales: Sequence[float] = (0.5, 1.0, 1.25)
    radii: Sequence[int] | None = None
    step: int | None = None
    n_negatives: int = 4
    n_hard: int = 2
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
        if self.radii is not None and len(self.radii) != len(self.scales):
            raise InputError(f"PatchDetector: {len(self.scales)} scales need as many radii, got {self.radii}")
        if self.n_negatives < 1 or self.n_hard < 0:
            raise InputError(
                f"PatchDetector: n_negatives must be at least 1 and n_hard at least 0,"
                f" got {self.n_negatives} and {self.n_hard}"
            )

    def _descriptor(self) -> Descriptor:
        return HOG(cells=5, cell_px=4) if self.descriptor is None else self.descriptor

    def _window(self, level: int) -> tuple[int, int]:
        """(radius in steps, step in px) of a level."""
        classifier = default_classifier() if self.classifier is None else self.classifier
        dense = is_dense_hog(self._descriptor()) and is_linear(classifier)
        step = self.step or (1 if dense else 2)
        if self.radii is not None:
            return int(self.radii[level]), step
        px = 8 if level < 2 else 6
        return max(2, round(px / step)), step

    def _seen(self, grey: Array) -> Array:
        classifier = default_classifier() if self.classifier is None else self.classifier
        dense = is_dense_hog(self._descriptor()) and is_linear(classifier)
        return grey.astype(np.float32) if dense else grey

    def _learn(
        self, level: int, frames: list[Array], points: Array, wanted: Array, fold: Array, rng: Any
    ) -> dict[str, Any]:
        return self._fit_experts(level, frames, points, wanted, fold, rng).state

    def _windows(
        self, level: int, state: dict[str, Any], frames: list[Array], points: Array, fold: Array | None
    ) -> Array:
        side = 2 * self._window(level)[0] + 1
        windows = np.empty((*points.shape[:2], side, side), np.float32)
        for rows, part in self._respond(level, Experts(state), frames, points, fold):
            windows[rows] = part
        return windows

    def _fit_experts(
        self, level: int, frames: list[Array], points: Array, wanted: Array, fold: Array, rng: Any
    ) -> Experts:
        radius, step = self._window(level)
        near = 2.0 if step == 1 else 1.5 * step
        classifier = default_classifier() if self.classifier is None else self.classifier
        n, k = len(frames), points.shape[1]
        row_bytes = 2 * self.descriptor_.n_features * k * n
        n_negatives = int(np.clip(_ROW_BYTES / row_bytes - 1 - self.n_hard, 1, self.n_negatives))
        places, label, use = training_places(points, wanted, radius, step, n_negatives, near, rng)
        n_folds = 2 if fold.any() else 1
        total = label.shape[2] + self.n_hard
        rows = np.zeros((k, n, total, self.descriptor_.n_features), np.float16)
        for b in range(n):
            rows[:, b, : label.shape[2]] = describe_places(
                self.descriptor_, frames[b], places[b], self.n_levels
            )
        fit = (fold, n_folds, self.n_jobs)
        experts = Experts.fit(classifier, rows[:, :, : label.shape[2]], label, use, *fit)
        if self.n_hard < 1:
            return experts
        seen = np.all(np.isfinite(wanted), axis=-1)
        mined = np.zeros((n, k, self.n_hard), bool)
        some = rng.permutation(n)[: max(600, n // 3)]
        part = [frames[b] for b in some]
        for block, scores in self._respond(level, experts, part, points[some], fold[some]):
            for b, score in zip(some[block], scores, strict=True):
                window = window_places(points[b], radius, step)
                truth = np.where(seen[b][:, None], wanted[b], points[b])
                bad = hardest(score.reshape(k, -1), window, truth, near, self.n_hard)
                rows[:, b, -self.n_hard :] = describe_places(self.descriptor_, frames[b], bad, self.n_levels)
                mined[b] = seen[b][:, None]
        label = np.concatenate([label, np.zeros_like(mined)], axis=2)
        return Experts.fit(classifier, rows, label, np.concatenate([use, mined], axis=2), *fit)

    def _respond(
        self, level: int, experts: Experts, frames: list[Array], points: Array, fold: Array | None
    ) -> Iterator[tuple[Array, Array]]:
        """Blocks of rows and their windows (n, K, S, S) of raw scores, centred on snapped points."""
        radius, step = self._window(level)
        s = 2 * radius + 1
        for f in [None] if fold is None else np.unique(fold).tolist():
            mine = np.arange(len(frames)) if f is None else np.flatnonzero(fold == f)
            for i in range(0, len(mine), _BLOCK):
                block = mine[i : i + _BLOCK]
                if experts.linear and step == 1 and is_dense_hog(self.descriptor_):
                    yield (
                        block,
                        np.stack([self._dense(experts, frames[b], points[b], radius, f) for b in block]),
                    )
                    continue
                rows = np.stack(
                    [
                        describe_places(
                            self.descriptor_, frames[b], window_places(points[b], radius, step), self.n_levels
                        )
                        for b in block
                    ]
                )
                yield block, experts.score(rows, f).reshape(len(block), -1, s, s)

    def _dense(self, experts: Experts, frame: Array, points: Array, radius: int, fold: int | None) -> Array:
        weights = experts.mean_weights if fold is None else experts.state["weights"][fold]
        bias = experts.mean_bias if fold is None else experts.state["bias"][fold]
        return dense_windows(frame, points, weights, bias, radius, **hog_layout(self.descriptor_))

    @available_if(lambda self: can_be_taken_apart(self.classifier) and supports(self._descriptor(), Placed))
    def contributions(self, image: Array, landmark: int) -> Contributions:
        """What each cell around the point adds to the last level's expert there, to the nearest px."""
        images = check_crops(np.asarray(image)[None])
        before, found = (np.asarray(stage.xy, float) for stage in self.stages(images)[-2:])
        state, shape = self.levels_[-1], self.shape_
        maps = frame_maps(given_starts(before, shape), shape.mean_, state["scale"])
        seen, size = self._seen(crops_to_grey(images)[0]), frame_size(self.size_hw_, state["scale"])
        frame = to_frame(seen, maps[0], size)
        place = np.rint(apply_affine(maps[0], found[0, landmark]))
        row = describe_places(self.descriptor_, frame, place[None, None], self.n_levels)[0, 0]
        what, rest, parts = Experts(state).contributions(row, landmark)
        offset, side = self.descriptor_.feature_places()
        cells, of = np.unique(offset, axis=0, return_inverse=True)
        xy = apply_affine(invert_affine(maps[0]), place + cells)
        value = np.bincount(of.ravel(), parts, len(cells))
        return Contributions(what, xy, value, side / float(scale_of(maps[0])), rest)

    def _level_node(self, level: int, state: dict[str, Any]) -> dict[str, Any]:
        (radius, step), experts = self._window(level), Experts(state)
        if experts.linear and step == 1:
            return {"radius": radius, "weights": experts.mean_weights, "bias": experts.mean_bias}
        if "trees" not in state:
            kind = "linear" if experts.linear else type(self.classifier).__name__
            raise InputError(
                f"PatchDetector: {kind} experts with steps of {step} px cannot be exported: only linear ones"
                " with steps of 1 px and forests can"
            )
        return {"radius": radius, "step": step, "unit": state["unit"], "trees": state["trees"]}
