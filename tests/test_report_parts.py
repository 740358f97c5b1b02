"""The report's parts: choice of pictures, mean shape, labels, plots, numbers as text."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from report_helpers import BASE, answer, make_data, unlabel

from hybridkp.report import cells, plots
from hybridkp.report.labels import overlap_area, place_labels
from hybridkp.report.landmarks import reliability, shapes
from hybridkp.report.landmarks.pictures import choose_cases, choose_disagreement
from hybridkp.report.landmarks.scores import gather_truth, mean_shape, score_methods


@pytest.fixture(scope="module")
def data():
    return make_data()


def test_cases_and_disagreement(data):
    runs = [answer(data, "a", 2.0), answer(data, "bb", 3.0)]
    runs[0] = replace(runs[0], xy=np.concatenate([runs[0].xy[:7], runs[0].xy[7:8] + 30, runs[0].xy[8:]]))
    truth = gather_truth(data, runs)
    scores = score_methods(truth, runs)
    a = next(s for s in scores if s.method == "a")
    cases = choose_cases(a)
    assert cases["worst"] == 7 and cases["best"] == a.errors[0].argmin()
    assert choose_disagreement(truth, scores)[0] == 7
    assert len({truth.groups[r] for r in choose_disagreement(truth, scores)}) == 4


def test_the_mean_shape_is_the_shape():
    data = make_data(40)
    truth = gather_truth(data, [answer(data, "m", 1.0)])
    shape = mean_shape(truth)
    expected = (BASE - BASE.mean(0)) / 40
    np.testing.assert_allclose(shape, expected, atol=0.03)
    assert np.isnan(
        mean_shape(
            gather_truth(unlabel(data, [0], range(40)), [answer(unlabel(data, [0], range(40)), "m", 1)])
        )
    ).all()


def test_scores_are_held_against_hits_within_the_crops_side():
    """Boxes of 60 px, margin 1.25: a crop's side is 75 px, and near is below 1.875 px."""
    data = make_data(40)
    run = answer(data, "m", 0.0, params={"size_hw": [128, 128], "margin": 1.25})
    xy, score = run.xy.copy(), np.full(run.score.shape, 0.85)
    xy[:10, :, 0] += 1.9  # a quarter is just not near, the rest is
    xy[10:, :, 1] += 1.8
    run = replace(run, xy=xy, score=score)
    truth = gather_truth(data, [run])
    found = reliability.reliability(truth, score_methods(truth, [run])[0])
    assert found.count.tolist() == [0] * 8 + [200, 0]
    assert found.observed[8] == pytest.approx(0.75)
    assert found.error[8] == pytest.approx(1.8 / 75, rel=1e-4)
    assert found.calibration_error == pytest.approx(0.10, abs=1e-6)
    panel = reliability.panels({"m": found})[0]
    assert panel["words"].startswith("ECE 10.0") and "expected calibration error 10.0 %" in panel["svg"]
    half = reliability.expected_error(np.array([0.5]))
    assert half == pytest.approx(0.025), "half of the points are near: so is the median"


def test_scores_that_cannot_be_judged_have_no_panel():
    data = make_data(8)
    unknown = answer(data, "no crop", 1.0)
    odd = answer(data, "no probability", 1.0, params={"size_hw": [128, 128], "margin": 1.25})
    odd = replace(odd, score=odd.score * 7)
    truth = gather_truth(data, [unknown, odd])
    scored = score_methods(truth, [unknown, odd])
    assert reliability.panels({s.method: reliability.reliability(truth, s) for s in scored}) == []


def test_circles_have_the_errors_radius():
    svg = shapes.mean_shape_svg(
        np.array([[0.0, 0], [1, 0]]),
        np.array([0.1, 0.05]),
        0.1,
        skeleton=[[0, 1]],
        names=["<a>", "b"],
        unit="%",
        label="x",
    )
    radii = dict(re.findall(r'r="([\d.]+)" fill="(#\w+)"', svg))
    assert list(radii) == ["16.0", "8.0"] and radii["16.0"] == shapes.STOPS[-1]
    assert "&lt;a&gt;: 10.00 %" in svg
    assert shapes.color_of(0) == shapes.STOPS[0]


@pytest.mark.parametrize("n", [0, 1, 2, 13, 20])
def test_labels_keep_clear(n):
    random = np.random.default_rng(n)
    points = np.stack([random.uniform(150, 500, n), random.uniform(60, 300, n)], 1)
    sizes = np.stack([random.uniform(40, 110, n), np.full(n, 11.0)], 1)
    frame = np.array([0, 0, 640, 360.0])
    boxes = place_labels(points, sizes, frame)
    assert boxes.shape == (n, 4)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], sizes)
    shared = overlap_area(boxes, boxes)
    np.fill_diagonal(shared, 0)
    assert shared.sum() == 0
    assert overlap_area(boxes, np.concatenate([points - 4, points + 4], 1)).sum() == 0
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= frame[2:]).all()
    np.testing.assert_array_equal(boxes, place_labels(points, sizes, frame))


def test_labels_of_one_spot_part():
    boxes = place_labels([[50, 50]] * 4, [[30, 10]] * 4, [0, 0, 200, 200])
    shared = overlap_area(boxes, boxes)
    np.fill_diagonal(shared, 0)
    assert shared.sum() == 0


def test_the_pareto_front():
    points = [
        plots.Point(str(i), ms, v, v, v) for i, (ms, v) in enumerate([(1, 9), (2, 5), (3, 6), (4, 4), (4, 5)])
    ]
    assert plots.pareto(points) == [0, 1, 3]
    assert plots.pareto(points, lower_is_better=False) == [0]
    assert plots.pinned(points) is None
    assert plots.pinned([plots.Point("z", 0.01, 1, 1, 1), *points]) == 0


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.234, 2, "1.23"), (-0.5, 1, "−0.5"), (-0.001, 2, "0.00"), (float("nan"), 2, "–"), (np.inf, 0, "–"),
        (13.94, -3, "13.9"), (0.00979, -3, "0.00979"), (280.0, -3, "280"), (1234.5, -3, "1234"),
        (0.0, -3, "0"),
    ],
)  # fmt: skip
def test_numbers_for_people(value, digits, text):
    assert cells.number(value, digits) == text


def test_p_values_are_never_zero():
    assert [cells.p_value(p) for p in (0.0001, 0.0123, 0.5, float("nan"))] == [
        "< 0.001",
        "0.012",
        "0.50",
        "–",
    ]


def test_plots_of_odd_numbers():
    """Everything equal, one method, thirteen orders of magnitude, higher is better, nothing timed."""
    options = {"y_label": "NME, %", "name": "p", "width": 3.6, "height": 3.0}
    cases = [
        [(1.0, 5.0, 4.0, 6.0)],
        [(1.0, 5.0, np.nan, np.nan)] * 3,
        [(1e-3, 0.0, 0.0, 0.0), (1.0, 1e9, 1e8, 1e10), (1e4, 5.0, 4, 6)],
    ]
    for rows in cases:
        svg = plots.trade_off_svg([plots.Point("m", *r) for r in rows], lower_is_better=True, **options)
        assert svg.startswith("<svg role=") and svg.rstrip().endswith("</svg>")
    assert plots.trade_off_svg([plots.Point("m", 1, 90, 80, 95)], lower_is_better=False, **options)
    assert not plots.trade_off_svg([plots.Point("m", np.nan, 9, 8, 9)], lower_is_better=True, **options)
    assert not plots.shares_svg({}, x_label="x", y_label="y", label="l", name="c", width=3, height=3)
