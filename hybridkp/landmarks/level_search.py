"""What patch experts and voting forests share: the search from coarse to fine, learned and applied.

On each level something scores the places of a window around every landmark; what that is, a subclass
learns.  Calibration, shape model, correction, start and folds are here.  Crops (B, H, W[, 3]) go in, points
(B, K, 2) and scores (B, K) come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import apply_affine, invert_affine
from ..imaging.images import check_crops, crops_to_grey
from ..memory.budget import affordable
from ..structures import Array, Descriptor, Detector, DetectorMixin, InputError, Stage, stages_of
from . import response
from .candidates import fitted_descriptor, hog_layout, is_dense_hog
from .frames import frame_maps, frame_size, to_frame
from .holistic import HolisticRegressor
from .levels import fit_level, fit_scores
from .preparing import given_starts, group_parts, mean_error, prepared, some_rows
from .search import found_score, search
from .shape import PointDistribution

_COPIES = 4  #: of the windows (N, K, S, S) float32 that calibration and posterior hold together


class LevelSearch(DetectorMixin, BaseEstimator):
    """Coarse to fine search in windows of scores; a subclass says where the scores come from.

    All pictures teach the start; where those of a level do not fit into the budget
    (:mod:`hybridkp.memory.budget`), a sample of them teaches the level, a warning says so, and
    ``learned_from_`` is their number.
    """

    scales: Sequence[float]
    alpha: float | None
    shape: PointDistribution | None
    start: Detector | None
    n_levels: int
    max_pictures: int | None
    mirror: bool
    random_state: int

    def _check_parameters(self) -> None:
        if len(self.scales) < 1 or min(self.scales) <= 0:
            raise InputError(f"{type(self).__name__}: scales must be positive, got {self.scales}")

    def _descriptor(self) -> Descriptor:
        """The unfitted descriptor."""
        raise NotImplementedError

    def _window(self, level: int) -> tuple[int, int]:
        """(radius in steps, step in px) of a level."""
        raise NotImplementedError

    def _learn(
        self,
        level: int,
        frames: list[Array],
        points: Array,
        wanted: Array,
        fold: Array,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        """What scores the windows of a level, learned crosswise on the folds.

        Parameters
        ----------
        frames : N pictures (h, w), of the dtype of :meth:`_seen`
        points, wanted : (N, K, 2) in them, NaN = not labelled
        fold : (N,) 0 or 1; all 0 where there are too few groups for two
        """
        raise NotImplementedError

    def _windows(
        self, level: int, state: dict[str, Any], frames: list[Array], points: Array, fold: Array | None
    ) -> Array:
        """(N, K, S, S) float32 scores around points (N, K, 2), by what did not see the picture's fold."""
        raise NotImplementedError

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Self:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        self._check_parameters()
        rng = np.random.default_rng(self.random_state)
        start = HolisticRegressor() if self.start is None else self.start
        grey, truth, names, self.shape_, self.start_, current = prepared(
            images, xy, groups, flip, self.shape, start
        )
        self.size_hw_, n = tuple(grey.shape[1:3]), len(images)
        self.descriptor_ = fitted_descriptor(self._descriptor(), grey[:n], truth[:n], names[:n], flip)
        truth = truth[: None if self.mirror else n]
        most = affordable(len(truth), self._picture_bytes(), type(self).__name__, self.max_pictures)
        rows = some_rows(truth, most, rng)
        if most != self.max_pictures:
            self.learned_from_ = len(rows)
        grey, truth, names, current = grey[rows], truth[rows], names[rows], current[rows]
        fold = group_parts(names, 2, rng)
        self.levels_: list[dict[str, Any]] = []
        self.history_ = {"out-of-fold error (px)": [mean_error(current, truth)]}
        for level in range(len(self.scales)):
            current, raw = self._fit_level(level, grey, current, truth, names, fold, rng)
            self.history_["out-of-fold error (px)"].append(mean_error(current, truth))
        self.curve_ = fit_scores(raw, np.linalg.norm(current - truth, axis=-1), self.size_hw_)
        return self

    def _seen(self, grey: Array) -> Array:
        """Crops as frames are made of them; float32 where no grey level needs to be whole."""
        return grey

    def _picture_bytes(self) -> float:
        """What a picture's frame and windows of scores take while a level is learned."""
        frame = float(np.prod(self.size_hw_)) * max(self.scales) ** 2
        side = max(2 * self._window(level)[0] + 1 for level in range(len(self.scales)))
        return frame + _COPIES * 4 * len(self.shape_.mean_) * side**2

    def _fit_level(
        self, level: int, grey: Any, current: Array, truth: Array, names: Array, fold: Array, rng: Any
    ) -> tuple[Array, Array]:
        scale = float(self.scales[level])
        maps = frame_maps(current, self.shape_.mean_, scale)
        points, wanted = apply_affine(maps, current), apply_affine(maps, truth)
        size = frame_size(self.size_hw_, scale)
        frames = [to_frame(self._seen(g), m, size) for g, m in zip(grey, maps, strict=True)]
        learned = self._learn(level, frames, points, wanted, fold, rng)
        windows = self._windows(level, learned, frames, points, fold)
        window = self._window(level)
        state, moved, raw = fit_level(
            windows, points, wanted, window, scale, self.shape_, names, self.alpha, rng
        )
        self.levels_.append({**learned, **state})
        return apply_affine(invert_affine(maps), moved), raw

    def _search(self, images: Any, n_levels: int | None = None) -> tuple[Array, Array, Array, Array]:
        """Points (B, K, 2), raw scores (B, K); the last level's posteriors and places in the crop.

        ``n_levels``: of the first so many levels alone.
        """
        check_is_fitted(self)
        grey = crops_to_grey(check_crops(images, self.size_hw_))
        current = given_starts(self.start_.predict(grey), self.shape_)
        levels = [{**state, "window": self._window(i)} for i, state in enumerate(self.levels_[:n_levels])]

        def respond(level: int, frames: list[Array], points: Array) -> Array:
            return self._windows(level, self.levels_[level], frames, points, None)

        return search(self._seen(grey), current, levels, self.shape_, respond)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32 probability, see the notes."""
        xy, raw, _, _ = self._search(images)
        return xy.astype(np.float32), found_score(raw, self.curve_)

    def stages(self, images: Any) -> list[Stage]:
        """The start's points and those after each level of the search."""
        check_is_fitted(self)
        found = stages_of(self.start_, crops_to_grey(check_crops(images, self.size_hw_)))
        for i, scale in enumerate(self.scales):
            found.append(Stage(f"search at scale {scale:g}", self._search(images, i + 1)[0]))
        return [s._replace(xy=np.asarray(s.xy, np.float32)) for s in found]

    def runtime_node(self) -> dict[str, Any]:
        if not is_dense_hog(self.descriptor_):
            name = type(self.descriptor_).__name__
            raise InputError(f"{type(self).__name__} on {name} cannot be exported: only on dense HOG it can")
        shape, kept = self.shape_, ("curve", "scale", "weights_update", "offset_update")
        return {
            "kind": "landmarks.patches",
            "start": self.start_.runtime_node(),
            "hog": hog_layout(self.descriptor_),
            "shape": {name: getattr(shape, name) for name in ("mean_", "components_", "sigma_", "noise_")}
            | {"limit": shape.limit},
            "levels": [
                {name: state[name] for name in kept if name in state} | self._level_node(i, state)
                for i, state in enumerate(self.levels_)
            ],
            "curve": self.curve_,
        }

    def _level_node(self, level: int, state: dict[str, Any]) -> dict[str, Any]:
        """What scores the windows of a level, for a runtime file."""
        raise NotImplementedError

    def held(self) -> list[tuple[str, Any]]:
        """What gives the first points."""
        return [("start", self.start_)]

    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H / stride, W / stride) float32 posteriors of the last level, each of sum 1.

        Map pixel (i, j) sits at crop point ``((j + 1/2) stride - 1/2, (i + 1/2) stride - 1/2)``.
        A hundredth of the mass is spread evenly: the window is not certain to hold the point.
        """
        _, _, mass, places = self._search(images)
        return response.posterior_maps(mass, places, self.size_hw_, stride)
