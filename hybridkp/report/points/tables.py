"""Points' scores as plain rows: which columns their tables have, their units and their digits.

Numbers come from ``metrics`` and ``statistics``; how rows become text is in ``cells``.  Nothing is
drawn and no file is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...metrics import POINT_METRICS, Metric, metric_of, recall_area
from ...stats import PairedComparison, bootstrap_interval
from ...structures import Array
from ..cells import (
    MISSING,
    SPACE,
    Column,
    Grid,
    Row,
    cost_numbers,
    make_grid,
    mean,
    median,
    number,
    p_value,
    ranked_rows,
    shown_columns,
    signed,
)
from ..verdicts import excludes_zero, host_marks
from .scores import AUC, FINE, MMA, Contest, PointScores, PointTruth, machines

CEILING = "pixel optimum (ceiling)"
_AREAS = ((FINE, 1.0), (AUC, 3.0))  # and the px that each runs to


def columns_of(truth: PointTruth, level: float, reference: str, rows: Sequence[Row]) -> list[Column]:
    """The table's columns, the headline first; others without any number in ``rows`` are dropped."""
    head = truth.headline
    bound = f"mean over pairs, with its {100 * level:g} % interval by bootstrap over sequences"
    feature = "detect and describe the points of one picture; median"
    pair = "a whole pair, one thread; median and quartiles"
    ratio = f"a pair's time over {reference}'s; median"
    costs = [
        Column("feature_ms", "ms points", "ms", -3, feature),
        Column("ms", "ms pair", "ms", -3, pair, "ms_q1", "ms_q3", "()"),
        Column("ratio", f"time{SPACE}/{SPACE}{reference}", "", 2, ratio),
    ]

    def at(place: int) -> list[Column]:
        found = [m for m in truth.metrics if m.place == place]
        return [
            Column.of(m, bound, (f"{m.key}_low", f"{m.key}_high")) if m.interval else _plain(m) for m in found
        ]

    failed = "pairs at which the method raised an exception"
    columns = [*at(1), *costs, *at(2), Column("failures", "failed", "pairs", 0, failed, quiet=True)]
    columns.sort(key=lambda c: c.key != head.key)  # stable: only the headline moves
    return shown_columns(columns, rows)


def make_rows(
    truth: PointTruth,
    scores: Sequence[PointScores],
    comparisons: Sequence[PairedComparison],
    level: float,
    reference: str,
) -> list[Row]:
    """One row per method in the order of ``scores``."""
    base = next((s.pair_ms for s in scores if s.method == reference), None)
    numbers = [{**_accuracy(truth, s, level), **_cost(s, base)} for s in scores]
    marks = dict.fromkeys(("feature_ms", "ms", "ratio"), host_marks(*machines(scores)))
    return ranked_rows([s.method for s in scores], comparisons, numbers, [s.family for s in scores], marks)


def _plain(metric: Metric) -> Column:
    """A column without an interval; a median has a key of its own, as it also counts what is infinite."""
    column = Column.of(metric, metric.summary)
    return replace(column, key=f"{metric.key}_median") if metric.summary == "median" else column


def _accuracy(truth: PointTruth, s: PointScores, level: float) -> dict[str, float]:
    out: dict[str, float] = {}
    for m in truth.metrics:
        values = s.mean(m.key) * m.scale
        if m.interval:
            found = bootstrap_interval(values, truth.groups, level=level)
            out |= {m.key: found.value, f"{m.key}_low": found.low, f"{m.key}_high": found.high}
        elif m.summary == "median":  # also of what is infinite, such as a homography that was not found
            known = values[~np.isnan(values)]
            out[f"{m.key}_median"] = float(np.median(known)) if len(known) else math.nan
        else:
            out[m.key] = mean(values)
    return out


def _cost(s: PointScores, base: Array | None) -> dict[str, float]:
    return {
        "feature_ms": median(s.feature_ms),
        **cost_numbers(s.pair_ms, [run.peak_bytes for run in s.runs]),
        "ratio": math.nan if base is None else median(s.pair_ms / np.where(base > 0, base, np.nan)),
        "budget": s.budget,
        "seeds": len(s.runs),
        "failures": float(np.mean([len(run.failures) for run in s.runs])),
    }


# --------------------------------------------------------------------------------------------
# small tables
# --------------------------------------------------------------------------------------------


def by_part(truth: PointTruth, scores: Sequence[PointScores], head: Metric) -> Grid:
    """Means over each kind of pairs (viewpoint, light, rotated, ...)."""
    return _means(head, truth.parts(), scores)


def by_sequence(truth: PointTruth, scores: Sequence[PointScores], head: Metric) -> Grid:
    """Means over each sequence."""
    groups = truth.groups
    return _means(head, {g: groups == g for g in dict.fromkeys(groups.tolist())}, scores)


def _means(head: Metric, parts: Mapping[str, Array], scores: Sequence[PointScores]) -> Grid:
    values = [s.mean(head.key) for s in scores]
    columns = {
        f"{name} ({int(rows.sum())})": [number(mean(v[rows]), head.digits) for v in values]
        for name, rows in parts.items()
        if any(np.isfinite(v[rows]).any() for v in values)
    }
    return make_grid(head.title, [s.method for s in scores], columns)


def by_truth(truth: PointTruth, given: Sequence[PointScores], refined: Sequence[PointScores]) -> list[Grid]:
    """Figures under the given and the registered truth by method; by sequence, what the given one is worth.

    The first table's last line is the ceiling: the registered homographies, judged by the given ones.
    """
    error, moved, refused = truth.ceiling
    top = {m.key: mean(np.where(np.isnan(error), np.nan, recall_area(error, (t,))[:, 0])) for m, t in _AREAS}
    anew = {s.method: s for s in refined}
    methods = [s.method for s in given]
    columns: dict[str, list[str]] = {}
    for m, _ in _AREAS:
        columns[f"{m.title} given"] = [number(mean(s.mean(m.key)), m.digits) for s in given]
        columns[f"{m.title} given"].append(number(top[m.key], m.digits))
        columns[f"{m.title} again"] = [number(mean(anew[n].mean(m.key)), m.digits) for n in methods]
        columns[f"{m.title} again"].append(MISSING)
    for title, key in (("MMA@1", "mma@1"), ("MMA@3", "mma@3")):
        columns[f"{title} given"] = [*(number(mean(s.mean(key)), 3) for s in given), MISSING]
        columns[f"{title} again"] = [*(number(mean(anew[n].mean(key)), 3) for n in methods), MISSING]
    first = make_grid("the truth as given, and registered again", [*methods, CEILING], columns)
    groups = truth.groups
    by_group = {g: groups == g for g in dict.fromkeys(groups[truth.planar].tolist())}
    area = {m.title: recall_area(error, (t,))[:, 0] for m, t in _AREAS}
    columns = {
        **{
            f"ceiling {title}": [number(mean(v[rows]), 3) for rows in by_group.values()]
            for title, v in area.items()
        },
        "moved, px": [number(median(moved[rows]), 2) for rows in by_group.values()],
        "at the corners, px": [number(median(error[rows]), 2) for rows in by_group.values()],
        "pairs refused": [str(int(refused[rows].sum())) for rows in by_group.values()],
    }
    second = make_grid("what the given truth is worth", list(by_group), columns)
    return [replace(first, best=_no_best(first)), replace(second, best=_no_best(second))]


def _no_best(grid: Grid) -> tuple[frozenset[str], ...]:
    return (frozenset(),) * len(grid.headings)


def by_budget(
    truth: PointTruth, scores: Mapping[int, Sequence[PointScores]], methods: Sequence[str]
) -> list[Grid]:
    """AUC@3, MMA@3, repeatability, right inliers and ms at each budget; none with fewer than two."""
    if len(scores) < 2:
        return []
    found = {(s.method, budget): s for budget, part in scores.items() for s in part}
    keys = [*([AUC.key] if truth.planar.any() else []), MMA.key, "repeatability@3", "correct_inliers"]
    out = []
    for m in (metric_of(key, POINT_METRICS) for key in keys):
        columns = {
            f"{b} points": [
                number(mean(found[n, b].mean(m.key)), m.digits) if (n, b) in found else MISSING
                for n in methods
            ]
            for b in sorted(scores)
        }
        out.append(make_grid(m.title, methods, columns))
    times = {key: median(s.pair_ms) for key, s in found.items()}
    columns = {
        f"{b} points": [number(times.get((m, b), math.nan), -3) for m in methods] for b in sorted(scores)
    }
    slow = make_grid("ms pair", methods, columns)
    return [*out, Grid(slow.title, slow.headings, slow.lines, (frozenset(),) * len(slow.headings))]


def contest_lines(contest: Contest, scores: Sequence[PointScores]) -> list[dict[str, str]]:
    """One line per challenger: difference, interval, corrected p and the relative gain of each figure."""
    base = next(s for s in scores if s.method == contest.baseline)
    by_name = {s.method: s for s in scores}
    time = np.where(base.pair_ms > 0, base.pair_ms, np.nan)
    lines = []
    for i, first in enumerate(next(iter(contest.results.values()))):
        line = {
            "method": first.first,
            "ratio": number(median(by_name[first.first].pair_ms / time), 2),
        }
        for key, results in contest.results.items():
            c, other = results[i], mean(base.mean(key))
            low, high = number(c.low, 3), number(c.high, 3)
            gain = 100 * c.difference / other if other > 0 else math.nan
            line |= {
                f"{key}_difference": signed(c.difference, 3),
                f"{key}_interval": f"[{low}, {high}]" if math.isfinite(c.low) else MISSING,
                f"{key}_p": p_value(c.p_holm, c.n_groups),
                f"{key}_gain": f"{signed(gain, 0)} %" if math.isfinite(gain) else MISSING,
                f"{key}_kind": "same" if not excludes_zero(c) else "better" if c.difference > 0 else "worse",
            }
        lines.append(line)
    return lines
