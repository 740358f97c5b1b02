"""scikit-learn's own checks, through an adapter that paints rows as pictures and numbers as points."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from hybridkp.fusion import Average, MirrorAverage
from hybridkp.landmarks import FastCascade, HolisticRegressor, MeanShape

SIDE = 16


class Painted(RegressorMixin, BaseEstimator):
    """Rows (N, D) as pictures of D patches, targets (N,) or (N, T) as the x of T points."""

    def __init__(self, detector: Any):
        self.detector = detector

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # a picture of two grey patches says little
        tags.target_tags.multi_output = True
        return tags

    def _pictures(self, rows: np.ndarray) -> np.ndarray:
        scaled = (rows - self.low_) / self.span_
        cells = int(np.ceil(np.sqrt(rows.shape[1])))
        grid = np.zeros((len(rows), cells * cells))
        grid[:, : rows.shape[1]] = np.clip(scaled, 0, 1) * 255
        side = max(SIDE // cells, 1)
        picture = grid.reshape(-1, cells, cells).repeat(side, 1).repeat(side, 2)
        room = max(0, SIDE - cells * side)
        return np.pad(picture, ((0, 0), (0, room), (0, room))).round().astype(np.uint8)

    def fit(self, X: Any, y: Any) -> Painted:
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        self.low_, self.span_ = X.min(0), np.maximum(np.ptp(X, axis=0), 1e-9)
        self.flat_ = y.ndim == 1
        target = np.asarray(y, float).reshape(len(X), -1)
        self.shift_, self.unit_ = target.min(0), np.maximum(np.ptp(target, axis=0), 1e-9)
        x = (target - self.shift_) / self.unit_ * (SIDE - 1)
        points = np.stack([x, np.full_like(x, SIDE / 2)], axis=-1)
        self.detector_ = clone(self.detector).fit(self._pictures(X), points)
        return self

    def predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        x = self.detector_.predict(self._pictures(X))[..., 0].astype(float)
        out = x / (SIDE - 1) * self.unit_ + self.shift_
        return out[:, 0] if self.flat_ else out


DETECTORS = [
    MeanShape(),
    HolisticRegressor(grid=2),
    FastCascade(scales=(1.0,), n_perturbations=0),
    MirrorAverage(MeanShape()),
    Average([("mean", MeanShape()), ("ridge", HolisticRegressor(grid=2))]),
]


@parametrize_with_checks([Painted(detector) for detector in DETECTORS])
def test_the_rules_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_tags_say_pictures_and_several_numbers() -> None:
    for detector in DETECTORS:
        tags = detector.__sklearn_tags__()
        assert tags.input_tags.three_d_array and not tags.input_tags.two_d_array
        assert tags.target_tags.required and tags.target_tags.multi_output
        assert not tags.target_tags.single_output
