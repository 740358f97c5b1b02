"""Detectors in a row, each further one asked about the crop laid on the mean shape by the points before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import recipes, runtime
from hybridkp.checks import make_problem
from hybridkp.files import load_model, save_model
from hybridkp.imaging.geometry import points_box, scale_of
from hybridkp.landmarks import Realigned
from hybridkp.landmarks.nodes.realigned import laid_on
from hybridkp.landmarks.realigned import framed
from hybridkp.structures import DetectorMixin, InputError

SQUARE = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]])


@dataclass(eq=False, repr=False)
class Says(DetectorMixin, BaseEstimator):
    """Says of all crops what it was told at first, or the mean of what it was fitted on; keeps its crops."""

    xy: Any = None

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Says:
        self.size_hw_, self.images_ = images.shape[1:3], images
        self.xy_ = np.nanmean(xy, 0) if self.xy is None else np.asarray(self.xy)
        return self

    def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        xy = np.broadcast_to(self.xy_, (len(images), *self.xy_.shape))
        return xy.astype(np.float32), np.ones(xy.shape[:2], np.float32)


def turned(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """The square of the other crops, elsewhere, as large and so turned."""
    c, s = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    return (SQUARE - 20) @ np.array([[c, s], [-s, c]]) + 20 + np.array(shift)


def blobs(xy: np.ndarray, size: int = 48) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    near = np.exp(-((x - xy[:, 0, None, None]) ** 2 + (y - xy[:, 1, None, None]) ** 2) / 8)
    return np.asarray((255 * near.max(0)).astype(np.uint8))


def test_the_second_sees_each_object_where_the_mean_shape_is_and_points_come_back() -> None:
    shapes = np.stack([turned(d, s, (d / 10, 3)) for d, s in ((-30, 0.8), (0, 1.0), (20, 0.9), (10, 0.7))])
    images = np.stack([blobs(xy) for xy in shapes])
    model = Realigned([("first", Says()), ("second", Says())], cv=0).fit(images, shapes)
    np.testing.assert_allclose(points_box(model.mean_)[2:].max(), 48 / 1.25, atol=1e-9)
    seen = model.members_[1].images_  # the square's corners are bright in each of them, at one place
    x, y = np.rint(model.mean_).astype(int).T
    assert seen[:, y, x].min() > 200
    model.members_[0].xy_ = there = turned(75, 0.6, (5, -2))  # what the first says from now on
    np.testing.assert_allclose(model.predict(images[:1])[0], there, atol=1e-3)


def test_a_first_that_fails_leaves_the_crop_as_it_is() -> None:
    mean = framed(SQUARE, (48, 48), 1.25)
    failed = np.stack([np.full((4, 2), 7.0), 1e6 * SQUARE, 1e-2 * SQUARE, np.full((4, 2), np.nan)])
    laid = laid_on(mean, failed)
    np.testing.assert_allclose(laid[1:3], [np.eye(2, 3)] * 2)
    assert np.isfinite(laid).all()
    np.testing.assert_allclose(scale_of(laid), 1)


def test_the_frame_has_the_shape_in_the_middle_of_the_crop() -> None:
    mean = framed(SQUARE + 3, (40, 60), 2.0)
    np.testing.assert_allclose(mean.mean(0), [29.5, 19.5])
    np.testing.assert_allclose(np.ptp(mean, axis=0), [20, 20])


@pytest.fixture(scope="module")
def problem() -> tuple[Any, ...]:
    return make_problem(90)


@pytest.fixture(scope="module")
def fitted(problem: tuple[Any, ...]) -> Any:
    images, xy, groups, _ = problem
    return recipes.make_method("realigned(sdm,hog+ridge)").fit(images[:60], xy[:60], groups=groups[:60])


def test_a_second_of_crops_that_are_alike_errs_less(problem: tuple[Any, ...], fitted: Any) -> None:
    images, xy, groups, _ = problem

    def error(model: Any) -> float:
        return float(np.linalg.norm(model.predict(images[60:]) - xy[60:], axis=-1).mean())

    alone = recipes.make_method("hog+ridge").fit(images[:60], xy[:60], groups=groups[:60])
    assert error(fitted) < 0.5 * error(alone)
    first, last = (stage.xy for stage in fitted.stages(images[60:]))
    np.testing.assert_array_equal(first, fitted.members_[0].predict(images[60:]))
    np.testing.assert_array_equal(last, fitted.predict(images[60:]))


def test_files_of_it_say_the_same(problem: tuple[Any, ...], fitted: Any, tmp_path: Path) -> None:
    images = problem[0][60:]
    save_model(fitted, tmp_path / "m.hkp")
    np.testing.assert_array_equal(load_model(tmp_path / "m.hkp").predict(images), fitted.predict(images))
    runtime.export_runtime(fitted, tmp_path / "m.hkr")
    found, score = runtime.load(tmp_path / "m.hkr").predict_with_score(images)
    np.testing.assert_allclose(found, fitted.predict(images), atol=1e-4)
    np.testing.assert_allclose(score, fitted.predict_with_score(images)[1], atol=1e-5)
    with pytest.raises(InputError, match=r"realigned \(landmarks\) has no ONNX form: export to a .hkr file"):
        runtime.export_onnx(fitted, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"members": [("a", Says())]}, "two or more members"),
        ({"members": [("a", Says()), ("a", Says())]}, "two or more members"),
        ({"cv": 1}, "cv=1 leaves nothing"),
        ({"cv": -2}, "realigned: cv must be"),
        ({"margin": 0.1}, "margin must lie in"),
        ({"margin": np.nan}, "margin must lie in"),
    ],
)
def test_what_means_nothing_is_told(settings: dict[str, Any], told: str) -> None:
    images, shapes = np.zeros((4, 48, 48), np.uint8), np.stack([SQUARE] * 4)
    model = Realigned([("a", Says()), ("b", Says())]).set_params(**settings)
    with pytest.raises(InputError, match=told):
        model.fit(images, shapes)
