"""Landmarks' scores as plain rows: which columns their table has, their units and their digits.

Numbers come from ``metrics`` and ``statistics``; how rows become text is in ``cells``.  Nothing is
drawn and no file is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...metrics import landmarks as metrics
from ...metrics.oks import oks_ap
from ...stats import PairedComparison, letter_display
from ..cells import Column, Row
from .scores import Scores, Truth, summary


def columns_of(truth: Truth, level: float, rows: Sequence[Row] = ()) -> list[Column]:
    """The table's columns for this headline; those without any number in ``rows`` are dropped."""
    head, share = truth.headline, f"{100 * level:g} %"
    interval = f"mean over objects, with its {share} interval by bootstrap over groups"
    lead = Column(head.key, head.title, head.unit, head.digits, interval, "low", "high")
    by_kind = {
        "nme": [
            Column("median_percent", "median", "%", 2, "median NME of the objects"),
            Column("failure_8_percent", "failures", "%", 1, "objects with NME above 8 %"),
            Column("auc_8_percent", "AUC", "%", 1, "area under the CED up to 8 %, 100 = perfect"),
        ],
        "pck": [
            Column("pck_0.2_points_percent", "of all points", "%", 1, "PCK@0.2 with each point counted once"),
            Column("pck_0.1_percent", "PCK@0.1", "%", 1, "mean over objects"),
            Column("nme_percent", "NME", "%", 1, "mean error in torso lengths"),
            Column("median_percent", "median", "%", 1, "median NME of the objects"),
        ],
        "pixel": [
            Column("median_px", "median", "px", 2, "median of the objects' mean errors"),
            Column("pck_5px_percent", "within 5 px", "%", 1, "points at most 5 px away"),
            Column("pck_10px_percent", "within 10 px", "%", 1, "points at most 10 px away"),
        ],
    }
    columns = [
        lead,
        Column("seed_sd", "± seeds", head.unit, head.digits, "standard deviation of the seeds' means"),
        *by_kind[head.kind],
        Column("oks_ap_percent", "OKS AP", "%", 1, "COCO's average precision at OKS 0.50 to 0.95"),
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
        Column("missing_points", "no answer", "points", 0, "labelled points without an answer"),
    ]
    if not rows:
        return columns
    has = {k for row in rows for k, v in row.numbers.items() if math.isfinite(v)}
    quiet = {"missing_points"} if not any(r.numbers.get("missing_points") for r in rows) else set()
    return [c for c in columns if (c.key in has or c is lead) and c.key not in quiet]


def make_rows(
    truth: Truth, scores: Sequence[Scores], comparisons: Sequence[PairedComparison], level: float
) -> list[Row]:
    """One row per method in the order of ``scores``."""
    names = [s.method for s in scores]
    letters = letter_display(names, comparisons) if len(names) > 1 else dict.fromkeys(names, "")
    return [
        Row(rank, s.method, letters[s.method], {**_accuracy(truth, s, level), **_cost(s)})
        for rank, s in enumerate(scores, 1)
    ]


def _accuracy(truth: Truth, s: Scores, level: float) -> dict[str, float]:
    head = truth.headline
    mean = summary(s.values, truth.groups, level)
    seeds = np.array([summary(v, truth.groups, level).value for v in s.values]) * head.scale
    errors = s.error[np.isfinite(s.error)]
    median = float(np.median(errors)) if len(errors) else math.nan
    silent = metrics.point_errors(np.tile(truth.xy, (len(s.xy), 1, 1)), s.xy.reshape(-1, *s.xy.shape[2:]))
    numbers = {
        head.key: mean.value * head.scale,
        "low": mean.low * head.scale,
        "high": mean.high * head.scale,
        "seed_sd": float(seeds.std(ddof=1)) if len(seeds) > 1 else math.nan,
        "seeds": len(s.runs),
        "objects": mean.n,
        "groups": mean.n_groups,
        "missing_points": int(np.isinf(silent).sum()),
        "oks_ap_percent": _oks_ap(truth, s) * 100,
    }

    def share(t: float) -> float:
        return 100 * float(np.mean([metrics.pck(truth.xy, x, truth.lengths, t)[0] for x in s.xy]))

    if head.kind == "nme":
        numbers["median_percent"] = 100 * median
        numbers["failure_8_percent"] = 100 * float(np.mean([metrics.failure_rate(e, 0.08) for e in s.errors]))
        numbers["auc_8_percent"] = 100 * float(np.mean([metrics.auc(e, 0.08) for e in s.errors]))
    elif head.kind == "pck":
        finer = [metrics.object_pck(truth.xy, x, truth.lengths, 0.1) for x in s.xy]
        numbers["pck_0.2_points_percent"] = share(0.2)
        numbers["pck_0.1_percent"] = 100 * summary(np.stack(finer), truth.groups, level).value
        numbers["nme_percent"] = 100 * summary(s.errors, truth.groups, level).value
        numbers["median_percent"] = 100 * median
    else:
        numbers["median_px"] = median
        numbers["pck_5px_percent"], numbers["pck_10px_percent"] = share(5), share(10)
    return numbers


def _oks_ap(truth: Truth, s: Scores) -> float:
    """COCO's AP over the pictures, a fraction, mean over seeds; NaN unless every object has an area."""
    rows = np.flatnonzero(truth.scored)
    areas = np.array([i.area for i in truth.instances], float)
    if len(rows) == 0 or not (np.isfinite(areas[rows]) & (areas[rows] > 0)).all():
        return math.nan
    picture = np.array([truth.samples[r].name for r in rows])
    parts = [rows[picture == name] for name in dict.fromkeys(picture.tolist())]
    visible = [np.stack([truth.instances[r].visibility for r in part]) for part in parts]
    crowd = [np.array([truth.instances[r].ignore for r in part], bool) for part in parts]
    found = []
    for xy, confidence in zip(s.xy, s.confidence, strict=True):
        given = [part[np.isfinite(xy[part]).all(2).any(1)] for part in parts]
        figures = oks_ap(
            [truth.xy[part] for part in parts],
            [xy[part] for part in given],
            [confidence[part] for part in given],
            [areas[part] for part in parts],
            truth.dataset.sigmas,
            visibility=visible,
            crowd=crowd,
        )
        found.append(figures["AP"])
    return float(np.mean(found))


def _cost(s: Scores) -> dict[str, float]:
    seconds = np.concatenate([run.seconds for run in s.runs])
    seconds = 1000 * seconds[np.isfinite(seconds)]
    q1, middle, q3 = np.percentile(seconds, [25, 50, 75]) if len(seconds) else (math.nan,) * 3
    fit = [run.fit_seconds for run in s.runs if math.isfinite(run.fit_seconds)]
    size = [run.model_bytes for run in s.runs if run.model_bytes >= 0]
    peak = [run.peak_bytes for run in s.runs if run.peak_bytes >= 0]
    return {
        "ms": float(middle),
        "ms_q1": float(q1),
        "ms_q3": float(q3),
        "model_mb": float(np.mean(size)) / 1e6 if size else math.nan,
        "peak_mb": max(peak) / 1e6 if peak else math.nan,
        "fit_s": float(np.mean(fit)) if fit else math.nan,
    }
