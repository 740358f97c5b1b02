"""Landmark and calibration metrics: each computed by hand once, then their invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridkp import metrics
from hybridkp.metrics import landmarks
from hybridkp.structures import InputError

NAN, INF = np.nan, np.inf

# object 0: errors 5, 0; object 1: one point not labelled, one missing; object 2: nothing labelled
TRUTH = np.array([[[0, 0], [10, 0]], [[NAN, NAN], [4, 4]], [[NAN, NAN], [NAN, NAN]]], float)
ANSWER = np.array([[[3, 4], [10, 0]], [[1, 1], [NAN, NAN]], [[0, 0], [0, 0]]], float)
LENGTH = np.array([10.0, 20.0, 5.0])
TRUTH.flags.writeable = ANSWER.flags.writeable = LENGTH.flags.writeable = False


def test_point_errors() -> None:
    error = metrics.point_errors(TRUTH, ANSWER)
    np.testing.assert_array_equal(error, [[5, 0], [NAN, INF], [NAN, NAN]])


def test_half_a_coordinate_is_no_point() -> None:
    error = metrics.point_errors([[[0, NAN], [1, 1]]], [[[0, 0], [1, NAN]]])
    np.testing.assert_array_equal(error, [[NAN, INF]])


def test_normalizer_lengths() -> None:
    boxes = [[0, 0, 4, 9], [0, 0, 0, 9], [0, 0, NAN, 1]]
    np.testing.assert_array_equal(metrics.normalizer_lengths(TRUTH, ("points", 0, 1)), [10, NAN, NAN])
    np.testing.assert_array_equal(metrics.normalizer_lengths(TRUTH, ("box",), boxes), [6, NAN, NAN])
    np.testing.assert_array_equal(metrics.normalizer_lengths(TRUTH, ("pixel",)), [1, 1, 1])


def test_mm_by_each_pictures_own_scale() -> None:
    truth = np.zeros((3, 2, 2))
    predicted = truth + [3.0, 4.0]
    lengths = metrics.normalizer_lengths(truth, ("mm",), mm_per_px=[0.4, 0.1, NAN])
    np.testing.assert_allclose(metrics.nme(truth, predicted, lengths), [2.0, 0.5, NAN], rtol=1e-12)
    with pytest.raises(InputError, match="mm_per_px"):
        metrics.normalizer_lengths(truth, ("mm",))


def test_errors_along_and_across_a_contour() -> None:
    """A loop of four, a line of two turned by 45 degrees, and a landmark without a neighbour."""
    square = [[0, 0], [10, 0], [10, 10], [0, 10]]
    truth = np.array([[*square, [20, 20], [24, 24], [50, 50]]], float)
    skeleton = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5]]
    slid = truth.copy()
    slid[0, 4:6] += 3.0  # along the line
    slid[0, 6] += 30.0  # has no direction
    along, across = metrics.contour_errors(truth, slid, [10.0], skeleton)
    np.testing.assert_allclose([along, across], [[2 * np.hypot(3, 3) / 10 / 6], [0]], atol=1e-12)
    left = truth.copy()
    left[0, 1] += [2.0, -2.0]  # at that corner the loop runs from (0, 0) to (10, 10): across it
    along, across = metrics.contour_errors(truth, left, [10.0], skeleton)
    np.testing.assert_allclose([along, across], [[0], [np.hypot(2, 2) / 10 / 6]], atol=1e-12)


def test_two_points_in_one_place_make_no_length() -> None:
    assert np.isnan(metrics.normalizer_lengths(np.ones((1, 2, 2)), ("points", 0, 1))).all()


@pytest.mark.parametrize("normalizer", [("points", 0, 2), ("points", 1, 1), ("box",), ("eyes",), ()])
def test_a_bad_normalizer_is_named(normalizer: tuple) -> None:
    with pytest.raises(InputError, match="normalizer"):
        metrics.normalizer_lengths(TRUTH, normalizer)


def test_bad_shapes_for_lengths_are_named() -> None:
    with pytest.raises(InputError, match="truth"):
        metrics.normalizer_lengths(np.zeros((2, 2)), ("pixel",))
    with pytest.raises(InputError, match="boxes_xywh"):
        metrics.normalizer_lengths(TRUTH, ("box",), [[0, 0, 1, 1]])
    with pytest.raises(InputError, match="values"):
        metrics.auc(np.zeros((2, 2)))


def test_nme_by_hand() -> None:
    # object 0: (0.5 + 0) / 2; object 1: missing costs max(diagonal 0, length 20) = 100 %
    np.testing.assert_array_equal(metrics.nme(TRUTH, ANSWER, LENGTH), [0.25, 1.0, NAN])
    # 7 px of 20 when the caller says so
    np.testing.assert_allclose(metrics.nme(TRUTH, ANSWER, LENGTH, missing=7.0)[1], 0.35)


def test_silence_costs_the_objects_extent() -> None:
    truth = np.array([[[0, 0], [30, 40]]], float)
    answer = np.array([[[0, 0], [NAN, NAN]]], float)
    np.testing.assert_allclose(metrics.nme(truth, answer, [1.0]), [25.0])  # (0 + diagonal 50) / 2


def test_objects_without_a_length_are_left_out() -> None:
    lengths = np.array([10.0, NAN, 0.0])
    np.testing.assert_array_equal(metrics.nme(TRUTH, ANSWER, lengths), [0.25, NAN, NAN])
    assert metrics.pck(TRUTH, ANSWER, lengths, 0.2)[0] == 0.5


def test_per_landmark_error_by_hand() -> None:
    np.testing.assert_array_equal(metrics.per_landmark_error(TRUTH, ANSWER, LENGTH), [0.5, 0.5])


def test_pck_by_hand() -> None:
    overall, each = metrics.pck(TRUTH, ANSWER, LENGTH, 0.5)  # 5/10 is within 0.5; missing is not
    assert overall == pytest.approx(2 / 3)
    np.testing.assert_array_equal(each, [1.0, 0.5])
    np.testing.assert_array_equal(metrics.object_pck(TRUTH, ANSWER, LENGTH, 0.49), [0.5, 0.0, NAN])


def test_ced_auc_and_failures_by_hand() -> None:
    values = [0.02, 0.04, 0.10, NAN, INF]
    np.testing.assert_array_equal(metrics.ced(values, [0.0, 0.02, 0.05, 0.2]), [0, 0.25, 0.5, 0.75])
    assert metrics.auc(values, 0.08) == pytest.approx((0.75 + 0.5) / 4)
    assert metrics.failure_rate(values, 0.08) == 0.5
    assert metrics.failure_rate([0.08], 0.08) == 0.0


def test_auc_is_the_area_of_the_ced() -> None:
    values = np.random.default_rng(0).gamma(2, 0.02, 300)
    grid = np.linspace(0, 0.08, 40001)
    area = np.trapezoid(metrics.ced(values, grid), grid) / 0.08
    assert metrics.auc(values) == pytest.approx(area, abs=1e-4)


def test_nothing_to_score_is_nan_without_a_warning() -> None:
    nothing = np.full((2, 3, 2), NAN)
    objects = metrics.Objects(nothing, nothing, np.ones(2), np.ones(2))
    for metric in metrics.LANDMARK_METRICS:
        assert np.isnan(metric(objects)).all()
    assert np.isnan(metrics.per_landmark_error(nothing, nothing, np.ones(2))).all()
    assert np.isnan(metrics.ced([], [0.1])).all()


def test_no_object_at_all() -> None:
    nobody = np.zeros((0, 3, 2))
    assert metrics.nme(nobody, nobody, []).shape == (0,)
    assert metrics.per_landmark_error(nobody, nobody, []).shape == (3,)
    objects = metrics.Objects(nobody, nobody, np.zeros(0))
    for metric in metrics.LANDMARK_METRICS:
        found = metric(objects)
        assert np.isnan(found) if metric.summary == "set" else found.shape == (0,)


def test_the_rows_are_the_functions() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (20, 5, 2))
    predicted, lengths = truth + rng.normal(0, 3, truth.shape), rng.uniform(30, 60, 20)
    objects = metrics.Objects(truth, predicted, lengths, areas=lengths**2)
    rows = {m.key: m(objects) for m in metrics.LANDMARK_METRICS}
    nme = metrics.nme(truth, predicted, lengths)
    for key in ("nme_percent", "median_percent", "error_px", "median_px"):
        np.testing.assert_array_equal(rows[key], nme)
    assert rows["failure_8_percent"].mean() == metrics.failure_rate(nme, 0.08)
    assert rows["auc_8_percent"].mean() == pytest.approx(metrics.auc(nme, 0.08))
    for t in (0.1, 0.2):
        overall = metrics.pck(truth, predicted, lengths, t)[0]
        np.testing.assert_array_equal(
            rows[f"pck_{t}_percent"], metrics.object_pck(truth, predicted, lengths, t)
        )
        assert rows[f"pck_{t}_percent"].mean() == pytest.approx(overall)  # every point labelled
    assert rows["pck_0.2_points_percent"] == metrics.pck(truth, predicted, lengths, 0.2)[0]
    figures = metrics.oks_ap(
        list(truth[:, None]), list(predicted[:, None]), [[1.0]] * 20, list(lengths[:, None] ** 2), [0.05] * 5
    )
    assert rows["oks_ap_percent"] == figures["AP"]


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 3), (2, 2, 2)])
def test_wrong_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(B, K, 2\)"):
        metrics.point_errors(np.zeros((1, 2, 2)), np.zeros(shape))
    with pytest.raises(InputError, match="lengths"):
        metrics.nme(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), [1.0, 2.0])


def test_half_a_pixel_shows() -> None:
    truth = np.random.default_rng(0).uniform(0, 200, (50, 68, 2))
    error = metrics.point_errors(truth, (truth + 0.5).astype(np.float32))
    np.testing.assert_allclose(error, np.sqrt(0.5), atol=1e-4)


POINTS = arrays(np.float64, (3, 4, 2), elements=st.floats(-500, 500, width=32))


@settings(max_examples=40, deadline=None)
@given(POINTS, POINTS, st.floats(-1e3, 1e3), st.floats(0.125, 8))
def test_nme_ignores_translation_and_scale(truth, answer, shift, scale) -> None:
    answer[0, 0] = NAN
    truth[1, 2] = NAN
    lengths = np.array([5.0, 50.0, 500.0])
    before = metrics.nme(truth, answer, lengths)
    after = metrics.nme(truth * scale + shift, answer * scale + shift, lengths * scale)
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, 30, elements=st.floats(0, 1)), st.floats(0.01, 0.5))
def test_a_ced_rises_and_failures_are_its_complement(values, cutoff) -> None:
    curve = metrics.ced(values, np.linspace(0, 1, 50))
    assert (np.diff(curve) >= 0).all() and curve[-1] == 1
    assert metrics.failure_rate(values, cutoff) == pytest.approx(1 - metrics.ced(values, [cutoff])[0])
    assert 0 <= metrics.auc(values, cutoff) <= 1


def test_a_cutoff_must_be_positive() -> None:
    with pytest.raises(InputError, match="cutoff"):
        landmarks.auc([0.1], 0.0)


def test_calibration_by_hand() -> None:
    ok = np.array([1, 0, 1, 1, NAN, 0])
    score = np.array([0.1, 0.3, 0.8, 1.0, 0.9, NAN])
    confidence, hits, count = metrics.calibration_curve(ok, score, n_bins=2)
    np.testing.assert_allclose(confidence, [0.2, 0.9])
    np.testing.assert_allclose(hits, [0.5, 1.0])
    np.testing.assert_array_equal(count, [2, 2])
    assert metrics.expected_calibration_error(ok, score, n_bins=2) == pytest.approx((0.3 + 0.1) / 2)


def test_calibration_of_nothing_and_of_nonsense() -> None:
    assert np.isnan(metrics.expected_calibration_error([NAN], [0.5]))
    with pytest.raises(InputError, match=r"0\.\.1"):
        metrics.calibration_curve([1], [1.5])
    with pytest.raises(InputError, match="one shape"):
        metrics.calibration_curve([1, 0], [0.5])
    with pytest.raises(InputError, match="n_bins"):
        metrics.calibration_curve([1], [0.5], 0)


def test_errors_by_score_by_hand() -> None:
    error = np.array([[8.0, 2.0, np.inf], [1.0, NAN, 3.0]])
    score = np.array([[0.1, 0.8, 0.4], [0.9, 0.2, NAN]])
    middle, count = metrics.error_by_score(error, score, n_bins=4)
    np.testing.assert_array_equal(middle, [8.0, np.inf, NAN, 2.0])
    np.testing.assert_array_equal(count, [1, 1, 0, 2])
    with pytest.raises(InputError, match="one shape"):
        metrics.error_by_score([1.0, 2.0], [0.5])


def test_every_public_name_opens() -> None:
    for name in metrics.__all__:
        assert getattr(metrics, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        _ = metrics.nothing_of_the_kind


def test_precision_and_recall_count_what_is_asserted() -> None:
    truth = np.array([[[0, 0], [10, 0], [np.nan, np.nan], [5, 5]]], float)
    found = np.array([[[0, 1], [10, 9], [5, 5], [np.nan, np.nan]]], float)
    precision, recall, f1 = metrics.precision_recall_f1(truth, found, [10.0], 0.2)
    assert (precision, recall, f1) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    sure = metrics.precision_recall_f1(truth, found, [10.0], 0.2, asserted=[[True, False, False, True]])
    assert sure == pytest.approx((1, 1 / 3, 1 / 2))
    assert np.isnan(metrics.precision_recall_f1(truth * np.nan, found, [10.0], 0.2)).all()
    silent = metrics.precision_recall_f1(truth, found * np.nan, [10.0], 0.2)
    assert np.isnan(silent[0]) and silent[1:] == (0, 0)
