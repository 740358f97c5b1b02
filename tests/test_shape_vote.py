"""A vote of answers and of shapes: exact where it can be counted by hand, robust where answers are wild."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import checks, evaluate, fusion, memory
from hybridkp.datasets import make_faces
from hybridkp.fusion.nodes.shape_vote import most_probable
from hybridkp.fusion.shape_vote import gaussian_shapes
from hybridkp.landmarks import FastCascade, HolisticRegressor, MeanShape
from hybridkp.structures import DetectorMixin, InputError

K, SIDE = 6, 64
TRAIN, TEST = np.arange(300), np.arange(300, 500)


def shapes(n: int = 500, seed: int = 0) -> np.ndarray:
    """(n, K, 2) px: two ways to vary, and a fifth of a pixel of every point's own."""
    rng = np.random.default_rng(seed)
    mean, ways = rng.uniform(15, 49, (K, 2)), rng.normal(0, 3, (2, K, 2))
    return mean + np.einsum("bi,ikj->bkj", rng.normal(0, 1, (n, 2)), ways) + rng.normal(0, 0.2, (n, K, 2))


def learn(answer: np.ndarray, score: np.ndarray, truth: np.ndarray, **options: Any) -> tuple[Any, Any]:
    """The rule from the first 300 pictures, applied to all; answers (M, B, K, 2)."""
    model = fusion.ShapeVote([(str(m), None) for m in range(len(answer))], **options)
    rule = model._learn(answer[:, TRAIN], score[:, TRAIN], truth[TRAIN], TRAIN, SIDE)
    return model, rule


def error(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(K,) mean distances on the pictures that no rule saw, px."""
    return np.linalg.norm(found - truth, axis=-1)[TEST].mean(0)


# --------------------------------------------------------------------------------------------
# arithmetic
# --------------------------------------------------------------------------------------------


def test_the_last_round_is_gaussian_conditioning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridkp.fusion.nodes.shape_vote.ROUNDS", 1)  # all weights 1: no wild answers
    rng = np.random.default_rng(0)
    modes, own, mean = rng.normal(0, 2, (3, 2 * K)), 0.3, rng.uniform(10, 50, 2 * K)
    answer, noise = rng.uniform(10, 50, (2, 70, K, 2)), rng.uniform(0.5, 4, (2, 70, K))
    answer[1, 0, 2] = np.nan
    found, left = most_probable(answer, noise, {"mean": mean, "modes": modes, "residual": own})
    covariance = modes.T @ modes + own * np.eye(2 * K)
    for b in (0, 69):
        rows, looks, spread = [], [], []
        for m in range(2):
            for k in range(K):
                if np.isfinite(answer[m, b, k, 0]):
                    rows.extend(answer[m, b, k])
                    looks.extend(np.eye(2 * K)[2 * k : 2 * k + 2])
                    spread.extend([noise[m, b, k]] * 2)
        look, row = np.array(looks), np.array(rows)
        gain = covariance @ look.T @ np.linalg.inv(look @ covariance @ look.T + np.diag(spread))
        wanted = mean + gain @ (row - look @ mean)
        remains = np.diag(covariance - gain @ look @ covariance).reshape(K, 2).mean(1)
        np.testing.assert_allclose(found[b].ravel(), wanted, atol=1e-6)
        np.testing.assert_allclose(left[b], remains, rtol=1e-6)


def test_shapes_are_learned_from_incomplete_labels() -> None:
    truth = shapes(2000)
    mean, covariance = gaussian_shapes(truth, 0.04)
    rows = truth.reshape(len(truth), -1)
    np.testing.assert_allclose(mean, rows.mean(0))
    np.testing.assert_allclose(covariance, np.cov(rows.T, bias=True))
    holes = truth.copy()
    holes[np.random.default_rng(1).random(truth.shape[:2]) < 0.3] = np.nan
    m, c = gaussian_shapes(holes, 0.04)
    assert np.abs(m - mean).max() < 0.25
    assert np.abs(c - covariance).max() < 0.1 * np.abs(covariance).max()
    blind = holes.copy()
    blind[:, 0], blind[5] = np.nan, np.nan  # a landmark, and a picture, without any label
    m, c = gaussian_shapes(blind, 0.04)
    assert np.isfinite(m).all() and np.linalg.eigvalsh(c + 0.04 * np.eye(2 * K)).min() > 0


# --------------------------------------------------------------------------------------------
# what it repairs
# --------------------------------------------------------------------------------------------


def test_sure_points_correct_an_unsure_one() -> None:
    truth, rng = shapes(), np.random.default_rng(1)
    sd = np.array([3.0, 0.3, 0.3, 0.3, 0.3, 0.3])
    answer = (truth + rng.normal(0, 1, truth.shape) * sd[:, None])[None]
    score = np.broadcast_to(np.where(sd > 1, 0.3, 0.95), answer.shape[:3])
    model, rule = learn(answer, score, truth)
    found, sure = model._combine(rule, answer, score)
    before, after = error(answer[0], truth), error(found, truth)
    assert after[0] < 0.25 * before[0] and after[1:].max() < before[1:].max()
    near = np.linalg.norm(found - truth, axis=-1)[TEST] < 0.025 * SIDE
    assert sure[TEST].mean() == pytest.approx(near.mean(), abs=0.03)


def test_a_wild_answer_counts_little_though_its_score_is_high() -> None:
    truth, rng = shapes(), np.random.default_rng(2)
    answer = (truth + rng.normal(0, 0.5, truth.shape))[None]
    lost = rng.random(truth.shape[:2]) < 0.05
    answer[0][lost] = rng.uniform(0, SIDE, (int(lost.sum()), 2))
    score = np.full(answer.shape[:3], 0.9)
    model, rule = learn(answer, score, truth)
    found, _ = model._combine(rule, answer, score)
    off = np.linalg.norm(found - truth, axis=-1)[TEST]
    assert np.median(off[lost[TEST]]) < 1.0 and off[~lost[TEST]].mean() < 0.6


def test_a_silent_member_is_filled_in_and_others_are_weighed() -> None:
    truth, rng = shapes(), np.random.default_rng(3)
    answer = truth + rng.normal(0, 1, (2, *truth.shape)) * np.array([0.5, 2.0])[:, None, None, None]
    answer[0, :, 3] = np.nan
    score = np.full(answer.shape[:3], 0.8)
    model, rule = learn(answer, score, truth)
    found, sure = model._combine(rule, answer, score)
    after, filled = error(found, truth), [0, 1, 2, 4, 5]
    assert np.isfinite(found).all() and after[3] < 0.3 * error(answer[1], truth)[3]
    assert (after[filled] < 0.95 * error(answer[0], truth)[filled]).all()
    nobody, low = model._combine(rule, np.full_like(answer, np.nan), score)
    np.testing.assert_allclose(nobody[0].ravel(), rule["mean"], atol=1e-3)
    assert (low < sure).all()


def test_turned_shifted_and_larger_objects_are_not_pulled_back() -> None:
    truth = shapes()
    score = np.full((1, *truth.shape[:2]), 0.9)
    noisy = (truth + np.random.default_rng(4).normal(0, 0.3, truth.shape))[None]
    model, rule = learn(noisy, score, truth)
    angle = np.deg2rad(40)
    turn = 1.2 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mean = rule["mean"].reshape(K, 2)
    turned = (mean - mean.mean(0)) @ turn.T + mean.mean(0) + [5, -3]
    found, _ = model._combine(rule, turned[None, None], score[:, :1])
    assert np.linalg.norm(found[0] - turned, axis=-1).max() < 0.3


# --------------------------------------------------------------------------------------------
# as a detector
# --------------------------------------------------------------------------------------------


class Told(DetectorMixin, BaseEstimator):
    """Knows the number of a picture from its pixels, and the answer that was written down for it."""

    def __init__(self, answers: Any = None):
        self.answers = answers

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Told:
        return self

    def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        numbers = [int(i[0, 0, 0]) * 256 + int(i[0, 1, 0]) for i in np.asarray(images)]
        xy = np.asarray(self.answers, np.float32)[numbers]
        return xy, np.full(xy.shape[:2], 0.8, np.float32)


def pictures(n: int) -> np.ndarray:
    images = np.zeros((n, SIDE, SIDE, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(n), 256)
    return images


def test_it_leaves_a_detector_alone_that_shapes_cannot_help() -> None:
    truth = np.random.default_rng(5).uniform(5, 59, (500, K, 2))  # points that know nothing of each other
    answer, images = truth, pictures(500)
    model = fusion.ShapeVote([("a", Told(answer))]).fit(images[TRAIN], truth[TRAIN])
    assert model.alone_ == 0
    np.testing.assert_array_equal(model.predict(images[TEST]), answer[TEST].astype(np.float32))
    own, _ = model.predict_out_of_fold(images[TRAIN], truth[TRAIN])
    np.testing.assert_array_equal(own, answer[TRAIN].astype(np.float32))


def test_answers_out_of_fold_are_by_rules_that_did_not_see_the_picture() -> None:
    truth, rng = shapes(), np.random.default_rng(6)
    answer, images = truth + rng.normal(0, 1, truth.shape), pictures(500)
    model = fusion.ShapeVote([("a", Told(answer))])
    found, score = model.predict_out_of_fold(images[TRAIN], truth[TRAIN])
    assert error(model.fit(images[TRAIN], truth[TRAIN]).predict(images), truth).mean() == pytest.approx(
        np.linalg.norm(found - truth[TRAIN], axis=-1).mean(), rel=0.05
    )
    moved = truth[TRAIN].copy()
    moved[0] += 30  # what picture 0 is told to be must not reach its own answer
    again, _ = model.predict_out_of_fold(images[TRAIN], moved)
    assert np.linalg.norm(again[0] - found[0], axis=-1).max() < 0.5
    assert ((score >= 0) & (score <= 1)).all()


def test_one_shape_vote_behind_another_is_asked_for_its_own_answers() -> None:
    truth, rng = shapes(), np.random.default_rng(8)
    images, told = pictures(500), Told(truth + rng.normal(0, 1, truth.shape))
    inner = fusion.ShapeVote([("a", told)])
    found, _ = inner.predict_out_of_fold(images[TRAIN], truth[TRAIN])
    outer = fusion.ShapeVote([("inner", inner)])
    asked, _ = outer._out_of_fold(images[TRAIN], truth[TRAIN], None, None)
    np.testing.assert_array_equal(asked[0], found)
    twice = outer.fit(images[TRAIN], truth[TRAIN]).predict(images)
    assert error(twice, truth).mean() < 1.02 * error(inner.fit(images, truth).predict(images), truth).mean()


def test_a_chain_is_trained_without_fitting_anything_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, original = [], HolisticRegressor.fit

    def counted(self: Any, images: Any, *data: Any, **options: Any) -> Any:
        fits.append(len(images))
        return original(self, images, *data, **options)

    monkeypatch.setattr(HolisticRegressor, "fit", counted)
    start = fusion.ShapeVote([("inner", fusion.ShapeVote([("a", HolisticRegressor(grid=4))], guard=False))])
    chain = FastCascade(scales=(1.0,), rings=((0, 1, 1.0),), start=start, cv=2)
    faces = make_faces(24, (64, 64), random_state=0)
    evaluate.train(chain, evaluate.Problem(faces, size_hw=(48, 48)), tmp_path / "chain.hkp")
    assert sorted(fits) == [12, 12, 24]  # two folds, and all
    tied = fusion.Average([("a", HolisticRegressor(grid=4)), ("b", HolisticRegressor(grid=4))])
    fits.clear()
    with memory.remember(tmp_path / "kept"):  # somebody's own memory is not pushed aside
        evaluate.train(tied, evaluate.Problem(faces, size_hw=(48, 48)), tmp_path / "tied.hkp")
    assert fits == [24] and list((tmp_path / "kept").glob("*.hkp"))


def test_a_spread_that_cannot_be() -> None:
    with pytest.raises(InputError, match="spread must be positive"):
        fusion.ShapeVote([("a", MeanShape())], spread=0).fit(pictures(4), shapes(4))


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("members", [1, 2])
def test_promises_of_detectors(guard: bool, members: int) -> None:
    made = [("a", HolisticRegressor()), ("b", MeanShape())][:members]
    for _, run in checks.detector_checks(fusion.ShapeVote(made, guard=guard)):
        run()


def test_rounds_have_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, rng = shapes(), np.random.default_rng(7)
    answer = (truth + rng.normal(0, 1, truth.shape))[None]
    answer[0, ::7, 0] += 20
    _, rule = learn(answer, np.full(answer.shape[:3], 0.8), truth)
    found, _ = most_probable(answer, np.ones(answer.shape[:3]), rule)
    monkeypatch.setattr("hybridkp.fusion.nodes.shape_vote.ROUNDS", 12)
    settled, _ = most_probable(answer, np.ones(answer.shape[:3]), rule)
    assert np.quantile(np.linalg.norm(found - settled, axis=-1), 0.95) < 0.25
