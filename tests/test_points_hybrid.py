"""Pair matchers on warped pictures: the homography comes back, twice the same, and nothing breaks them."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import pytest
from every_part import FILES
from sklearn.base import clone

from hybridkp import recipes
from hybridkp.imaging.geometry import apply_homography
from hybridkp.points import (
    ConcatFeature,
    EccMatcher,
    FallbackMatcher,
    FeatureMatcher,
    GridRefinedMatcher,
    ORBFeature,
    RefinedMatcher,
    SIFTFeature,
    TwoStageMatcher,
    UnionMatcher,
    Upright,
    grid,
    least_squares_matching,
    match_grid,
)
from hybridkp.points.two_stage import warp_onto
from hybridkp.structures import InputError, Keypoints
from hybridkp.structures.pairs import Matched, PairMatcher

SIZE_HW = (200, 260)
H = np.array([[1.04, 0.06, 5.0], [-0.05, 0.98, 6.0], [8e-5, -5e-5, 1.0]])


@lru_cache(maxsize=1)
def _pictures() -> tuple[np.ndarray, np.ndarray]:
    """Blobs and corners of many sizes, and the same under H, both sampled from one larger picture."""
    rng = np.random.default_rng(4)
    fine = np.full((3 * 300, 3 * 360), 110, np.uint8)
    for _ in range(900):
        x, y = (int(v) for v in rng.uniform(0, [1080, 900]))
        w, h = (int(v) for v in rng.uniform(12, 60, 2))
        grey = int(rng.integers(0, 256))
        box = cv2.boxPoints(((x, y), (w, h), float(rng.uniform(0, 90)))).astype(np.int32)
        cv2.fillPoly(fine, [box], grey)
    fine = cv2.GaussianBlur(fine, (0, 0), 1.5)
    origin = np.array([[3.0, 0, 90], [0, 3, 90], [0, 0, 1]])  # picture a's px in the fine picture

    def view(homography: np.ndarray) -> np.ndarray:
        dense = np.array([[3.0, 0, 1], [0, 3, 1], [0, 0, 1]]) @ homography @ np.linalg.inv(origin)
        large = cv2.warpPerspective(fine, dense, (3 * SIZE_HW[1], 3 * SIZE_HW[0]), flags=cv2.INTER_LINEAR)
        return cv2.resize(large, SIZE_HW[::-1], interpolation=cv2.INTER_AREA)

    return view(np.eye(3)), view(H)


def _corner_error(matrix: np.ndarray, truth: np.ndarray = H) -> float:
    h, w = SIZE_HW
    corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1.0]])
    away = apply_homography(matrix, corners) - apply_homography(truth, corners)
    return float(np.linalg.norm(away, axis=1).mean())


def _sift() -> FeatureMatcher:
    return FeatureMatcher(SIFTFeature(300, root=True), "ratio")


MATCHERS: dict[str, PairMatcher] = {
    "single": _sift(),
    "mutual": FeatureMatcher(SIFTFeature(300)),
    "union": UnionMatcher([_sift(), FeatureMatcher(ORBFeature(300), "ratio")], min_support=0.2),
    "two-stage": TwoStageMatcher(_sift(), Upright(SIFTFeature(300, root=True))),
    "two-stage-x2": TwoStageMatcher(
        FeatureMatcher(ORBFeature(300)), Upright(SIFTFeature(300)), rounds=2, pool="union"
    ),
    "ecc": EccMatcher(FeatureMatcher(ORBFeature(300), "ratio")),
    "refined": RefinedMatcher(FeatureMatcher(ORBFeature(300), "ratio")),
    "grid": GridRefinedMatcher(FeatureMatcher(ORBFeature(300), "ratio"), step_px=10, size_px=21),
    "fallback": FallbackMatcher([FeatureMatcher(ORBFeature(20)), _sift()], min_inliers=30),
}
WITHIN_PX = 0.25  #: mean corner error that every matcher must reach; a half-pixel shift costs 0.5


@pytest.mark.parametrize("name", MATCHERS)
def test_a_warped_picture_comes_back(name: str) -> None:
    a, b = _pictures()
    matcher = MATCHERS[name]
    assert isinstance(matcher, PairMatcher)
    found = matcher.match(a, b)
    assert _corner_error(found.homography) < WITHIN_PX
    shift = np.array([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    assert _corner_error(found.homography, shift @ H) > WITHIN_PX, "half a pixel is seen"
    away = np.linalg.norm(apply_homography(H, found.xy_a) - found.xy_b, axis=1)
    assert np.median(away[found.inlier]) < 1.0 and found.inlier.sum() >= 40
    assert (np.diff(found.score) <= 0).all() or name in ("ecc", "refined")
    assert sum(found.seconds.values()) > 0 and all(s >= 0 for s in found.seconds.values())
    for keypoints, size_hw in ((found.keypoints_a, a.shape), (found.keypoints_b, b.shape)):
        assert (keypoints.xy >= -1).all() and (keypoints.xy <= np.array(size_hw[::-1])).all()


@pytest.mark.parametrize("name", ["union", "two-stage-x2", "refined", "grid"])
def test_two_runs_agree_bit_for_bit(name: str) -> None:
    a, b = _pictures()
    first, second = (clone(MATCHERS[name]).match(a, b) for _ in range(2))
    for column in ("xy_a", "xy_b", "score", "homography", "inlier"):
        np.testing.assert_array_equal(getattr(first, column), getattr(second, column))
    np.testing.assert_array_equal(first.keypoints_a.xy, second.keypoints_a.xy)


HARD = {
    "blank": np.full((60, 80), 90, np.uint8),
    "tiny": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "one pixel": np.zeros((1, 1), np.uint8),
    "sixteen bit": np.full((40, 50), 50_000, np.uint16),
    "noise": np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8),
}


@pytest.mark.parametrize("picture", HARD)
@pytest.mark.parametrize("name", MATCHERS)
def test_hopeless_pairs_give_nan_and_no_exception(name: str, picture: str) -> None:
    good = _pictures()[0][:120, :160]
    for a, b in ((HARD[picture], good), (good, HARD[picture]), (HARD[picture], HARD["blank"])):
        found = MATCHERS[name].match(a, b)
        assert len(found.xy_a) == len(found.xy_b) == len(found.inlier)
        if picture != "noise":
            assert np.isnan(found.homography).all() and not found.inlier.any()


def test_few_and_degenerate_matches() -> None:
    class Fixed:
        norm = "L2"

        def __init__(self, xy: np.ndarray):
            self.xy = xy

        def detect_and_describe(self, image: np.ndarray) -> tuple[Keypoints, np.ndarray]:
            return Keypoints(self.xy), np.eye(40, dtype=np.float32)[: len(self.xy)]

    a, b = _pictures()
    line = np.column_stack([np.arange(30.0), 2 * np.arange(30.0)])
    for xy in (line[:3], line, np.full((30, 2), 7.0)):
        found = FeatureMatcher(Fixed(xy)).match(a, b)
        assert len(found.score) == len(xy) and np.isnan(found.homography).all() and not found.inlier.any()
        second = TwoStageMatcher(FeatureMatcher(Fixed(xy)), Fixed(xy)).match(a, b)
        assert np.isnan(second.homography).all()


def test_where_the_first_stage_fails_the_second_goes_alone() -> None:
    a, b = _pictures()
    nothing = FeatureMatcher(ORBFeature(300, fast_threshold=255))
    assert np.isnan(nothing.match(a, b).homography).all()
    found = TwoStageMatcher(nothing, SIFTFeature(300)).match(a, b)
    assert _corner_error(found.homography) < 0.3 and len(found.keypoints_a) > 100


def test_a_second_stage_that_is_not_believed_leaves_the_first_answer() -> None:
    a, b = _pictures()
    first = _sift()
    expected = first.match(a, b)
    found = TwoStageMatcher(first, Upright(SIFTFeature(300)), min_inliers=10_000).match(a, b)
    np.testing.assert_array_equal(found.homography, expected.homography)
    np.testing.assert_array_equal(found.xy_a, expected.xy_a)
    assert "second stage" in found.seconds


def test_warp_keeps_the_pixel_convention() -> None:
    picture = np.zeros((40, 50), np.uint8)
    picture[10:13, 20:23] = 200  # centred on (21, 11)
    moved = warp_onto(picture, np.array([[1, 0, 7.0], [0, 1, -3], [0, 0, 1]]), (40, 50))
    y, x = np.nonzero(moved > 100)
    assert (x.mean(), y.mean()) == (28, 8)
    half = warp_onto(picture, np.diag([0.5, 0.5, 1.0]), (20, 25)).astype(float)
    yy, xx = np.mgrid[:20, :25]
    assert (half * xx).sum() / half.sum() == pytest.approx(10.5, abs=0.1)
    assert (half * yy).sum() / half.sum() == pytest.approx(5.5, abs=0.1)


def test_least_squares_matching_finds_the_shift() -> None:
    a, _ = _pictures()
    keypoints = SIFTFeature(120).detect(a)
    inside = (keypoints.xy > 15).all(axis=1) & (keypoints.xy < np.array(SIZE_HW[::-1]) - 15).all(axis=1)
    xy = keypoints.xy[inside]
    shift = np.array([0.7, -0.4])
    moved = cv2.warpAffine(a, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), SIZE_HW[::-1])
    darker = cv2.convertScaleAbs(moved, alpha=0.7, beta=20)
    found, ok = least_squares_matching(a, darker, xy, xy)
    assert ok.mean() > 0.8
    assert np.median(np.linalg.norm(found[ok] - (xy[ok] + shift), axis=1)) < 0.06
    turn = cv2.getRotationMatrix2D((0, 0), 12, 1.15) + [[0, 0.1, 0], [0, 0, 20]]
    ends = apply_homography(np.vstack([turn, [0, 0, 1]]), xy)
    there = cv2.warpAffine(a, turn, SIZE_HW[::-1])
    near = turn[:, :2] + [[0.05, 0], [-0.06, 0]]
    seen = (ends > 20).all(axis=1) & (ends < np.array(SIZE_HW[::-1]) - 20).all(axis=1)
    found, ok = least_squares_matching(a, there, xy[seen], ends[seen] + 0.4, affine=near, min_correlation=0.9)
    assert ok.mean() > 0.6
    assert np.median(np.linalg.norm(found[ok] - ends[seen][ok], axis=1)) < 0.06
    far, ok = least_squares_matching(a, darker, xy, xy + 0.5, max_shift_px=0.05)
    np.testing.assert_array_equal(far[~ok], (xy + np.float32(0.5))[~ok])
    blank = np.full(SIZE_HW, 50, np.uint8)
    still, ok = least_squares_matching(blank, blank, xy, xy)
    assert not ok.any() and np.array_equal(still, xy)
    none, ok = least_squares_matching(a, a, np.zeros((0, 2)), np.zeros((0, 2)))
    assert none.shape == (0, 2) and ok.shape == (0,)


def test_refinement_makes_matches_more_precise() -> None:
    a, b = _pictures()
    coarse = FeatureMatcher(ORBFeature(300), "ratio")

    def error(found: Matched) -> float:
        away = np.linalg.norm(apply_homography(H, found.xy_a) - found.xy_b, axis=1)
        return float(np.median(away[found.inlier]))

    assert error(RefinedMatcher(coarse).match(a, b)) < 0.5 * error(coarse.match(a, b))


def test_a_grid_of_patches_agrees_under_a_shade() -> None:
    """Light that changes over the picture, a part covered: the other places are right all the same."""
    a, b = _pictures()
    lamp = np.linspace(0.4, 1.0, SIZE_HW[1])[None]
    shaded = (b * lamp).astype(np.uint8)
    shaded[60:130, 90:160] = np.random.default_rng(0).integers(0, 256, (70, 70))
    start = np.array([[1, 0, 0.8], [0, 1, -0.6], [0, 0, 1]]) @ H
    xy_a, xy_b = match_grid(a, shaded, start, step_px=12)
    seen = (np.abs(xy_b - [125, 95]) > 50).any(axis=1)
    away = np.linalg.norm(apply_homography(H, xy_a) - xy_b, axis=1)[seen]
    assert seen.sum() > 60 and np.median(away) < 0.1 and (away < 0.5).mean() > 0.95

    class Start:
        def match(self, image_a: np.ndarray, image_b: np.ndarray) -> Matched:
            points = Keypoints(xy_a[:40])
            none = np.zeros(40, bool)
            return Matched(points, points, xy_a[:40], apply_homography(H, xy_a[:40]), none, start, none)

    found = GridRefinedMatcher(Start(), step_px=12).match(a, shaded)
    assert _corner_error(found.homography) < 0.2 < 0.9 < _corner_error(start)
    assert found.inlier.all() and found.seconds["grid"] > 0
    unbelieved = GridRefinedMatcher(Start(), min_patches=10_000).match(a, shaded)
    np.testing.assert_array_equal(unbelieved.homography, start)


def test_a_grid_of_patches_is_bounded_in_huge_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = _pictures()
    monkeypatch.setattr(grid, "MAX_PATCHES", 40)
    xy_a, xy_b = match_grid(a, a, np.eye(3), step_px=4)
    assert 10 < len(xy_a) <= 40
    np.testing.assert_allclose(xy_a, xy_b, atol=1e-3)
    small = a[:30, :30]
    none, _ = match_grid(small, small, np.eye(3))
    assert none.shape == (0, 2)


def test_the_next_is_asked_only_where_the_first_finds_little() -> None:
    a, b = _pictures()
    first, asked = _sift(), []

    class Watched:
        def match(self, image_a: np.ndarray, image_b: np.ndarray) -> Matched:
            asked.append(1)
            return FeatureMatcher(ORBFeature(40)).match(image_a, image_b)

    alone = first.match(a, b)
    assert alone.inlier.sum() >= 40
    found = FallbackMatcher([first, Watched()]).match(a, b)
    np.testing.assert_array_equal(found.homography, alone.homography)
    assert not asked
    found = FallbackMatcher([Watched(), first], min_inliers=10_000).match(a, b)
    np.testing.assert_array_equal(found.homography, alone.homography)
    assert len(asked) == 1 and found.seconds["detect"] > 0


def test_concat_weights_are_squared_lengths() -> None:
    a, _ = _pictures()
    sift = SIFTFeature(80)
    both = ConcatFeature([("sift", sift), ("root", SIFTFeature(80, root=True))], (1.0, 3.0))
    keypoints, rows = both.detect_and_describe(a)
    assert rows.shape == (len(keypoints), both.n_features) == (len(keypoints), 256)
    np.testing.assert_allclose((rows[:, :128] ** 2).sum(1), 0.25, atol=1e-4)
    np.testing.assert_allclose((rows[:, 128:] ** 2).sum(1), 0.75, atol=1e-4)
    np.testing.assert_array_equal(keypoints.xy, sift.detect_and_describe(a)[0].xy)
    only = ConcatFeature([("sift", sift), ("root", SIFTFeature(80, root=True))], (0, 1))
    points, described = only.detect_and_describe(a)
    assert described.shape == (len(points), 128) == (len(points), only.n_features)
    turned = both.compute(a, keypoints[::-1])
    np.testing.assert_allclose(turned[::-1], both.compute(a, keypoints), atol=1e-6)


def test_upright_keeps_each_place_once() -> None:
    a, _ = _pictures()
    keypoints, rows = Upright(SIFTFeature(200)).detect_and_describe(a)
    assert (
        len(rows) == len(keypoints) == len(np.unique(np.column_stack([keypoints.xy, keypoints.size]), axis=0))
    )
    assert (keypoints.angle == 0).all() and (np.diff(keypoints.score) <= 0).all()


def test_complaints_name_the_thing() -> None:
    a, b = _pictures()
    with pytest.raises(InputError, match="needs at least one member"):
        UnionMatcher([]).match(a, b)
    with pytest.raises(InputError, match="weights must be 1 numbers"):
        UnionMatcher([_sift()], weights=(1, 2)).match(a, b)
    with pytest.raises(InputError, match='pool must be "second" or "union"'):
        TwoStageMatcher(_sift(), SIFTFeature(), pool="first").match(a, b)
    with pytest.raises(InputError, match="rounds must be at least 1"):
        TwoStageMatcher(_sift(), SIFTFeature(), rounds=0).match(a, b)
    with pytest.raises(InputError, match="rule must be one of"):
        FeatureMatcher(SIFTFeature(), "best").match(a, b)
    with pytest.raises(InputError, match="'orb' has no L2 rows"):
        ConcatFeature([("orb", ORBFeature()), ("sift", SIFTFeature())]).detect_and_describe(a)
    with pytest.raises(InputError, match="one weight from 0 on for each part"):
        ConcatFeature([("sift", SIFTFeature())], (1, 2)).detect_and_describe(a)
    with pytest.raises(InputError, match="needs at least one member"):
        FallbackMatcher([]).match(a, b)
    with pytest.raises(InputError, match="n_passes must be a whole number from 1 on"):
        GridRefinedMatcher(_sift(), n_passes=0).match(a, b)
    with pytest.raises(InputError, match="step_px must be at least 1"):
        match_grid(a, b, H, step_px=0)
    with pytest.raises(InputError, match="size_px must be odd"):
        least_squares_matching(a, b, np.zeros((1, 2)), np.zeros((1, 2)), 8)


# --------------------------------------------------------------------------------------------
# recipes
# --------------------------------------------------------------------------------------------


def test_recipes_tell_what_they_are() -> None:
    names = recipes.method_names("points")
    assert len(names) == len(set(names)) and set(recipes.POINTS_DEFAULT) <= set(names)
    for name in names:
        matcher = recipes.make_matcher(name, 64, 3)
        assert isinstance(matcher, PairMatcher)
        assert repr(clone(matcher)) == repr(matcher)
        assert 10 < len(recipes.describe_method(name, "points")) < 80
        assert recipes.family(name, "points") in ("classical", "deep", "hybrid", "control", "peer")
    with pytest.raises(InputError, match="did you mean 'rootsift'"):
        recipes.make_matcher("rootsif")


@pytest.mark.parametrize("name", [name for name in recipes.method_names("points") if name not in FILES])
def test_every_recipe_matches_a_picture_with_itself(name: str) -> None:
    a = _pictures()[0][:120, :160]
    found = recipes.make_matcher(name, 128).match(a, a)
    assert len(found.keypoints_a) > 0
    if name != "rootsift[rule=gms]":  # a few dozen points are too few for its statistics
        assert np.abs(apply_homography(found.homography, found.xy_a) - found.xy_a).max() < 0.1
