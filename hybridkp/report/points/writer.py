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
from ...metrics.points import POINT_METRICS
from ...structures import InputError
from ...structures.pairs import PairSet
from .. import cells, plots
from ..output import about_page, write_files
from ..rendering import axis_label
from . import pictures as point_pictures
from . import words as point_words
from .page import PointMaterial, figures_of, points_of, render
from .scores import PointTruth, compare, contests, gather_truth, main_budget, score_points
from .tables import columns_of, make_rows, mean, median

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
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Score stored matches and write what people and programs read.

    Parameters
    ----------
    matched_sets : one for each method, budget and seed
        Seeds of a method are averaged pair by pair; tables speak of one budget (the one of most methods,
        of equals 1024), a section of its own compares budgets.
    pairs : the set that the matches were made on
    out : folder, made when it is missing; gets ``index.html`` (self-contained), ``results.md``,
        ``results.csv``, ``results.json``, ``pairs.csv`` (differences of all pairs of methods), and
        ``overview.png``
    families : method -> "classical", "deep", "hybrid", "control", ...; hybrids are also compared with the
        best method that is neither hybrid nor control, and with each control
    abouts : method -> one line, shown when a mouse rests on its name
    title : of the page
    level : of the intervals and tests, between 0 and 1
    reference : the method that times and differences are given against, where it is among them
    provenance : facts for the end of the page, such as command, date, machine; shown as given

    Returns
    -------
    dict
        "html", "markdown", "csv", "json", "pairs", "overview" -> path.

    Raises
    ------
    InputError
        No answers, answers to other pairs, two of one method, budget and seed, a level outside 0..1, or a
        folder that cannot be written.
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}")
    sets = list(matched_sets)
    truth = gather_truth(pairs, sets)
    by_budget = score_points(truth, sets, families)
    main = main_budget(by_budget)
    scores = by_budget[main]
    reference = reference if any(s.method == reference for s in scores) else ""
    comparisons = {f.key: compare(truth, scores, f.key, level) for f in figures_of(truth)}
    rows = make_rows(truth, scores, comparisons[truth.headline.key], level, reference)
    n_methods = f"{len(rows)} method{'s' * (len(rows) > 1)}"
    material = PointMaterial(
        truth=truth,
        scores=scores,
        by_budget=by_budget,
        rows=rows,
        columns=columns_of(truth.headline, level, reference, rows),
        comparisons=comparisons,
        contests=contests(truth, scores, reference, level),
        reference=reference,
        level=level,
        notes=point_words.notes(truth, scores, level, len(comparisons[truth.headline.key])),
        about=_about(truth, sets, provenance or {}),
        tips=abouts or {},
        title=title or f"{pairs.name}: {n_methods} of interest points compared",
        facts=point_words.facts(truth, scores, sorted(by_budget), main),
    )
    return _write(material, Path(out))


def _about(truth: PointTruth, sets: Sequence[MatchedSet], provenance: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        "data": truth.data.name,
        "fingerprint": ", ".join(sorted({m.fingerprint for m in sets if m.fingerprint})),
        "licence of the data": truth.data.licence,
        "seeds": ", ".join(str(s) for s in sorted({m.seed for m in sets})),
    }
    return about_page(facts, provenance, [m.versions for m in sets])


def _write(m: PointMaterial, folder: Path) -> dict[str, Path]:
    gallery = point_pictures.PairGallery(m.truth)
    html = render(m, gallery)
    head = m.truth.headline
    chosen = point_pictures.choose_methods(m.scores, m.reference)
    files: dict[str, tuple[str, str | bytes]] = {
        "html": ("index.html", html),
        "markdown": ("results.md", cells.to_markdown(m.rows, m.columns, m.notes)),
        "csv": ("results.csv", cells.to_csv(m.rows)),
        "json": ("results.json", _json(m)),
        "pairs": ("pairs.csv", cells.pairs_to_csv(m.comparisons, head.difference_unit)),
        "overview": (
            "overview.png",
            plots.overview_png(
                points_of(m),
                point_pictures.strip(gallery, chosen),
                title=m.title,
                y_label=axis_label(head),
                lower_is_better=head.lower_is_better,
                what="pair",
            ),
        ),
    }
    return write_files(folder, files)


def _json(m: PointMaterial) -> str:
    """All numbers, also of each pair and each sequence; ``corner_px`` is null without a homography."""
    about = {**m.about, "title": m.title, "headline": m.truth.headline.key, "level": m.level}
    about |= {"notes": list(m.notes), "reference": m.reference, "metrics": POINT_METRICS}
    names, groups = [p.name for p in m.truth.pairs], m.truth.groups
    extra: dict[str, dict[str, Any]] = {}
    for s in m.scores:
        values = {key: s.mean(key) for key in POINT_METRICS}
        by_pair = {name: {k: float(v[i]) for k, v in values.items()} for i, name in enumerate(names)}
        by_sequence = {
            g: {k: mean(v[groups == g]) for k, v in values.items()} for g in dict.fromkeys(groups.tolist())
        }
        extra[s.method] = {"by_pair": by_pair, "by_sequence": by_sequence}
    budgets = [
        {"method": s.method, "budget": s.budget, "ms": median(s.pair_ms)}
        | {key: mean(s.mean(key)) for key in POINT_METRICS}
        for part in m.by_budget.values()
        for s in part
    ]
    against = [
        {"title": c.title, "baseline": c.baseline}
        | {key: [asdict(r) for r in results] for key, results in c.results.items()}
        for c in m.contests
    ]
    facts = [
        {"name": p.name, "sequence": p.sequence, "change": p.change, "rotated": p.rotated}
        for p in m.truth.pairs
    ]
    return cells.to_json(
        m.rows,
        m.comparisons[m.truth.headline.key],
        about=about,
        extra=extra,
        budgets=budgets,
        contests=against,
        picture_pairs=facts,
    )
