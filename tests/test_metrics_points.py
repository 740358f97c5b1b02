"""Repeatability, matching and homography accuracy: by hand, and properties that always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridkp import metrics
from hybridkp.metrics import homographies, points
from hybridkp.structures import InputError, Keypoints
from hybridkp.structures.pairs import Matched

IDENTITY = np.eye(3)
RIGHT_2 = np.array([[1.0, 0, 2], [0, 1, 0], [0, 0, 1]])  #: two px to the right
DOUBLE = np.diag([2.0, 2, 1])
NONE = np.full((3, 3), np.nan)
SIZE = (10, 20)


def flow_of(homography, size_hw):
    """The same truth as a flow."""
    xy = np.stack(np.meshgrid(np.arange(size_hw[1]), np.arange(size_hw[0])), -1)
    return points.transfer(xy.reshape(-1, 2), homography).reshape(*size_hw, 2)


# --------------------------------------------------------------------------------------------
# by hand
# --------------------------------------------------------------------------------------------


def test_repeatability_by_hand():
    # Truth: 2 px to the right; both pictures 10 x 20, so x <= 19.5 counts.
    # a: (1, 1) -> (3, 1); (5, 5) -> (7, 5); (6, 5) -> (8, 5); (19, 5) -> (21, 5), out of picture b.
    # b: (3, 1.5), 0.5 off; (7.2, 5), 0.2 from the second and 0.8 from the third; (0, 9) comes from
    #    (-2, 9), out of picture a.  Possible: min(3, 2) = 2.
    a = [[1, 1], [5, 5], [6, 5], [19, 5]]
    b = [[3, 1.5], [7.2, 5], [0, 9]]
    pairs, distance, possible = points.repeated_points(a, b, RIGHT_2, SIZE, SIZE, 1.0)
    assert sorted(map(tuple, pairs)) == [(0, 0), (1, 1)] and possible == 2
    np.testing.assert_allclose(sorted(distance), [0.2, 0.5])
    assert points.repeatability(a, b, RIGHT_2, SIZE, SIZE, 1.0) == 1.0
    assert points.repeatability(a, b, RIGHT_2, SIZE, SIZE, 0.4) == 0.5
    assert points.localisation_error(a, b, RIGHT_2, SIZE, SIZE, 1.0) == pytest.approx(0.35)
    assert points.common_counts(a, b, RIGHT_2, SIZE, SIZE) == (3, 2)


def test_a_point_counts_once():
    # Three points of a around one of b: 0.1, 0.2 and 0.3 px away; one pair of min(3, 1) = 1, the nearest.
    a = [[5.3, 5], [5.1, 5], [5.2, 5]]
    pairs, distance, possible = points.repeated_points(a, [[5, 5]], IDENTITY, SIZE, SIZE, 1.0)
    assert pairs.tolist() == [[1, 0]] and possible == 1
    np.testing.assert_allclose(distance, [0.1], atol=1e-12)
    # Nearest first: (5, 5)-(5.4, 5) is taken; (5.9, 5), whose nearest that was too, takes (7, 5), 1.1 away.
    pairs, _, _ = points.repeated_points([[5, 5], [5.9, 5]], [[5.4, 5], [7, 5]], IDENTITY, SIZE, SIZE, 2.0)
    assert sorted(map(tuple, pairs)) == [(0, 0), (1, 1)]


def test_both_pictures_count_in_the_distance():
    # Twice as large: T(a) = (8, 8), b = (9, 8): 1 px apart in b and 0.5 px in a, mean 0.75.
    _, distance, _ = points.repeated_points([[4, 4]], [[9, 8]], DOUBLE, SIZE, (20, 40), 3.0)
    np.testing.assert_allclose(distance, [0.75])


def test_mma_by_hand():
    # Errors 0, 2, 4 and sqrt(5^2 + 5^2) = 7.07 px: one of four within 1 px, two within 3, three within 5.
    a = [[1, 1], [2, 2], [3, 3], [4, 4]]
    b = [[3, 1], [4, 4], [5, 7], [11, 9]]
    np.testing.assert_allclose(points.match_errors(a, b, RIGHT_2), [0, 2, 4, 50**0.5])
    np.testing.assert_allclose(points.mma(a, b, RIGHT_2), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(points.mma(a, b, RIGHT_2, [2]), [0.5])  # the threshold itself counts


def test_matching_score_by_hand():
    # Two of the four matches above are right within 3 px.  Of the points detected, (19, 5) has no
    # counterpart in b and (0, 9) none in a: min(5, 4) = 4 could have been matched: 2 / 4.
    a = [[1, 1], [2, 2], [3, 3], [4, 4]]
    b = [[3, 1], [4, 4], [5, 7], [11, 9]]
    all_a, all_b = [*a, [9, 9], [19, 5]], [*b, [0, 9]]
    assert points.matching_score(a, b, all_a, all_b, RIGHT_2, SIZE, SIZE) == 0.5


def test_inliers_by_hand():
    # Errors 0, 2, 4: kept are the first and the third; of these one is right.
    a, b = [[1, 1], [2, 2], [3, 3]], [[3, 1], [4, 4], [5, 7]]
    assert points.inlier_counts(a, b, [True, False, True], RIGHT_2) == (2, 1)


def test_corner_error_by_hand():
    # Picture 10 x 20: corners (0, 0), (19, 0), (19, 9), (0, 9).  Twice as large moves them by 0, 19,
    # sqrt(19^2 + 9^2) = 21.0238 and 9 px: mean 12.2559.
    expected = (0 + 19 + (19**2 + 9**2) ** 0.5 + 9) / 4
    assert homographies.corner_error(DOUBLE, IDENTITY, SIZE) == pytest.approx(expected)
    assert homographies.corner_error(RIGHT_2, IDENTITY, SIZE) == pytest.approx(2)
    assert homographies.corner_error(-3 * RIGHT_2, RIGHT_2, SIZE) == pytest.approx(0, abs=1e-12)


def test_correctness_and_auc_by_hand():
    # Errors 1 and 4: up to 5 px the recall is 0 until 1, 1/2 until 4, then 1: (3 * 1/2 + 1) / 5 = 0.5;
    # up to 3 px: 2 * 1/2 / 3 = 1/3; up to 10: (3 * 1/2 + 6) / 10 = 0.75.
    np.testing.assert_allclose(homographies.correctness([1.0, 4.0]), [[1, 1, 1], [0, 0, 1]])
    np.testing.assert_allclose(homographies.auc([4.0, 1.0]), [1 / 3, 0.5, 0.75])
    np.testing.assert_allclose(homographies.recall_area([4.0, 1.0]).mean(0), [1 / 3, 0.5, 0.75])
    # SuperGlue's lines: (0, 0) - (1, 1/2) - (4, 1) - (5, 1): (1/4 + 3 * 3/4 + 1) / 5 = 0.7
    assert homographies.auc([4.0, 1.0], [5], interpolated=True) == pytest.approx(0.7)
    # one pair of two without an answer: half of the area of the other
    np.testing.assert_allclose(homographies.auc([1.0, np.inf], [5]), [0.4])
    assert homographies.auc([1.0, np.inf], [5], interpolated=True) == pytest.approx((1 / 4 + 4 / 2) / 5)
    assert homographies.auc([np.nan, 1.0], [5]) == pytest.approx(0.8)


def test_flow_by_hand():
    # Every pixel goes 2 px right, one per px of y: shifts of neighbours differ by 0.5 at the most.
    flow = flow_of(RIGHT_2, SIZE)
    flow[:, :, 1] += 0.5 * np.arange(20)  # y' = y + x / 2
    flow[3, 7] = np.nan
    flow[:, 15:] += 10  # another depth
    xy = [
        [4.5, 4.25],
        [7, 4],
        [7, 3],
        [6.5, 3],
        [7.5, 2.5],
        [14, 5],
        [14.5, 5],
        [15, 5],
        [-0.6, 5],
        [19.5, 5],
    ]
    found = points.transfer(xy, flow)
    expected = [[6.5, 6.5], [9, 7.5], *[[np.nan] * 2] * 3, [16, 12], [np.nan] * 2, [27, 22.5]]
    expected += [[np.nan] * 2, [31.5, 24.5]]  # half a pixel beyond the last centre: that pixel's shift
    np.testing.assert_allclose(found, expected)
    errors = points.match_errors([[7, 4], [7, 3]], [[9, 8.5], [9, 6.5]], flow)
    np.testing.assert_allclose(errors, [1, np.nan])
    np.testing.assert_allclose(points.mma([[7, 4], [7, 3]], [[9, 8.5], [9, 6.5]], flow), [1, 1, 1])


def test_a_flow_and_its_homography_say_the_same():
    rng = np.random.default_rng(0)
    homography = np.array([[1.02, 0.03, 4.5], [-0.02, 0.97, 2.25], [1e-5, 2e-5, 1]])
    size = (90, 120)
    a = rng.uniform(0, [119, 89], (60, 2))
    b = points.transfer(a, homography) + rng.normal(0, 0.5, a.shape)
    inside = (b > 0).all(1) & (b < [119, 89]).all(1)
    b = np.where(inside[:, None], b, [[60.0, 45.0]])
    flow = flow_of(homography, size)
    np.testing.assert_allclose(points.transfer(a, flow), points.transfer(a, homography), atol=1e-3)
    assert points.common_counts(a, b, flow, size, size) == points.common_counts(a, b, homography, size, size)
    counts = [len(points.repeated_points(a, b, t, size, size, 1.5)[0]) for t in (flow, homography)]
    assert abs(counts[0] - counts[1]) <= 2 < counts[0]
    far = points.repeated_points(a + [0.5, 0], b, flow, size, size)[1].mean()
    assert far > points.repeated_points(a, b, flow, size, size)[1].mean() + 0.02


# --------------------------------------------------------------------------------------------
# nothing found
# --------------------------------------------------------------------------------------------

EMPTY = np.zeros((0, 2))


@pytest.mark.parametrize("truth", [IDENTITY, flow_of(IDENTITY, SIZE), np.full((*SIZE, 2), np.nan)])
@pytest.mark.parametrize(
    ("a", "b"), [(EMPTY, EMPTY), (EMPTY, [[3, 3]]), ([[3, 3]], EMPTY), ([[3, 3]], [[99, 9]])]
)
def test_nothing_repeated(a, b, truth):
    assert points.repeatability(a, b, truth, SIZE, SIZE) == 0
    assert np.isnan(points.localisation_error(a, b, truth, SIZE, SIZE))
    assert points.matching_score(EMPTY, EMPTY, a, b, truth, SIZE, SIZE) == 0
    np.testing.assert_array_equal(points.mma(EMPTY, EMPTY, truth), [0, 0, 0])
    assert points.inlier_counts(EMPTY, EMPTY, [], truth) == (0, 0)


@pytest.mark.parametrize("bad", [NONE, np.zeros((3, 3)), np.diag([1.0, 0, 1]), np.diag([1, 1, np.inf])])
def test_no_homography_is_infinitely_wrong(bad):
    error = homographies.corner_error(bad, IDENTITY, SIZE)
    assert error == np.inf
    np.testing.assert_array_equal(homographies.correctness(error), [0, 0, 0])
    np.testing.assert_array_equal(homographies.recall_area(error), [0, 0, 0])
    np.testing.assert_array_equal(homographies.auc([error, error]), [0, 0, 0])


def test_behind_the_horizon():
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [-0.1, 0, 1]])  # x = 10
    assert np.isnan(points.transfer([[10, 3], [15, 3]], horizon)).all()
    assert points.match_errors([[15, 3]], [[1, 1]], horizon) == np.inf
    assert homographies.corner_error(horizon, IDENTITY, SIZE) == np.inf
    np.testing.assert_array_equal(points.mma([[15, 3]], [[1, 1]], horizon), [0, 0, 0])


def test_a_flow_has_no_right_homography():
    error = homographies.corner_error(IDENTITY, flow_of(IDENTITY, SIZE), SIZE)
    assert (
        np.isnan(error)
        and np.isnan(homographies.correctness(error)).all()
        and np.isnan(homographies.recall_area(error)).all()
    )
    assert (
        np.isnan(homographies.auc([np.nan])).all() and np.isnan(homographies.auc([], interpolated=True)).all()
    )


def test_wrong_shapes_are_named():
    with pytest.raises(InputError, match=r"shape \(N, 2\)"):
        points.mma(np.zeros((2, 3)), np.zeros((2, 3)), IDENTITY)
    with pytest.raises(InputError, match="3 and 2"):
        points.match_errors(np.zeros((3, 2)), np.zeros((2, 2)), IDENTITY)
    with pytest.raises(InputError, match="homography"):
        points.transfer([[1, 1]], np.eye(2))
    with pytest.raises(InputError, match="2 marks for 3"):
        points.inlier_counts(np.zeros((3, 2)), np.zeros((3, 2)), [True, True], IDENTITY)


def test_scores_of_a_pair_are_the_single_metrics():
    rng = np.random.default_rng(1)
    truth = np.array([[1.1, 0.1, 5], [-0.05, 0.9, 3], [1e-4, 2e-4, 1]])
    size_a, size_b = (100, 140), (110, 150)
    a = rng.uniform(0, [139, 99], (80, 2))
    b = points.transfer(a, truth) + rng.normal(0, 1.5, a.shape)
    inlier, estimate = np.arange(50) % 3 > 0, RIGHT_2 @ truth
    found = Matched(Keypoints(a), Keypoints(b), a[:50], b[:50], np.ones(50), estimate, inlier)
    kept = (found.keypoints_a.xy, found.keypoints_b.xy)
    values = metrics.pair_scores(found, truth, size_a, size_b)
    assert list(values) == [m.key for m in metrics.POINT_METRICS]
    assert values["repeatability@1"] == points.repeatability(*kept, truth, size_a, size_b, 1)
    assert values["repeatability@3"] == points.repeatability(*kept, truth, size_a, size_b, 3)
    assert values["localisation_px"] == points.localisation_error(*kept, truth, size_a, size_b)
    assert [values[f"mma@{t}"] for t in (1, 3, 5)] == points.mma(found.xy_a, found.xy_b, truth).tolist()
    corner = homographies.corner_error(estimate, truth, size_a)
    assert values["corner_px"] == corner == pytest.approx(2) and values["auc@10"] == 1 - corner / 10
    assert (values["inliers"], values["matches"], values["points"]) == (inlier.sum(), 50, 80)
    assert 0 < values["correct_inliers"] < inlier.sum()
    assert 0 < values["repeatability@1"] < values["repeatability@3"] < 1


# --------------------------------------------------------------------------------------------
# what always holds
# --------------------------------------------------------------------------------------------

#: quarters of a px from 0 to 30: many points in one place, many ties
CLOUD = (
    st.integers(0, 12)
    .flatmap(lambda n: arrays(np.int64, (n, 2), elements=st.integers(0, 120)))
    .map(lambda quarters: quarters / 4)
)
TRUTH = st.builds(
    lambda angle, zoom, tilt: np.array(
        [
            [zoom * np.cos(angle), -zoom * np.sin(angle), 15],
            [zoom * np.sin(angle), zoom * np.cos(angle), 5],
            [tilt, 0, 1],
        ]
    ),
    st.floats(-0.5, 0.5),
    st.floats(0.6, 1.6),
    st.floats(-0.005, 0.005),
)
BOX = (31, 31)
always = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@always
@given(CLOUD, CLOUD, TRUTH, st.sampled_from([0.5, 1.0, 3.0]))
def test_repeatability_is_bounded_symmetric_and_one_to_one(a, b, truth, limit):
    pairs, distance, possible = points.repeated_points(a, b, truth, BOX, BOX, limit)
    value = points.repeatability(a, b, truth, BOX, BOX, limit)
    assert 0 <= value <= 1 and (distance <= limit).all() and len(pairs) <= possible
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    back = points.repeatability(b, a, np.linalg.inv(truth), BOX, BOX, limit)
    assert back == value
    assert value <= points.repeatability(a, b, truth, BOX, BOX, 2 * limit)


@always
@given(CLOUD, CLOUD, TRUTH, st.randoms(use_true_random=False))
def test_the_order_of_points_says_nothing(a, b, truth, random):
    rows, columns = list(range(len(a))), list(range(len(b)))
    random.shuffle(rows)
    random.shuffle(columns)
    for limit in (1.0, 3.0):
        before = points.repeated_points(a, b, truth, BOX, BOX, limit)[1]
        after = points.repeated_points(a[rows], b[columns], truth, BOX, BOX, limit)[1]
        np.testing.assert_allclose(np.sort(after), np.sort(before), atol=1e-12)


@always
@given(CLOUD.filter(len), TRUTH)
def test_what_is_found_again_exactly_is_perfect(a, truth):
    b = points.transfer(a, truth)
    np.testing.assert_allclose(points.mma(a, b, truth), 1)
    n = min(points.common_counts(a, b, truth, BOX, BOX))
    assert points.repeatability(a, b, truth, BOX, BOX, 1e-6) == (1.0 if n else 0.0)
    assert homographies.corner_error(-2.5 * truth, truth, BOX) < 1e-9
    np.testing.assert_allclose(homographies.auc([homographies.corner_error(truth, truth, BOX)]), 1)


@always
@given(CLOUD, TRUTH, st.randoms(use_true_random=False))
def test_matching_accuracy_is_bounded_and_grows_with_the_threshold(cloud, truth, random):
    a, b = cloud[: len(cloud) // 2], cloud[len(cloud) // 2 : len(cloud) // 2 * 2]
    values = points.mma(a, b, truth)
    assert (values >= 0).all() and (values <= 1).all() and (np.diff(values) >= 0).all()
    rows = list(range(len(a)))
    random.shuffle(rows)
    np.testing.assert_allclose(points.mma(a[rows], b[rows], truth), values)
    assert 0 <= points.matching_score(a, b, a, b, truth, BOX, BOX) <= 1


@always
@given(st.lists(st.one_of(st.floats(0, 20), st.just(np.inf)), min_size=1, max_size=30))
def test_auc_is_bounded_ordered_and_near_the_interpolated_one(errors):
    values, lines = homographies.auc(errors), homographies.auc(errors, interpolated=True)
    assert (values >= 0).all() and (values <= 1).all() and (np.diff(values) >= -1e-12).all()
    assert (lines >= values - 1e-12).all() and (lines <= values + 1 / (2 * len(errors)) + 1e-12).all()
    np.testing.assert_allclose(homographies.recall_area(errors).mean(0), values)
    np.testing.assert_allclose(homographies.auc(errors[::-1]), values)
