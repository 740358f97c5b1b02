"""Lines stored predictions up with the truth and asks ``metrics`` and ``statistics`` about them.

Here lives the step from :class:`Predictions` and :class:`Dataset` to numbers per method: which
rows belong together, which figure leads, seeds averaged object by object.  No formula of a metric
and no formatting here.  Letters: S seeds, B objects, K landmarks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import stats as statistics
from ...metrics import landmarks as metrics
from ...structures import Array, Dataset, InputError, Instance, Normalizer, Predictions, Sample
from ..cells import Figure

Key = tuple[str, int, int]  #: picture, instance, and the how-manieth row of that name


@dataclass(frozen=True)
class Headline(Figure):
    """... of landmarks; ``score`` gives one value an object."""

    kind: str  #: "nme", "pck" or "pixel"
    scale: float  #: fraction -> shown
    score: Callable[[Array, Array, Array], Array]


_PCK = metrics.OBJECT_METRICS["pck@0.2"]
HEADLINES = {
    "nme": Headline("NME", "%", "nme_percent", True, 2, "nme", 100.0, metrics.nme),
    "pck": Headline("PCK@0.2", "%", "pck_0.2_percent", False, 1, "pck", 100.0, _PCK),
    "pixel": Headline("mean error", "px", "error_px", True, 2, "pixel", 1.0, metrics.nme),
}


@dataclass(frozen=True, eq=False)
class Truth:
    """The B objects that at least one method was asked about, in the data set's order."""

    dataset: Dataset
    keys: tuple[Key, ...]
    samples: tuple[Sample, ...]
    instances: tuple[Instance, ...]
    xy: Array  #: (B, K, 2) float64, NaN = not labelled
    lengths: Array  #: (B,) of the normaliser, px; NaN = left out
    groups: Array  #: (B,)
    normalizer: Normalizer
    headline: Headline
    not_asked: int  #: objects of the data set that no method was asked about

    @property
    def scored(self) -> Array:
        """(B,) bool: has a length and a labelled point."""
        labelled = np.isfinite(self.xy).all(axis=2)
        return np.isfinite(self.lengths) & np.any(labelled, axis=1)


@dataclass(frozen=True, eq=False)
class Scores:
    """One method, every seed."""

    method: str
    runs: tuple[Predictions, ...]  #: by seed
    xy: Array  #: (S, B, K, 2) in picture px, NaN = gave none
    values: Array  #: (S, B) the headline, as a fraction or px
    confidence: Array  #: (S, B) mean score of an object's answers, 0 where it has none
    errors: Array  #: (S, B) NME, for the CED and for choosing pictures
    trust: Array  #: (S, B, K) the points' own scores, NaN where the method was not asked

    @property
    def error(self) -> Array:
        """(B,) the seeds' mean."""
        return statistics.average_over_seeds(self.errors)


def _keys(pairs: Iterable[tuple[str, int]]) -> list[Key]:
    seen: Counter[tuple[str, int]] = Counter()
    out = []
    for name, instance in pairs:
        pair = (str(name), int(instance))
        out.append((*pair, seen[pair]))
        seen[pair] += 1
    return out


def gather_truth(
    dataset: Dataset, predictions: Sequence[Predictions], normalizer: Normalizer | None = None
) -> Truth:
    """The truth of every row of the predictions.

    Raises
    ------
    InputError
        No predictions, an object that the data set lacks, another K, another fingerprint, or a
        normaliser that the data cannot give.
    """
    if not predictions:
        raise InputError("nothing to report: no predictions were given")
    objects = [(s, i, n) for s in dataset for n, i in enumerate(s.instances)]
    index = {key: row for row, key in enumerate(_keys((s.name, n) for s, _, n in objects))}
    asked: set[int] = set()
    for p in predictions:
        _check(p, dataset)
        for key in _keys(zip(p.names, p.instance.tolist(), strict=True)):
            if key not in index:
                raise InputError(
                    f"predictions of {p.method}: object {key[1]} of picture {key[0]} is not in"
                    f" {dataset.name}: report them with the split they were made on"
                )
            asked.add(index[key])
    if not asked:
        raise InputError("nothing to report: the predictions have no rows")
    rows = sorted(asked)
    samples = tuple(objects[r][0] for r in rows)
    instances = tuple(objects[r][1] for r in rows)
    keys = list(index)
    xy = np.stack([i.xy for i in instances])
    normalizer = tuple(dataset.normalizer if normalizer is None else normalizer)
    try:
        boxes = np.stack([i.box_xywh for i in instances])
        lengths = metrics.normalizer_lengths(xy, normalizer, boxes)
    except ValueError as error:
        raise InputError(f"{dataset.name}: {error}") from error
    return Truth(
        dataset=dataset,
        keys=tuple(keys[r] for r in rows),
        samples=samples,
        instances=instances,
        xy=xy,
        lengths=lengths,
        groups=np.array([s.group for s in samples], dtype=str),
        normalizer=normalizer,
        headline=HEADLINES[metrics.headline_metric(normalizer, dataset.landmarks)],
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

    A method that lacks an object which another answered counts as silent there (see
    ``metrics.landmarks``).  The same run given twice counts once; two different runs of one
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
    confidence, trust = np.zeros(xy.shape[:2]), np.full(xy.shape[:3], np.nan)
    for s, run in enumerate(runs):
        rows = [place[key] for key in _keys(zip(run.names, run.instance.tolist(), strict=True))]
        xy[s, rows] = run.xy
        trust[s, rows] = run.score
        confidence[s, rows] = np.nan_to_num(_nanmean(run.score.astype(float), 1))
    values = np.stack([truth.headline.score(truth.xy, answer, truth.lengths) for answer in xy])
    errors = np.stack([metrics.nme(truth.xy, answer, truth.lengths) for answer in xy])
    return Scores(method, tuple(runs), xy, values, confidence, errors, trust)


def compare(truth: Truth, scores: Sequence[Scores], level: float) -> list[statistics.PairedComparison]:
    """Every pair of methods on the headline, better one first, in shown units."""
    shown = [s.values * truth.headline.scale for s in scores]
    return statistics.compare_all([s.method for s in scores], shown, truth.groups, level=level)


def landmark_errors(truth: Truth, scores: Scores) -> Array:
    """(K,) mean error of each landmark over objects and seeds, a fraction or px."""
    rows = [metrics.per_landmark_error(truth.xy, answer, truth.lengths) for answer in scores.xy]
    return np.mean(rows, axis=0)


def error_curve(scores: Scores, thresholds: Array) -> Array:
    """(T,) the CED, averaged over seeds."""
    return np.mean([metrics.ced(e, thresholds) for e in scores.errors], axis=0)


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
