"""Puts the points' tables, plots, pictures and sentences together as one self-contained HTML page.

What the pages of both tasks share is in ``material`` and ``rendering``.  No file is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...metrics import Metric, metric_of
from ..cells import Grid
from ..material import Material
from ..rendering import curves_context
from ..verdicts import excludes_zero
from . import pictures, tables, words
from .pictures import PairGallery
from .scores import CURVE_PX, MMA, Contest, PointScores, PointTruth


def figures_of(truth: PointTruth) -> list[Metric]:
    """What methods are compared by: AUC@3 and MMA@3, or MMA@3 alone."""
    return list(dict.fromkeys((truth.headline, MMA)))


def render(
    m: Material,
    truth: PointTruth,
    by_budget: Mapping[int, Sequence[PointScores]],
    scores: Sequence[PointScores],
    again: Sequence[PointScores],
    contests: Sequence[Contest],
    reference: str,
    gallery: PairGallery,
) -> str:
    """The page as text; ``scores`` at the main budget, best first, ``again`` under the other truth."""
    chosen = pictures.choose_methods(scores, reference)
    disagree = pictures.choose_disagreement(truth, chosen)
    shown = [s.method for s in scores]
    rest = sorted({s.method for part in by_budget.values() for s in part} - set(shown))
    return m.page(
        "points.html",
        legend=words.legend(truth),
        mma_curves=_mma_curves(scores),
        contests=[_contest(truth, c, scores) for c in contests],
        balance=_balance(truth, contests, scores, reference),
        parts=_parts(truth, scores),
        sequences=[tables.by_sequence(truth, scores, f) for f in figures_of(truth)],
        truths=tables.by_truth(truth, scores, again) if again else [],
        budgets=tables.by_budget(truth, by_budget, [*shown, *rest]),
        main_budget=scores[0].budget,
        cases=[(n, p) for n, p in pictures.method_pictures(gallery, chosen) if p],
        cases_of="" if len(chosen) == len(scores) else f", for {len(chosen)} of {len(scores)} methods",
        disagreement=pictures.disagreement_pictures(gallery, chosen, disagree),
    )


def _mma_curves(scores: Sequence[PointScores]) -> dict[str, str] | None:
    curves = {s.method: (np.array(CURVE_PX), s.curve.mean(axis=0)) for s in scores}
    return curves_context(
        curves,
        "mma",
        x_label="distance from the truth, px",
        y_label="matches at most so far from the truth, %",
        aria="Mean matching accuracy by tolerance",
    )


def _parts(truth: PointTruth, scores: Sequence[PointScores]) -> list[Grid]:
    figures = figures_of(truth)
    if not truth.parts() and truth.n_groups < 2:
        return []
    grids = [tables.by_part(truth, scores, f) for f in figures]
    return [g for g in grids if g.headings] or [tables.by_sequence(truth, scores, f) for f in figures]


def _contest(truth: PointTruth, contest: Contest, scores: Sequence[PointScores]) -> dict[str, Any]:
    return {
        "title": contest.title,
        "figures": [(key, metric_of(key, truth.metrics).title) for key in contest.results],
        "lines": tables.contest_lines(contest, scores),
    }


def _balance(
    truth: PointTruth, contests: Sequence[Contest], scores: Sequence[PointScores], reference: str
) -> str:
    """Wins and losses against the reference, by the differences' intervals."""
    if not contests or contests[0].baseline != reference:
        return ""
    gains = {}
    for key, results in contests[0].results.items():
        better, worse = (sum(excludes_zero(c) and sign * c.low > 0 for c in results) for sign in (1, -1))
        gains[metric_of(key, truth.metrics).title] = (better, worse, len(results) - better - worse)
    return words.balance(scores, gains, reference)
