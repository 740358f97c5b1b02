"""Visibility beside a detector's points: on bright marks, some of them covered, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain_detectors import PlainMean
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from hybridkp import metrics
from hybridkp.evaluate import predict
from hybridkp.files import load_model, save_model
from hybridkp.fusion import WithVisibility
from hybridkp.stats.calibration import logit
from hybridkp.structures import DetectorMixin, InputError

NAN = float("nan")
SPOTS = np.array([[8, 8], [24, 8], [16, 24]])


class Marks(DetectorMixin, BaseEstimator):
    """Finds bright marks at fixed spots; the brighter, the surer.  Blue pixel (0, 0) silences the last."""

    fits = 0

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Marks:
        Marks.fits += 1
        self.k_ = np.asarray(xy).shape[1]
        return self

    def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        images, spots = np.asarray(images), SPOTS[: self.k_]
        xy = np.repeat(spots[None], len(images), axis=0).astype(np.float32)
        score = images[:, spots[:, 1], spots[:, 0], 1].astype(np.float32) / 255
        xy[images[:, 0, 0, 0] > 0, -1] = np.nan
        return xy, score


def problem(n: int, seed: int, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops, points with NaN where covered, and (n, k) visible; the last landmark never is covered."""
    rng = np.random.default_rng(seed)
    seen = rng.random((n, k)) < 0.7
    if k > 1:
        seen[:, -1] = True
    images = np.zeros((n, 32, 32, 3), np.uint8)
    # covered marks are darker, with an overlap: nobody can be certain
    light = np.clip(rng.normal(np.where(seen, 0.7, 0.4), 0.12), 0, 1)
    images[:, SPOTS[:k, 1], SPOTS[:k, 0], 1] = (255 * light).astype(np.uint8)
    xy = np.repeat(SPOTS[None, :k].astype(float), n, axis=0)
    xy[~seen] = np.nan
    return images, xy, seen


TRAIN, TEST = problem(300, 0), problem(300, 1)


@pytest.fixture(scope="module")
def model() -> WithVisibility:
    return WithVisibility(Marks()).fit(*TRAIN[:2])


def test_covered_marks_are_told_from_open_ones(model: WithVisibility) -> None:
    images, _, seen = TEST
    p = model.predict_visibility(images)
    assert p.shape == seen.shape and p.dtype == np.float32
    assert (p[:, 2] == 1).all(), "always labelled in training"
    share = np.broadcast_to(TRAIN[2].mean(axis=0), seen.shape)
    for score in (metrics.brier_score, metrics.log_loss):
        assert score(seen[:, :2], p[:, :2]) < 0.5 * score(seen[:, :2], share[:, :2])
    assert metrics.hidden_average_precision(seen[:, :2], p[:, :2]) > 0.9
    assert metrics.expected_calibration_error(seen[:, :2], p[:, :2], n_bins=5) < 0.08


def test_points_and_scores_are_the_detectors_own(model: WithVisibility) -> None:
    xy, score, seen = model.predict_with_visibility(TEST[0])
    own_xy, own_score = Marks().fit(*TRAIN[:2]).predict_with_score(TEST[0])
    np.testing.assert_array_equal(xy, own_xy)
    np.testing.assert_array_equal(score, own_score)
    np.testing.assert_array_equal(model.predict_with_score(TEST[0])[1], own_score)
    np.testing.assert_array_equal(model.predict_visibility(TEST[0]), seen)


def test_a_point_that_was_not_given_counts_as_score_0(model: WithVisibility) -> None:
    silent, dark = TEST[0][:4].copy(), TEST[0][:4].copy()
    silent[:, 0, 0, 0] = 1
    dark[:, SPOTS[2, 1], SPOTS[2, 0]] = 0
    np.testing.assert_array_equal(model.predict_visibility(silent), model.predict_visibility(dark))


def test_the_rule_is_a_logistic_one_of_two_facts(model: WithVisibility) -> None:
    own = logit(model.predict_with_score(TEST[0])[1]).astype(float)
    odds = own[:, 0] * model.slope_[0] + own[:, 1:].mean(axis=1) * model.slope_[1] + model.bias_[0]
    np.testing.assert_allclose(model.predict_visibility(TEST[0])[:, 0], 1 / (1 + np.exp(-odds)), rtol=1e-5)
    assert model.slope_[0] > 3 * abs(model.slope_[1]), "covers fall independently"


def test_scores_that_say_nothing_leave_the_shares() -> None:
    images, xy, seen = TRAIN
    p = WithVisibility(PlainMean()).fit(images, xy).predict_visibility(images[:1])[0]
    np.testing.assert_allclose(p, seen.mean(axis=0), atol=0.01)


def test_one_landmark() -> None:
    images, xy, seen = problem(200, 2, k=1)
    p = WithVisibility(Marks()).fit(images, xy).predict_visibility(images)
    assert metrics.brier_score(seen, p) < 0.5 * seen.mean() * (1 - seen.mean())


def test_nothing_is_learned_where_all_is_labelled() -> None:
    images = TRAIN[0][:6]
    before = Marks.fits
    model = WithVisibility(Marks()).fit(images, np.repeat(SPOTS[None], 6, axis=0), groups=["one"] * 6)
    assert Marks.fits == before + 1, "no folds"
    assert (model.predict_visibility(images) == 1).all()


def test_groups_are_never_cut() -> None:
    with pytest.raises(InputError, match="1 group cannot be cut"):
        WithVisibility(Marks()).fit(*TRAIN[:2], groups=["one"] * 300)


def test_errors() -> None:
    with pytest.raises(NotFittedError):
        WithVisibility(Marks()).predict_visibility(TEST[0])
    with pytest.raises(InputError, match="penalty must be positive"):
        WithVisibility(Marks(), penalty=0).fit(*TRAIN[:2])


def test_it_survives_its_model_file(model: WithVisibility, tmp_path: Any) -> None:
    save_model(model, tmp_path / "v.hkp")
    again = load_model(tmp_path / "v.hkp", trusted=[Marks])
    np.testing.assert_array_equal(again.predict_visibility(TEST[0]), model.predict_visibility(TEST[0]))


def test_the_runtime_gets_the_detector() -> None:
    from hybridkp.landmarks import MeanShape

    model = WithVisibility(MeanShape()).fit(*TRAIN[:2])
    assert model.runtime_node()["kind"] == model.detector_.runtime_node()["kind"]


def test_predict_writes_one_for_what_is_not_seen(model: WithVisibility, tmp_path: Any) -> None:
    import cv2

    from hybridkp.datasets import load_dataset

    image = np.zeros((32, 32, 3), np.uint8)
    image[SPOTS[:, 1], SPOTS[:, 0], 1] = 20, 230, 230
    cv2.imwrite(str(tmp_path / "p.png"), image)
    meta = {"size_hw": [32, 32], "margin": 1.0}
    boxes = {"p.png": [[0, 0, 32, 32]]}
    document = predict(model, [tmp_path / "p.png"], boxes=boxes, out=tmp_path, overlays=False, meta=meta)
    found = document["annotations"][0]
    assert found["keypoints"][2::3] == [1, 2, 2] and found["num_keypoints"] == 3
    np.testing.assert_allclose(np.reshape(found["keypoints"], (3, 3))[:, :2], SPOTS, atol=1e-3)
    assert found["keypoint_visibility"][0] < 0.5 < found["keypoint_visibility"][1]
    assert found["keypoint_visibility"][2] == 1
    again = load_dataset(tmp_path / "predictions.json").samples[0].instances[0]
    np.testing.assert_array_equal(again.visibility, [1, 2, 2])
    plain = predict(model.detector_, [tmp_path / "p.png"], boxes=boxes, meta=meta)["annotations"][0]
    assert plain["keypoints"][2::3] == [2, 2, 2] and "keypoint_visibility" not in plain


# --------------------------------------------------------------------------------------------
# metrics
# --------------------------------------------------------------------------------------------


def test_metrics_by_hand() -> None:
    visible = np.array([[1, 0, 1], [0, NAN, 1]])
    p = np.array([[0.8, 0.4, 0.4], [0.1, 0.5, NAN]])
    assert metrics.brier_score(visible, p) == pytest.approx((0.04 + 0.16 + 0.36 + 0.01) / 4)
    loss = -np.log([0.8, 0.6, 0.4, 0.9]).mean()
    assert metrics.log_loss(visible, p) == pytest.approx(loss)
    # 0.1: hidden, precision 1; then two of 0.4 together, one of them hidden: precision 2/3
    assert metrics.hidden_average_precision(visible, p) == pytest.approx((1 + 2 / 3) / 2)


def test_metrics_at_the_ends() -> None:
    for score in (metrics.brier_score, metrics.log_loss, metrics.hidden_average_precision):
        assert np.isnan(score([NAN], [0.5])) and np.isnan(score([], []))
        with pytest.raises(InputError, match="one shape"):
            score([1, 0], [0.5])
        with pytest.raises(InputError, match=r"0\.\.1"):
            score([1], [1.5])
        with pytest.raises(InputError, match="0 or 1"):
            score([2], [0.5])
    assert np.isnan(metrics.hidden_average_precision([1, 1], [0.5, 0.9])), "nothing is hidden"
    assert metrics.hidden_average_precision([0, 1], [0.5, 0.5]) == 0.5, "all equal: the share"
    assert metrics.log_loss([0], [1.0]) == pytest.approx(-np.log(1e-6))
