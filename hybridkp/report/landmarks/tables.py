"""Landmarks' scores as plain rows: which columns their table has, their units and their digits.

Numbers come from ``metrics`` and ``stats``; how rows become text is in ``cells``.  Nothing is drawn and no
file is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...metrics import Metric, point_errors
from ...stats import PairedComparison, average_over_seeds
from ..cells import Column, Row, cost_numbers, mean, median, ranked_rows, shown_columns, tidy_csv
from ..verdicts import host_marks
from .scores import Scores, Truth, machines, summary


def columns_of(truth: Truth, level: float, rows: Sequence[Row]) -> list[Column]:
    """The table's columns, the headline first; others without any number in ``rows`` are dropped."""
    head, *others = truth.metrics
    bound = f"with its {100 * level:g} % interval by bootstrap over groups"
    costs = [
        Column(
            "ms",
            "ms / object",
            "ms",
            -3,
            "median and quartiles over objects, one thread",
            "ms_q1",
            "ms_q3",
            "()",
        ),
        Column("model_mb", "model", "MB", -3, "size of the saved model, 1 MB = 1e6 bytes"),
        Column("peak_mb", "peak memory", "MB", 0, "highest resident memory of the run, 1e6 bytes"),
        Column("fit_s", "fit", "s", -3, "training time, mean over seeds"),
    ]

    def at(place: int) -> list[Column]:
        ends = {m.key: (f"{m.key}_low", f"{m.key}_high") if m.interval else ("", "") for m in others}
        return [Column.of(m, bound * m.interval, ends[m.key]) for m in others if m.place == place]

    seeds = "standard deviation of the seeds' means"
    columns = [
        Column.of(head, bound, ("low", "high")),
        Column("seed_sd", "± seeds", head.unit, head.digits, seeds),
        *(*at(1), *costs, *at(2)),
        Column("missing_points", "missing", "points", 0, "labelled points without a prediction", quiet=True),
    ]
    return shown_columns(columns, rows)


def make_rows(
    truth: Truth,
    scores: Sequence[Scores],
    comparisons: Sequence[PairedComparison],
    level: float,
    families: Mapping[str, str] | None = None,
) -> list[Row]:
    """One row per method in the order of ``scores``."""
    numbers = [{**_accuracy(truth, s, level), **_cost(s)} for s in scores]
    kinds = [(families or {}).get(s.method, "") for s in scores]
    hosts, fit_hosts, numbered = machines(scores)
    marks = {"ms": host_marks(hosts, numbered), "fit_s": host_marks(fit_hosts, numbered)}
    return ranked_rows([s.method for s in scores], comparisons, numbers, kinds, marks)


def _accuracy(truth: Truth, s: Scores, level: float) -> dict[str, float]:
    head = truth.headline
    lead = summary(s.values, truth.groups, level)
    seeds = np.array([mean(v) for v in s.values]) * head.scale
    missing = [np.isinf(point_errors(truth.xy, xy)).sum() for xy in s.xy]
    numbers = {
        head.key: lead.value * head.scale,
        "low": lead.low * head.scale,
        "high": lead.high * head.scale,
        "seed_sd": float(seeds.std(ddof=1)) if len(seeds) > 1 else math.nan,
        "seeds": len(s.runs),
        "objects": lead.n,
        "groups": lead.n_groups,
        "missing_points": int(sum(missing)),
    }
    for m in truth.metrics[1:]:
        numbers[m.key] = _figure(m, s) * m.scale
        if m.interval and m.summary == "mean":
            found = summary(s.figures[m.key], truth.groups, level)
            numbers |= {f"{m.key}_low": found.low * m.scale, f"{m.key}_high": found.high * m.scale}
    return numbers


def _figure(m: Metric, s: Scores) -> float:
    """One number of all objects and seeds, as the metric's function gives it."""
    found = s.figures[m.key]
    if m.summary == "set":
        return float(found.mean())
    values = average_over_seeds(found)
    return median(values) if m.summary == "median" else mean(values)


def _cost(s: Scores) -> dict[str, float]:
    fit = [run.fit_seconds for run in s.runs if math.isfinite(run.fit_seconds)]
    size = [run.model_bytes for run in s.runs if run.model_bytes >= 0]
    return {
        **cost_numbers(1000 * np.concatenate([r.seconds for r in s.runs]), [r.peak_bytes for r in s.runs]),
        "model_mb": float(np.mean(size)) / 1e6 if size else math.nan,
        "fit_s": float(np.mean(fit)) if fit else math.nan,
    }


def objects_csv(truth: Truth, scores: Sequence[Scores]) -> str:
    """Tidy: a line for each method, seed and object, with the headline's value in shown units.

    Empty where the object was not scored; ``confidence`` is the mean score of the object's points.
    """
    header = ["method", "seed", "picture", "object", "group", truth.headline.key, "confidence"]
    rows = [
        [s.method, run.seed, key[0], key[1], group, value * truth.headline.scale, confidence]
        for s in scores
        for run, values, confidences in zip(s.runs, s.values, s.confidence, strict=True)
        for key, group, value, confidence in zip(
            truth.keys, truth.groups.tolist(), values.tolist(), confidences.tolist(), strict=True
        )
    ]
    return tidy_csv(header, rows)
