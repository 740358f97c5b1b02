"""Says in plain sentences what the points' figures mean, how they were made and how sure they are.

Text only: takes truth, scores and comparisons, gives strings.  Nothing is computed that a table does
not hold already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..cells import SPACE, Column
from ..verdicts import comparison_note, count, host_notes, listed, load_notes
from .scores import CONTROL, PointScores, PointTruth, machines

#: column of a cost -> one line for a student; shown for the columns that a table has
COSTS = {
    "feature_ms": "ms points: milliseconds to detect and describe the points of one picture.",
    "ms": "ms pair: milliseconds from two decoded pictures to the homography: points of both, matching,"
    " estimation, and a hybrid's second stage.",
    "ratio": "time{space}/{space}{reference}: a pair's time over {reference}'s; below 1 is faster.",
}

_ONE_STAGE = frozenset({"detect", "describe", "match", "estimate"})


def caption(truth: PointTruth, level: float) -> str:
    """What the results table shows and how it is sorted."""
    return f"{truth.headline.title}, highest first; small: {100 * level:g} % intervals over sequences"


def cost_terms(columns: Sequence[Column], reference: str) -> list[tuple[str, str]]:
    """(term, what it is) for the costs shown."""
    out = []
    for text in (COSTS[c.key] for c in columns if c.key in COSTS):
        term, _, rest = text.replace("{space}", SPACE).replace("{reference}", reference).partition(": ")
        out.append((term, rest[0].upper() + rest[1:]))
    return out


def legend(truth: PointTruth) -> str:
    """How to read the pictures of matches."""
    flow = "" if truth.planar.all() else " Thin grey lines: the truth is not known there."
    return (
        "Both pictures of a pair side by side; a line joins two points that a method takes for the same"
        " spot. Blue, solid, with dots: right, the end lies within 3 px of where the true homography (or the"
        " measured disparity) puts the first point. Orange, dashed, with crosses: wrong." + flow
    )


def facts(truth: PointTruth, scores: Sequence[PointScores], budgets: Sequence[int], main: int) -> list[str]:
    """Data and size, for the line under the title."""
    out = [truth.data.name]
    out.append(f"{count(len(truth.pairs), 'pair')} of {count(truth.n_groups, 'sequence')}")
    if main:
        others = [str(b) for b in budgets if b != main]
        out.append(f"{main} points per picture" + (f" (and {', '.join(others)})" if others else ""))
    out.append(count(max(len(s.runs) for s in scores), "seed"))
    return out


def registered(truth: PointTruth) -> str:
    """Which truth the figures are from, for the provenance; "" where only the given one is there."""
    if not truth.registered:
        return ""
    refused = [name for name, r in truth.registered.items() if r.reason]
    text = (
        f"as given; {count(len(truth.registered) - len(refused), 'pair')} also registered again on the pixels"
    )
    return text + (f", refused: {listed(refused)}" if refused else "")


def balance(scores: Sequence[PointScores], gains: Mapping[str, tuple[int, int, int]], base: str) -> str:
    """Wins and losses in one sentence; ``gains``: figure -> (better, worse, undecided) against ``base``."""
    parts = [
        f"in {title}: {better} better, {worse} worse, {same} undecided"
        for title, (better, worse, same) in gains.items()
    ]
    others = count(len(scores) - 1, "other method")
    return f"Of the {others}, against {base}, {'; '.join(parts)}." if parts else ""


def notes(truth: PointTruth, scores: Sequence[PointScores], level: float, n_comparisons: int) -> list[str]:
    """What a reader must know to judge the numbers."""
    out = []
    flow = int((~truth.planar).sum())
    lines = sum(t.shape == (1, 3, 3) for t in truth.truths)
    if lines:
        out.append(
            f"{count(lines, 'pair')} with nothing known but cameras: there MMA and right inliers ask for 3"
            " px from the epipolar line only, which chance meets more often, and repeatability is unknown."
        )
    if truth.posed.any():
        out.append(
            "Poses: the essential matrix of every method's matches by one estimator (MAGSAC, 1 px from the"
            " epipolar line); the error is the larger of both angles, the sign of the translation left out."
        )
    if flow and flow < len(truth.pairs):
        out.append(
            f"{count(flow, 'pair')} without a true homography (a scene that is not flat): in MMA and"
            " repeatability, not in AUC."
        )
    if truth.not_asked:
        out.append(f"{count(truth.not_asked, 'pair')} of the set had no matches by any method.")
    failed = {s.method: sum(len(run.failures) for run in s.runs) for s in scores}
    if any(failed.values()):
        named = [f"{m} ({count(n, 'pair')})" for m, n in failed.items() if n]
        out.append(f"An exception counts as no points, no matches, no homography: {listed(named)}.")
    empty = {s.method: int((s.mean("matches") == 0).sum()) for s in scores}
    named = [f"{m} ({count(n, 'pair')})" for m, n in empty.items() if n and not failed[m]]
    if named:
        out.append(f"A pair without a match counts as 0 in MMA and AUC, it is not left out: {listed(named)}.")
    if any(not _ONE_STAGE.issuperset(run.stages) for s in scores for run in s.runs):
        out.append(
            "A method with a second stage looks again at a picture warped by its first homography; its points"
            " may have been found with the other picture's help, so its repeatability is not a"
            " detector's alone."
        )
    if any(s.family == CONTROL for s in scores):
        out.append(
            "A control has a hybrid's stages without what is learned: what a hybrid gains over it is due to"
            " the net, not to a second look."
        )
    out += [
        "Every method got the same pictures, the same number of points per picture, and, where it estimates"
        " a homography, the same robust estimator. Methods that lose stand in the table with those that win;"
        " none was left out for its result.",
        "Points, matches, homographies and seconds are stored; every figure here was computed from"
        " them when this page was written, so it can be computed again, or another way, without a run.",
        *_spread(truth, level, n_comparisons),
    ]
    if any(np.isfinite(s.pair_ms).any() for s in scores):
        out.append(
            "Milliseconds: one thread, from decoded pictures; processor time where it was measured, which"
            " neighbours on the machine disturb less than the clock. A median over pairs of different sizes:"
            " compare methods within this page, not with other machines."
        )
        out += load_notes({s.method: [run.load for run in s.runs] for s in scores}, "Milliseconds")
        out += host_notes(*machines(scores), "Milliseconds")
    if any(len(s.runs) > 1 for s in scores):
        out.append("Methods with several seeds: figures are averaged pair by pair; pictures show the first.")
    return out


def _spread(truth: PointTruth, level: float, n_comparisons: int) -> list[str]:
    g = len(set(truth.groups[truth.scored].tolist()))
    percent = f"{100 * level:g} %"
    out = [
        f"Intervals ({percent}): percentile bootstrap that draws whole sequences, not pairs, because pairs"
        " of one sequence share a scene (and mostly its first picture) and rise and fall together."
        " Sequences that show one scene, as those of one embedded photograph do, are not independent either:"
        " there intervals are a little too narrow."
        f" {'With one sequence nothing is known of others: there is no interval.' if g < 2 else ''}".rstrip(),
        comparison_note("pairs of pictures", "sequences"),
    ]
    if 2 <= g < 15:
        least = 2.0 / 2**g
        text = (
            f"Only {g} sequences count in {truth.headline.title}, so intervals are wide, and no test can give"
            f" a p below 2 / 2^{g} = {least:.2g}."
        )
        if n_comparisons > 1 and least * n_comparisons >= 1 - level:
            text += (
                f" Corrected for {n_comparisons} pairs of methods that is"
                f" {min(1.0, least * n_comparisons):.2g}: here the letters cannot separate any two, whatever"
                " they do; look at the intervals of the differences and at the shorter tables against one"
                " method."
            )
        out.append(text)
    return out
