"""Votes of members whose errors are known by construction."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from hybridkp import checks, fusion, memory
from hybridkp.fusion.nodes.votes import full_vote, vote
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


def test_fixed_weights_are_the_ones_given() -> None:
    members = [("a", Oracle(1.0, 1)), ("b", Oracle(1.0, 2))]
    a, b = (m.fit(*TRAIN).predict(TEST[0]) for _, m in members)
    model = fusion.Average(members, weights=(3, 1)).fit(*TRAIN)
    np.testing.assert_allclose(model.predict(TEST[0]), 0.75 * a + 0.25 * b, atol=1e-5)
    for wrong in ((1,), (1, 0), (1, np.nan)):
        with pytest.raises(InputError, match="2 positive numbers"):
            fusion.Average(members, weights=wrong).fit(*TRAIN)


def test_full_covariance_of_alike_coordinates_is_the_scalar_vote() -> None:
    rng = np.random.default_rng(0)
    xy, score = rng.uniform(0, 30, (3, 5, 4, 2)), np.ones((3, 5, 4))
    variance = rng.uniform(1, 4, (3, 4))
    correlation = np.tile(np.eye(3) + 0.3 * (1 - np.eye(3)), (4, 1, 1))
    wanted = vote(xy, score, variance, correlation, None)
    both = np.repeat(variance, 2, axis=0), np.stack([np.kron(c, np.eye(2)) for c in correlation])
    found = full_vote(xy, score, *both, None)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-4)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-4)


def test_full_covariance_takes_each_coordinate_from_who_knows_it() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(8, 24, (2000, 1, 2))
    off = rng.normal(0, 1, (2, 2000, 1, 2)) * np.array([[0.5, 3.0], [3.0, 0.5]])[:, None, None]
    model = fusion.WeightedVote([("a", None), ("b", None)], covariance="full", shrinkage=0.0)
    rule = model._learn(truth + off, np.ones((2, 2000, 1)), truth, None, 32)
    moved = model._combine(rule, truth + off, np.ones((2, 2000, 1)))[0] - truth
    ideal = 1 / (1 / 0.5**2 + 1 / 3.0**2)
    np.testing.assert_allclose(moved.var(axis=(0, 1)), ideal, rtol=0.1)
    gone = truth + off
    gone[0, :5] = np.nan
    np.testing.assert_allclose(
        model._combine(rule, gone, np.ones((2, 2000, 1)))[0][:5], gone[1, :5], atol=1e-3
    )


def test_one_blunder_in_ten_does_not_take_the_weight_where_the_median_judges() -> None:
    rng = np.random.default_rng(2)
    truth = np.zeros((1000, 1, 2))
    off = rng.normal(0, 1, (2, 1000, 1, 2))
    off[0] *= 0.5
    off[0, ::10] *= 40
    members = [("a", None), ("b", None)]
    by_mean, by_median = (
        fusion.WeightedVote(members, spread=s, confidence=False, correlation=False)._learn(
            off, np.ones((2, 1000, 1)), truth, None, 32
        )["weights"]
        for s in ("mean", "median")
    )
    assert by_mean[0, 0] < 0.4 < 0.7 < by_median[0, 0]


def test_the_guard_drops_a_mostly_wrong_member_and_keeps_one_that_pays() -> None:
    members = [("a", Oracle(1.0, 1)), ("b", Oracle(1.2, 2)), ("lost", Oracle(30.0, 3))]
    model = fusion.WeightedVote(members, guard=True).fit(*TRAIN)
    assert model.kept_ == [0, 1] and len(model.members_) == 2
    assert (model.weights_[2] == 0).all() and (model.weights_[:2] > 0).all()
    assert error(model, *TEST) < 1.0 * np.sqrt(2)


@pytest.mark.parametrize("make", [fusion.WeightedVote, fusion.GatedVote, fusion.Stacking])
def test_guarded_with_one_good_member_it_is_that_member(make: Any) -> None:
    lost = Oracle(40.0, 1, shared=0.5)
    model = make([("lost", lost), ("a", Oracle(0.5, 2)), ("also", Oracle(40.0, 3, shared=0.5))], guard=True)
    assert model.fit(*TRAIN).kept_ == [1]
    limit = 1.1 if make is fusion.Stacking else 1.001  # a regressor of its own
    assert error(model, *TEST) < limit * error(Oracle(0.5, 2).fit(*TRAIN), *TEST)


def test_the_gate_believes_the_right_one_where_members_disagree() -> None:
    """Member a is the better one but is lost in half of the pictures, and says so by no score."""

    class Silent(Oracle):
        def predict_with_score(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
            xy, score = super().predict_with_score(images)
            return xy, np.full_like(score, 0.5)

    members = [("moody", Silent(0.4, 1, missing=-1)), ("steady", Silent(1.0, 2))]
    options = {"penalty": 0.1, "guard": False}
    blind = fusion.GatedVote(members, agreement=False, **options).fit(*TRAIN)
    model = fusion.GatedVote(members, **options).fit(*TRAIN)

    def mean(m: Any) -> float:
        return float(np.linalg.norm(m.predict(TEST[0]) - TEST[1], axis=-1).mean())

    assert mean(model) < 0.95 * mean(blind)
    assert mean(model) < min(mean(m.fit(*TRAIN)) for _, m in members)


def test_the_gates_gradient_is_that_of_its_loss() -> None:
    model = fusion.GatedVote([], saturation=0.1)
    off = np.random.default_rng(0).normal(0, 0.1, (6, 2))
    for saturation in (None, 0.1):
        model.set_params(saturation=saturation)
        _, pull = model._loss(off)
        step = np.array([1e-6, 0])
        slope = (model._loss(off + step)[0] - model._loss(off - step)[0]) / 2e-6
        np.testing.assert_allclose(pull * off[:, 0], slope, rtol=1e-4, atol=1e-6)


def test_a_gates_score_is_a_probability() -> None:
    model = fusion.GatedVote([("a", Oracle(1.0, 1)), ("b", Oracle(1.0, 2))]).fit(*TRAIN)
    xy, score = model.predict_with_score(TEST[0])
    near = np.linalg.norm(xy - TEST[1], axis=-1) < 0.025 * 32
    assert score.mean() == pytest.approx(near.mean(), abs=0.05)


def test_stacking_undoes_a_bias_that_no_vote_can_in_the_objects_own_frame() -> None:
    rng = np.random.default_rng(0)
    shape = np.array([[0.0, 0], [20, 0], [10, 20], [10, 8]])
    angle, bias = rng.uniform(-0.8, 0.8, 500), np.array([2.0, -1.0])  # px, turns with the object
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    truth = np.einsum("bij,kj->bki", turn, shape - shape.mean(0)) + 32
    off = np.einsum("bij,j->bi", turn, bias)[:, None] * [[[1], [0], [0], [0]]]
    xy, score = truth + off + rng.normal(0, 0.3, (2, *truth.shape)), np.full((2, 500, 4), 0.5)
    model = fusion.Stacking([("a", None), ("b", None)], n_neighbours=1)
    rule = model._learn(xy[:, :300], score[:, :300], truth[:300], np.arange(300), 64)
    found, _ = model._combine(rule, xy[:, 300:], score[:, 300:])
    wrong = np.linalg.norm(found - truth[300:], axis=-1).mean(0)
    assert wrong.max() < 0.5 < 2 < np.linalg.norm(xy[0] - truth, axis=-1).mean(0)[0]


def test_stacking_leaves_a_member_alone_that_it_cannot_mend(tmp_path: Any) -> None:
    from hybridkp import runtime
    from hybridkp.landmarks import MeanShape

    images, xy = TRAIN
    model = fusion.Stacking([("good", Oracle(0.0)), ("bad", Oracle(30.0, 2))]).fit(images, xy)
    assert model.kept_ == [0] and model.alone_ == 0
    for ours, theirs in zip(
        model.predict_with_score(TEST[0]), model.members_[0].predict_with_score(TEST[0]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    still = fusion.Stacking([("a", MeanShape()), ("b", MeanShape())]).fit(images, xy)
    assert still.alone_ == 0
    path = runtime.export_runtime(still, tmp_path / "m.hkr")
    np.testing.assert_array_equal(
        runtime.load(path).predict_with_score(images[:2])[0], still.predict(images[:2])
    )


def test_stacking_with_any_regressor() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(5, min_samples_leaf=10, random_state=0)
    members = [("a", Oracle(1.0, 1)), ("b", Oracle(1.0, 2))]
    model = fusion.Stacking(members, regressor=trees, n_neighbours=0, guard=False).fit(*TRAIN)
    assert len(model.regressors_) == 3 and error(model, *TEST) < np.sqrt(2)
    with pytest.raises(InputError, match="regressor=None"):
        model.members_ = []
        model.runtime_node()


@pytest.mark.parametrize("make", [fusion.WeightedVote, fusion.GatedVote, fusion.Stacking])
def test_learned_rules_do_without_a_member(make: Any) -> None:
    members = [("a", Oracle(1.0, 1, missing=0.3)), ("b", Oracle(1.0, 2)), ("c", Oracle(1.0, 3))]
    xy, score = make(members, guard=False).fit(*TRAIN).predict_with_score(TEST[0])
    assert np.isfinite(xy).all() and ((score >= 0) & (score <= 1)).all()
    lone = make([("a", Oracle(1.0, 1, missing=0.3))], guard=False).fit(*TRAIN)
    xy, score = lone.predict_with_score(TEST[0])
    assert np.isnan(xy).any() and (score[np.isnan(xy[..., 0])] == 0).all()


@pytest.mark.parametrize(
    ("make", "options", "text"),
    [
        (fusion.WeightedVote, {"covariance": "half"}, "'scalar' or 'full'"),
        (fusion.WeightedVote, {"spread": "mode"}, "'mean' or 'median'"),
        (fusion.GatedVote, {"penalty": 0}, "must be positive"),
        (fusion.GatedVote, {"saturation": -1}, "must be positive"),
        (fusion.Stacking, {"n_neighbours": -1}, "at least 0"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_fitted(make: Any, options: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make([("a", Oracle())], **options).fit(*TRAIN)


def _classical(make: Any, **options: Any) -> Any:
    from hybridkp.landmarks import HolisticRegressor, MeanShape

    return make([("a", HolisticRegressor()), ("b", MeanShape())], **options)


COMBINATIONS = {
    "fixed weights": lambda: _classical(fusion.Average, weights=(2, 1)),
    "full covariance": lambda: _classical(fusion.WeightedVote, covariance="full"),
    "guarded vote": lambda: _classical(fusion.WeightedVote, guard=True),
    "gate": lambda: _classical(fusion.GatedVote, guard=False),
    "guarded gate": lambda: _classical(fusion.GatedVote),
    "stacking": lambda: _classical(fusion.Stacking, guard=False),
}


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run, id=f"{name}: {check}")
        for name, make in COMBINATIONS.items()
        for check, run in checks.detector_checks(make())
    ],
)
def test_promises_of_detectors(run: Any) -> None:
    run()


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


def test_a_votes_score_keeps_its_word() -> None:
    """Two members whose errors are independent: the vote is surer than the mean of their scores."""
    rng = np.random.default_rng(0)
    n, k, side = 400, 6, 100
    truth = rng.uniform(20, 80, (n, k, 2))
    answer = truth + rng.normal(0, 2.2, (2, n, k, 2))
    near = (np.linalg.norm(answer - truth, axis=-1) < 2.5).mean()
    score = np.full((2, n, k), near)
    vote = fusion.WeightedVote([("a", None), ("b", None)])
    rule = vote._learn(answer[:, :200], score[:, :200], truth[:200], None, side)
    fused, trust = vote._combine(rule, answer[:, 200:], score[:, 200:])
    share = (np.linalg.norm(fused - truth[200:], axis=-1) < 2.5).mean()
    assert share > near + 0.15
    assert abs(trust.mean() - share) < 0.05 < abs(near - share)
    missing = answer[:, 200:].copy()
    missing[:, 0, 0] = np.nan
    assert vote._combine(rule, missing, score[:, 200:])[1][0, 0] == 0


def test_the_flip_test_answers_a_mirrored_picture_with_the_mirrored_answer(tmp_path: Any) -> None:
    from hybridkp import runtime
    from hybridkp.imaging.geometry import flip_image, flip_points
    from hybridkp.landmarks import HolisticRegressor

    class Lopsided(HolisticRegressor):
        """Learns nothing from mirrored pictures."""

        def fit(self, images: Any, xy: Any, *, groups: Any = None, flip: Any = None) -> Any:
            return super().fit(images, xy, groups=groups)

    p = checks.make_problem(24)
    plain = Lopsided(grid=8).fit(p.images, p.xy, groups=p.groups)
    twice = fusion.MirrorAverage(Lopsided(grid=8))
    twice.fit(p.images, p.xy, groups=p.groups)
    assert np.array_equal(twice.predict(p.images), plain.predict(p.images))  # nothing is known of mirrors
    twice.fit(p.images, p.xy, groups=p.groups, flip=p.flip)
    xy, score = twice.predict_with_score(p.images[:4])
    other, confidence = twice.predict_with_score(flip_image(p.images[:4], axis=2))
    np.testing.assert_allclose(flip_points(other, 64, p.flip), xy, atol=1e-3)
    np.testing.assert_allclose(confidence[:, p.flip], score, atol=1e-6)
    alone = twice.detector_.predict(p.images[:4])
    mirrored = flip_points(twice.detector_.predict(flip_image(p.images[:4], axis=2)), 64, p.flip)
    assert np.abs(alone - mirrored).max() > 0.05
    np.testing.assert_allclose(xy, (alone + mirrored) / 2, atol=1e-4)
    exported = runtime.load(runtime.export_runtime(twice, tmp_path / "twice.hkr", {}))
    ours, trust = exported.predict_with_score(p.images[:4])
    np.testing.assert_allclose(ours, xy, atol=1e-4)
    np.testing.assert_allclose(trust, score, atol=1e-6)
