"""All points at once from rows of several senses side by side: early fusion for points.

A batch comes in, points (B, K, 2) and scores (B, K) come out.  What a sense's rows are is said in
:mod:`hybridkp.multimodal.rows`; a member of one sense each, under any rule of fusion, is late fusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils.validation import check_is_fitted

from ..datasets.splits import group_folds
from ..imaging.images import check_batch
from ..multimodal import SenseRows
from ..structures import Array, DetectorMixin, InputError, as_batch, check_xy
from .linear import row_by_row
from .preparing import fitted_shape, hit_rates
from .ridge import ridge
from .shape import PointDistribution

_FOLDS = 3  #: of groups, for scores and for the choice of the penalty
_ALPHAS = tuple(float(a) for a in np.geomspace(0.01, 100, 5))


@dataclass(eq=False, repr=False)
class SenseRegressor(DetectorMixin, BaseEstimator):
    """Regression from the rows of one sense or several to every landmark.

    Parameters
    ----------
    inputs : modalities whose rows it sees, see :class:`~hybridkp.multimodal.SenseRows`; sound and text alone
        give points too: what they say of a shape, in the crop
    model : "ridge", whose penalty is the one that does best on held-out groups, or "forest"
    n_trees : of a forest
    strange : rows that are further from the training rows than that count as missing, see there
    shape : PointDistribution or None
        Fills in landmarks that are missing in training.
    random_state : of the forest

    Notes
    -----
    The score of a landmark is how often it came within 2.5 % of the crop's longer side in training, each
    group held out in turn (a forest: in folds): the same for all pictures.  Where none of the senses says
    anything, points are the training mean.
    """

    inputs: Sequence[str] | str = ("image",)
    model: str = "ridge"
    n_trees: int = 100
    strange: float | None = 2.0
    shape: PointDistribution | None = None
    random_state: int = 0

    def seen_modalities(self) -> tuple[str, ...]:
        return (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> SenseRegressor:
        """Learn from a batch of the inputs and points (B, K, 2) in crop px, NaN = not labelled."""
        if self.model not in ("ridge", "forest"):
            raise InputError(f"model must be ridge or forest, got {self.model!r}")
        batch = as_batch(images)
        crops = check_batch(batch)
        truth = check_xy(xy, len(crops))
        self.size_hw_ = tuple(crops.shape[1:3])
        wanted = fitted_shape(self.shape, truth).complete(truth).reshape(len(truth), -1)
        names = np.arange(len(truth)) if groups is None else np.asarray(groups)
        codes = np.unique(names.astype(str), return_inverse=True)[1].reshape(-1)
        self.rows_ = SenseRows(self.inputs, strange=self.strange).fit(batch)
        rows = self.rows_.transform(batch)
        self.mean_ = wanted.mean(axis=0)
        if self.model == "ridge":
            held_out = self._fit_ridge(rows, wanted, codes)
        else:
            held_out = self._fit_forest(rows, wanted, codes)
        self.score_ = hit_rates(held_out, truth, self.size_hw_)
        return self

    def _fit_ridge(self, rows: Array, wanted: Array, codes: Array) -> Array:
        best: tuple[float, Any] = (np.inf, None)
        for alpha in _ALPHAS:
            found = ridge(rows.copy(), wanted, alpha, codes)
            assert found[2] is not None
            loss = float(np.linalg.norm((found[2] - wanted).reshape(len(wanted), -1, 2), axis=2).mean())
            if loss < best[0]:
                best = loss, (alpha, *found)
        self.alpha_, self.weights_, self.offset_, held_out = best[1]
        return np.asarray(held_out)

    def _fit_forest(self, rows: Array, wanted: Array, codes: Array) -> Array:
        make = ExtraTreesRegressor(
            self.n_trees, min_samples_leaf=3, max_features=0.3, random_state=self.random_state
        )
        held_out = np.tile(wanted.mean(axis=0), (len(wanted), 1))
        if len(np.unique(codes)) > 1:
            for train, test in group_folds(codes, _FOLDS):
                held_out[test] = clone(make).fit(rows[train], wanted[train]).predict(rows[test])
        self.forest_ = make.fit(rows, wanted)
        return held_out

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px; (B, K), see the notes."""
        check_is_fitted(self, "score_")
        batch = as_batch(images)
        check_batch(batch, self.size_hw_)
        rows, there = self.rows_.rows_and_presence(batch)
        if self.model == "ridge":
            found = row_by_row(rows, self.weights_.astype(float)) + self.offset_
        else:
            found = self.forest_.predict(rows) if len(rows) else np.zeros((0, 2 * len(self.score_)))
        found[~there.any(axis=1)] = self.mean_
        return found.reshape(len(rows), -1, 2).astype(np.float32), np.tile(self.score_, (len(rows), 1))
