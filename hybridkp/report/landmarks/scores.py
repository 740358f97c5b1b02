"""Lines stored predictions up with the truth and asks ``metrics`` and ``stats`` about them.

Here lives the step from :class:`Predictions` and :class:`Dataset` to numbers per method: which
rows belong together, which figure leads, seeds averaged object by object.  No formula of a metric
and no formatting here.  Letters: S seeds, B objects, K landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ... import stats as statistics
from ...metrics import Metric, Objects, ced, metrics_for, nme, objects_of, per_landmark_error
from ...structures import (
    Array,
    Dataset,
    InputError,
    Instance,
    Normalizer,
    ObjectKey,
    Predictions,
    Sample,
    object_keys,
    short_repr,
)


@dataclass(frozen=True, eq=False)
class Truth:
    """The B objects that at least one method was asked about, in the data set's order."""

    dataset: Dataset
    keys: tuple[ObjectKey, ...]
    samples: tuple[Sample, ...]
    instances: tuple[Instance, ...]
    objects: Objects  #: nothing predicted
    groups: Array  #: (B,)
    normalizer: Normalizer
    metrics: Sequence[Metric]  #: the rows that are shown, the headline first
    not_asked: int  #: objects of the data set that no method was asked about

    __repr__ = short_repr

    @property
    def headline(self) -> Metric:
        return self.metrics[0]

    @property
    def xy(self) -> Array:
        """(B, K, 2) float64, NaN = not labelled."""
        return self.objects.truth

    @property
    def lengths(self) -> Array:
        """(B,) px of the normaliser, NaN where it is not known."""
        return self.objects.lengths

    @property
    def scored(self) -> Array:
        """(B,) bool: has a length and a labelled point."""
        return np.isfinite(self.lengths) & self.objects.labelled

    @property
    def divided(self) -> bool:
        """Whether errors are shown in % of the normaliser, not in px or mm."""
        return tuple(self.normalizer) not in (("pixel",), ("mm",))

    @property
    def error_unit(self) -> tuple[float, str]:
        """Factor from errors to shown ones, and their unit."""
        return (100.0, "%") if self.divided else (1.0, "mm" if self.normalizer[0] == "mm" else "px")


@dataclass(frozen=True, eq=False)
class Scores:
    """One method, every seed."""

    method: str
    runs: tuple[Predictions, ...]  #: by seed
    xy: Array  #: (S, B, K, 2) in picture px, NaN = gave none
    confidence: Array  #: (S, B) mean score of an object's points, 0 where it has none
    point_confidence: Array  #: (S, B, K) the points' scores, NaN where the method was not asked
    figures: Mapping[str, Array]  #: key of a metric -> (S, B) as its function gives it, (S,) of a set
    values: Array  #: (S, B) the headline's
    errors: Array  #: (S, B) NME, for the CED and for choosing pictures

    __repr__ = short_repr

    @cached_property
    def error(self) -> Array:
        """(B,) the seeds' mean."""
        return statistics.average_over_seeds(self.errors)


def gather_truth(
    dataset: Dataset,
    predictions: Sequence[Predictions],
    normalizer: Normalizer | None = None,
    more: Sequence[Metric] = (),
) -> Truth:
    """The truth of every row of the predictions; ``more`` are metrics besides our own.

    Raises
    ------
    InputError
        No predictions, an object that the data set lacks, another K, another fingerprint, or a
        normaliser that the data cannot give.
    """
    if not predictions:
        raise InputError("nothing to report: no predictions were given")
    objects = [(s, i) for s, sample in enumerate(dataset) for i in range(len(sample.instances))]
    keys = object_keys((dataset.samples[s].name, i) for s, i in objects)
    index = {key: row for row, key in enumerate(keys)}
    asked: set[int] = set()
    for p in predictions:
        _check(p, dataset)
        for key in object_keys(zip(p.names, p.instance.tolist(), strict=True)):
            if key not in index:
                raise InputError(
                    f"predictions of {p.method}: object {key[1]} of picture {key[0]} is not in"
                    f" {dataset.name}: report them with the split they were made on"
                )
            asked.add(index[key])
    if not asked:
        raise InputError("nothing to report: the predictions have no rows")
    rows = sorted(asked)
    samples = tuple(dataset.samples[objects[r][0]] for r in rows)
    chosen = tuple(dataset.normalizer if normalizer is None else normalizer)
    return Truth(
        dataset=dataset,
        keys=tuple(keys[r] for r in rows),
        samples=samples,
        instances=tuple(dataset.samples[s].instances[i] for s, i in (objects[r] for r in rows)),
        objects=objects_of(dataset, [objects[r] for r in rows], chosen),
        groups=np.array([s.group for s in samples], dtype=str),
        normalizer=chosen,
        metrics=metrics_for(dataset, chosen, more),
        not_asked=len(objects) - len(rows),
    )


def _check(p: Predictions, dataset: Dataset) -> None:
    if p.xy.shape[1] != len(dataset.landmarks):
        raise InputError(
            f"predictions of {p.method} have K = {p.xy.shape[1]} landmarks, {dataset.name} has"
            f" {len(dataset.landmarks)}: report them with the data they were made on"
        )
    if p.fingerprint and p.fingerprint != dataset.fingerprint:
        raise InputError(
            f"predictions of {p.method} were made on data {p.fingerprint}, {dataset.name} is"
            f" {dataset.fingerprint}: the annotations changed, run the bench again"
        )


def score_methods(truth: Truth, predictions: Sequence[Predictions]) -> list[Scores]:
    """One :class:`Scores` per method name, best first; ties and methods without a value by name.

    A method that lacks an object which another was asked about has missing points there
    (see ``metrics.landmarks``).  The same run given twice counts once; two different runs of one
    method and seed are an :class:`InputError`.
    """
    by_method: dict[str, dict[int, Predictions]] = {}
    for p in predictions:
        runs = by_method.setdefault(p.method, {})
        old = runs.setdefault(p.seed, p)
        if old is not p and not _same(old, p):
            raise InputError(
                f"two different predictions of {p.method} with seed {p.seed}: keep one, or name them apart"
            )
    out = [_score(truth, m, [runs[s] for s in sorted(runs)]) for m, runs in by_method.items()]
    sign = 1 if truth.headline.lower_is_better else -1

    def place(s: Scores) -> tuple[float, str]:
        mean = statistics.bootstrap_interval(statistics.average_over_seeds(s.values), n_resamples=1).value
        return (sign * mean if np.isfinite(mean) else np.inf, s.method)

    return sorted(out, key=place)


def _same(a: Predictions, b: Predictions) -> bool:
    return (
        a.names == b.names
        and np.array_equal(a.instance, b.instance)
        and np.array_equal(a.xy, b.xy, equal_nan=True)
    )


def _score(truth: Truth, method: str, runs: Sequence[Predictions]) -> Scores:
    place = {key: row for row, key in enumerate(truth.keys)}
    xy = np.full((len(runs), *truth.xy.shape), np.nan)
    confidence, of_points = np.zeros(xy.shape[:2]), np.full(xy.shape[:3], np.nan)
    for s, run in enumerate(runs):
        rows = [place[key] for key in object_keys(zip(run.names, run.instance.tolist(), strict=True))]
        xy[s, rows] = run.xy
        of_points[s, rows] = run.score
        confidence[s, rows] = np.nan_to_num(_nanmean(run.score.astype(float), 1))
    judged = [truth.objects.predicted_by(*one) for one in zip(xy, confidence, strict=True)]
    figures = {m.key: np.array([m(objects) for objects in judged]) for m in truth.metrics}
    errors = np.stack([nme(truth.xy, predicted, truth.lengths) for predicted in xy])
    values = figures[truth.headline.key]
    return Scores(method, tuple(runs), xy, confidence, of_points, figures, values, errors)


def machines(scores: Sequence[Scores]) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """Method -> where its runs were timed, and where they were fitted; and all of these machines."""
    hosts = {s.method: [run.host for run in s.runs] for s in scores}
    fit_hosts = {s.method: [run.fit_host for run in s.runs] for s in scores}
    return hosts, fit_hosts, sorted({h for its in (*hosts.values(), *fit_hosts.values()) for h in its if h})


def compare(truth: Truth, scores: Sequence[Scores], level: float) -> list[statistics.PairedComparison]:
    """Every pair of methods on the headline, better one first, in shown units."""
    shown = [s.values * truth.headline.scale for s in scores]
    return statistics.compare_all([s.method for s in scores], shown, truth.groups, level=level)


def landmark_errors(truth: Truth, scores: Scores) -> Array:
    """(K,) mean error of each landmark over objects and seeds, a fraction or px."""
    rows = [per_landmark_error(truth.xy, predicted, truth.lengths) for predicted in scores.xy]
    return np.mean(rows, axis=0)


def error_curve(scores: Scores, thresholds: Array) -> Array:
    """(T,) the CED, averaged over seeds."""
    return np.mean([ced(e, thresholds) for e in scores.errors], axis=0)


def mean_shape(truth: Truth) -> Array:
    """(K, 2) the truth's mean shape in normaliser units (px for "pixel"), centred on 0.

    Shapes are divided by their normaliser, turned onto each other by similarity maps (generalised
    Procrustes, Gower 1975, three rounds) and averaged; the mean keeps the median shape's size and
    stands as the pictures do on average.
    A landmark that is never labelled stays NaN.
    """
    from ...imaging.geometry import apply_affine, similarity

    shapes = truth.xy[truth.scored] / truth.lengths[truth.scored, None, None]
    if len(shapes) == 0:
        return np.full(truth.xy.shape[1:], np.nan)
    shapes = shapes - _nanmean(shapes, 1)[:, None]
    size = np.sqrt(_nanmean((shapes**2).sum(-1), 1))
    mean = shapes[np.isfinite(shapes).all(2).sum(1).argmax()]
    mean = np.where(np.isnan(mean), _nanmean(shapes, 0), mean)
    for _ in range(3):
        mean = _nanmean(apply_affine(similarity(shapes, mean), shapes), 0)
        mean = mean - _nanmean(mean, 0)
    upright = similarity(mean, _nanmean(shapes, 0))[:, :2]
    mean = mean @ (upright / np.sqrt(max(np.linalg.det(upright), 1e-12))).T
    spread = float(np.sqrt(_nanmean((mean**2).sum(-1), 0)))
    return mean * (float(np.median(size)) / spread if spread > 0 else 1.0)


def _nanmean(values: Array, axis: int) -> Array:
    there = ~np.isnan(values)
    count = there.sum(axis)
    return np.where(count > 0, np.where(there, values, 0).sum(axis) / np.maximum(count, 1), np.nan)


def summary(values: Any, groups: Array, level: float) -> statistics.Interval:
    """Mean over objects of (S, B) with its interval over groups."""
    return statistics.bootstrap_interval(statistics.average_over_seeds(values), groups, level=level)
