"""Matching and robust estimation: against brute force, on exact geometry, at the edges."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import cv2
import numpy as np
import pytest

from hybridkp import points
from hybridkp.imaging.geometry import apply_homography
from hybridkp.points import matching, robust
from hybridkp.points import support as votes
from hybridkp.structures import InputError, Keypoints
from hybridkp.structures.pairs import Features

H = np.array([[1.05, 0.08, 12.0], [-0.06, 0.97, -7.0], [1e-4, -6e-5, 1.0]])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _rows(rng: np.random.Generator, n: int, norm: str) -> np.ndarray:
    if norm == "HAMMING":
        return rng.integers(0, 256, (n, 8), np.uint8)
    return rng.normal(size=(n, 16)).astype(np.float32)


ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1).astype(np.uint8)  #: of a byte


def _distances(a: np.ndarray, b: np.ndarray, norm: str) -> np.ndarray:
    if norm == "HAMMING":
        return ONES[a[:, None] ^ b[None]].sum(-1).astype(float)
    return np.linalg.norm(a[:, None].astype(float) - b[None].astype(float), axis=-1)


def _features(xy: np.ndarray, rows: np.ndarray, size_hw: tuple[int, int] = (480, 640)) -> Features:
    return Features(Keypoints(xy), rows, size_hw)


def _brute_mutual(distance: np.ndarray) -> set[tuple[int, int]]:
    """Nearest in both directions, by sorting everything; distances must be distinct."""
    found = set()
    for i, row in enumerate(distance):
        j = int(row.argmin())
        if np.isfinite(row[j]) and int(distance[:, j].argmin()) == i:
            found.add((i, j))
    return found


def _pairs(matches: matching.Matches) -> set[tuple[int, int]]:
    return set(zip(matches.index_a.tolist(), matches.index_b.tolist(), strict=True))


@pytest.mark.parametrize("norm", ["L2", "HAMMING"])
@pytest.mark.parametrize("block", [1 << 23, 64])
def test_mutual_and_ratio_equal_brute_force(
    norm: str, block: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_BLOCK", block)
    a = _rows(rng, 60, norm)
    b = np.concatenate([a[5:40], _rows(rng, 30, norm)])
    if norm == "L2":
        b = b + rng.normal(0, 0.3, b.shape).astype(np.float32)
    distance = _distances(a, b, norm)
    found = matching.mutual_nearest(a, b, norm)
    expected = _brute_mutual(distance)
    if norm == "L2":
        assert _pairs(found) == expected
    else:  # equal distances: any nearest one will do
        i, j = found.index_a, found.index_b
        assert (distance[i, j] == distance[i].min(1)).all()
        assert (distance[i, j] == distance[:, j].min(0)).all()
        assert {(i, i - 5) for i in range(5, 40)} <= _pairs(found)
    two = np.sort(distance[found.index_a], axis=1)[:, :2]
    np.testing.assert_allclose(found.score, 1 - two[:, 0] / two[:, 1], atol=1e-4)
    assert (np.diff(found.score) <= 0).all()
    assert len(np.unique(found.index_a)) == len(np.unique(found.index_b)) == len(found.score)
    clear = matching.ratio_test(a, b, norm, 0.6)
    assert _pairs(clear) == {p for p, s in zip(_pairs_list(found), found.score, strict=True) if s > 0.4}
    assert 0 < len(clear.score) < len(found.score)


def _pairs_list(matches: matching.Matches) -> list[tuple[int, int]]:
    return list(zip(matches.index_a.tolist(), matches.index_b.tolist(), strict=True))


def test_agrees_with_opencv(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 80, 32)).astype(np.float32)
    theirs = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(a, b)
    assert _pairs(matching.mutual_nearest(a, b)) == {(m.queryIdx, m.trainIdx) for m in theirs}


def test_rows_of_zeros_are_never_matched(rng: np.random.Generator) -> None:
    a, b = _rows(rng, 6, "L2"), _rows(rng, 7, "L2")
    a[2], b[4], b[1] = 0, 0, a[3]
    found = matching.mutual_nearest(a, b)
    assert 2 not in found.index_a and 4 not in found.index_b and (3, 1) in _pairs(found)
    everywhere = _features(np.zeros((6, 2)), a), _features(np.zeros((7, 2)), b)
    guided = matching.guided_matches(*everywhere, np.eye(3), 5.0)
    assert 2 not in guided.index_a and 4 not in guided.index_b and (3, 1) in _pairs(guided)


@pytest.mark.parametrize("norm", ["L2", "HAMMING"])
@pytest.mark.parametrize("radius", [4.0, 25.0, 2000.0])
def test_guided_equals_brute_force(norm: str, radius: float, rng: np.random.Generator) -> None:
    xy_a, xy_b = rng.uniform(-20, [660, 500], (2, 150, 2))
    xy_b[:75] = apply_homography(H, xy_a[:75]) + rng.normal(0, radius / 3, (75, 2)).clip(-30, 30)
    a, b = _rows(rng, 150, "L2"), _rows(rng, 150, "L2")
    if norm == "HAMMING":  # so wide that no two distances are equal in one row
        a, b = np.packbits(rng.random((2, 150, 4096)) < 0.5, axis=2)
    far = np.linalg.norm(
        apply_homography(H, xy_a.astype(np.float32))[:, None] - xy_b.astype(np.float32), axis=2
    )
    distance = np.where(far <= radius, _distances(a, b, norm), np.inf)
    found = matching.guided_matches(_features(xy_a, a), _features(xy_b, b), H, radius, norm)
    assert len(found.score) > 10
    if norm == "L2":
        assert _pairs(found) == _brute_mutual(distance)
    i, j = found.index_a, found.index_b
    assert (distance[i, j] == distance[i].min(1)).all() and (distance[i, j] == distance[:, j].min(0)).all()
    assert len(np.unique(i)) == len(np.unique(j)) == len(i)


def test_guided_ratio_and_small_blocks(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    xy = rng.uniform(0, 100, (2, 80, 2))
    rows = _rows(rng, 80, "L2"), _rows(rng, 80, "L2")
    a, b = _features(xy[0], rows[0]), _features(xy[1], rows[1])
    whole = matching.guided_matches(a, b, np.eye(3), 30.0)
    monkeypatch.setattr(matching, "_CANDIDATES", 7)
    monkeypatch.setattr(matching, "_ROWS_AT_A_TIME", 3)
    for left, right in zip(whole, matching.guided_matches(a, b, np.eye(3), 30.0), strict=True):
        np.testing.assert_array_equal(left, right)
    strict = matching.guided_matches(a, b, np.eye(3), 30.0, ratio=0.8)
    assert 0 < len(strict.score) < len(whole.score) and _pairs(strict) < _pairs(whole)


def test_a_radius_is_a_radius() -> None:
    rows = np.ones((1, 4), np.float32)
    a, b = _features(np.array([[50.0, 40.0]]), rows), _features(np.array([[58.0, 40.0]]), rows)
    assert len(matching.guided_matches(a, b, np.eye(3), 8.0).score) == 1
    assert len(matching.guided_matches(a, b, np.eye(3), 7.5).score) == 0
    shift = np.array([[1, 0, 8.0], [0, 1, 0], [0, 0, 1]])
    assert len(matching.guided_matches(a, b, shift, 0.25).score) == 1
    assert len(matching.guided_matches(b, a, shift, 0.25).score) == 0  # the other way round


@pytest.mark.parametrize("norm", ["L2", "HAMMING"])
@pytest.mark.parametrize("n", [(0, 5), (5, 0), (0, 0), (1, 1)])
def test_zero_points_give_zero_matches(norm: str, n: tuple[int, int], rng: np.random.Generator) -> None:
    a, b = (_features(rng.uniform(0, 9, (k, 2)), _rows(rng, k, norm)) for k in n)
    lone = int(n == (1, 1))
    for rule in ("mutual", "ratio"):
        found = matching.match(a, b, norm, rule)
        assert len(found.index_a) == len(found.index_b) == len(found.score) == lone
    assert len(matching.guided_matches(a, b, np.eye(3), 100.0, norm).score) == lone
    assert len(matching.match(a, b, norm, "gms").score) <= lone


def test_no_homography_no_guided_matches(rng: np.random.Generator) -> None:
    a = _features(rng.uniform(0, 9, (5, 2)), _rows(rng, 5, "L2"))
    assert len(matching.guided_matches(a, a, np.full((3, 3), np.nan), 9.0).score) == 0


def test_gms_keeps_what_moves_together(rng: np.random.Generator) -> None:
    n = 1500
    xy_a = rng.uniform(0, [640, 480], (n, 2))
    xy_b = xy_a + [20, 10]
    xy_b[1000:] = rng.uniform(0, [640, 480], (500, 2))
    rows = rng.normal(size=(n, 32)).astype(np.float32)
    found = matching.gms(_features(xy_a, rows), _features(xy_b, rows))
    right = (found.index_a == found.index_b) & (found.index_a < 1000)
    assert right.sum() > 700 and right.mean() > 0.95
    assert len(np.unique(found.index_b)) == len(found.index_b)


def test_complaints_name_the_thing(rng: np.random.Generator) -> None:
    a = _features(rng.uniform(0, 9, (5, 2)), _rows(rng, 5, "L2"))
    with pytest.raises(InputError, match="rule must be one of mutual, ratio, gms"):
        matching.match(a, a, "L2", "best")
    with pytest.raises(InputError, match="norm must be"):
        matching.mutual_nearest(a.rows, a.rows, "L1")
    with pytest.raises(InputError, match="ratio must lie in"):
        matching.ratio_test(a.rows, a.rows, "L2", 1.5)
    with pytest.raises(InputError, match="of one method"):
        matching.mutual_nearest(a.rows, a.rows[:, :3])
    with pytest.raises(InputError, match="HAMMING needs rows of uint8"):
        matching.mutual_nearest(a.rows, a.rows, "HAMMING")
    with pytest.raises(InputError, match="radius_px must be positive"):
        matching.guided_matches(a, a, np.eye(3), 0.0)
    with pytest.raises(InputError, match="in pairs"):
        robust.estimate_homography(np.zeros((5, 2)), np.zeros((4, 2)))


# --------------------------------------------------------------------------------------------
# robust estimation
# --------------------------------------------------------------------------------------------


def _matched(rng: np.random.Generator, n: int = 300, wrong: float = 0.4, noise: float = 0.3):
    a = rng.uniform(0, [640, 480], (n, 2))
    b = apply_homography(H, a) + rng.normal(0, noise, (n, 2))
    outlier = rng.random(n) < wrong
    b[outlier] = rng.uniform(0, [640, 480], (int(outlier.sum()), 2))
    return a, b, outlier


def _corner_error(matrix: np.ndarray, truth: np.ndarray = H) -> float:
    corners = np.array([[0, 0], [639, 0], [639, 479], [0, 479.0]])
    away = apply_homography(matrix, corners) - apply_homography(truth, corners)
    return float(np.linalg.norm(away, axis=1).mean())


@pytest.mark.parametrize("ranked", [False, True])
def test_homography_is_found_among_outliers(ranked: bool, rng: np.random.Generator) -> None:
    a, b, outlier = _matched(rng)
    order = np.argsort(outlier, kind="stable")
    found = robust.estimate_homography(a[order], b[order], ranked=ranked)
    assert _corner_error(found.matrix) < 0.2 and found.matrix[2, 2] == 1
    assert (found.inlier[: (~outlier).sum()]).all() and found.inlier.sum() < (~outlier).sum() + 5
    shifted = robust.estimate_homography(a, b + [0.5, 0]).matrix
    assert _corner_error(shifted) > 0.4, "a half-pixel shift is seen"


def test_the_same_seed_gives_the_same_answer(rng: np.random.Generator) -> None:
    a, b, _ = _matched(rng, wrong=0.93)
    first, again, other = (robust.estimate_homography(a, b, random_state=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.matrix, again.matrix)
    np.testing.assert_array_equal(first.inlier, again.inlier)
    assert not np.array_equal(first.matrix, other.matrix)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 2)),
        np.array([[0, 0], [9, 0], [0, 9.0]]),
        np.zeros((30, 2)),
        np.column_stack([np.arange(30.0)] * 2),
        np.full((30, 2), np.nan),
    ],
    ids=["none", "three", "one place", "a line", "nan"],
)
@pytest.mark.parametrize("estimate", [robust.estimate_homography, robust.estimate_fundamental])
def test_degenerate_matches_give_nan(points: np.ndarray, estimate) -> None:
    found = estimate(points, points)
    assert np.isnan(found.matrix).all() and found.inlier.shape == (len(points),) and not found.inlier.any()


@pytest.mark.parametrize("estimate", [robust.estimate_homography, robust.estimate_fundamental])
@pytest.mark.parametrize("seed", range(12))
def test_unrelated_matches_have_no_geometry(seed: int, estimate: Any) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, [640, 480], (2, 200, 2))
    found = estimate(a, b, random_state=seed)
    assert np.isnan(found.matrix).all() and not found.inlier.any() and "chance" in found.reason


def test_ends_that_crowd_are_no_evidence(rng: np.random.Generator) -> None:
    """Text and bricks: most ends lie on a few places, so that many hit them by chance."""
    places = rng.uniform(0, [640, 480], (6, 2))
    b = places[rng.integers(0, 6, 300)] + rng.normal(0, 1, (300, 2))
    found = robust.estimate_homography(rng.uniform(0, [640, 480], (300, 2)), b)
    assert np.isnan(found.matrix).all()


@pytest.mark.parametrize("noise_px", [0.01, 0.05, 0.25, 0.5])
@pytest.mark.parametrize("beside", [0, 1])
def test_a_line_leaves_the_map_free(noise_px: float, beside: int, rng: np.random.Generator) -> None:
    """Thirty inliers of thirty, and corners that swing by thousands of px."""
    x = np.arange(0, 300, 10.0)
    a = np.column_stack([2 * x, x]) + rng.normal(0, noise_px, (30, 2))
    a = np.concatenate([a, np.full((beside, 2), [400.0, 20.0])])
    found = robust.estimate_homography(a, a + 5 + rng.normal(0, noise_px, a.shape))
    assert np.isnan(found.matrix).all() and "free to move" in found.reason


def test_a_narrow_strip_is_wide_enough(rng: np.random.Generator) -> None:
    a = rng.uniform(0, [500, 60], (120, 2))
    found = robust.estimate_homography(a, apply_homography(H, a) + rng.normal(0, 0.3, a.shape))
    away = apply_homography(found.matrix, a) - apply_homography(H, a)
    assert np.linalg.norm(away, axis=1).max() < 0.5 and found.reason == ""


def test_collapsed_ends_do_not_hide_a_sound_half(rng: np.random.Generator) -> None:
    a = rng.uniform(0, [640, 480], (120, 2))
    b = apply_homography(H, a) + rng.normal(0, 0.3, (120, 2))
    b[60:] = 300 + rng.normal(0, 0.3, (60, 2))
    found = robust.estimate_homography(a, b)
    assert _corner_error(found.matrix) < 0.5 and found.inlier[:60].sum() > 55
    assert np.isnan(robust.estimate_homography(a[60:], b[60:]).matrix).all()


def test_few_but_perfect_matches_count(rng: np.random.Generator) -> None:
    a = rng.uniform(0, [640, 480], (10, 2))
    assert _corner_error(robust.estimate_homography(a, apply_homography(H, a)).matrix) < 0.05
    assert robust.estimate_homography(a[:4], apply_homography(H, a[:4])).reason.startswith("4 matches")


def test_rows_that_are_not_finite_are_no_inliers(rng: np.random.Generator) -> None:
    a, b, _ = _matched(rng, wrong=0.0)
    b[7] = np.nan
    found = robust.estimate_homography(a, b)
    assert _corner_error(found.matrix) < 0.2 and not found.inlier[7] and found.inlier.sum() > 290


def test_a_singular_map_is_no_homography() -> None:
    square = np.array([[0, 0], [640, 0], [640, 480], [0, 480.0]])
    assert robust.is_homography(H, square) and robust.is_homography(H * -3.0, square)
    flat = np.array([[1.0, 0, 0], [0, 0, 100], [0, 0, 1]])
    assert not robust.is_homography(flat, square)
    assert not robust.is_homography(np.full((3, 3), np.inf), square)


def test_fundamental_matrix_of_two_views(rng: np.random.Generator) -> None:
    scene = rng.uniform([-2, -1.5, 4], [2, 1.5, 9], (200, 3))
    k = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    turn, _ = cv2.Rodrigues(np.array([0.02, -0.1, 0.03]))
    first, second = scene @ k.T, (scene @ turn.T + [0.6, 0.05, 0.1]) @ k.T
    a, b = first[:, :2] / first[:, 2:], second[:, :2] / second[:, 2:]
    b[150:] = rng.uniform(0, [640, 480], (50, 2))
    found = robust.estimate_fundamental(a, b)
    lines = np.column_stack([a, np.ones(200)]) @ found.matrix.T
    off = np.abs((lines * np.column_stack([b, np.ones(200)])).sum(1)) / np.linalg.norm(lines[:, :2], axis=1)
    assert off[:150].max() < 0.05 and found.inlier[:150].all() and found.inlier[150:].sum() < 10
    assert np.linalg.norm(found.matrix) == pytest.approx(1)


def _scene(rng: np.random.Generator) -> np.ndarray:
    noise = rng.uniform(0, 255, (240, 320)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip((blurred - blurred.mean()) * 6 + 128, 0, 255).astype(np.uint8)


def test_ecc_refines_and_never_raises(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    a = _scene(rng)
    truth = np.array([[1.02, 0.03, 4.0], [-0.02, 0.99, 3.0], [2e-5, 1e-5, 1.0]])
    b = cv2.warpPerspective(a, truth, (320, 240), borderMode=cv2.BORDER_REFLECT)
    b = cv2.convertScaleAbs(b, alpha=0.8, beta=20)
    start = truth + [[0, 0, 1.5], [0, 0, -1.0], [0, 0, 0]]
    found, correlation = robust.refine_ecc(a, b, start)
    assert _corner_error(found, truth) < 0.25 < _corner_error(start, truth) and correlation > 0.98
    monkeypatch.setattr(robust, "ECC_PIXELS", a.size // 2)
    shrunk, _ = robust.refine_ecc(a, b, start)
    assert _corner_error(shrunk, truth) < 0.3
    blank = np.zeros_like(a)
    for images, begin in (((blank, b), start), ((a, b), np.full((3, 3), np.nan)), ((a, b), start + 1e6)):
        kept, nothing = robust.refine_ecc(*images, begin)
        np.testing.assert_array_equal(kept, begin)
        assert np.isnan(nothing)


# --------------------------------------------------------------------------------------------
# votes
# --------------------------------------------------------------------------------------------


def test_votes_confirm_what_turns_along(rng: np.random.Generator) -> None:
    turn = np.array([[0.0, -1.3, 500], [1.3, 0, 10], [0, 0, 1]])  # a quarter turn and zoom
    a = rng.uniform(0, [640, 480], (500, 2))
    b = apply_homography(turn, a)
    b[350:] = rng.uniform(0, [640, 640], (150, 2))
    support = votes.confirmed(a, b, np.ones(500), 60.0)
    assert support.min() >= 0 and support.max() <= 1
    assert np.median(support[:350]) > 0.55 and np.median(support[350:]) < 0.2
    assert (votes.confirmed(a[:1], b[:1], np.ones(1), 60.0) == 0).all()


def test_twins_are_said_once() -> None:
    xy_a = np.array([[10.0, 10], [10.5, 10], [10.5, 10], [90, 90]])
    xy_b = np.array([[20.0, 20], [20.5, 20], [50.0, 50], [80, 80]])
    keep = votes.without_twins(xy_a, xy_b, np.array([0, 1, 1, 1]))
    assert keep.tolist() == [True, False, True, True]
    assert votes.without_twins(xy_a, xy_b, np.zeros(4, int)).all(), "one member's matches all stay"


FEATURES = ("AKAZEFeature", "BRISKFeature", "KAZEFeature", "ORBFeature", "SIFTFeature", "SURFFeature")
SECOND_STAGES = ("EccMatcher", "GridRefinedMatcher", "RefinedMatcher", "TurnedMatcher")
ORB = points.ORBFeature()
NUMBERS: dict[str, Any] = {  #: a class -> what else it needs
    **{name: {} for name in (*FEATURES, "Corners", "FAST", "MatchabilityRanked", "NetFeature")},
    **{name: {"file": "net.onnx"} for name in ("DiskFeature", "OnnxFeature", "LightGlue")},
    "LightGlueMatcher": {"feature": ORB, "file": "net.onnx"},
    "FeatureMatcher": {"feature": ORB},
    **{name: {"members": [points.FeatureMatcher(ORB)]} for name in ("FallbackMatcher", "UnionMatcher")},
    **{name: {"first": points.FeatureMatcher(ORB)} for name in SECOND_STAGES},
    "TwoStageMatcher": {"first": points.FeatureMatcher(ORB), "second": ORB},
}
#: numbers that may not be negative
BELOW = {"n_points", "n_octaves", "n_levels", "scale_factor", "n_spare", "radius", "max_megapixels"}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_parameter_that_is_no_number_is_named(name: str) -> None:
    made = getattr(points, name)
    image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    numbers = [f.name for f in fields(made) if f.type in ("int", "float")]
    assert numbers
    for key in numbers:
        for bad in ("a", None, np.nan, *[-1] * (key in BELOW)):
            one = made(**NUMBERS[name] | {key: bad})
            with pytest.raises(InputError, match=rf"{name}: {key} must"):
                if hasattr(one, "match"):
                    one.match(image, image)
                else:
                    one.detect(image)
