"""How points may err: covariances beside any detector's points, by hand and in files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import recipes, runtime
from hybridkp.checks import make_problem
from hybridkp.detection import BoxesGiven, TopDown
from hybridkp.fusion import WithCovariance
from hybridkp.landmarks import HolisticRegressor, WithPresence
from hybridkp.structures import DetectorMixin, InputError

SHAPE = np.array([[4.0, 1.5], [1.5, 1.0]])  #: px² of errors where the score is one half


class Erring(DetectorMixin, BaseEstimator):
    """Knows the true points of numbered crops and errs by a known law; the score says how much."""

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Erring:
        self.size_hw_ = images.shape[1:3]
        return self

    def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        truth, score, error = planted(images)
        return (truth + error).astype(np.float32), score


def planted(images: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (B, 2, 2), scores (B, 2) and errors (B, 2, 2) of crops, by the number written into each."""
    numbers = images[:, 0, 0].astype(int) * 256 + images[:, 0, 1]
    rows = []
    for number in numbers:
        rng = np.random.default_rng(number)
        score = rng.uniform(0.1, 0.9, 2)
        error = rng.multivariate_normal([0, 0], SHAPE, 2) * np.sqrt((1 - score) / score)[:, None]
        rows.append((rng.uniform(10, 22, (2, 2)), score, error))
    truth, score, error = (np.stack(column) for column in zip(*rows, strict=True))
    return truth, score.astype(np.float32), error


def numbered(first: int, n: int) -> np.ndarray:
    images = np.zeros((n, 32, 32), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(first, first + n), 256)
    return images


TRAIN, TEST = numbered(0, 600), numbered(1000, 600)


@pytest.fixture(scope="module")
def model() -> WithCovariance:
    return WithCovariance(Erring()).fit(TRAIN, planted(TRAIN)[0])


def test_a_planted_law_is_recovered(model: WithCovariance) -> None:
    assert abs(model.slope_ - 1) < 0.15, "errors grow as the odds against them"
    for shape in model.shape_:
        np.testing.assert_allclose(shape, SHAPE, rtol=0.25, atol=0.1)
    np.testing.assert_allclose(model.coverage_, [0.5, 0.9], atol=0.05)


def test_ellipses_hold_as_many_of_new_points(model: WithCovariance) -> None:
    truth, score, _ = planted(TEST)
    xy, own, covariance = model.predict_with_covariance(TEST)
    np.testing.assert_array_equal(own, score)
    away = (xy - truth)[..., None]
    distance = (np.swapaxes(away, 2, 3) @ np.linalg.solve(covariance, away))[..., 0, 0]
    for level in (0.5, 0.9):
        assert abs((distance <= -2 * np.log(1 - level)).mean() - level) < 0.05


def test_a_score_that_never_changes_tells_nothing() -> None:
    images, xy, groups, _ = make_problem(24)
    found = WithCovariance(HolisticRegressor()).fit(images, xy, groups=groups)
    covariance = found.predict_with_covariance(images)[2]
    assert found.slope_ >= 0 and (np.linalg.eigvalsh(covariance) > 0).all()


def test_nothing_to_learn_from() -> None:
    class Silent(Erring):
        def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
            xy, score = super().predict_with_score(images)
            return np.full_like(xy, np.nan), score

    with pytest.raises(InputError, match="no point that is labelled"):
        WithCovariance(Silent()).fit(TRAIN[:20], planted(TRAIN[:20])[0])


def test_pictures_and_files_say_it_in_their_own_px(tmp_path) -> None:
    images, xy, groups, flip = make_problem(24)
    fitted = WithPresence(WithCovariance(HolisticRegressor())).fit(images, xy, groups=groups, flip=flip)
    found = fitted.predict_all(images[:4])
    assert found.covariance.shape == (4, xy.shape[1], 2, 2) and found.presence.shape == (4,)
    runtime.export_runtime(fitted, tmp_path / "m.hkr", {"margin": 1.0})
    loaded = runtime.load(tmp_path / "m.hkr")
    np.testing.assert_allclose(loaded.predict_all(images[:4]).covariance, found.covariance, rtol=1e-5)
    twice = np.repeat(np.repeat(images[0], 2, 0), 2, 1)
    top = TopDown(BoxesGiven(), fitted, margin=1.0)
    for seen in (top.detect(twice)[0], loaded.in_box(twice, np.array([0.0, 0, *twice.shape[1::-1]]))):
        crop = fitted.predict_all(_shrunk(twice, images.shape[1:3])[None])
        np.testing.assert_allclose(seen.covariance, 4 * crop.covariance[0], rtol=1e-3)
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    session = onnxruntime.InferenceSession(str(runtime.export_onnx(fitted, tmp_path / "m.onnx")))
    blob = np.ascontiguousarray(images[:4].transpose(0, 3, 1, 2), np.float32)
    covariance, presence = session.run(["covariance", "presence"], {"image": blob})
    np.testing.assert_allclose(covariance, found.covariance, rtol=1e-3)
    np.testing.assert_allclose(presence, found.presence, atol=1e-3)


def _shrunk(picture: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    from hybridkp.imaging.crops import cut
    from hybridkp.imaging.geometry import crop_matrix

    h, w = picture.shape[:2]
    return cut(picture, crop_matrix([0, 0, w, h], size_hw, 1.0), size_hw)


def test_the_grammar_knows_it() -> None:
    assert isinstance(recipes.make_method("mean-shape:covariance"), WithCovariance)
