"""Points' scores as plain rows: which columns their tables have, their units and their digits.

Numbers come from ``metrics`` and ``statistics``; how rows become text is in ``cells``.  Nothing is
drawn and no file is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...metrics.points import POINT_METRICS
from ...stats import PairedComparison, bootstrap_interval, letter_display
from ...structures import Array
from ..cells import MISSING, SPACE, Column, Figure, Row, number, p_value
from ..verdicts import excludes_zero
from .scores import AUC, MMA, Contest, PointScores, PointTruth

#: the figures that get an interval in the table
BOUNDED = ("auc@3", "auc@5", "auc@10", "mma@1", "mma@3", "mma@5", "repeatability@3")


@dataclass(frozen=True)
class Grid:
    """A small table: one line per method, ``best`` marks the highest of each column."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    best: tuple[frozenset[str], ...]  #: methods that share a column's highest shown number


def columns_of(head: Figure, level: float, reference: str, rows: Sequence[Row] = ()) -> list[Column]:
    """The table's columns, the headline first; those without any number in ``rows`` are dropped."""
    bound = f"mean over pairs, with its {100 * level:g} % interval by bootstrap over sequences"

    def share(name: str, key: str) -> Column:
        tip = f"{POINT_METRICS[key]}; {bound}"
        return Column(key, name, "", 3, tip, f"{key}_low", f"{key}_high")

    feature = "detect and describe the points of one picture; median"
    pair = "a whole pair, one thread; median and quartiles"
    columns = [
        share("AUC@3", "auc@3"),
        share("MMA@3", "mma@3"),
        share("repeatability@3", "repeatability@3"),
        Column("correct_inliers", "right inliers", "", 0, POINT_METRICS["correct_inliers"] + "; mean"),
        Column("feature_ms", "ms points", "ms", -3, feature),
        Column("ms", "ms pair", "ms", -3, pair, "ms_q1", "ms_q3", "()"),
        Column(
            "ratio", f"time{SPACE}/{SPACE}{reference}", "", 2, f"a pair's time over {reference}'s; median"
        ),
        *(share(f"AUC@{t}", f"auc@{t}") for t in (5, 10)),
        *(share(f"MMA@{t}", f"mma@{t}") for t in (1, 5)),
        Column("inliers", "inliers", "", 0, POINT_METRICS["inliers"] + "; mean"),
        Column("failures", "failed", "pairs", 0, "pairs at which the method raised an exception"),
    ]
    columns.sort(key=lambda c: c.key != head.key)  # stable: only the headline moves
    if not rows:
        return columns
    has = {k for row in rows for k, v in row.numbers.items() if math.isfinite(v)}
    quiet = {"failures"} if not any(r.numbers.get("failures") for r in rows) else set()
    return [c for c in columns if (c.key in has or c.key == head.key) and c.key not in quiet]


def make_rows(
    truth: PointTruth,
    scores: Sequence[PointScores],
    comparisons: Sequence[PairedComparison],
    level: float,
    reference: str,
) -> list[Row]:
    """One row per method in the order of ``scores``."""
    names = [s.method for s in scores]
    letters = letter_display(names, comparisons) if len(names) > 1 else dict.fromkeys(names, "")
    base = next((s.pair_ms for s in scores if s.method == reference), None)
    return [
        Row(rank, s.method, letters[s.method], {**_accuracy(truth, s, level), **_cost(s, base)}, s.family)
        for rank, s in enumerate(scores, 1)
    ]


def _accuracy(truth: PointTruth, s: PointScores, level: float) -> dict[str, float]:
    out: dict[str, float] = {}
    for key in POINT_METRICS:
        values = s.mean(key)
        if key == "corner_px":  # inf where no homography was found: only the median says something
            known = values[~np.isnan(values)]
            out["corner_px_median"] = float(np.median(known)) if len(known) else math.nan
        elif key in BOUNDED:
            interval = bootstrap_interval(values, truth.groups, level=level)
            out |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
        else:
            out[key] = mean(values)
    return out


def _cost(s: PointScores, base: Array | None) -> dict[str, float]:
    known = s.pair_ms[np.isfinite(s.pair_ms)]
    q1, middle, q3 = np.percentile(known, [25, 50, 75]) if len(known) else (math.nan,) * 3
    peak = [run.peak_bytes for run in s.runs if run.peak_bytes >= 0]
    return {
        "feature_ms": median(s.feature_ms),
        "ms": float(middle),
        "ms_q1": float(q1),
        "ms_q3": float(q3),
        "ratio": math.nan if base is None else median(s.pair_ms / np.where(base > 0, base, np.nan)),
        "peak_mb": max(peak) / 1e6 if peak else math.nan,
        "budget": s.budget,
        "seeds": len(s.runs),
        "failures": float(np.mean([len(run.failures) for run in s.runs])),
    }


def mean(values: Array) -> float:
    """Of the finite ones; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def median(values: Array) -> float:
    """Of the finite ones; NaN without any."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


# --------------------------------------------------------------------------------------------
# small tables
# --------------------------------------------------------------------------------------------


def _grid(title: str, scores: Sequence[PointScores], columns: Mapping[str, Sequence[str]]) -> Grid:
    """``columns``: heading -> text per method."""
    lines = tuple((s.method, tuple(column[i] for column in columns.values())) for i, s in enumerate(scores))
    best = []
    for column in columns.values():
        values = [float(t.replace("−", "-")) if t[-1:].isdigit() else -math.inf for t in column]
        top = max(values)
        found = (s.method for s, v in zip(scores, values, strict=True) if v == top > -math.inf)
        best.append(frozenset(found) if len(values) > 1 else frozenset())
    return Grid(title, tuple(columns), lines, tuple(best))


def by_part(truth: PointTruth, scores: Sequence[PointScores], head: Figure) -> Grid:
    """Means over each kind of pairs (viewpoint, light, rotated, ...)."""
    return _means(head, truth.parts(), scores)


def by_sequence(truth: PointTruth, scores: Sequence[PointScores], head: Figure) -> Grid:
    """Means over each sequence."""
    groups = truth.groups
    return _means(head, {g: groups == g for g in dict.fromkeys(groups.tolist())}, scores)


def _means(head: Figure, parts: Mapping[str, Array], scores: Sequence[PointScores]) -> Grid:
    values = [s.mean(head.key) for s in scores]
    columns = {
        f"{name} ({int(rows.sum())})": [number(mean(v[rows]), head.digits) for v in values]
        for name, rows in parts.items()
        if any(np.isfinite(v[rows]).any() for v in values)
    }
    return _grid(head.title, scores, columns)


def by_budget(
    truth: PointTruth, scores: Mapping[int, Sequence[PointScores]], methods: Sequence[str]
) -> list[Grid]:
    """AUC@3, MMA@3, repeatability, right inliers and ms at each budget; none with fewer than two budgets."""
    if len(scores) < 2:
        return []
    found = {(s.method, budget): s for budget, part in scores.items() for s in part}
    rows = [next(found[m, b] for b in scores if (m, b) in found) for m in methods]
    kinds = [
        *([(AUC.title, AUC.key, 3)] if truth.planar.any() else []),
        (MMA.title, MMA.key, 3),
        ("repeatability@3", "repeatability@3", 3),
        ("right inliers", "correct_inliers", 0),
    ]
    out = []
    for title, key, digits in kinds:
        columns = {
            f"{b} points": [
                number(mean(found[m, b].mean(key)), digits) if (m, b) in found else MISSING for m in methods
            ]
            for b in sorted(scores)
        }
        out.append(_grid(title, rows, columns))
    times = {key: median(s.pair_ms) for key, s in found.items()}
    columns = {
        f"{b} points": [number(times.get((m, b), math.nan), -3) for m in methods] for b in sorted(scores)
    }
    slow = _grid("ms pair", rows, columns)
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
                f"{key}_p": p_value(c.p_holm),
                f"{key}_gain": f"{signed(gain, 0)} %" if math.isfinite(gain) else MISSING,
                f"{key}_kind": "same" if not excludes_zero(c) else "better" if c.difference > 0 else "worse",
            }
        lines.append(line)
    return lines


def signed(value: float, digits: int) -> str:
    """With a plus sign where it is above 0."""
    text = number(value, digits)
    return "+" + text if value > 0 and text.strip("0.") else text
