"""Shape model, ridge, response maps and experts, each against what it should equal."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression

from hybridkp.checks import make_problem
from hybridkp.descriptors import HOG
from hybridkp.descriptors.gradients import sample_cells
from hybridkp.imaging.geometry import apply_affine
from hybridkp.imaging.pyramid import gaussian_pyramid
from hybridkp.landmarks import (
    CascadedRegressor,
    HolisticRegressor,
    MeanShape,
    PatchDetector,
    PointDistribution,
    response,
)
from hybridkp.landmarks.experts import Experts, positive_probability
from hybridkp.landmarks.preparing import start_shapes
from hybridkp.landmarks.ridge import ridge
from hybridkp.structures import InputError, Keypoints


@pytest.fixture(scope="module")
def shapes() -> np.ndarray:
    """(60, 6, 2): a hexagon with one way to bend, seen at many poses."""
    rng = np.random.default_rng(0)
    angle = np.arange(6) * np.pi / 3
    base = 20 * np.stack([np.cos(angle), np.sin(angle)], 1)
    bend = np.stack([np.zeros(6), np.cos(2 * angle)], 1)
    xy = base + 2.5 * rng.normal(size=(60, 1, 1)) * bend
    turn, size = rng.normal(0, 0.2, 60), rng.uniform(0.8, 1.2, 60)
    maps = size[:, None, None] * np.stack(
        [np.stack([np.cos(turn), -np.sin(turn)], 1), np.stack([np.sin(turn), np.cos(turn)], 1)], 1
    )
    return np.einsum("bij,bkj->bki", maps, xy) + rng.normal(32, 4, (60, 1, 2))


def test_mean_shape_ignores_what_is_not_labelled() -> None:
    xy = np.array([[[10.0, 20.0]], [[np.nan, 5.0]], [[14.0, 22.0]]])
    found, score = (
        MeanShape()
        .fit(np.zeros((3, 32, 32), np.uint8), xy)
        .predict_with_score(np.zeros((2, 32, 32), np.uint8))
    )
    np.testing.assert_allclose(found, [[[12, 21]]] * 2)
    assert score.shape == (2, 1)


def test_shape_model_finds_the_one_way_to_bend(shapes: np.ndarray) -> None:
    model = PointDistribution(variance=0.95).fit(shapes)
    assert len(model.sigma_) == 1
    np.testing.assert_allclose(model.project(shapes[:5]), shapes[:5], atol=0.3)


def test_shape_model_pulls_an_outlier_back_and_heeds_weights(shapes: np.ndarray) -> None:
    model = PointDistribution(variance=0.95).fit(shapes)
    bad = shapes[:1].copy()
    bad[0, 2] += 15
    before = np.linalg.norm(model.project(bad) - shapes[:1], axis=-1)[0, 2]
    trust = np.ones((1, 6))
    trust[0, 2] = 1e-6
    after = np.linalg.norm(model.project(bad, trust) - shapes[:1], axis=-1)[0, 2]
    assert before < 12 and after < 0.3
    bad[0, 2] = np.nan
    np.testing.assert_allclose(model.project(bad), shapes[:1], atol=0.3)


def test_projection_moves_with_the_picture(shapes: np.ndarray) -> None:
    model = PointDistribution().fit(shapes)
    rng = np.random.default_rng(1)
    noisy = shapes[:4] + rng.normal(0, 1, (4, 6, 2))
    move = np.array([[0.0, -1.5, 90.0], [1.5, 0.0, 3.0]])
    np.testing.assert_allclose(
        model.project(apply_affine(move, noisy)), apply_affine(move, model.project(noisy)), atol=0.05
    )


def test_shape_model_learns_where_hardly_any_shape_is_whole(shapes: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    holes = np.where(rng.random((60, 6, 1)) < 0.25, np.nan, shapes)
    model = PointDistribution(variance=0.95).fit(holes)
    assert np.isnan(holes).any(axis=(1, 2)).mean() > 0.7
    np.testing.assert_allclose(model.project(shapes[:10]), shapes[:10], atol=1.0)
    whole = model.complete(holes)
    labelled = np.isfinite(holes)
    assert np.isfinite(whole).all() and np.array_equal(whole[labelled], holes[labelled])


@pytest.mark.parametrize("k", [1, 2])
def test_one_and_two_points(k: int) -> None:
    rng = np.random.default_rng(0)
    xy = rng.normal([30, 20], 3, (8, k, 2)) + np.arange(k)[:, None] * 10
    model = PointDistribution().fit(xy)
    np.testing.assert_allclose(model.project(xy), xy, atol=1e-6)  # any two points are similar to any two
    assert np.isfinite(model.project(np.full((2, k, 2), np.nan))).all()


@pytest.mark.parametrize("d", [5, 80])
def test_left_out_answers_equal_refitting_without_the_group(d: int) -> None:
    rng = np.random.default_rng(0)
    rows, groups = rng.normal(size=(40, d)).astype(np.float32), np.repeat(np.arange(20), 2)
    targets = rows[:, :3] @ rng.normal(size=(3, 4)) + rng.normal(size=(40, 4))
    x, y = rows - rows.mean(0), targets - targets.mean(0)
    weights, offset, held_out = ridge(rows.copy(), targets, 5.0, groups)
    keep = groups != 7
    without = np.linalg.solve(x[keep].T @ x[keep] + 5 * np.eye(d), x[keep].T @ y[keep])
    np.testing.assert_allclose(held_out[~keep], x[~keep] @ without + targets.mean(0), atol=0.02)
    whole = np.linalg.solve(x.T @ x + 5 * np.eye(d), x.T @ y)
    np.testing.assert_allclose(rows @ weights + offset, x @ whole + targets.mean(0), atol=1e-3)


@pytest.mark.parametrize(("cells", "cell_px"), [(5, 4), (4, 4), (4, 3), (3, 5)])
def test_dense_responses_equal_the_expert_at_each_place(cells: int, cell_px: int) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 56)).astype(np.uint8)
    hog = HOG(cells=cells, cell_px=cell_px)
    weights, bias = rng.normal(size=(3, hog.n_features)).astype(np.float32), np.array([0.5, -1, 2])
    centre, pad = np.array([[20, 17], [2, 3], [54, 46]]), hog.reach_px  # also windows over the border
    maps = hog.maps(picture.astype(np.float32), pad)
    dense = response.linear_responses(maps, weights, bias, centre, 3, cells, cell_px, pad)
    places = centre[:, None] + response.window_offsets(3)
    rows = sample_cells(maps, places.reshape(-1, 2), cells, cell_px, pad).reshape(3, 49, -1)
    one_by_one = np.einsum("kpd,kd->kp", rows, weights) + bias[:, None]
    inside = ((places >= 0) & (places < [56, 48])).all(-1)
    np.testing.assert_allclose(dense.reshape(3, 49)[inside], one_by_one[inside], atol=2e-4)
    if (cells - 1) * cell_px % 2 == 0:  # else the maps are clipped before they are interpolated
        described = hog.describe(gaussian_pyramid(picture), Keypoints(places.reshape(-1, 2)))
        by_rows = np.einsum("kpd,kd->kp", described.reshape(3, 49, -1), weights) + bias[:, None]
        np.testing.assert_allclose(dense.reshape(3, 49)[inside], by_rows[inside], atol=2e-4)


def test_evidence_is_subpixel() -> None:
    axis = np.arange(-6, 7) * 2
    odds = -((axis - 1.3) ** 2 + (axis[:, None] + 2.7) ** 2) / (2 * 3.0)
    mean, peak = response.evidence(odds[None, None], step=2)
    np.testing.assert_allclose(mean, [[[1.3, -2.7]]], atol=0.05)
    np.testing.assert_allclose(peak, [[[1.3, -2.7]]], atol=1e-6)
    value = response.read_windows(odds[None, None].astype(np.float32), np.array([[[2.0, -4.0]]]), step=2)
    np.testing.assert_allclose(value, odds[4, 7], atol=1e-5)


def test_windows_are_read_between_their_places_in_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    slope, bias = rng.normal(size=(2, 5, 3, 1, 1)), rng.normal(size=(5, 3, 1, 1))
    y, x = np.mgrid[-3:4, -3:4] * 2.0
    windows = (slope[0] * x + slope[1] * y + bias).astype(np.float32)  # planes: bilinear is exact
    offset = rng.uniform(-6, 6, (5, 3, 2))
    found = response.read_windows(windows, offset, 2)
    plane = slope[0, ..., 0, 0] * offset[..., 0] + slope[1, ..., 0, 0] * offset[..., 1] + bias[..., 0, 0]
    np.testing.assert_allclose(found, plane, atol=1e-5)
    monkeypatch.setattr(response, "_EXACT_ROWS", 45)  # two pictures at a time
    np.testing.assert_array_equal(response.read_windows(windows, offset, 2), found)


def test_splat_keeps_mass_and_place() -> None:
    maps = response.splat(np.ones((1, 1, 1)), np.array([[[[21.5, 13.0]]]]), (32, 48), 4)
    j, i = np.arange(12), np.arange(8)
    np.testing.assert_allclose(maps.sum(), 1)
    np.testing.assert_allclose((maps[0, 0].sum(0) * ((j + 0.5) * 4 - 0.5)).sum(), 21.5)
    np.testing.assert_allclose((maps[0, 0].sum(1) * ((i + 0.5) * 4 - 0.5)).sum(), 13.0)


def test_forests_are_read_tree_by_tree() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)).astype(np.float32)
    y = x[:, 0] + 0.5 * rng.normal(size=80) > 0
    forest = ExtraTreesClassifier(8, max_depth=4, random_state=0)
    vote = VotingClassifier([("f", forest), ("l", LogisticRegression())], voting="soft", weights=[2, 1])
    for model in (forest.fit(x, y), vote.fit(x, y)):
        np.testing.assert_allclose(positive_probability(model, x), model.predict_proba(x)[:, 1], atol=1e-6)


def test_forests_walked_as_arrays_say_what_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 50, 3, 6)).astype(np.float16)  # K, N, M, D
    label = rows[..., 0].transpose(1, 2, 0).transpose(0, 2, 1) > 0.3
    use, fold = np.ones_like(label), np.arange(50) % 2
    forest = ExtraTreesClassifier(8, max_depth=4, random_state=0)
    experts = Experts.fit(forest, rows, label, use, fold, 2, None)
    x = rows[1].astype(np.float32) * np.float32(experts.state["unit"])
    forest.fit(x[fold != 0].reshape(-1, 6), label[fold != 0, 1].ravel())
    p = np.clip(forest.predict_proba(x[:5].reshape(-1, 6))[:, 1], 0.01, 0.99)
    found = experts.score(rows[:, :5].transpose(1, 0, 2, 3).astype(np.float32), 0)
    np.testing.assert_allclose(found[:, 1].ravel(), np.log(p / (1 - p)), atol=1e-4)


@pytest.mark.parametrize(
    "detector",
    [
        PatchDetector(scales=(1.0, 1.5), radii=(7, 4)),
        CascadedRegressor(scales=(1.0, 1.5), alpha=3.0, n_perturbations=1),
    ],
    ids=["patches", "cascade"],
)
def test_marks_are_found_within_half_a_pixel(detector: PatchDetector) -> None:
    train, test = make_problem(60), make_problem(12, random_state=5)
    xy = train.xy.copy()
    xy[3, 1] = xy[8, :4] = np.nan
    detector.fit(train.images, xy, groups=train.groups, flip=train.flip)
    error = np.linalg.norm(detector.predict(test.images) - test.xy, axis=-1)
    assert np.median(error) < 0.5
    if hasattr(detector, "score_maps"):
        maps = detector.score_maps(test.images, stride=4)
        assert maps.shape == (12, 5, 16, 16) and maps.min() >= 0
        np.testing.assert_allclose(maps.sum((2, 3)), 1, atol=1e-5)


def test_an_unfitted_shape_model_says_so() -> None:
    for ask in (PointDistribution().project, PointDistribution().complete):
        with pytest.raises(InputError, match="call fit first"):
            ask(np.zeros((1, 2, 2)))


def test_senseless_parameters_are_named() -> None:
    p = make_problem(6)
    for bad in (PatchDetector(scales=(0.5, 1.0), radii=(4,)), PatchDetector(scales=())):
        with pytest.raises(InputError, match="PatchDetector"):
            bad.fit(p.images, p.xy)


class Gappy(MeanShape):
    """Gives no answer for landmark 1, and none at all for a picture that is dark."""

    def predict_with_score(self, images):
        xy, score = super().predict_with_score(images)
        xy[:, 1] = np.nan
        xy[[np.asarray(i).mean() < 5 for i in images]] = np.nan
        return xy, score


class Refusing(MeanShape):
    """Learns from a whole training set, and refuses a fold of it."""

    def fit(self, images, xy, *, groups=None, flip=None):
        if len(images) < 16:
            raise InputError("too few pictures for me")
        return super().fit(images, xy)


@pytest.mark.parametrize(
    "method", [PatchDetector(scales=(0.5,), start=Gappy()), CascadedRegressor(scales=(0.5,), start=Gappy())]
)
def test_a_start_may_leave_points_out(method) -> None:
    problem = make_problem(16)
    images = problem.images.copy()
    images[3] = 0
    found = method.fit(images, problem.xy).predict(images)
    assert np.isfinite(found).all()
    error = np.linalg.norm(found - problem.xy, axis=-1)
    bright = np.arange(16) != 3
    others = error[bright][:, [0, 2, 3, 4]]
    assert np.median(error[bright, 1]) < 1.5 * np.median(others) < 12, "no worse for being left out"


def test_only_too_few_labels_let_the_mean_shape_start() -> None:
    problem = make_problem(16)
    grey, groups = problem.images[..., 0], np.arange(16)
    shape = PointDistribution().fit(problem.xy)
    with pytest.raises(InputError, match="too few pictures for me"):
        start_shapes(Refusing(), shape, grey, problem.xy, groups)
    few = problem.xy.copy()
    few[1:, 2] = np.nan
    start = start_shapes(MeanShape(), shape, grey, few, groups)
    np.testing.assert_allclose(start, np.tile(np.nanmean(few, axis=0), (16, 1, 1)))


def test_counts_of_negatives_are_checked() -> None:
    problem = make_problem(4)
    for bad in ({"n_negatives": 0}, {"n_hard": -1}):
        with pytest.raises(InputError, match="n_negatives must be at least 1"):
            PatchDetector(**bad).fit(problem.images, problem.xy)


@pytest.mark.parametrize(
    "method", [HolisticRegressor(), CascadedRegressor(scales=(0.7, 1.0)), PatchDetector(scales=(0.5, 1.0))]
)
def test_a_picture_alone_and_in_a_batch_is_answered_alike_to_the_bit(method) -> None:
    problem = make_problem(24)
    model = method.fit(problem.images[:16], problem.xy[:16])
    together = model.predict_with_score(problem.images)
    for b in (0, 17, 23):
        for alone, all_ in zip(model.predict_with_score(problem.images[b : b + 1]), together, strict=True):
            np.testing.assert_array_equal(alone[0], all_[b])
