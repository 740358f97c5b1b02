"""What whole-picture methods say of points, held against the data: OKS, errors in found and in given boxes.

Stored answers and a data set come in, figures of pictures go out, which :mod:`.finders` draws and prints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..files import FoundBoxes
from ..metrics import (
    Metric,
    box_overlap,
    matched,
    nme,
    normalizer_kind,
    objects_of,
    oks_matrix,
    swapped_points,
)
from ..metrics.oks import Outcome, curves_of, outcome, picture_of
from ..structures import Array, Dataset, Instance, Normalizer
from .cells import Column, mean, median

FOUND = 0.5  #: overlap of boxes, or OKS, from which on a find is an object's
MAX_FOUND = 20  #: objects of a picture that count for average precision, as COCO has it for key points


class JudgedPicture(NamedTuple):
    """What became of one picture: of its G objects that have points, and of S sure finds."""

    outcome: Outcome  #: of all that was found, by OKS
    given: Outcome | None  #: the same in the given boxes
    error: Array  #: (G,) of those that were found, NaN = missed
    error_given: Array  #: (G,) in the given boxes, NaN = not asked
    match: Array  #: (G,) which of the found ones each is, -1 = missed
    false: Array  #: (S,) bool: of the sure ones, whether it is none
    swapped: Array  #: (G, K) bool: points that lie on another object


class PictureTruth(NamedTuple):
    """The objects of one picture, crowds left out, and what errors and OKS are measured by."""

    objects: tuple[Instance, ...]
    crowds: Array  #: (C, 4) their boxes
    lengths: Array  #: (G,) NaN for objects without points
    areas: Array  #: (G,)

    def like(self, boxes: Array, xy: Array, sigmas: Array) -> Array:
        """(D, G) how much a find is like an object: over 1 where their boxes overlap by half, else OKS."""
        overlap = box_overlap(boxes, [i.box_xywh for i in self.objects])
        oks = oks_matrix([i.xy for i in self.objects], xy, self.areas, sigmas).T if overlap.size else overlap
        return np.where(overlap >= FOUND, 1 + overlap, oks)


def truths_of(dataset: Dataset, normalizer: Normalizer | None = None) -> list[PictureTruth]:
    """The truth of every picture; :class:`~hybridkp.structures.InputError` where there is no object."""
    rows = [(p, n) for p, s in enumerate(dataset) for n, i in enumerate(s.instances) if not i.ignore]
    every, at = objects_of(dataset, rows, normalizer), np.array([p for p, _ in rows])
    out = []
    for p, sample in enumerate(dataset):
        its = tuple(i for i in sample.instances if not i.ignore)
        crowds = np.array([i.box_xywh for i in sample.instances if i.ignore]).reshape(-1, 4)
        lengths = np.where(every.labelled, every.lengths, np.nan)[at == p]
        out.append(PictureTruth(its, crowds, lengths, np.nan_to_num(every.areas[at == p])))
    return out


def judge_pictures(
    dataset: Dataset, found: FoundBoxes, truths: Sequence[PictureTruth]
) -> list[JudgedPicture]:
    """One method's answers, picture by picture."""
    return [_judged(dataset, found, truth, p) for p, truth in enumerate(truths)]


def _judged(dataset: Dataset, found: FoundBoxes, truth: PictureTruth, p: int) -> JudgedPicture:
    match, xy, error = _errors(dataset, found, truth, p)
    boxes, n = found.boxes[p], found.sure[p]
    inside = box_overlap(boxes[:n], truth.crowds, part=True).max(1, initial=0) > FOUND
    scored = np.array([i.judged for i in truth.objects], bool)
    true = np.array([i.xy for i in truth.objects]).reshape(xy.shape)
    given = None if found.given is None else _outcome(dataset, found.given, p)
    told = np.full(len(error), np.nan) if found.given is None else _errors(dataset, found.given, truth, p)[2]
    swapped = swapped_points(true, xy, truth.areas, dataset.sigmas, dataset.flip)
    return JudgedPicture(
        outcome=_outcome(dataset, found, p),
        given=given,
        error=error[scored],
        error_given=told[scored],
        match=match[scored],
        false=~np.isin(np.arange(n), match) & ~inside,
        swapped=swapped[scored],
    )


def _errors(dataset: Dataset, found: FoundBoxes, truth: PictureTruth, p: int) -> tuple[Array, Array, Array]:
    """(G,) which found one each object is, its points (G, K, 2), NaN where it was missed, and (G,) errors."""
    assert found.points is not None
    n, k = found.sure[p], len(dataset.landmarks)
    points = found.points[p][:n]
    match = matched(truth.like(found.boxes[p][:n], points, dataset.sigmas), FOUND)
    xy = np.full((len(match), k, 2), np.nan)
    xy[match >= 0] = points[match[match >= 0]]
    error = nme([i.xy for i in truth.objects], xy, truth.lengths) if len(match) else np.zeros(0)
    return match, xy, np.where(match >= 0, error, np.nan)


def _outcome(dataset: Dataset, found: FoundBoxes, p: int) -> Outcome:
    assert found.points is not None
    its = dataset.samples[p].instances
    boxes = np.array([i.box_xywh for i in its]).reshape(-1, 4)
    areas = np.array([i.area for i in its], float)
    columns: dict[str, Any] = {
        "truth": [i.xy for i in its],
        "predicted": found.points[p],
        "scores": found.scores[p],
        "areas": np.nan_to_num(np.where(areas > 0, areas, boxes[:, 2:].prod(1))),
        "visibility": [i.visibility for i in its],
        "crowd": [i.ignore for i in its],
        "ignore": None,
        "boxes_xywh": boxes,
        "predicted_areas": None,
    }
    return outcome(picture_of(dataset.samples[p].name, columns, dataset.sigmas, MAX_FOUND))


def point_figures(pictures: Sequence[JudgedPicture], scale: float = 100.0) -> dict[str, float]:
    """The figures of a method on pictures; errors are multiplied by ``scale``, NaN = there are none."""
    error, told = (np.concatenate([getattr(p, key) for p in pictures]) for key in ("error", "error_given"))
    hit = np.concatenate([p.match >= 0 for p in pictures])
    both = np.isfinite(error) & np.isfinite(told)
    n_points = int(hit.sum()) * pictures[0].swapped.shape[1] if pictures else 0
    ap, ap50 = _precision([p.outcome for p in pictures])
    given = [p.given for p in pictures if p.given is not None]
    ap_given = _precision(given)[0] if given else math.nan
    mean_found, mean_told = mean(error[both]), mean(told[both])
    ratios = error[both & (told > 0)] / told[both & (told > 0)]
    return {
        "oks_ap": 100 * ap,
        "oks_ap50": 100 * ap50,
        "oks_ap_given": 100 * ap_given,
        "ap_ratio": ap / ap_given if ap_given > 0 else math.nan,
        "objects_found": 100 * mean(hit),
        "false_per_picture": mean(np.array([p.false.sum() for p in pictures])),
        "swapped": 100 * sum(int(p.swapped.sum()) for p in pictures) / n_points if n_points else math.nan,
        "error": scale * mean(error),
        "error_given": scale * mean_told,
        "error_ratio": mean_found / mean_told if mean_told > 0 else math.nan,
        "median_ratio": median(ratios),
    }


def _precision(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    curves = curves_of(outcomes)
    return (math.nan, math.nan) if curves is None else (float(curves[0].mean()), float(curves[0][0].mean()))


def error_scale(dataset: Dataset, normalizer: Normalizer | None) -> tuple[str, float]:
    """Unit of errors, and the factor to it."""
    kind = normalizer_kind(tuple(normalizer or dataset.normalizer), dataset.landmarks)
    return {"pixel": ("px", 1.0), "mm": ("mm", 1.0)}.get(kind, ("%", 100.0))


HEAD = Metric(
    *("oks_ap", lambda pictures: point_figures(pictures)["oks_ap"] / 100, "OKS AP", "%", 1, "higher"),
    words="COCO's average precision of points, mean over similarities (OKS) of 0.50 to 0.95",
    scale=100.0,
    summary="set",
)


def columns_of(unit: str) -> tuple[Column, ...]:
    """The table's columns before those of any finder; ``unit`` is that of errors."""

    def ends(key: str) -> tuple[str, str]:
        return f"{key}_low", f"{key}_high"

    own = "at the method's own threshold"
    found = (
        f"share of the objects that were found {own}: boxes overlap by half, or points have an OKS of a half"
    )
    false = f"finds that are no object, {own}"
    return (
        Column.of(HEAD, ends=ends("oks_ap")),
        Column("oks_ap_given", "AP, given", "%", 1, "OKS AP where the boxes are given"),
        Column("ap_ratio", "AP found / given", "", 2, "ratio of the two", *ends("ap_ratio")),
        Column("objects_found", "found", "%", 1, found),
        Column("false_per_picture", "false", "a picture", 2, false),
        Column("swapped", "swapped", "%", 1, "points of found objects that lie on another object's landmark"),
        Column("error", "error", unit, 2, "mean error (NME) of the objects that were found", *ends("error")),
        Column("error_given", "error, given", unit, 2, "that of the same objects where the boxes are given"),
        Column("error_ratio", "error found / given", "", 2, "ratio of the two means", *ends("error_ratio")),
        Column("median_ratio", "median ratio", "", 2, "median over objects of the ratio of their two errors"),
    )
