"""Lines stored matches up with the truth of their pairs and asks ``metrics`` and ``stats``.

Here lives the step from :class:`MatchedSet` and :class:`PairSet` to numbers per method, for each pair
of pictures, and the comparisons that the page makes of them.  No formula of a metric and no
formatting here.  Letters: S seeds, P pairs, T thresholds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ... import stats as statistics
from ...files.matched import MatchedSet, no_result
from ...metrics import POINT_METRICS, POSE_METRICS, Metric, corner_error, metric_of, mma, pair_scores
from ...structures import Array, InputError, Matched, Pair, PairSet, Registration, short_repr
from ..cells import mean

CURVE_PX = tuple(float(t) for t in range(1, 11))  #: thresholds of the MMA curve
MAIN_BUDGET = 1024  #: points per picture that the page's tables speak of, where there are several
POSE = metric_of("pose_auc@5", POSE_METRICS)
HYBRID = "hybrid"  #: the family of methods that combine others
CONTROL = "control"  #: a hybrid's stages without what is learned, so that the gain has one cause
FINE, AUC, MMA = (metric_of(key, POINT_METRICS) for key in ("auc@1", "auc@3", "mma@3"))
FEATURE_STAGES = ("detect", "describe")


class Ceiling(NamedTuple):
    """The registered truth beside the given one, NaN where a pair has none or it was refused."""

    corner_px: Array  #: (P,) corner error of the registered one, judged by the given one
    moved_px: Array  #: (P,) from the given one, on average over the overlap
    refused: Array  #: (P,) bool


@dataclass(frozen=True, eq=False)
class PointTruth:
    """The P pairs that at least one method was asked about, in the set's order."""

    data: PairSet
    pairs: tuple[Pair, ...]
    truths: tuple[Array, ...]  #: homography (3, 3), flow (H, W, 2) or fundamental matrix (1, 3, 3)
    not_asked: int  #: pairs of the set that no method was asked about
    metrics: Sequence[Metric]
    registered: Mapping[str, Registration] = field(default_factory=dict)  #: pair -> its truth made again

    __repr__ = short_repr

    @property
    def groups(self) -> Array:
        """(P,) sequences: what the bootstrap draws."""
        return np.array([p.sequence for p in self.pairs], dtype=str)

    @property
    def names(self) -> list[str]:
        return [p.name for p in self.pairs]

    @property
    def n_groups(self) -> int:
        return len({p.sequence for p in self.pairs})

    @property
    def planar(self) -> Array:
        """(P,) bool: the pairs with a homography."""
        return np.array([p.homography is not None for p in self.pairs], bool)

    @property
    def posed(self) -> Array:
        """(P,) bool: the pairs with cameras."""
        return np.array([p.cameras is not None for p in self.pairs], bool)

    @property
    def scored(self) -> Array:
        """(P,) bool: the pairs that count in the headline."""
        by_key = {POSE.key: self.posed, AUC.key: self.planar}
        return by_key.get(self.headline.key, np.ones(len(self.pairs), bool))

    @property
    def headline(self) -> Metric:
        """AUC@5 degrees of the pose; AUC@3 of the homography where no pair has cameras; else MMA@3."""
        if self.posed.any():
            return POSE
        return AUC if self.planar.any() else MMA

    def refined(self) -> PointTruth:
        """The same pairs with the registered truths in place of the given; those refused keep theirs."""
        truths = tuple(
            self.registered[p.name].homography if p.name in self.registered else t
            for p, t in zip(self.pairs, self.truths, strict=True)
        )
        return replace(self, truths=truths)

    @cached_property
    def ceiling(self) -> Ceiling:
        """What registering says of the given truth; it opens every registered picture for its size."""
        found = [self.registered.get(p.name) for p in self.pairs]
        kept = [None if r is None or r.reason else r for r in found]
        error = [
            np.nan if r is None else corner_error(r.homography, t, pair_size(p))
            for p, r, t in zip(self.pairs, kept, self.truths, strict=True)
        ]
        return Ceiling(
            np.array(error),
            np.array([np.nan if r is None else r.moved_px for r in kept]),
            np.array([r is not None and bool(r.reason) for r in found]),
        )

    def parts(self) -> dict[str, Array]:
        """Kinds of pairs that are looked at apart, name -> (P,) bool, where there are two and more."""
        changes = np.array([p.change or "other" for p in self.pairs], dtype=str)
        rotated = np.array([p.rotated for p in self.pairs], bool)
        out = {c: changes == c for c in dict.fromkeys(changes.tolist())}
        out = out if len(out) > 1 else {}
        if rotated.any() and not rotated.all():
            out |= {"without large rotation": ~rotated, "rotated": rotated}
        return out


@dataclass(frozen=True, eq=False)
class PointScores:
    """One method at one budget, every seed."""

    method: str
    family: str
    budget: int
    runs: tuple[MatchedSet, ...]  #: by seed
    matched: tuple[Matched, ...]  #: P, the first seed's
    values: Mapping[str, Array]  #: key of a metric -> (S, P)
    curve: Array  #: (P, T) MMA at CURVE_PX, the seeds' mean
    pair_ms: Array  #: (P,) ms of the whole pair, the seeds' mean
    feature_ms: Array  #: (P,) ms to detect and describe the points of one picture, likewise

    __repr__ = short_repr

    def mean(self, key: str) -> Array:
        """(P,) the seeds' mean."""
        return statistics.average_over_seeds(self.values[key])


@dataclass(frozen=True)
class Contest:
    """Chosen methods against one: fewer tests than all pairs, so that less is lost to the correction."""

    title: str
    baseline: str
    results: Mapping[str, tuple[statistics.PairedComparison, ...]]  #: key of a figure -> one a challenger


def pair_size(pair: Pair) -> tuple[int, int]:
    """Height and width of a pair's first picture."""
    h, w = pair.load_a().shape[:2]
    return int(h), int(w)


def gather_truth(
    pairs: PairSet,
    matched_sets: Sequence[MatchedSet],
    more: Sequence[Metric] = (),
    registered: Mapping[str, Registration] | None = None,
) -> PointTruth:
    """The truth of every pair that was asked; ``more`` are metrics besides our own.

    Raises
    ------
    InputError
        No matches, matches of other pairs, of other pictures, or two of one method, budget and seed.
    """
    if not matched_sets:
        raise InputError("nothing to report: no matches were given")
    known = {p.name for p in pairs}
    fingerprint = pairs.fingerprint if any(m.fingerprint for m in matched_sets) else ""
    for m in matched_sets:
        if m.fingerprint and m.fingerprint != fingerprint:
            raise InputError(
                f"matches of {m.method} were made on pairs {m.fingerprint}, {pairs.name} is {fingerprint}:"
                " the pictures or their truth changed, run the bench again"
            )
        foreign = [name for name in m.names if name not in known]
        if foreign:
            raise InputError(f"matches of {m.method}: the pair {foreign[0]} is not in {pairs.name}")
    ids = Counter((m.method, m.n_points, m.seed) for m in matched_sets)
    (method, budget, seed), times = ids.most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{times} predictions of {method} with {budget} points and seed {seed}:"
            " keep one, or name them apart"
        )
    asked = {name for m in matched_sets for name in m.names}
    kept = tuple(p for p in pairs if p.name in asked)
    if not kept:
        raise InputError("nothing to report: the matches have no pairs")
    truths = tuple(p.truth() for p in kept)
    own = [*POINT_METRICS, *(POSE_METRICS if any(p.cameras for p in kept) else ())]
    return PointTruth(pairs, kept, truths, len(pairs) - len(kept), [*own, *more], registered or {})


def score_points(
    truth: PointTruth, matched_sets: Sequence[MatchedSet], families: Mapping[str, str]
) -> dict[int, list[PointScores]]:
    """Budget -> methods, best first; ties by name.

    A pair that a method lacks and another was asked about counts as one without points and matches.
    """
    runs: dict[tuple[int, str], list[MatchedSet]] = {}
    for m in sorted(matched_sets, key=lambda m: m.seed):
        runs.setdefault((m.n_points, m.method), []).append(m)
    out: dict[int, list[PointScores]] = {}
    for budget, method in sorted(runs):
        out.setdefault(budget, []).append(
            _score(truth, method, str(families.get(method, "")), runs[budget, method])
        )
    key = truth.headline.key
    for scores in out.values():
        scores.sort(key=lambda s: (-np.nan_to_num(mean(s.mean(key)), nan=-1.0), s.method))
    return out


def main_budget(scores: Mapping[int, Sequence[PointScores]]) -> int:
    """The budget of most methods; of equals 1024, else the largest."""
    return max(scores, key=lambda b: (len(scores[b]), b == MAIN_BUDGET, b))


def _score(truth: PointTruth, method: str, family: str, runs: Sequence[MatchedSet]) -> PointScores:
    found: list[dict[str, list[float]]] = []
    curves, times = [], []
    first: list[Matched] = []
    for run in runs:
        place = {name: i for i, name in enumerate(run.names)}
        at = [place.get(p.name, -1) for p in truth.pairs]
        matched = [run.results[i] if i >= 0 else no_result() for i in at]
        judged = [
            pair_scores(a, t, _size(run.size_hw_a, i), _size(run.size_hw_b, i), truth.metrics, p.cameras)
            for a, t, i, p in zip(matched, truth.truths, at, truth.pairs, strict=True)
        ]
        found.append({m.key: [one[m.key] for one in judged] for m in truth.metrics})
        curves.append([mma(a.xy_a, a.xy_b, t, CURVE_PX) for a, t in zip(matched, truth.truths, strict=True)])
        times.append([_pick(ms, at) for ms in _milliseconds(run)])
        first = first or matched
    pair_ms, feature_ms = np.mean(times, axis=0)
    return PointScores(
        method,
        family,
        runs[0].n_points,
        tuple(runs),
        tuple(first),
        {m.key: np.array([one[m.key] for one in found], float) for m in truth.metrics},
        np.mean(curves, axis=0),
        pair_ms,
        feature_ms,
    )


def _size(sizes: Array, row: int) -> tuple[int, int]:
    h, w = sizes[row].tolist() if row >= 0 else (1, 1)
    return h, w


def _pick(values: Array, rows: Sequence[int]) -> Array:
    return np.array([values[i] if i >= 0 else np.nan for i in rows])


def _milliseconds(run: MatchedSet) -> tuple[Array, Array]:
    """(P,) ms of each pair, and of its points per picture.

    Processor time where it was measured, since neighbours on the machine disturb it less than the
    clock; the stages are clocked, so the points' part of it is their share of the clocked time.
    """
    wall = run.seconds()
    pair = 1000 * np.where(np.isfinite(run.cpu_seconds), run.cpu_seconds, wall)
    share = run.seconds(*FEATURE_STAGES) / np.where(wall > 0, wall, np.nan)
    return pair, pair * share / 2


# --------------------------------------------------------------------------------------------
# comparisons
# --------------------------------------------------------------------------------------------


def machines(scores: Sequence[PointScores]) -> tuple[dict[str, list[str]], list[str]]:
    """Method -> where its runs were timed, and all of these machines."""
    hosts = {s.method: [run.host for run in s.runs] for s in scores}
    return hosts, sorted({h for its in hosts.values() for h in its if h})


def compare(
    truth: PointTruth, scores: Sequence[PointScores], key: str, level: float
) -> list[statistics.PairedComparison]:
    """Every pair of methods on one figure, p corrected for all of them."""
    values = [s.values[key] for s in scores]
    return statistics.compare_all([s.method for s in scores], values, truth.groups, level=level)


def contests(truth: PointTruth, scores: Sequence[PointScores], reference: str, level: float) -> list[Contest]:
    """Every method against the reference; every hybrid against the best single method and each control.

    The best single method is the best on these very pairs, which favours it a little.
    """
    base = next((s for s in scores if s.method == reference), None)
    hybrids = [s for s in scores if s.family == HYBRID]
    single = [s for s in scores if s.family not in (HYBRID, CONTROL)]
    asked = []
    if base and len(scores) > 1:
        asked.append((f"Every method against {reference}", base, [s for s in scores if s is not base]))
    if single and hybrids:
        asked.append((f"Every hybrid against the best single method, {single[0].method}", single[0], hybrids))
    controls = [s for s in scores if s.family == CONTROL] if hybrids else []
    asked += [(f"Every hybrid against the control {s.method}", s, hybrids) for s in controls]
    keys = dict.fromkeys((truth.headline.key, MMA.key))
    return [
        Contest(title, one.method, {key: _against(truth, one, others, key, level) for key in keys})
        for title, one, others in asked
    ]


def _against(
    truth: PointTruth, base: PointScores, challengers: Sequence[PointScores], key: str, level: float
) -> tuple[statistics.PairedComparison, ...]:
    """Challenger - base for each, Holm over the challengers."""
    pairs = [
        statistics.paired_difference(s.mean(key), base.mean(key), truth.groups, level=level)
        for s in challengers
    ]
    corrected = statistics.holm([r.p for r in pairs]).tolist()
    return tuple(
        statistics.PairedComparison(
            s.method, base.method, r.difference, r.low, r.high, r.p, q, bool(q < 1 - level), r.n, r.n_groups
        )
        for s, r, q in zip(challengers, pairs, corrected, strict=True)
    )
