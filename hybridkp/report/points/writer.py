"""Writes the whole report of a points bench: page, tables and the README's picture.

Reads nothing but stored matches and the pairs they belong to.  How files reach the disk is in
``output``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...files.matched import MatchedSet
from ...metrics import Metric
from ...structures import PairSet, Registration
from ..cells import mean, median, tidy_csv
from ..material import Material, check_level, table_caption, terms_of
from ..output import about_page, load_words
from ..verdicts import count
from . import words
from .page import figures_of, render
from .pictures import PairGallery, choose_methods, strip
from .scores import (
    Contest,
    PointScores,
    PointTruth,
    compare,
    contests,
    gather_truth,
    main_budget,
    score_points,
)
from .tables import columns_of, make_rows

REFERENCE = "sift"  #: the method that times and gains are given against


def write_points_report(
    matched_sets: Sequence[MatchedSet],
    pairs: PairSet,
    out: str | os.PathLike[str],
    *,
    families: Mapping[str, str],
    abouts: Mapping[str, str] | None = None,
    title: str | None = None,
    level: float = 0.95,
    reference: str = REFERENCE,
    metrics: Sequence[Metric] = (),
    provenance: Mapping[str, Any] | None = None,
    registered: Mapping[str, Registration] | None = None,
) -> dict[str, Path]:
    """Score stored matches and write what people and programs read.

    Parameters
    ----------
    matched_sets : one for each method, budget and seed
        Seeds of a method are averaged pair by pair; tables speak of one budget (the one of most methods,
        of equals 1024), a section of its own compares budgets.
    pairs : the set that the matches were made on
    out : folder, made when it is missing; gets ``index.html`` (self-contained), ``results.md``,
        ``results.csv``, ``results.json``, ``pairs.csv`` (differences of all pairs of methods),
        ``objects.csv`` (tidy: a line for each method, budget, seed and pair of pictures) and
        ``overview.png``
    families : method -> "classical", "deep", "hybrid", "control", ...; hybrids are also compared with the
        best method that is neither hybrid nor control, and with each control
    abouts : method -> one line on what it is
    title : of the page
    level : of the intervals and tests, between 0 and 1
    reference : the method that times and differences are given against, where it is among them
    metrics : rows of yours, shown besides those of :data:`hybridkp.metrics.POINT_METRICS`
    provenance : facts for the end of the page, such as command, date, machine; shown as given
    registered : pair -> its homography registered again (:func:`hybridkp.evaluate.refine_truth`): the page
        then has a section with the figures under either truth, and what the given one is worth

    Returns
    -------
    dict
        "html", "markdown", "csv", "json", "pairs", "objects", "overview" -> path.

    Raises
    ------
    InputError
        No matches, matches of other pairs, two of one method, budget and seed, a level outside 0..1, or a
        folder that cannot be written.
    """
    check_level(level)
    sets = list(matched_sets)
    truth = gather_truth(pairs, sets, metrics, registered)
    by_budget = score_points(truth, sets, families)
    main = main_budget(by_budget)
    scores = by_budget[main]
    reference = reference if any(s.method == reference for s in scores) else ""
    head = truth.headline
    comparisons = {f.key: compare(truth, scores, f.key, level) for f in figures_of(truth)}
    rows = make_rows(truth, scores, comparisons[head.key], level, reference)
    columns = columns_of(truth, level, reference, rows)
    material = Material(
        head=head,
        what="pair",
        metrics=truth.metrics,
        rows=rows,
        columns=columns,
        comparisons=comparisons,
        level=level,
        notes=words.notes(truth, scores, level, len(comparisons[head.key])),
        about=_about(truth, sets, provenance or {}),
        title=title or f"{pairs.name}: {count(len(rows), 'method')} of interest points compared",
        facts=words.facts(truth, scores, sorted(by_budget), main),
        caption=table_caption(words.caption(truth, level), columns, len(rows)),
        unit=head.title,
        terms=[*terms_of(truth.metrics, columns), *words.cost_terms(columns, reference)],
        tips=abouts or {},
        beside={"objects": ("objects.csv", _pairs_csv(truth, by_budget))},
    )
    again = score_points(truth.refined(), sets, families)[main] if truth.registered else []
    against = contests(truth, scores, reference, level)
    gallery = PairGallery(truth)
    html = render(material, truth, by_budget, scores, again, against, reference, gallery)
    faces = strip(gallery, choose_methods(scores, reference))
    return material.write(
        Path(out),
        html,
        overview=material.overview(faces),
        about={"reference": reference},
        **_details(truth, by_budget, scores, against),
        **_registered(truth, again),
    )


def _about(truth: PointTruth, sets: Sequence[MatchedSet], provenance: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        "data": truth.data.name,
        "truth": words.registered(truth),
        "fingerprint": ", ".join(sorted({m.fingerprint for m in sets if m.fingerprint})),
        "licence of the data": truth.data.licence,
        "seeds": ", ".join(str(s) for s in sorted({m.seed for m in sets})),
        "load of the machine while the clock ran": load_words(m.load for m in sets),
    }
    return about_page(facts, provenance, [m.versions for m in sets])


def _registered(truth: PointTruth, again: Sequence[PointScores]) -> dict[str, Any]:
    """What the JSON file says of the truth registered again, and of each method under it."""
    if not truth.registered:
        return {}
    by_pair = {
        name: r._asdict() | {"homography": r.homography.tolist()} for name, r in truth.registered.items()
    }
    error = truth.ceiling.corner_px
    corners = {name: {"corner_px": float(e)} for name, e in zip(truth.names, error, strict=True)}
    keys = [m.key for m in truth.metrics]
    scores = {
        s.method: {p: {k: float(s.mean(k)[i]) for k in keys} for i, p in enumerate(truth.names)}
        for s in again
    }
    return {
        "registered": {n: row | corners.get(n, {}) for n, row in by_pair.items()},
        "under_registered": scores,
    }


def _pairs_csv(truth: PointTruth, by_budget: Mapping[int, Sequence[PointScores]]) -> str:
    """Tidy: a line for each method, budget, seed and pair of pictures, with every metric in shown units."""
    header = ["method", "budget", "seed", "pair", "sequence", *(m.key for m in truth.metrics), "pair_ms"]
    rows = [
        [s.method, s.budget, run.seed, pair.name, pair.sequence]
        + [float(s.values[m.key][seed, p] * m.scale) for m in truth.metrics]
        + [float(s.pair_ms[p])]
        for part in by_budget.values()
        for s in part
        for seed, run in enumerate(s.runs)
        for p, pair in enumerate(truth.pairs)
    ]
    return tidy_csv(header, rows)


def _details(
    truth: PointTruth,
    by_budget: Mapping[int, Sequence[PointScores]],
    scores: Sequence[PointScores],
    against: Sequence[Contest],
) -> dict[str, Any]:
    """What only the JSON file says: all numbers, also of each pair and each sequence.

    ``corner_px`` is null without a homography.
    """
    keys, groups = [m.key for m in truth.metrics], truth.groups
    extra: dict[str, dict[str, Any]] = {}
    for s in scores:
        values = {key: s.mean(key) for key in keys}
        by_pair = {p.name: {k: float(v[i]) for k, v in values.items()} for i, p in enumerate(truth.pairs)}
        by_sequence = {
            g: {k: mean(v[groups == g]) for k, v in values.items()} for g in dict.fromkeys(groups.tolist())
        }
        extra[s.method] = {"by_pair": by_pair, "by_sequence": by_sequence}
    budgets = [
        {"method": s.method, "budget": s.budget, "ms": median(s.pair_ms)}
        | {key: mean(s.mean(key)) for key in keys}
        for part in by_budget.values()
        for s in part
    ]
    contests = [
        {"title": c.title, "baseline": c.baseline}
        | {key: [asdict(r) for r in results] for key, results in c.results.items()}
        for c in against
    ]
    facts = [
        {"name": p.name, "sequence": p.sequence, "change": p.change, "rotated": p.rotated}
        for p in truth.pairs
    ]
    return {"extra": extra, "budgets": budgets, "contests": contests, "picture_pairs": facts}
