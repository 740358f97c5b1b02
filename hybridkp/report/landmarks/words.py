"""Says in plain sentences what the numbers show and how they were made.

Text only: takes rows, comparisons and predictions, gives strings.  Nothing is computed that a
table does not hold already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..verdicts import count, listed
from .scores import Scores, Truth


def notes(truth: Truth, scores: Sequence[Scores], level: float) -> list[str]:
    """What a reader must know to judge the numbers."""
    runs = [run for s in scores for run in s.runs]
    scored, asked = int(truth.scored.sum()), len(truth.xy)
    out = [_what(truth)]
    if asked > scored:
        out.append(
            f"{count(asked - scored, 'object')} of {asked} left out of every figure: no labelled point,"
            " or the normaliser's points are not labelled."
        )
    if truth.not_asked:
        out.append(f"{count(truth.not_asked, 'object')} of the data set had no prediction by any method.")
    out += _silence(truth, scores)
    timed = [int(np.isfinite(run.seconds).sum()) for run in runs]
    if any(timed):
        out.append(
            "Milliseconds: from the decoded picture and its box to the points in the picture, cutting the"
            " crop out included; one object at a time, one thread, after a warm-up; median and quartiles"
            f" over {max(timed)} objects. Reading the file and finding the object are not in the clock."
        )
    if any(run.peak_bytes >= 0 for run in runs):
        out.append(
            "Peak memory: largest resident size of the process that fitted and answered, interpreter and"
            " libraries included. Fit time: wall clock. A fit that was remembered from before counts with"
            " the memory and the time that it took; so does a combination's member."
        )
    out += [
        f"Intervals ({100 * level:g} %): percentile bootstrap that draws whole groups, so that pictures of"
        " one photograph, person or video count as one draw. They speak of new pictures, not of new"
        " training runs.",
        "Pairs: the mean paired difference on the same objects, a sign-flip permutation test over groups,"
        " p corrected by Holm for all pairs of this page. Methods that share a letter could not be told"
        " apart; that is not a proof that they are equal.",
        "Every method saw the same crops from the same boxes. Methods are fitted on the training split"
        " only; nothing is chosen on this split. Whoever picks a method or a setting by this page and"
        " then quotes this page's figure for it quotes a figure that is a little too good.",
    ]
    if any(len(s.runs) > 1 for s in scores):
        out.append(
            "Methods with several seeds: errors are averaged object by object; ± is the standard deviation"
            " of the seeds' means. Pictures and training curves show the first seed."
        )
    if "oks" in _kinds(truth):
        out.append(
            "OKS AP: COCO's definition with the data set's sigmas; the boxes were given, so it judges the"
            " points and the confidence, not the finding of objects."
        )
    return out


def _kinds(truth: Truth) -> set[str]:
    areas = np.array([i.area for i in truth.instances], float)[truth.scored]
    return {"oks"} if len(areas) and (np.isfinite(areas) & (areas > 0)).all() else set()


def _what(truth: Truth) -> str:
    names = truth.dataset.landmarks
    match truth.normalizer:
        case ("points", i, j):
            by = f"divided by the distance of the true landmarks {names[i]} and {names[j]}"
        case ("box",):
            by = "divided by the square root of the box's width times height"
        case _:
            by = "in pixels of the picture"
    error = f"Error of an object: mean distance of its labelled landmarks, {by}."
    if truth.headline.kind == "pck":
        return error + " PCK@0.2: share of an object's labelled landmarks closer than 0.2 of that length."
    return error


def _silence(truth: Truth, scores: Sequence[Scores]) -> list[str]:
    silent = [s.method for s in scores if np.isnan(s.xy).any()]
    if not silent:
        return []
    return [
        f"A landmark without an answer counts as a miss, and in a mean as the diagonal of the object"
        f" (at least the normaliser): concerns {listed(silent)}."
    ]
