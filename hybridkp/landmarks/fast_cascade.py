"""Cascaded regression at the price of a few products: all points read from maps that are made once.

The learning; what is learned is applied in :mod:`.fast_descent`.  Crops go in, points come out;
the start and feature maps of others (a network's) come in through two small protocols of
``structures``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import flip_points
from ..imaging.images import check_batch, check_crops, with_mirrored
from ..memory import TooFewLabels, fitted, out_of_fold
from ..multimodal import INPUTS, ReadsPlanes
from ..stats.calibration import FAR
from ..structures import (
    Array,
    Detector,
    DetectorMixin,
    OutOfFold,
    check_xy,
    senses_of,
    stages_of,
    supports,
)
from ..structures import Stage as Step
from .fast_descent import Reader, ShapeFrame, Stage, as_complex, as_points, descend, rings_pattern
from .holistic import HolisticRegressor
from .preparing import (
    check_cascade,
    clipped,
    fitted_shape,
    given_starts,
    map_unit,
    mean_error,
    mirrored,
    perturbed,
    step_curve,
)
from .ridge import ridge_of
from .shape import PointDistribution

PARTS = (0.0, 0.5, 1.0)  #: of a stage's step, behind another detector

_BLOCK = 64  # pictures whose feature maps are held at a time


@dataclass(eq=False, repr=False)
class FastCascade(ReadsPlanes, DetectorMixin, BaseEstimator):
    """The supervised descent method on gradient channels that all points read at once.

    Parameters
    ----------
    scales : sequence of float
        One stage each: resolution of the mean-shape frame relative to the crop.  Channels are made
        once for stages of the same scale that follow each other.
    rings : sequence of (radius px, number of places, sigma px)
        Where a point reads, in px of the frame: rings around it, of channels smoothed by sigma.
    n_orientations : int
        Channels: directions of the full turn.
    alpha : float
        Ridge penalty of a stage per training row, in units of squared channel values: the same for
        few pictures and many.
    rank : int or None
        A stage's step is a combination of so many directions (reduced-rank regression, the leading
        ones of the held-out predictions); None keeps all.
    clip : float or None
        A way longer than so many medians of its landmark's counts as that long while a stage is
        learned: what is far off is seldom repaired, and not worth the near ones' accuracy.
    n_perturbations : int
        Extra copies of each training picture with a disturbed pose of the starting shape.
    start : Detector or None
        Gives the starting shape; None is ``HolisticRegressor("channels")``.  Points that it gives
        as NaN are filled in by ``shape``.  One with ``predict_out_of_fold`` is asked for those.
    cv : int
        Folds for the start's predictions on pictures that it did not see.
    shape : PointDistribution or None
        Defines the frame and fills in landmarks that are missing in training.
    maps : :class:`~hybridkp.structures.FeatureMaps` or None
        Further maps; each point reads ``map_cells`` x ``map_cells`` places of them, a map's pixel
        apart.  A clone is fitted; its maps of its own training pictures flatter it, so that heavily
        trained maps deserve a fit on other pictures.
    map_stages : sequence of int or None
        Stages that read ``maps``, counted from 0 (negative: from the end); None is all.
    map_cells : int
    inputs : what channels are made of, of :data:`~hybridkp.multimodal.INPUTS`; the start, where it is None,
        reads the same
    random_state : int

    Notes
    -----
    Behind another detector (``start``) each stage keeps its step, half of it or none, whichever errs
    least on the held-out predictions, an error counting as at most 5 % of the side: on turned bodies the
    stages then stay away, instead of pulling good points towards the mean body.  Where none keeps any, the
    predictions are the other detector's, scores included.

    Departures from the paper: as in :class:`.CascadedRegressor` (mean-shape frame, out-of-fold
    starts, held-out predictions between the stages, the meaning of the score).  The starts of mirrored
    copies are the mirrored starts of the originals.  Departures from that class: channels of the
    frame instead of histograms at each point; pattern and step are turned
    and scaled by what is left of the pose in the frame.

    References
    ----------
    X. Xiong, F. De la Torre, Supervised descent method and its applications to face alignment,
    CVPR 2013.  E. Tola, V. Lepetit, P. Fua, DAISY, TPAMI 32(5), 2010: the channels.
    A. Izenman, Reduced-rank regression for the multivariate linear model, J. Multivar. Anal. 5, 1975.
    """

    scales: tuple[float, ...] = (0.5, 0.5, 1.0, 1.0)
    rings: tuple[tuple[float, int, float], ...] = ((0, 1, 1.5), (5, 8, 1.5), (12, 8, 3.5))
    n_orientations: int = 8
    alpha: float = 0.07
    rank: int | None = 32
    clip: float | None = None
    n_perturbations: int = 1
    start: Detector | None = None
    cv: int = 3
    shape: PointDistribution | None = None
    maps: Any = None
    map_stages: tuple[int, ...] | None = None
    map_cells: int = 1
    inputs: tuple[str, ...] = ("image",)
    random_state: int = 0

    def seen_modalities(self) -> tuple[str, ...]:
        """Those of the inputs and of the start."""
        own = super().seen_modalities()
        return own if self.start is None else (*own, *senses_of(self.start))

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> FastCascade:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        check_cascade(self)
        batch = check_batch(images)  # the start may see more than pictures
        images = check_crops(batch)
        grey = self.learn_planes(batch)
        truth = check_xy(xy, len(grey))
        self.size_hw_ = tuple(grey.shape[1:3])
        current = self._fit_start(batch, truth, groups, flip)
        if self.maps is not None:
            self.maps_ = fitted(self.maps, images, truth, groups=groups, flip=flip)
            if flip is not None:  # they may see colour; the channels are grey
                images = with_mirrored(images)
        grey, truth, rows = mirrored(grey, truth, groups, flip)
        self.shape_ = fitted_shape(self.shape, truth)
        if flip is not None:
            current = np.concatenate([current, flip_points(current, grey.shape[2], flip)])
        rng = np.random.default_rng(self.random_state)
        current = given_starts(current, self.shape_)
        picture, current = perturbed(current, truth, self.n_perturbations, rng)
        wanted, rows = as_complex(self.shape_.complete(truth)[picture]), rows[picture]
        seen, guarded = truth[picture], self.start is not None
        self.stages_: list[dict[str, Array]] = []
        self.map_unit_ = np.zeros(0, np.float32)
        self.history_ = {"held-out error (px)": [mean_error(current, seen)]}
        z, lengths, parts = as_complex(current), [], []
        poses: list[tuple[complex, complex]] = []
        for i, scale in enumerate(self.scales):
            if i == 0 or scale != self.scales[i - 1]:
                poses = [self._mean().frame_pose(shape, scale) for shape in z]
            step = self._fit_stage(i, grey, images, picture, z, wanted, poses, rows)
            part = self._worth(z, step, seen) if guarded else 1.0
            parts.append(part)
            for name in ("directions", "shift"):
                self.stages_[-1][name] *= np.float32(part)
            z = z + part * step
            lengths.append(np.abs(part * step))
            self.history_["held-out error (px)"].append(mean_error(as_points(z), seen))
        self.parts_ = parts
        self.curve_ = step_curve(lengths, np.linalg.norm(as_points(z) - seen, axis=-1), self.size_hw_)
        return self

    def _worth(self, z: Array, step: Array, truth: Array) -> float:
        """The part of :data:`PARTS` of a held-out step that leaves the least capped error."""
        limit = FAR * max(self.size_hw_)
        off = [np.linalg.norm(as_points(z + part * step) - truth, axis=-1) for part in PARTS]
        return PARTS[int(np.argmin([np.nanmean(np.minimum(o, limit)) for o in off]))]

    def _fit_start(self, images: Any, truth: Array, groups: Any, flip: Any) -> Array:
        """Fits ``start_``; (B, K, 2) what models that did not see the picture say, NaN where nothing.

        With too few groups to leave some out (or landmarks labelled in one fold only) the mean
        shape is given to all instead.
        """
        start: Any = self.start
        if start is None:
            start = HolisticRegressor("channels", inputs=self.inputs)
        self.start_ = fitted(start, images, truth, groups=groups, flip=flip)
        n_groups = len(images if groups is None else np.unique(np.asarray(groups)))
        if supports(start, OutOfFold):  # it has worked by folds itself
            return np.asarray(start.predict_out_of_fold(images, truth, groups=groups, flip=flip)[0], float)
        if n_groups >= 2:
            try:
                cv = min(self.cv, n_groups)
                return out_of_fold(start, images, truth, groups=groups, flip=flip, cv=cv)[0].astype(float)
            except TooFewLabels:
                pass
        return np.tile(np.nanmean(truth, axis=0), (len(images), 1, 1))

    # ----------------------------------------------------------------------------------------
    # stages
    # ----------------------------------------------------------------------------------------

    def _fit_stage(
        self,
        i: int,
        grey: Any,
        images: Any,
        picture: Array,
        z: Array,
        wanted: Array,
        poses: list[tuple[complex, complex]],
        groups: Array,
    ) -> Array:
        """Learns stage ``i``; (N, K) complex, the step in the crop that it makes of held-out pictures."""
        unit = self._units(i, z, poses)
        way = wanted - z if self.clip is None else clipped(wanted - z, self.clip)
        target = as_points(way / unit[:, None]).reshape(len(z), -1)

        def read(rows: Array) -> Array:
            some = picture[rows], z[rows]
            extra = self._map_rows(images, *some) if self._uses_maps(i) else None
            return self._features(i, grey, *some, [poses[n] for n in rows], extra)

        width = self._width(z.shape[1], images if self._uses_maps(i) else None)
        weights, offset, held_out = ridge_of(read, len(z), width, target, self.alpha * len(z), groups)
        middle = held_out.mean(axis=0)
        spread = held_out - middle
        _, directions = np.linalg.eigh(spread.T @ spread)  # rising
        rank = directions.shape[1] if self.rank is None else self.rank
        directions = np.ascontiguousarray(directions[:, ::-1][:, :rank].T)
        stage = {
            "weights": np.ascontiguousarray(weights @ directions.T, np.float32),
            "directions": directions.astype(np.float32),
            "shift": (middle + (offset - middle) @ directions.T @ directions).astype(np.float32),
        }
        self.stages_.append(stage)
        step = middle + spread @ directions.T @ directions
        return as_complex(step.reshape(*z.shape, 2)) * unit[:, None]

    def _units(self, i: int, z: Array, poses: list[tuple[complex, complex]]) -> Array:
        """(N,) complex: a step of 1 in the mean shape's frame, in the crop."""
        mean, scale = self._mean(), self.scales[i]
        found = (mean.turn((a * shape + b) / scale) / a for shape, (a, b) in zip(z, poses, strict=True))
        return np.fromiter(found, complex, len(z))

    def _width(self, k: int, images: Any) -> int:
        """Columns of a stage's rows; ``images`` where it reads maps of them."""
        n_planes = sum(INPUTS[name][1] for name in self.input_names)
        places = sum(len(ring.offsets) for ring in self._reader().pattern) * self.n_orientations * n_planes
        if images is not None:
            places += self.map_cells**2 * self._ask_maps(images[:1])[0].shape[-1]
        return k * places

    def _features(
        self,
        i: int,
        grey: Any,
        picture: Array,
        z: Array,
        poses: list[tuple[complex, complex]],
        extra: Array | None,
    ) -> Array:
        """Rows (N, D) float32."""
        scale, reader = self.scales[i], self._reader()
        width = self._width(z.shape[1], None)
        extra = np.zeros((len(z), 0), np.float32) if extra is None else extra
        rows = np.empty((len(z), width + extra.shape[1]), np.float32)
        for n, (a, b) in enumerate(poses):
            channels = reader.frame(grey[picture[n]], a, b, scale)
            rows[n, :width], _ = reader.row(channels, a * z[n] + b, scale)
        if extra.shape[1]:
            if not len(self.map_unit_):
                self.map_unit_ = map_unit(rows[:, :width], extra, z.shape[1] * self.map_cells**2)
            rows[:, width:] = extra * np.tile(self.map_unit_, extra.shape[1] // len(self.map_unit_))
        return rows

    def _map_rows(self, images: Any, picture: Array, z: Array) -> Array:
        reader, out = self._reader()._replace(map_unit=None), np.zeros((0, 0), np.float32)
        seen, of = np.unique(picture, return_inverse=True)
        for first in range(0, len(seen), _BLOCK):
            maps, stride = self._ask_maps(images[seen[first : first + _BLOCK]])
            for n in np.flatnonzero((of >= first) & (of < first + _BLOCK)):
                row = reader.maps_row(maps[of[n] - first], stride, z[n])
                if not len(out):
                    out = np.empty((len(z), len(row)), np.float32)
                out[n] = row
        return out

    def _ask_maps(self, images: Any) -> tuple[Array, float]:
        """(B, h, w, C) and the stride."""
        maps, stride = self.maps_.feature_maps(np.asarray(images))
        return np.ascontiguousarray(np.moveaxis(np.asarray(maps, np.float32), 1, -1)), float(stride)

    def _uses_maps(self, i: int) -> bool:
        n = len(self.scales)
        return self.maps is not None and (self.map_stages is None or i in {s % n for s in self.map_stages})

    def _mean(self) -> ShapeFrame:
        return ShapeFrame.of(self.shape_.mean_)

    def _reader(self) -> Reader:
        unit = self.map_unit_ if len(self.map_unit_) else None
        return Reader(self._mean(), rings_pattern(self.rings), self.n_orientations, self.map_cells, unit)

    # ----------------------------------------------------------------------------------------
    # prediction
    # ----------------------------------------------------------------------------------------

    def _stages(self) -> list[Stage]:
        found = []
        for i, (scale, s, part) in enumerate(zip(self.scales, self.stages_, self.parts_, strict=True)):
            rank = None if part else 0  # a step that is left out has no directions
            weights, directions = s["weights"][:, :rank], s["directions"][:rank]
            found.append(Stage(float(scale), weights, directions, s["shift"], self._uses_maps(i)))
        return found

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) probability, see the notes."""
        check_is_fitted(self)
        batch = check_batch(images, self.size_hw_)
        if not any(self.parts_):
            found: tuple[Array, Array] = self.start_.predict_with_score(batch)
            return found
        return self._descend(batch, self._stages())

    def stages(self, images: Any) -> list[Step]:
        """The start's points and those after each step; a step that moves nothing is left out."""
        check_is_fitted(self)
        batch = check_batch(images, self.size_hw_)
        found, steps = stages_of(self.start_, batch), self._stages()
        for i in np.flatnonzero(self.parts_):
            found.append(Step(f"cascade step {i + 1}", self._descend(batch, steps[: i + 1])[0]))
        return found

    def _descend(self, batch: Any, stages: list[Stage]) -> tuple[Array, Array]:
        images = check_crops(batch)
        grey = self.read_planes(batch)
        start = given_starts(self.start_.predict(batch), self.shape_)  # as it was fitted: colour may count
        reader = self._reader()
        xy, score = np.empty(start.shape, np.float32), np.empty(start.shape[:2], np.float32)
        for first in range(0, len(grey), _BLOCK):
            block = slice(first, first + _BLOCK)
            maps = None if self.maps is None else self._ask_maps(images[block])
            for n, picture in enumerate(grey[block]):
                own = None if maps is None else (maps[0][n], maps[1])
                found = descend(picture, start[first + n], stages, reader, self.curve_, own)
                xy[first + n], score[first + n] = found
        return xy, score

    def held(self) -> list[tuple[str, Any]]:
        """What gives the first points."""
        return [("start", self.start_)]

    def runtime_node(self) -> dict[str, Any]:
        start: dict[str, Any] = self.start_.runtime_node()
        if not any(self.parts_):
            return start
        self.check_export()
        node = {
            "kind": "landmarks.fast_cascade",
            "start": start,
            "mean": self.shape_.mean_,
            "rings": [[float(r), int(n), float(sigma)] for r, n, sigma in self.rings],
            "n_orientations": self.n_orientations,
            "stages": [s._asdict() for s in self._stages()],
            "curve": self.curve_,
        }
        if self.maps is not None:
            node["maps"] = {
                **self.maps_.runtime_node(),
                "unit": self.map_unit_,
                "cells": self.map_cells,
            }
        return node
