"""Matchability: trees against scikit-learn's, views against their homography, ranking against truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from hybridkp.datasets import bundled_picture
from hybridkp.files import load_model, save_model
from hybridkp.imaging.geometry import apply_homography
from hybridkp.imaging.images import to_grey
from hybridkp.points import Matchability, MatchabilityRanked, SIFTFeature, mutual_nearest
from hybridkp.points.boosting import BoostedTrees
from hybridkp.points.matchability import SHIPPED, default_feature, describe_points
from hybridkp.points.views import random_view
from hybridkp.structures import InputError, Keypoints


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Left half: shapes; right half: one tile again and again, which nobody can match."""
    rng = np.random.default_rng(2)
    image = np.full((200, 320), 120, np.uint8)
    for _ in range(260):
        box = (
            (float(rng.uniform(0, 150)), float(rng.uniform(0, 200))),
            tuple(rng.uniform(6, 26, 2).tolist()),
        )
        corners = cv2.boxPoints((*box, float(rng.uniform(0, 90)))).astype(np.int32)
        cv2.fillPoly(image, [corners], int(rng.integers(0, 256)))
    tile = np.full((16, 16), 70, np.uint8)
    cv2.circle(tile, (8, 8), 5, 180, -1)
    image[:192, 160:] = np.tile(tile, (12, 10))
    return cv2.GaussianBlur(image, (0, 0), 0.8)


@pytest.fixture(scope="module")
def model(picture: np.ndarray) -> Matchability:
    return Matchability(n_pool=500, n_views=4, n_trees=20, n_leaves=8).fit([picture])


def test_trees_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 6)).astype(np.float32)
    x[:, 2] = rng.integers(0, 5, 1500)  # values that lie on thresholds
    y = x[:, 0] * x[:, 1] + 0.3 * x[:, 2] + rng.normal(0, 0.3, 1500) > 0.6
    ours = BoostedTrees(30, 12, 0.2, 0).fit(x, y)
    theirs = HistGradientBoostingClassifier(
        max_iter=30,
        max_leaf_nodes=12,
        learning_rate=0.2,
        max_depth=8,
        min_samples_leaf=50,
        early_stopping=False,
        random_state=0,
    ).fit(x, y)
    np.testing.assert_allclose(ours.predict(x), theirs.predict_proba(x)[:, 1], atol=1e-6)
    assert ours.predict(x[:0]).shape == (0,)
    fewer = BoostedTrees(10, 12, 0.2, 0).fit(x, y)  # the shipped model's 60 are the first of 120
    np.testing.assert_array_equal(fewer.value_, ours.value_[: len(fewer.value_)])
    with pytest.raises(InputError, match="fitted on 6 columns"):
        ours.predict(x[:, :5])


def test_views_show_what_their_homography_says() -> None:
    rng = np.random.default_rng(1)
    dots = np.zeros((160, 200), np.uint8)
    centre = np.array([[60.0, 50], [140, 60], [100, 110]])
    for x, y in centre.astype(int).tolist():
        dots[y - 2 : y + 3, x - 2 : x + 3] = 255
    seen = 0
    for _ in range(12):
        view, homography = random_view(dots, rng)
        assert view.shape == dots.shape and view.dtype == np.uint8
        for x, y in apply_homography(homography, centre):
            if 12 < x < 188 and 12 < y < 148:
                column, row = round(x), round(y)
                part = view[row - 9 : row + 10, column - 9 : column + 10].astype(float)
                part = np.clip(part - np.median(part) - 20, 0, None)
                if part.max() > 40:  # not blurred away
                    yy, xx = np.mgrid[-9:10, -9:10]
                    off = [
                        (part * xx).sum() / part.sum() + column - x,
                        (part * yy).sum() / part.sum() + row - y,
                    ]
                    assert np.hypot(*off) < 0.4
                    seen += 1
    assert seen > 12


def test_repeated_texture_is_not_matchable(picture: np.ndarray, model: Matchability) -> None:
    keypoints, rows = SIFTFeature(500, root=True).detect_and_describe(picture)
    chance = model.predict(keypoints, rows, picture.shape)
    assert chance.shape == (len(keypoints),) and chance.dtype == np.float32
    assert ((chance > 0) & (chance < 1)).all()
    left = keypoints.xy[:, 0] < 140
    right = keypoints.xy[:, 0] > 180
    assert left.sum() > 20 and right.sum() > 200
    assert np.median(chance[left]) > 2 * np.median(chance[right])


def test_the_budget_goes_to_the_likely_ones(picture: np.ndarray, model: Matchability) -> None:
    ranked = MatchabilityRanked(SIFTFeature(root=True), 50, n_spare=350, model=FrozenEstimator(model))
    keypoints, rows = ranked.detect_and_describe(picture)
    assert len(keypoints) == len(rows) == 50 and rows.shape[1] == ranked.n_features
    assert (np.diff(keypoints.score) <= 0).all()
    again, same = clone(ranked).detect_and_describe(picture)
    np.testing.assert_array_equal(again.xy, keypoints.xy)
    np.testing.assert_array_equal(same, rows)
    by_response = SIFTFeature(50, root=True).detect(picture)
    share = [(points.xy[:, 0] < 150).mean() for points in (keypoints, by_response)]
    assert share[0] > share[1]
    np.testing.assert_allclose(ranked.compute(picture, keypoints), rows, atol=0.1)
    np.testing.assert_array_equal(ranked.detect(picture).xy, keypoints.xy)


def test_nothing_in_nothing_out(model: Matchability) -> None:
    blank = np.full((50, 60), 77, np.uint8)
    keypoints, rows = MatchabilityRanked(SIFTFeature(root=True), 50, model=model).detect_and_describe(blank)
    assert len(keypoints) == 0 and rows.shape == (0, 128)
    with pytest.raises(InputError, match="no points to tell apart"):
        Matchability(n_views=1).fit([blank])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_points_have_finite_numbers(n: int) -> None:
    rows = np.eye(n, 8, dtype=np.float32)
    table = describe_points(Keypoints(np.zeros((n, 2)) + 5), rows, (20, 20))
    assert table.shape == (n, 18) and np.isfinite(table).all()


def test_fitted_state_travels(tmp_path: Path, picture: np.ndarray, model: Matchability) -> None:
    save_model(model, tmp_path / "m.hkp")
    keypoints, rows = SIFTFeature(200, root=True).detect_and_describe(picture)
    expected = model.predict(keypoints, rows, picture.shape)
    loaded = load_model(tmp_path / "m.hkp")
    np.testing.assert_array_equal(loaded.predict(keypoints, rows, picture.shape), expected)
    ranked = MatchabilityRanked(SIFTFeature(root=True), 50, model=tmp_path / "m.hkp")
    assert len(ranked.detect(picture)) == 50
    with pytest.raises(InputError, match="no such matchability model"):
        MatchabilityRanked(model=tmp_path / "absent.hkp").detect(picture)
    save_model(SIFTFeature(), tmp_path / "sift.hkp")
    with pytest.raises(InputError, match="not a Matchability"):
        MatchabilityRanked(model=tmp_path / "sift.hkp").detect(picture)
    with pytest.raises(NotFittedError):
        Matchability().predict(keypoints, rows, picture.shape)
    with pytest.raises(InputError, match="n_spare must be a whole number from 0"):
        MatchabilityRanked(n_spare=-1).detect(picture)


def test_the_shipped_model_is_small_and_finds_more_inliers() -> None:
    assert SHIPPED.stat().st_size < 300_000
    grass = to_grey(bundled_picture("grass"))[:300, :300]
    rng = np.random.default_rng(7)
    views = [random_view(grass, rng) for _ in range(3)]

    def correct(feature: object) -> int:
        total, a = 0, feature.detect_and_describe(grass)
        for view, homography in views:
            b = feature.detect_and_describe(view)
            matches = mutual_nearest(a[1], b[1])
            away = apply_homography(homography, a[0].xy[matches.index_a]) - b[0].xy[matches.index_b]
            total += int((np.hypot(*away.T) <= 3).sum())
        return total

    assert correct(MatchabilityRanked(n_points=200)) > 1.2 * correct(default_feature(200)) > 60
