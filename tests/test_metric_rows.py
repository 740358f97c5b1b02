"""One metric = one row: generated checks, and what a row added by a stranger reaches without another file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_helpers import answer, check_page, make_data

from hybridkp import metrics
from hybridkp.checks import metric_checks
from hybridkp.evaluate.tuning import tune
from hybridkp.landmarks import HolisticRegressor
from hybridkp.metrics import LANDMARK_METRICS, POINT_METRICS, Metric, Objects
from hybridkp.report import plots, write_points_report, write_report
from hybridkp.structures import InputError, Problem

ROWS = [("landmarks", m) for m in LANDMARK_METRICS] + [("points", m) for m in POINT_METRICS]


def _worst(o: Objects) -> np.ndarray:
    return np.nan_to_num(metrics.point_errors(o.truth, o.predicted), nan=0.0, posinf=1e6).max(axis=1)


WORST = Metric("worst_px", _worst, "worst point", "px", words="distance of the object's worst landmark")


@pytest.fixture
def plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trade_off_svg", "shares_svg", "history_svg"):
        monkeypatch.setattr(plots, name, lambda *a, **k: '<svg role="img" aria-label="stub"></svg>')
    monkeypatch.setattr(plots, "overview_png", lambda *a, **k: b"stub")


@pytest.mark.parametrize(("task", "metric"), ROWS, ids=[f"{t}-{i}-{m.key}" for i, (t, m) in enumerate(ROWS)])
def test_every_row_keeps_its_promises(task: str, metric: Metric) -> None:
    for name, check in metric_checks(metric, task):  # type: ignore[arg-type]
        try:
            check()
        except AssertionError as error:
            raise AssertionError(f"{metric.key}: {name}: {error}") from error


def _writes(o: Objects) -> np.ndarray:
    o.predicted[0] += 1
    return _worst(o)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"direction": "higher"}, "more noise is worse"),
        ({"best": 1.0}, "a perfect prediction has the best value"),
        ({"function": lambda o: np.round(_worst(o) / 1000)}, "half a pixel shows"),
        ({"function": lambda o: np.nan_to_num(_worst(o) % 1e6)}, "a missing prediction never helps"),
        ({"function": lambda o: _worst(o) * np.arange(len(o))}, "order changes nothing"),
        ({"function": _writes}, "inputs stay"),
        ({"function": lambda o: np.nan_to_num(_worst(o))}, "nothing to judge is NaN"),
        ({"words": ""}, "the row is whole"),
    ],
)
def test_a_broken_promise_is_found(change: dict[str, object], broken: str) -> None:
    check = dict(metric_checks(replace(WORST, **change)))[broken]  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        check()


@pytest.mark.usefixtures("plain_page")
def test_an_appended_row_is_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.rows, "LANDMARK_METRICS", [*LANDMARK_METRICS, WORST])
    data = make_data()
    paths = write_report([answer(data, "a", 4.0), answer(data, "bb", 1.0)], data, tmp_path).paths
    _is_everywhere(paths, "a", WORST)


def _is_everywhere(paths: dict[str, Path], method: str, metric: Metric) -> None:
    markdown, line = paths["markdown"].read_text(), paths["csv"].read_text().splitlines()[0]
    stored = json.loads(paths["json"].read_text())
    row = next(m for m in stored["methods"] if m["method"] == method)
    assert f"| {metric.heading} |" in markdown and metric.key in line.split(",")
    assert stored["about"]["metrics"][metric.key] == metric.words
    text = re.sub(r"\s+", " ", " ".join(check_page(paths["html"]).text))
    assert metric.heading in text and metric.words[1:] in text
    assert f"{row[metric.key]:.{metric.digits}f}" in markdown


@pytest.mark.usefixtures("plain_page")
def test_own_metrics_can_be_given(tmp_path: Path) -> None:
    data = make_data()
    given = [replace(WORST, interval=True, place=2)]
    report = write_report([answer(data, "a", 4.0), answer(data, "bb", 1.0)], data, tmp_path, metrics=given)
    _is_everywhere(report.paths, "a", WORST)
    numbers = report.rows[0].numbers
    assert numbers["worst_px_low"] < numbers["worst_px"] < numbers["worst_px_high"]


@pytest.mark.usefixtures("plain_page")
def test_a_row_of_interest_points_is_everywhere(tmp_path: Path) -> None:
    import test_report_points as points

    row = Metric(
        *("spread_px", lambda p: float(np.ptp(p.matched.xy_a)), "spread", "px", 1, "higher"),
        words="extent of the matched points",
        best=np.inf,
    )
    pairs = points.make_pairs(6)
    sets = [points.matched(pairs, name, noise) for name, noise in (("sift", 1.0), ("orb", 2.0))]
    paths = write_points_report(sets, pairs, tmp_path, families=points.FAMILIES, metrics=[row])
    _is_everywhere(paths, "orb", row)


def test_a_row_can_lead_a_tuning(tmp_path: Path) -> None:
    from hybridkp.datasets import make_faces

    problem = Problem(make_faces(16, (64, 64), random_state=0), size_hw=(64, 64))
    options = {"out": tmp_path, "n_trials": 2, "cv": 2}
    space = {"alpha": [1.0, 1e4]}
    found = tune(HolisticRegressor(grid=8), space, problem, metric=WORST, **options)  # type: ignore[arg-type]
    assert {t.metric for t in found} == {"worst_px"} and found[0].error > 0
    with pytest.raises(InputError, match="no value for each object"):
        tune(HolisticRegressor(), {}, problem, metric="oks_ap_percent", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no metric 'nmee_percent'"):
        tune(HolisticRegressor(), {}, problem, metric="nmee_percent", **options)  # type: ignore[arg-type]


def test_each_metric_takes_the_objects_that_it_needs() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 50, (4, 3, 2))
    objects = Objects(truth, truth + 1, lengths=[10, np.nan, 10, 10], areas=[9, 9, 0, np.nan])
    rows = {m.key: m for m in LANDMARK_METRICS}
    assert np.isfinite(rows["error_px"](objects)).tolist() == [True, False, True, True]
    assert rows["oks_ap_percent"].judges(objects).tolist() == [True, True, False, False]
    with pytest.raises(InputError, match="choose from normalizer"):
        replace(WORST, needs=("colour",))(objects)
