"""The report of classifications: stored classes held against the labels, a table, tests, confusion matrices.

Reads nothing but :class:`~hybridkp.files.ClassPredictions`.  Figures are those of
:mod:`hybridkp.metrics.classes`; intervals and tests draw and flip whole groups.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import ClassPredictions
from ..metrics import CLASS_METRICS, ClassFigures, class_figures
from ..stats import ENOUGH_GROUPS, PairedComparison, compare_all
from ..stats.resampling import counts, tails
from ..structures import Array, InputError
from . import plots
from .cells import Column, Row, make_grid, number, ranked_rows, shown_columns
from .material import Material, terms_of
from .output import about_page, links
from .verdicts import comparison_note, count

LEVEL, RESAMPLES = 0.95, 2000
WIDE_MATRIX = 12  #: classes; a larger matrix has no numbers in its cells

_COLUMNS = (
    *(Column.of(m, ends=(f"{m.key}_low", f"{m.key}_high")) for m in CLASS_METRICS),
    Column("worst_group_percent", "worst group", "%", 1, "accuracy in the group in which it is lowest"),
    Column("fit_seconds", "fit", "s", 1, "seconds of all trainings"),
)


def write_classes_report(
    found: Sequence[ClassPredictions],
    out: str | os.PathLike[str],
    *,
    title: str = "",
    families: Mapping[str, str] | None = None,
    abouts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Score stored classes and write ``index.html``, ``results.md``, ``.csv``, ``.json``, ``pairs.csv``.

    Parameters
    ----------
    found : one for each method, all of the same objects
    out : folder
    notes : further lines for the end of the page
    families, abouts, provenance : see :func:`.write_report`

    Returns
    -------
    dict
        "html", "markdown", "csv", "json", "pairs" -> path.

    Raises
    ------
    InputError
        No predictions, or predictions of different objects.
    """
    found = _checked(found)
    figures = {p.method: class_figures(p.labels, p.predicted, p.classes) for p in found}
    found = sorted(found, key=lambda p: (-figures[p.method].accuracy, -figures[p.method].macro_f1))
    groups = np.array(found[0].groups)
    n_groups = len(set(groups.tolist()))
    comparisons = _compared(found, figures, groups) if n_groups >= ENOUGH_GROUPS else []
    methods = [p.method for p in found]
    rows = ranked_rows(
        methods,
        comparisons,
        [_numbers(p, figures[p.method], groups) for p in found],
        [(families or {}).get(m, "") for m in methods],
    )
    if not comparisons:
        rows = [Row(r.rank, r.method, "", r.numbers, r.family) for r in rows]
    columns = shown_columns(_COLUMNS, rows)
    material = Material(
        head=CLASS_METRICS[0],
        what="object",
        metrics=CLASS_METRICS,
        rows=rows,
        columns=columns,
        comparisons={CLASS_METRICS[0].key: comparisons} if comparisons else {},
        level=LEVEL,
        notes=[*_notes(found, n_groups), *notes],
        about=about_page({"data": found[0].data}, provenance or {}, []),
        title=title or f"{found[0].data or 'classes'}: {count(len(rows), 'method')} compared",
        facts=_facts(found[0], figures[methods[0]], n_groups),
        caption="Most right first; each figure with its 95 % interval over groups.",
        unit="points",
        terms=[
            *terms_of(CLASS_METRICS, columns),
            *((c.title, f"{c.tip[:1].upper()}{c.tip[1:]}.") for c in columns[4:]),
        ],
        tips=abouts or {},
        models=links({}, Path(out)),
    )
    html = material.page("classes.html", timed=False, classes=_sections(figures), n_groups=n_groups)
    extra = {m: _extra(figures[m]) for m in methods}
    return material.write(Path(out), html, extra=extra)


def _checked(found: Sequence[ClassPredictions]) -> list[ClassPredictions]:
    if not found:
        raise InputError("no method has stored classes: run `hybridkp classify`")
    first = found[0]
    if not len(first):
        raise InputError(f"{first.method}: no object was classified")
    for other in found[1:]:
        same = ("labels", "groups", "names", "classes", "fingerprint")
        if any(getattr(first, key) != getattr(other, key) for key in same):
            raise InputError(f"{first.method} and {other.method} were judged on different objects")
    if len({p.method for p in found}) < len(found):
        raise InputError("each method may come once only")
    return list(found)


def _compared(
    found: Sequence[ClassPredictions], figures: Mapping[str, ClassFigures], groups: Array
) -> list[PairedComparison]:
    right = [100.0 * figures[p.method].right for p in found]
    return compare_all([p.method for p in found], right, groups, level=LEVEL)


def _numbers(p: ClassPredictions, f: ClassFigures, groups: Array) -> dict[str, float]:
    """Every figure in percent with its interval, and what else the table shows."""
    code = np.unique(groups, return_inverse=True)[1]
    n_groups, c = int(code.max()) + 1, len(f.classes)
    place = {name: i for i, name in enumerate(f.classes)}
    cell = [c * place[a] + place[b] for a, b in zip(p.labels, p.predicted, strict=True)]
    tables = np.bincount(code * c * c + cell, minlength=n_groups * c * c).reshape(n_groups, -1)
    drawn = np.concatenate([*counts(np.random.default_rng(0), n_groups, RESAMPLES)]) @ tables
    drawn = drawn.reshape(-1, c, c)
    out: dict[str, float] = {}
    for metric in CLASS_METRICS:
        out[metric.key] = metric.scale * float(metric.function(f.confusion))
        if n_groups > 1:
            ends = np.quantile(metric.scale * metric.function(drawn), tails(LEVEL, n_groups))
            out[f"{metric.key}_low"], out[f"{metric.key}_high"] = ends.tolist()
    by_group = [float(f.right[groups == g].mean()) for g in sorted(set(groups.tolist()))]
    out["worst_group_percent"] = 100 * min(by_group) if 1 < len(by_group) < len(groups) else math.nan
    out["fit_seconds"] = p.fit_seconds
    return out


def _facts(p: ClassPredictions, f: ClassFigures, n_groups: int) -> list[str]:
    most = int(np.argmax(f.support))
    share = number(100 * f.support[most] / max(f.support.sum(), 1), 1)
    return [
        count(len(p), "object"),
        count(n_groups, "group"),
        f"{len(p.classes)} classes",
        f"{share} % are {p.classes[most]}",
    ]


def _notes(found: Sequence[ClassPredictions], n_groups: int) -> list[str]:
    out = ["Classes were stored first and scored here."]
    few = "" if n_groups >= 10 else f"; there are only {n_groups} groups, so they say little"
    out.append(f"Intervals (95 %): {RESAMPLES} resamples of whole groups{few}.")
    if len(found) > 1 and n_groups >= ENOUGH_GROUPS:
        out.append(comparison_note("objects", "whole groups"))
    elif len(found) > 1:
        out.append(f"No tests: {count(n_groups, 'group')} cannot give p < 0.05; {ENOUGH_GROUPS} can.")
    return out


def _sections(figures: Mapping[str, ClassFigures]) -> list[dict[str, Any]]:
    """A method's table over classes (how many objects in brackets) and its confusion matrix."""
    out = []
    for i, (method, f) in enumerate(figures.items()):
        shares = {
            title: [number(100 * v, 1) for v in values]
            for title, values in (("precision", f.precision), ("recall", f.recall), ("F1", f.f1))
        }
        columns: dict[str, list[str | tuple[str, str]]] = {k: [*v] for k, v in shares.items()}
        names = [f"{k} ({n})" for k, n in zip(f.classes, f.support.tolist(), strict=True)]
        out.append(
            {
                "method": method,
                "grid": make_grid("By class, %", names, columns),
                "picture": confusion_svg(f, f"confusion-{i}"),
            }
        )
    return out


def _extra(f: ClassFigures) -> dict[str, Any]:
    return {
        "classes": list(f.classes),
        "precision": f.precision.tolist(),
        "recall": f.recall.tolist(),
        "f1": f.f1.tolist(),
        "support": f.support.tolist(),
        "confusion": f.confusion.tolist(),
    }


def confusion_svg(figures: ClassFigures, name: str) -> str:
    """The confusion matrix as SVG: a row is a true class, its cells the shares that were given each class.

    ``name`` goes into the ids, so that several can stand on one page.
    """
    c = len(figures.classes)
    share = figures.confusion / np.maximum(figures.confusion.sum(1, keepdims=True), 1)
    side = float(np.clip(0.5 * c, 1.6, 6.0))
    with plots.figure(side + 1.6, side + 1.1, name) as fig:
        axes = fig.add_subplot()
        axes.grid(False)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        labels = [plots.plain(plots.abridged(k, 16)) for k in figures.classes]
        axes.set_xticks(range(c), labels, rotation=45 if max(map(len, labels)) > 3 else 0, ha="center")
        axes.set_yticks(range(c), labels)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        for i, j in np.ndindex(c, c) if c <= WIDE_MATRIX else ():
            if figures.confusion[i, j]:
                color = "white" if share[i, j] > 0.5 else "#222222"
                axes.text(
                    j, i, str(figures.confusion[i, j]), ha="center", va="center", color=color, fontsize=8
                )
        words = f"Confusion matrix of {c} classes: {100 * figures.accuracy:.0f} % are right"
        return plots.to_svg(fig, name, words)
