"""The report of finders and of whole-picture methods: what was found against the data, a table, pictures.

Reads nothing but what was stored and the data that it belongs to.  Figures of boxes are those of
:mod:`hybridkp.metrics.boxes`, those of points of :mod:`.found_points`; intervals resample whole groups of
pictures.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files import FoundBoxes
from ..imaging.draw import RIGHT_COLOR, TRUTH_COLOR, WRONG_COLOR, draw_boxes, draw_landmarks
from ..imaging.geometry import rescale
from ..imaging.images import as_uint8
from ..metrics import BOX_FIGURES, Metric, box_figures, box_outcome, box_overlap, froc
from ..metrics.oks import Outcome
from ..stats.resampling import counts, tails
from ..structures import Array, Dataset, InputError, Normalizer
from .cells import Column, Row, shown_columns
from .embed import Picture, jpeg_uri
from .found_points import HEAD, columns_of, error_scale, judge_pictures, point_figures, truths_of
from .material import Material
from .output import about_page, links
from .rendering import curves_context
from .verdicts import count, host_marks, host_notes

RESAMPLES = 300
SURE = 0.5  #: score above which a box is drawn
SHOWN = 3  #: pictures of each finder
SHOWN_PX = 480  #: side up to which a small part of a picture is enlarged
POINTS_NOTE = (
    "A method finds an object if, above its own threshold, a box overlaps the object's by half or the points"
    " have an OKS of one half; AP also counts what is below. Methods without a finder were given the boxes."
    " A landmark that is left out counts as an error as large as the object."
)
GIVEN_LAST = ", methods that were given the boxes behind those that found them"

_WORDS = {
    "ap": "COCO's average precision, mean over overlaps (IoU) of 0.50 to 0.95, objects of all sizes",
    "ap50": "the same at an overlap of 0.50",
    "recall": "share of the objects that the surest boxes find, one false box in ten pictures, IoU 0.50",
}
#: figures of pictures' outcomes; all are of the whole set, in percent
METRICS = tuple(
    Metric(
        *(key, lambda outcomes, key=key: box_figures(outcomes)[key], title, "%", 1, "higher"),
        words=_WORDS[key],
        scale=100.0,
        summary="set",
    )
    for key, title in BOX_FIGURES.items()
)


@dataclass(frozen=True, eq=False)
class FinderScore:
    """One finder's or method's figures, with the draws that intervals and differences come from."""

    finder: str
    found: FoundBoxes
    judged: Sequence[Any]  #: what became of each picture
    value: dict[str, float]
    froc: tuple[Array, Array]  #: false boxes per picture, share of the objects found
    draws: dict[str, Array]  #: figure -> (R,) on resampled groups; empty with fewer than two groups

    def interval(self, figure: str, level: float, n_groups: int) -> tuple[float, float]:
        return _ends(self.draws[figure], level, n_groups)


def score_finders(
    dataset: Dataset, founds: Sequence[FoundBoxes], normalizer: Normalizer | None = None
) -> list[FinderScore]:
    """Figures of every finder, best AP first; all resample the same groups.

    Where all gave points, these are judged, with errors by ``normalizer``; else boxes.  Methods that were
    given the boxes had an easier task: they stand behind those that found them.

    Raises
    ------
    InputError
        No boxes, or boxes of other data.
    """
    if not founds:
        raise InputError("no finder has stored boxes: run `hybridkp bench-finders`")
    codes = np.unique([str(g) for g in dataset.groups], return_inverse=True)[1]
    points, scale = _gave_points(founds), error_scale(dataset, normalizer)[1]
    figures: Callable[[Any], dict[str, float]] = (
        partial(point_figures, scale=scale) if points else _box_percent
    )
    truths = truths_of(dataset, normalizer) if points else []
    out = []
    for found in founds:
        if found.fingerprint != dataset.fingerprint:
            raise InputError(f"{found.finder}: its boxes are of other data ({found.data})")
        judged: Sequence[Any] = (
            judge_pictures(dataset, found, truths) if points else _box_outcomes(dataset, found)
        )
        outcomes = [picture.outcome for picture in judged] if points else judged
        draws = _draws(judged, figures, codes)
        out.append(FinderScore(found.finder, found, judged, figures(judged), froc(outcomes), draws))
    head = _head(points).key
    return sorted(out, key=lambda s: (s.found.told, -np.nan_to_num(s.value[head], nan=-1)))


def _gave_points(founds: Sequence[FoundBoxes]) -> bool:
    return all(found.points is not None for found in founds)


def _head(points: bool) -> Metric:
    return HEAD if points else METRICS[0]


def _box_outcomes(dataset: Dataset, found: FoundBoxes) -> list[Outcome]:
    return [
        box_outcome(
            np.array([i.box_xywh for i in sample.instances]).reshape(-1, 4),
            found.boxes[p],
            found.scores[p],
            [i.ignore for i in sample.instances],
        )
        for p, sample in enumerate(dataset)
    ]


def _box_percent(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {key: 100 * value for key, value in box_figures(outcomes).items()}


def _draws(
    judged: Sequence[Any], figures: Callable[[Any], dict[str, float]], codes: Array
) -> dict[str, Array]:
    n_groups = int(codes.max(initial=-1)) + 1
    if n_groups < 2:
        return {name: np.zeros(0) for name in figures(judged)}
    rng, rows = np.random.default_rng(0), np.arange(len(judged))
    drawn = [
        figures([judged[i] for i in np.repeat(rows, weight[codes].astype(int)).tolist()])
        for block in counts(rng, n_groups, RESAMPLES)
        for weight in block
    ]
    return {name: np.array([d[name] for d in drawn]) for name in drawn[0]}


def _ends(draws: Array, level: float, n_groups: int) -> tuple[float, float]:
    known = draws[np.isfinite(draws)]
    if n_groups < 2 or not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, tails(level, n_groups)).tolist()
    return low, high


def _machines(founds: Sequence[FoundBoxes]) -> tuple[dict[str, list[str]], list[str]]:
    """Finder -> where it was trained, and all of these."""
    return {f.finder: [f.fit_host] for f in founds}, sorted({f.fit_host for f in founds if f.fit_host})


def finder_rows(
    dataset: Dataset, scores: Sequence[FinderScore], families: Mapping[str, str], level: float = 0.95
) -> list[Row]:
    """One row a finder: figures with intervals, and the difference of its AP to the first one's."""
    n_groups, first, rows = len(set(dataset.groups.tolist())), scores[0], []
    head = next(iter(first.value))
    machines = host_marks(*_machines([score.found for score in scores]))
    for rank, score in enumerate(scores, 1):
        numbers: dict[str, float] = {}
        for name in score.value:
            numbers[name] = score.value[name]
            numbers[f"{name}_low"], numbers[f"{name}_high"] = score.interval(name, level, n_groups)
        comparable = score is not first and score.found.told == first.found.told
        numbers["behind"] = score.value[head] - first.value[head] if comparable else math.nan
        gap = score.draws[head] - first.draws[head] if comparable else np.zeros(0)
        numbers["behind_low"], numbers["behind_high"] = _ends(gap, level, n_groups)
        numbers["time"], numbers["fit"] = score.found.time_ratio, score.found.fit_seconds
        size = score.found.model_bytes
        numbers["mb"] = size / 1e6 if size >= 0 else math.nan
        marks = {"fit": machines[score.finder]} if score.finder in machines else {}
        rows.append(Row(rank, score.finder, "", numbers, families.get(score.finder, ""), marks))
    return rows


COLUMNS = tuple(Column.of(m, ends=(f"{m.key}_low", f"{m.key}_high")) for m in METRICS)
COSTS = (
    Column(
        *("behind", "AP to the first", "points", 1, "difference on the same resamples of groups"),
        *("behind_low", "behind_high"),
    ),
    Column(
        *("time", "time / people", "", 2),
        "seconds for a picture of 640 x 480 in one thread, divided by those of OpenCV's HOG people detector",
    ),
    Column("fit", "fit", "s", 0, "seconds of the training"),
    Column("mb", "model", "MB", 2, "size of the model file"),
)


def write_finders_report(
    founds: Sequence[FoundBoxes],
    dataset: Dataset,
    out: str | os.PathLike[str],
    *,
    families: Mapping[str, str] | None = None,
    abouts: Mapping[str, str] | None = None,
    models: Mapping[str, str | os.PathLike[str]] | None = None,
    provenance: Mapping[str, Any] | None = None,
    normalizer: Normalizer | None = None,
) -> dict[str, Path]:
    """Score what was found and write ``index.html``, ``results.md``, ``.csv`` and ``.json`` into ``out``.

    Where all gave points, the report is about these, with errors by ``normalizer``.  ``families``,
    ``abouts``, ``models`` and ``provenance``: see :func:`.write_report`.

    Returns
    -------
    dict
        "html", "markdown", "csv", "json" -> path.
    """
    scores, points = score_finders(dataset, founds, normalizer), _gave_points(founds)
    rows = finder_rows(dataset, scores, families or {})
    own = columns_of(error_scale(dataset, normalizer)[0]) if points else COLUMNS
    columns, n_groups = shown_columns((*own, *COSTS), rows), len(set(dataset.groups.tolist()))
    mixed = len({f.told for f in founds}) > 1
    n_objects = sum(not i.ignore for s in dataset for i in s.instances)
    notes = [
        "What was found was stored first and scored here. A crowd region counts for nothing.",
        *[POINTS_NOTE] * points,
        f"Intervals (95 %): {RESAMPLES} resamples of whole groups"
        + ("." if n_groups >= 10 else f"; there are only {n_groups} groups, so they say little."),
        *host_notes(*_machines(founds), "Fit times"),
    ]
    material = Material(
        head=_head(points),
        what="object",
        metrics=(HEAD,) if points else METRICS,
        rows=rows,
        columns=columns,
        comparisons={},
        level=0.95,
        notes=notes,
        about=about_page({"data": dataset.name}, provenance or {}, []),
        title=f"{dataset.name}: {count(len(rows), 'method' if points else 'finder')} compared",
        facts=[count(len(dataset), "picture"), count(n_objects, "object"), count(n_groups, "group")],
        caption=f"Best AP first{GIVEN_LAST * mixed}; each figure with its 95 % interval over groups.",
        unit="points",
        terms=[(c.title, f"{c.tip[:1].upper()}{c.tip[1:]}.") for c in columns],
        tips=abouts or {},
        models=links(models or {}, Path(out)),
    )
    html = material.page(
        "finders.html",
        timed=False,
        froc=_froc(scores),
        points=points,
        cases=[(s.finder, (_point_cases if points else _cases)(dataset, s)) for s in scores],
    )
    return material.write(Path(out), html)


def _froc(scores: Sequence[FinderScore]) -> dict[str, str] | None:
    """Up to one false box a picture; a curve that ends before goes on as it is."""
    grid = np.linspace(0, 1, 101)
    curves = {s.finder: (grid, _reached(*s.froc, grid)) for s in scores if np.isfinite(s.froc[1]).all()}
    return curves_context(
        curves,
        "froc",
        x_label="false boxes per picture",
        y_label="objects found, %",
        aria="Free-response operating characteristic",
    )


def _reached(false: Array, recall: Array, grid: Array) -> Array:
    """The share found with at most so many false boxes."""
    return recall[np.searchsorted(false, grid, side="right") - 1]


def _chosen(wrong: Sequence[int], objects: Sequence[int]) -> list[int]:
    """The pictures with most mistakes, and the first with objects and without a mistake."""
    order = np.argsort(-np.array(wrong), kind="stable")
    chosen = [int(p) for p in order[: SHOWN - 1] if wrong[p]]
    return chosen + [p for p, w in enumerate(wrong) if w == 0 and objects[p]][:1]


def _point_cases(dataset: Dataset, score: FinderScore) -> list[Picture]:
    """Objects with their points, and a line from its landmark to each swapped point."""
    judged, out = score.judged, []
    wrong = [int((j.match < 0).sum() + j.false.sum() + j.swapped.any(1).sum()) for j in judged]
    for p in _chosen(wrong, [len(j.match) for j in judged]):
        j, sample, points = judged[p], dataset.samples[p], (score.found.points or ())[p]
        found, its = score.found.boxes[p][: len(j.false)], [i for i in sample.instances if i.judged]
        true = np.array([i.box_xywh for i in its]).reshape(-1, 4)
        image, corner, scale = _near(as_uint8(sample.image, sample.name), np.concatenate([true, found]))
        shift = np.append(corner, [0, 0])
        image = draw_boxes(image, scale * (true[j.match < 0] - shift), TRUTH_COLOR)
        for box, xy, false in zip(found, points, j.false, strict=False):
            color = WRONG_COLOR if false else RIGHT_COLOR
            image = draw_boxes(image, scale * (box - shift), color)
            image = draw_landmarks(image, rescale(xy - corner, scale), skeleton=dataset.skeleton, color=color)
        for n in np.flatnonzero(j.swapped.any(1)).tolist():  # of what was found, which may be nothing
            own, true_xy = (
                rescale(xy[j.swapped[n]] - corner, scale) for xy in (points[j.match[n]], its[n].xy)
            )
            image = draw_landmarks(image, own, truth=true_xy, color=WRONG_COLOR)
        words = (
            f"{int((~j.false).sum())} right, {int(j.false.sum())} false, {int((j.match < 0).sum())} missed"
        )
        words += f", {count(int(j.swapped.sum()), 'point')} swapped" if j.swapped.any() else ""
        out.append(Picture(jpeg_uri(image), f"{sample.name}: {words}", sample.name, words))
    return out


def _near(image: Array, boxes: Array) -> tuple[Array, Array, int]:
    """The part of a picture around boxes (N, 4), enlarged where it is small; its corner (2,); how much."""
    boxes, size = boxes[np.isfinite(boxes).all(1)], np.array(image.shape[1::-1])
    if not len(boxes):
        return image, np.zeros(2), 1
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    room = 0.3 * (high - low).max()
    low = np.clip(np.floor(low - room), 0, size - 1).astype(int)
    high = np.clip(np.ceil(high + room), low + 1, size).astype(int)
    scale = max(1, int(SHOWN_PX // (high - low).max()))
    part = image[low[1] : high[1], low[0] : high[0]]
    return cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), low, scale


def _cases(dataset: Dataset, score: FinderScore) -> list[Picture]:
    """The pictures in which a finder is wrong most often, and the first in which it is right throughout."""
    wrong, parts, found = [], [], score.found
    for p, sample in enumerate(dataset):
        true = np.array([i.box_xywh for i in sample.instances if not i.ignore]).reshape(-1, 4)
        boxes = found.boxes[p][found.scores[p] >= SURE]
        near = box_overlap(boxes, true) >= 0.5
        hit, missed = np.asarray(near.any(1)), np.asarray(~near.any(0))
        parts.append((true, boxes, hit, missed))
        wrong.append(int((~hit).sum() + missed.sum()))
    return [_picture(dataset, p, *parts[p]) for p in _chosen(wrong, [len(part[0]) for part in parts])]


def _picture(dataset: Dataset, p: int, true: Array, boxes: Array, hit: Array, missed: Array) -> Picture:
    sample = dataset.samples[p]
    image = draw_boxes(as_uint8(sample.image, sample.name), true[missed], TRUTH_COLOR)
    image = draw_boxes(draw_boxes(image, boxes[hit], RIGHT_COLOR), boxes[~hit], WRONG_COLOR)
    words = f"{int(hit.sum())} right, {int((~hit).sum())} false, {int(missed.sum())} missed"
    return Picture(jpeg_uri(image), f"{sample.name}: {words}", sample.name, words)
