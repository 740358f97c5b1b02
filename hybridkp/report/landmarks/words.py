"""Says in plain sentences what the numbers show and how they were made.

Text only: takes rows, comparisons and predictions, gives strings.  Nothing is computed that a
table does not hold already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...metrics.metric import NEEDS
from ..verdicts import comparison_note, count, host_notes, listed, load_notes, machine_notes
from .scores import Scores, Truth, machines, summary


def notes(truth: Truth, scores: Sequence[Scores], level: float) -> list[str]:
    """What a reader must know to judge the numbers."""
    runs = [run for s in scores for run in s.runs]
    hosts, fit_hosts, numbered = machines(scores)
    out = [_what(truth), *_left_out(truth)]
    if truth.not_asked:
        out.append(f"{count(truth.not_asked, 'object')} of the data set had no prediction by any method.")
    out += [*_annotators(truth, level), *_silence(truth, scores)]
    timed = [int(np.isfinite(run.seconds).sum()) for run in runs]
    if any(timed):
        out.append(
            "Milliseconds: from the decoded picture and its box to the points in the picture, cutting the"
            " crop out included; one object at a time, one thread, after a warm-up; median and quartiles"
            f" over {max(timed)} objects. Reading the file and finding the object are not in the clock."
        )
        out += load_notes({s.method: [run.load for run in s.runs] for s in scores}, "Milliseconds")
        out += host_notes(hosts, numbered, "Milliseconds")
    out += load_notes({s.method: [run.fit_load for run in s.runs] for s in scores}, "Fit times")
    out += host_notes(fit_hosts, numbered, "Fit times")
    out += machine_notes([run.versions for run in runs])
    if any(run.peak_bytes >= 0 for run in runs):
        out.append(
            "Peak memory: largest resident size of the process that fitted and predicted, interpreter and"
            " libraries included. Fit time: wall clock. A fit that was remembered from before counts with"
            " the memory and the time that it took; so does a combination's member."
        )
    out += [
        f"Intervals ({100 * level:g} %): percentile bootstrap that draws whole groups, so that pictures of"
        " one photograph, person or video count as one draw. They speak of new pictures, not of new"
        " training runs.",
        comparison_note("objects", "groups"),
        "Every method saw the same crops from the same boxes. Methods are fitted on the training split"
        " only; nothing is chosen on this split. Whoever picks a method or a setting by this page and"
        " then quotes this page's figure for it quotes a figure that is a little too good.",
    ]
    if any(len(s.runs) > 1 for s in scores):
        out.append(
            "Methods with several seeds: errors are averaged object by object; ± is the standard deviation"
            " of the seeds' means. Pictures and training curves show the first seed."
        )
    return out


def alarms(scores: Sequence[Scores]) -> list[str]:
    """Errors of the data that a bench was told to go on with; the predictions carry them."""
    runs = [run for s in scores for run in s.runs]
    return list(dict.fromkeys(str(line) for run in runs for line in run.params.get("data_errors", ())))


def caption(truth: Truth, level: float) -> str:
    """What the results table shows and how it is sorted."""
    order = "lowest error first" if truth.headline.lower_is_better else "highest first"
    title = truth.headline.title
    return f"{title[0].upper()}{title[1:]} with its {100 * level:g} % interval, {order}"


def _left_out(truth: Truth) -> list[str]:
    """How many objects each metric leaves out, and why; metrics of one number together."""
    found: dict[tuple[int, str], list[str]] = {}
    labelled = truth.objects.labelled
    for m in truth.metrics:
        lacking = {NEEDS[need]: ~truth.objects.has(need) & labelled for need in m.needs}
        why = ["no labelled point"] * (not labelled.all()) + [w for w, rows in lacking.items() if rows.any()]
        n = int((~(m.judges(truth.objects) & labelled)).sum())
        if n:
            found.setdefault((n, ", or ".join(why)), []).append(m.title)
    return [
        f"{count(n, 'object')} of {len(truth.xy)} left out of"
        f" {'every figure' if len(titles) == len(truth.metrics) else listed(titles)}: {why}."
        for (n, why), titles in found.items()
    ]


def _what(truth: Truth) -> str:
    names = truth.dataset.landmarks
    match truth.normalizer:
        case ("points", i, j):
            by = f"divided by the distance of the true landmarks {names[i]} and {names[j]}"
        case ("box",):
            by = "divided by the square root of the box's width times height"
        case ("mm",):
            by = "in mm by the scale that the data give for each picture"
        case _:
            by = "in pixels of the picture"
    error = f"Error of an object: mean distance of its labelled landmarks, {by}."
    return (
        error
        if truth.headline.lower_is_better
        else f"{error} {truth.headline.title}: {truth.headline.words}."
    )


def _annotators(truth: Truth, level: float) -> list[str]:
    """How far two annotators are apart: what the labels themselves are worth."""
    both = truth.objects.has("second")
    if not both.any():
        return []
    head, rows = truth.headline, truth.objects[both]
    if head.summary == "set":
        return []
    apart = summary(head(rows.predicted_by(rows.second)) * head.scale, truth.groups[both], level)
    bounds = f" [{apart.low:.{head.digits}f}, {apart.high:.{head.digits}f}]" if np.isfinite(apart.low) else ""
    return [
        f"A second annotator labelled {count(int(both.sum()), 'object')}: judged like a method, their points"
        f" have {head.title} {apart.value:.{head.digits}f}{bounds} {head.unit}. A method that is about as"
        " near cannot be told from an annotator by these labels; one that is nearer has learned the first"
        " annotator's ways."
    ]


def _silence(truth: Truth, scores: Sequence[Scores]) -> list[str]:
    silent = [s.method for s in scores if np.isnan(s.xy).any()]
    if not silent:
        return []
    return [
        f"A landmark without a prediction counts as a miss, and in a mean as the diagonal of the object"
        f" (at least the normaliser): concerns {listed(silent)}."
    ]
