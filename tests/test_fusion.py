"""Votes of members whose errors are known by construction."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import fusion, memory
from hybridkp.structures import DetectorMixin, InputError


class Oracle(DetectorMixin, BaseEstimator):
    """Reads the truth out of the picture's first pixels and adds an error known in advance."""

    def __init__(self, sd: Any = 1.0, seed: int = 0, missing: float = 0.0, shared: float = 0.0):
        self.sd = sd
        self.seed = seed
        self.missing = missing
        self.shared = shared

    def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Oracle:
        self.k_ = np.asarray(xy).shape[1]
        return self

    def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        xy, score = [], []
        for image in np.asarray(images):
            number = int(image[0, 0, 0]) * 256 + int(image[0, 1, 0])
            truth = truth_of(number, self.k_)
            own = np.random.default_rng((self.seed, number)).normal(0, 1, (self.k_, 2))
            common = np.random.default_rng((99, number)).normal(0, 1, (self.k_, 2))
            error = (1 - self.shared) * own + self.shared * common
            sd = np.broadcast_to(self.sd, self.k_)[:, None]
            if number % 2 and self.missing < 0:  # "missing < 0": half the pictures are ten times worse
                error, confidence = 10 * error, np.zeros(self.k_)
            else:
                confidence = np.ones(self.k_)
            answer = truth + sd * error
            if self.missing > 0:
                answer[np.random.default_rng((5, number)).random(self.k_) < self.missing] = np.nan
            xy.append(answer)
            score.append(confidence)
        return np.array(xy, np.float32), np.array(score, np.float32)


def truth_of(number: int, k: int) -> np.ndarray:
    return np.random.default_rng(number + 1000).uniform(8, 24, (k, 2))


def problem(n: int, start: int = 0, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((n, 32, 32, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(start, start + n), 256)
    return images, np.stack([truth_of(i, k) for i in range(start, start + n)])


def error(model: Any, images: np.ndarray, xy: np.ndarray) -> float:
    return float(np.sqrt(((model.predict(images) - xy) ** 2).sum(-1).mean()))


TRAIN, TEST = problem(400), problem(600, start=1000)


def test_average_of_independent_members() -> None:
    members = [("a", Oracle(1.0, 1)), ("b", Oracle(1.0, 2))]
    model = fusion.Average(members).fit(*TRAIN)
    assert error(model, *TEST) == pytest.approx(1.0, rel=0.05)  # sqrt(2) px / sqrt(2 members)


def test_vote_weights_are_inverse_variances_per_landmark() -> None:
    members = [("a", Oracle([1.0, 3.0, 1.0], 1)), ("b", Oracle([1.0, 1.0, 2.0], 2))]
    model = fusion.WeightedVote(members, correlation=False, confidence=False).fit(*TRAIN)
    np.testing.assert_allclose(model.weights_[0], [1 / 2, 1 / 10, 4 / 5], atol=0.05)
    assert error(model, *TEST) < 0.95 * error(fusion.Average(members).fit(*TRAIN), *TEST)


def test_vote_beats_each_member() -> None:
    members = [("a", Oracle(1.0, 1)), ("b", Oracle(1.3, 2)), ("c", Oracle(2.0, 3))]
    model = fusion.WeightedVote(members).fit(*TRAIN)
    assert error(model, *TEST) < min(error(m.fit(*TRAIN), *TEST) for _, m in members)


def test_correlated_twins_count_as_one() -> None:
    members = [("a", Oracle(1.0, 1, shared=0.95)), ("b", Oracle(1.0, 2, shared=0.95)), ("c", Oracle(1.0, 3))]
    aware = fusion.WeightedVote(members, shrinkage=0.0, confidence=False).fit(*TRAIN)
    np.testing.assert_allclose(aware.weights_[2], 0.49, atol=0.06)


def test_confidence_moves_the_weight_picture_by_picture() -> None:
    members = [("moody", Oracle(0.5, 1, missing=-1)), ("steady", Oracle(1.0, 2))]
    blind = fusion.WeightedVote(members, confidence=False).fit(*TRAIN)
    aware = fusion.WeightedVote(members).fit(*TRAIN)
    # variances 0.25 and 1 in one half of the pictures, 25 and 1 in the other
    ideal = np.sqrt(2 * (0.5 / (1 / 0.25 + 1) + 0.5 / (1 / 25 + 1)))
    assert error(aware, *TEST) < 1.1 * ideal
    assert error(blind, *TEST) > 1.2 * ideal


@pytest.mark.parametrize("make", [fusion.Average, fusion.WeightedVote])
def test_a_missing_answer_has_no_say(make: Any) -> None:
    members = [("a", Oracle(1.0, 1, missing=0.3)), ("b", Oracle(1.0, 2))]
    model = make(members).fit(*TRAIN)
    assert np.isfinite(model.predict(TEST[0])).all()
    lone = make([("a", Oracle(1.0, 1, missing=0.3))]).fit(*TRAIN)
    assert np.isnan(lone.predict(TEST[0])).any(), "where no member answers there is no answer"


@pytest.mark.parametrize("how", ["average", "product"])
def test_map_fusion_of_points(how: str) -> None:
    members = [("a", Oracle(1.0, 1)), ("b", Oracle(1.0, 2))]
    model = fusion.MapFusion(members, how=how, stride=1).fit(*TRAIN)
    maps = model.score_maps(TEST[0][:4])
    assert maps.shape == (4, 3, 32, 32)
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1, atol=1e-4)
    # the product of two equal Gaussians peaks at the mean of their centres
    limit = 1.1 if how == "product" else 1.45
    assert error(model, *TEST) < limit


def test_members_need_names() -> None:
    with pytest.raises(InputError, match="distinct names"):
        fusion.Average([("a", Oracle()), ("a", Oracle())]).fit(*TRAIN)


def test_seeds_and_parameters_reach_the_members() -> None:
    model = fusion.WeightedVote([("a", Oracle(1.0, 1)), ("b", Oracle(1.0, 2))])
    model.set_params(a__seed=7, cv=4)
    assert model.members[0][1].seed == 7 and model.cv == 4
    model.set_params(b=Oracle(3.0))
    assert model.get_params()["b__sd"] == 3.0
    with pytest.raises(ValueError, match="no parameter 'c__seed'"):
        model.set_params(c__seed=1)


def test_out_of_fold_never_cuts_a_group() -> None:
    class Memoriser(Oracle):
        def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Memoriser:
            super().fit(images, xy)
            self.groups_ = set(groups)
            self.images_ = {int(i[0, 1, 0]) for i in images}
            return self

        def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
            assert not {int(i[0, 1, 0]) // 3 for i in images} & self.groups_
            return super().predict_with_score(images)

    images, xy = problem(60)
    answer, _ = memory.out_of_fold(Memoriser(), images, xy, groups=np.arange(60) // 3, cv=4)
    assert np.isfinite(answer).all()


def test_memory_fits_once_and_credits_the_time(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridkp.landmarks import MeanShape

    calls = []
    original = MeanShape.fit

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MeanShape, "fit", counted)
    images, xy = problem(20)
    with memory.remember(tmp_path):
        first = memory.fitted(MeanShape(), images, xy)
        second = memory.fitted(MeanShape(), images, xy)
        memory.fitted(MeanShape(), images, xy + 1)
        memory.out_of_fold(MeanShape(), images, xy, cv=2)
        memory.out_of_fold(MeanShape(), images, xy, cv=2)
    assert len(calls) == 2 + 2, "one fit per data set and one per fold"
    np.testing.assert_array_equal(first.predict(images), second.predict(images))
    memory.fitted(MeanShape(), images, xy)
    assert len(calls) == 5, "outside `remember` nothing is kept"


def test_what_is_remembered_counts_with_what_it_took(tmp_path: Any) -> None:
    from hybridkp.landmarks import MeanShape

    images, xy = problem(20)
    with memory.remember(tmp_path):
        with memory.stopwatch() as first:
            memory.fitted(MeanShape(), images, xy)
        (cost,) = tmp_path.glob("*.json")
        stored = json.loads(cost.read_text())
        assert 0 < stored["seconds"] <= first.seconds and stored["peak_bytes"] <= first.peak_bytes
        assert stored["peak_bytes"] > 10e6 or first.peak_bytes == -1
        cost.write_text(json.dumps({"seconds": 1000.0, "peak_bytes": 10**15}))
        with memory.stopwatch() as outer:
            with memory.stopwatch() as inner:
                memory.fitted(MeanShape(), images, xy)
            with memory.stopwatch() as other:
                pass
        for watch in (inner, outer):
            assert watch.seconds > 900 and watch.peak_bytes == 10**15
        assert other.seconds < 900 and other.peak_bytes < 10**15
