"""Puts the points' tables, plots, pictures and sentences together as one self-contained HTML page.

What the pages of both tasks share is in ``rendering`` and ``verdicts``.  No file is written here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...stats import PairedComparison
from .. import plots
from ..cells import Column, Figure, Row
from ..rendering import curves_context, render_page, trade_off_context
from ..verdicts import opening, pairs_context
from . import pictures as point_pictures
from . import tables as point_tables
from . import words as point_words
from .pictures import PairGallery
from .scores import CURVE_PX, MMA, Contest, PointScores, PointTruth


@dataclass(frozen=True, eq=False)
class PointMaterial:
    """Everything the page is made of."""

    truth: PointTruth
    scores: Sequence[PointScores]  #: at the main budget, best first
    by_budget: Mapping[int, Sequence[PointScores]]
    rows: Sequence[Row]
    columns: Sequence[Column]
    comparisons: Mapping[str, Sequence[PairedComparison]]  #: key of a figure -> all pairs of methods
    contests: Sequence[Contest]
    reference: str  #: "" = none of the methods
    level: float
    notes: Sequence[str]
    about: Mapping[str, str]
    tips: Mapping[str, str]  #: method -> one line
    title: str
    facts: Sequence[str]


def points_of(m: PointMaterial) -> list[plots.Point]:
    """The methods as points of the trade-off plot."""
    key = m.truth.headline.key
    names = ("ms", key, f"{key}_low", f"{key}_high")
    return [plots.Point(r.method, *(r.numbers[n] for n in names)) for r in m.rows]


def figures_of(truth: PointTruth) -> list[Figure]:
    """What methods are compared by: AUC@3 and MMA@3, or MMA@3 alone."""
    return list(dict.fromkeys((truth.headline, MMA)))


def render(m: PointMaterial, gallery: PairGallery) -> str:
    """The page as text."""
    head = m.truth.headline
    chosen = point_pictures.choose_methods(m.scores, m.reference)
    disagree = point_pictures.choose_disagreement(m.truth, chosen)
    comparisons = m.comparisons[head.key]
    shown = [s.method for s in m.scores]
    rest = sorted({s.method for part in m.by_budget.values() for s in part} - set(shown))
    context = {
        "title": m.title,
        "facts": m.facts,
        "opening": opening(head, m.columns[0], m.rows, comparisons, "pair"),
        "rows": m.rows,
        "columns": m.columns,
        "tips": m.tips,
        "table_caption": _table_caption(m),
        "level": f"{100 * m.level:g} %",
        "unit": head.title,
        "notes": m.notes,
        "about": m.about,
        "meanings": point_words.meanings(m.columns, m.reference),
        "legend": point_words.legend(m.truth),
        "mma_curves": _mma_curves(m),
        "contests": [_contest(m, c) for c in m.contests],
        "balance": _balance(m),
        "parts": _parts(m),
        "sequences": [point_tables.by_sequence(m.truth, m.scores, f) for f in figures_of(m.truth)],
        "budgets": point_tables.by_budget(m.truth, m.by_budget, [*shown, *rest]),
        "main_budget": m.scores[0].budget,
        "cases": [(n, p) for n, p in point_pictures.method_pictures(gallery, chosen) if p],
        "cases_of": "" if len(chosen) == len(m.scores) else f", for {len(chosen)} of {len(m.scores)} methods",
        "disagreement": point_pictures.disagreement_pictures(gallery, chosen, disagree),
        **trade_off_context(points_of(m), head, "pair"),
        **pairs_context(head, m.rows, comparisons),
    }
    return render_page("points.html", context)


def _table_caption(m: PointMaterial) -> str:
    text = f"{m.truth.headline.title}, highest first; small: {100 * m.level:g} % intervals over sequences"
    text += "; ms with quartiles" if any(c.key == "ms" for c in m.columns) else ""
    return text + "." + (" Methods that share a letter cannot be told apart." if len(m.rows) > 1 else "")


def _mma_curves(m: PointMaterial) -> dict[str, str] | None:
    curves = {s.method: (np.array(CURVE_PX), s.curve.mean(axis=0)) for s in m.scores}
    return curves_context(
        curves,
        "mma",
        x_label="distance from the truth, px",
        y_label="matches at most so far from the truth, %",
        aria="Mean matching accuracy by tolerance",
    )


def _parts(m: PointMaterial) -> list[point_tables.Grid]:
    if not m.truth.parts() and m.truth.n_groups < 2:
        return []
    grids = [point_tables.by_part(m.truth, m.scores, f) for f in figures_of(m.truth)]
    return [g for g in grids if g.headings] or [
        point_tables.by_sequence(m.truth, m.scores, f) for f in figures_of(m.truth)
    ]


def _contest(m: PointMaterial, contest: Contest) -> dict[str, Any]:
    titles = {f.key: f.title for f in figures_of(m.truth)}
    return {
        "title": contest.title,
        "figures": [(key, titles[key]) for key in contest.results],
        "lines": point_tables.contest_lines(contest, m.scores),
    }


def _balance(m: PointMaterial) -> str:
    """Wins and losses against the reference, by the differences' intervals."""
    if not m.contests or m.contests[0].baseline != m.reference:
        return ""
    titles = {f.key: f.title for f in figures_of(m.truth)}
    gains = {}
    for key, results in m.contests[0].results.items():
        better = sum(math.isfinite(c.low) and c.low > 0 for c in results)
        worse = sum(math.isfinite(c.high) and c.high < 0 for c in results)
        gains[titles[key]] = (better, worse, len(results) - better - worse)
    return point_words.balance(m.scores, gains, m.reference)
