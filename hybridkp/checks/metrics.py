"""Public checks that every metric must pass, third parties' too.

``for name, check in metric_checks(MY_METRIC): check()`` raises AssertionError where a promise of
:class:`hybridkp.metrics.Metric` is broken.  Needs no data: objects (B, K, 2) and matched pairs of points
(N, 2) are made here.  Never here: what a metric means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np

from ..metrics import JudgedPair, Metric, Objects, transfer
from ..structures import Array, InputError, Keypoints, Matched
from .detectors import Checks

_COUNTS = "it counts what was found, wherever that lies"
#: (key of the metric, check) -> the reason why that promise is not kept
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("precision_percent", "a missing prediction never helps"): "what is not asserted cannot be wrong",
    **{(key, "more noise is worse"): _COUNTS for key in ("points", "matches", "inliers")},
    **{(key, "half a pixel shows"): _COUNTS for key in ("points", "matches", "inliers")},
    ("localisation_px", "more noise is worse"): "it speaks of the points that are found again within 3 px",
    ("localisation_px", "a missing prediction never helps"): "it speaks of the points that are found again",
}

NOISE = (0.0, 0.3, 1.0, 4.0)  #: factors from perfect to poor
_SIZE_HW = (240, 320)
_HOMOGRAPHY = np.array([[1.05, 0.02, 4.0], [-0.01, 0.97, 6.0], [1e-5, -2e-5, 1.0]])


class _Objects:
    """250 objects with all that a metric may need; their errors run from 0.1 to 30 px, so that a shift
    by half a pixel carries some over any limit."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        rng = np.random.default_rng(0)
        n, k = 250, 7
        shape = rng.uniform(0, 60, (k, 2))
        truth = shape + rng.normal(0, 2, (n, k, 2)) + rng.uniform(0, 200, (n, 1, 2))
        truth[rng.random((n, k)) < 0.1] = np.nan
        box = np.concatenate([np.nanmin(truth, 1) - 2, np.nanmax(truth, 1) - np.nanmin(truth, 1) + 4], 1)
        self.off = rng.normal(0, 1, (n, k, 2)) * np.geomspace(0.1, 30, n)[:, None, None]
        self.order = rng.permutation(n)
        self.perfect = Objects(
            truth,
            truth,
            lengths=np.ones(n) if metric.normalizers in (("pixel",), ("mm",)) else rng.uniform(40, 70, n),
            areas=box[:, 2] * box[:, 3],
            boxes_xywh=box,
            score=np.linspace(1, 0.2, n),
            picture=np.arange(n) // 2,
            second=truth,
            sigmas=np.linspace(0.03, 0.09, k),
            skeleton=np.array([[0, 1], [1, 2]]),
        )

    def noisy(self, factor: float, shift: Array | float = 0.0) -> Objects:
        return replace(self.perfect, predicted=self.perfect.predicted + factor * self.off + shift)

    @cached_property
    def missing(self) -> Objects:
        predicted = self.noisy(1.0).predicted.copy()
        predicted[::3, ::2] = np.nan
        return replace(self.perfect, predicted=predicted)

    @cached_property
    def shuffled(self) -> Objects:
        return self.noisy(1.0)[self.order]

    @cached_property
    def empty(self) -> Objects:
        return replace(self.perfect, truth=np.full(self.perfect.truth.shape, np.nan))[:3]

    def value(self, objects: Objects) -> float:
        found = self.metric(objects)
        if self.metric.summary == "set":
            return float(found)
        assert np.shape(found) == (len(objects),), f"{np.shape(found)} values for {len(objects)} objects"
        return _summary(self.metric, found)


class _Pairs:
    """40 pairs of pictures with matched points and homographies; errors run from 0.1 to 30 px."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        rng = np.random.default_rng(0)
        self.a = rng.uniform([20, 20], [290, 200], (40, 50, 2))
        self.off = rng.normal(0, 1, (40, 50, 2)) * np.geomspace(0.1, 30, 40)[:, None, None]
        self.order = rng.permutation(50)

    def noisy(self, factor: float, shift: Array | float = 0.0) -> list[JudgedPair]:
        found = []
        for a, off in zip(self.a, self.off, strict=True):
            b = transfer(a, _HOMOGRAPHY) + factor * off + shift
            moved = np.eye(3)
            moved[:2, 2] = factor * off[0] + shift
            found.append(_pair(a, b, moved @ _HOMOGRAPHY))
        return found

    @cached_property
    def perfect(self) -> list[JudgedPair]:
        return self.noisy(0.0)

    @cached_property
    def missing(self) -> list[JudgedPair]:
        nothing = np.zeros((0, 2))
        whole = self.noisy(1.0)
        return [_pair(nothing, nothing, np.full((3, 3), np.nan)) if i % 3 else p for i, p in enumerate(whole)]

    @cached_property
    def shuffled(self) -> list[JudgedPair]:
        return [
            _pair(m.xy_a, m.xy_b, m.homography, self.order)
            for m in (p.matched for p in self.noisy(1.0)[::-1])
        ]

    @cached_property
    def empty(self) -> list[JudgedPair]:
        return []

    def value(self, pairs: Sequence[JudgedPair]) -> float:
        return _summary(self.metric, np.array([float(self.metric.function(p)) for p in pairs]))


def _pair(a: Array, b: Array, homography: Array, order: Array | None = None) -> JudgedPair:
    """A quarter of the matches are no inliers."""
    rows = np.arange(len(a)) if order is None else order
    a, b, inlier = a[rows], b[rows], rows % 4 > 0
    matched = Matched(Keypoints(a), Keypoints(b), a, b, np.ones(len(a)), homography, inlier)
    return JudgedPair(matched, _HOMOGRAPHY, _SIZE_HW, _SIZE_HW)


def _summary(metric: Metric, values: Array) -> float:
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan")
    return float(np.median(known) if metric.summary == "median" else known.mean())


def metric_checks(metric: Metric, task: Literal["landmarks", "points"] = "landmarks") -> Checks:
    """Named checks, each a function of no arguments.

    Parameters
    ----------
    metric : the row; its function takes :class:`~hybridkp.metrics.Objects`, or for interest points one
        :class:`~hybridkp.metrics.JudgedPair`
    task : "landmarks" or "points"
    """
    if task not in ("landmarks", "points"):
        raise InputError(f"task {task!r}: there are 'landmarks' and 'points'")
    scene: Any = _Objects(metric) if task == "landmarks" else _Pairs(metric)
    own: Mapping[str, Callable[[Any, Metric], None]] = {
        "the row is whole": _is_whole,
        "a perfect prediction has the best value": _perfect_is_best,
        "more noise is worse": _noise_is_worse,
        "half a pixel shows": _half_a_pixel,
        "a missing prediction never helps": _missing_never_helps,
        "order changes nothing": _order,
        "inputs stay": _inputs_stay,
        "nothing to judge is NaN": _nothing,
    }
    return _kept(scene, metric, own)


def _kept(scene: Any, metric: Metric, own: Mapping[str, Callable[[Any, Metric], None]]) -> Checks:
    for name, check in own.items():
        if (metric.key, name) not in EXCEPTIONS:
            yield name, partial(check, scene, metric)


def _is_whole(_: Any, metric: Metric) -> None:
    assert metric.key and metric.title and metric.words, "key, title and words must say something"
    assert metric.direction in ("lower", "higher"), f"direction is {metric.direction!r}"
    assert metric.summary in ("mean", "median", "set"), f"summary is {metric.summary!r}"
    assert metric.scale > 0, f"scale is {metric.scale}"
    suffix = {"%": "percent", "px": "px"}.get(metric.unit, "")
    assert metric.key.endswith(suffix), f"the key {metric.key} must end with its unit, {suffix}"


def _perfect_is_best(scene: Any, metric: Metric) -> None:
    found, *others = (scene.value(scene.noisy(factor)) for factor in NOISE)
    if np.isfinite(metric.perfect):
        assert abs(found - metric.perfect) < 1e-5, f"a perfect prediction has {found}, not {metric.perfect}"
    better = min if metric.lower_is_better else max
    assert better([found, *others]) == found, f"{others} are not behind the perfect {found}"


def _noise_is_worse(scene: Any, metric: Metric) -> None:
    found = [scene.value(scene.noisy(factor)) for factor in NOISE]
    steps = np.diff(found) * (1 if metric.lower_is_better else -1)
    assert (steps > 0).all(), f"noise of {NOISE} times the same gives {found}"


def _half_a_pixel(scene: Any, metric: Metric) -> None:
    there = scene.value(scene.noisy(1.0))
    moved = [scene.value(scene.noisy(1.0, shift=0.5 * side)) for side in np.vstack([np.eye(2), -np.eye(2)])]
    assert any(value != there for value in moved), f"a shift by half a pixel leaves it at {there}"


def _missing_never_helps(scene: Any, metric: Metric) -> None:
    whole, less = scene.value(scene.noisy(1.0)), scene.value(scene.missing)
    worse = less >= whole if metric.lower_is_better else less <= whole
    assert worse, f"{whole} becomes {less} when predictions are missing"


def _order(scene: Any, metric: Metric) -> None:
    a, b = scene.value(scene.noisy(1.0)), scene.value(scene.shuffled)
    assert np.isclose(a, b, rtol=1e-9, atol=1e-12), f"{a} becomes {b} in another order"


def _arrays(given: Any) -> Iterator[Array]:
    if isinstance(given, Objects):
        yield from (v for v in vars(given).values() if isinstance(v, np.ndarray))
        return
    for pair in given:
        for part in (pair.matched, pair.matched.keypoints_a, pair.matched.keypoints_b):
            yield from (v for v in vars(part).values() if isinstance(v, np.ndarray))


def _inputs_stay(scene: Any, metric: Metric) -> None:
    given = scene.noisy(1.0)
    before = deepcopy(list(_arrays(given)))
    first, second = scene.value(given), scene.value(given)
    assert first == second, f"the same input gives {first}, then {second}"
    for judged in [given] if isinstance(given, Objects) else given:
        metric.function(judged)
    for old, new in zip(before, _arrays(given), strict=True):
        assert np.array_equal(old, new, equal_nan=old.dtype.kind == "f"), "it writes into its input"


def _nothing(scene: Any, metric: Metric) -> None:
    found = scene.value(scene.empty)
    assert np.isnan(found), f"with nothing to judge it is {found}"
