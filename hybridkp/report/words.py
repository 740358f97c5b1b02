"""Says in plain sentences what the numbers show and how they were made.

Text only: takes rows, comparisons and predictions, gives strings.  Nothing is computed that a
table does not hold already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..statistics import PairedComparison, indistinguishable_sets
from ..structures import Predictions
from .scores import Headline, Scores, Truth
from .tables import Row, cell, columns_of, number, p_value


def difference_unit(headline: Headline) -> str:
    """Percentages differ by percentage points."""
    return "points" if headline.unit == "%" else headline.unit


def interval_words(c: PairedComparison, headline: Headline) -> str:
    """``−0.31 points [−0.42, −0.20], p = 0.003``, signed, first minus second."""
    digits = headline.digits
    size = number(c.difference, digits)
    ends = (
        f" [{number(c.low, digits)}, {number(c.high, digits)}]" if np.isfinite([c.low, c.high]).all() else ""
    )
    p = p_value(c.p_holm)
    p = (p if p.startswith("<") else f"= {p}").replace(" ", "\N{NO-BREAK SPACE}")
    return f"{size} {difference_unit(headline)}{ends}, Holm p\N{NO-BREAK SPACE}{p}"


def pair_sentence(c: PairedComparison, headline: Headline) -> str:
    """One pair in words."""
    if c.n == 0:
        return f"{c.first} and {c.second} share no object that can be scored."
    words = interval_words(c, headline)
    if not c.distinguishable:
        return f"{c.first} and {c.second} cannot be told apart ({words})."
    better = (c.difference < 0) == headline.lower_is_better
    ahead, behind = (c.first, c.second) if better else (c.second, c.first)
    return f"{ahead} is better than {behind} ({c.first} − {c.second}: {words})."


def opening(truth: Truth, rows: Sequence[Row], comparisons: Sequence[PairedComparison], level: float) -> str:
    """The result in two sentences."""
    best, head = rows[0], truth.headline
    value, interval = cell(best, columns_of(truth, level)[0])
    if not np.isfinite(best.numbers[head.key]):
        return "No object could be scored: see the notes at the end."
    unit = f" {head.unit}" if head.unit else ""
    bound = f" {interval}" if interval else ""
    first = f"{best.method} has the {'lowest' if head.lower_is_better else 'highest'} {head.title}: "
    first += f"{value}{unit}{bound}."
    others = [c for c in comparisons if best.method in (c.first, c.second)]
    if not others:
        return first
    if len(others) == 1:
        return f"{first} {pair_sentence(others[0], head)}"
    close = [c.second if c.first == best.method else c.first for c in others if not c.distinguishable]
    if not close:
        p = p_value(max(c.p_holm for c in others))
        return f"{first} It is better than every other method (Holm p {p if '<' in p else '≤ ' + p})."
    return f"{first} It cannot be told apart from {_listed(close)}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def set_sentences(rows: Sequence[Row], comparisons: Sequence[PairedComparison]) -> list[tuple[str, str]]:
    """(letter, methods) for each maximal set of two and more that no test separates."""
    names = [r.method for r in rows]
    letters = {r.method: r.letters for r in rows}
    out = []
    for members in indistinguishable_sets(names, comparisons) if len(names) > 1 else []:
        if len(members) > 1:
            shared = [c for c in _split(letters[members[0]]) if all(c in _split(letters[m]) for m in members)]
            out.append((shared[0] if shared else "", _listed(members)))
    return out


def _split(letters: str) -> list[str]:
    """ "ab1c" -> ["a", "b1", "c"]."""
    out: list[str] = []
    for sign in letters:
        if sign.isdigit() and out:
            out[-1] += sign
        else:
            out.append(sign)
    return out


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def notes(truth: Truth, scores: Sequence[Scores], level: float) -> list[str]:
    """What a reader must know to judge the numbers."""
    runs = [run for s in scores for run in s.runs]
    scored, asked = int(truth.scored.sum()), len(truth.xy)
    out = [_what(truth)]
    if asked > scored:
        out.append(
            f"{_count(asked - scored, 'object')} of {asked} left out of every figure: no labelled point,"
            " or the normaliser's points are not labelled."
        )
    if truth.not_asked:
        out.append(f"{_count(truth.not_asked, 'object')} of the data set had no prediction by any method.")
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
            " libraries included. Fit time: wall clock, for a combination with its members' time."
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
        f" (at least the normaliser): concerns {_listed(silent)}."
    ]


def versions(runs: Sequence[Predictions]) -> dict[str, str]:
    """Each package with the version, or versions, that the predictions were made with."""
    out: dict[str, list[str]] = {}
    for run in runs:
        for name, value in run.versions.items():
            seen = out.setdefault(str(name), [])
            if str(value) not in seen:
                seen.append(str(value))
    return {name: "; ".join(values) for name, values in sorted(out.items())}
