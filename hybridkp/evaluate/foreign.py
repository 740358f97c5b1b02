"""Predictions that another program wrote, as rows beside ours: the same objects, the same metrics and tests.

Read are COCO results (and COCO annotations, such as ``hybridkp predict`` writes), DeepLabCut's and
lightning-pose's tables of predictions, SLEAP's analysis CSV, Ultralytics' texts, and our own stored
predictions.  Whole-picture programs do not say which annotated object they mean.  Where a picture has one, it
gets the most confident; else they are given out in the order of their confidence, each to the free annotated
object of highest OKS, if that is at least :data:`LIKE`, as COCO's evaluation does.  An annotated object that
gets none has no points, which every metric charges.  Points are 0-based px as in each program's labels (see
:mod:`hybridkp.datasets.formats`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files import FoundBoxes, load_predictions
from ..imaging.geometry import points_box
from ..metrics import matched, oks_matrix
from ..structures import Array, Dataset, InputError, Predictions, Sample
from .foreign_files import KINDS, Found, Objects, by_name, nothing
from .ready_made import untimed
from .result_doors import objects_of_key_points

LIKE = 0.1  #: OKS from which an object that was found may stand for an annotated one


def read_foreign(
    path: str | os.PathLike[str] | Mapping[str, Any], dataset: Dataset, name: str
) -> Predictions:
    """The predictions in a file (or a folder of texts) for the objects of ``dataset``, called ``name``.

    ``path`` may also be a mapping of pictures' names to ``supervision.KeyPoints``.

    Raises
    ------
    InputError
        A file of no known kind, other landmarks, or no picture of the data set in it.
    """
    if isinstance(path, str | os.PathLike) and Path(path).suffix == ".safetensors" and Path(path).exists():
        return _own(Path(path), dataset, name)
    objects, place = _objects(path, dataset, name)
    return _rows(objects, dataset, name, place)


def found_objects(
    path: str | os.PathLike[str] | Mapping[str, Any], dataset: Dataset, name: str
) -> FoundBoxes:
    """All objects that somebody else's file speaks of, picture by picture; a box is that of the points.

    Read and raised as by :func:`read_foreign`; what ``bench`` stored of given boxes is none.
    """
    if isinstance(path, str | os.PathLike) and Path(path).suffix == ".safetensors":
        raise InputError(
            f"{path}: is of given boxes, not of whole pictures: leave it out, or the models that"
            " have a finder"
        )
    objects, k = _objects(path, dataset, name)[0], len(dataset.landmarks)
    rows = [sorted(objects.get(p, []), key=lambda one: -one.confidence) for p in range(len(dataset))]
    return FoundBoxes(
        name,
        tuple(s.name for s in dataset),
        tuple(np.array([points_box(one.xy) for one in row]).reshape(-1, 4) for row in rows),
        tuple(np.array([one.confidence for one in row], float) for row in rows),
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        points=tuple(np.array([one.xy for one in row]).reshape(-1, k, 2) for row in rows),
        sure=tuple(map(len, rows)),
    )


def _objects(
    path: str | os.PathLike[str] | Mapping[str, Any], dataset: Dataset, name: str
) -> tuple[Objects, Path]:
    """What is said of each picture, and where that stands."""
    if isinstance(path, Mapping):
        return _key_points(path, dataset, name), Path("KeyPoints")
    if not isinstance(path, str | os.PathLike):
        raise InputError(
            f"{name}: {type(path).__name__} is neither a file, nor KeyPoints by picture, nor a detector that"
            " learns nothing"
        )
    place = Path(path)
    if not place.exists():
        raise InputError(f"{place}: no such file of predictions")
    read = next((read for is_one, read in KINDS if is_one(place)), None)
    if read is None:
        raise InputError(
            f"{place}: no predictions that are known: COCO results (.json), a CSV of DeepLabCut,"
            " lightning-pose or SLEAP, a folder of Ultralytics' .txt, or a .safetensors of ours"
        )
    found = read(place, dataset)
    if not found:
        raise InputError(f"{place}: speaks of no picture of {dataset.name}; give predictions for these data")
    return found, place


def _key_points(theirs: Mapping[str, Any], dataset: Dataset, name: str) -> Objects:
    find, found = by_name(dataset), nothing()
    for picture, xy, score, confidence in objects_of_key_points(theirs, len(dataset.landmarks)):
        if (row := find(picture)) is not None:
            found[row].append(Found(xy, score, confidence))
    if not found:
        raise InputError(f"{name}: speaks of no picture of {dataset.name}; name them as the data do")
    return found


def _own(path: Path, dataset: Dataset, name: str) -> Predictions:
    stored = load_predictions(path)
    if stored.fingerprint != dataset.fingerprint:
        raise InputError(f"{path}: predictions of other data than {dataset.name}")
    return replace(stored, method=name)


# --------------------------------------------------------------------------------------------
# found objects -> annotated ones
# --------------------------------------------------------------------------------------------


def _rows(found: Objects, dataset: Dataset, name: str, path: Path) -> Predictions:
    k = len(dataset.landmarks)
    xy, score, names, instance = [], [], [], []
    for row, sample in enumerate(dataset):
        wanted = [n for n, i in enumerate(sample.instances) if i.judged]
        given = _given_out(sample, wanted, found.get(row, []), dataset.sigmas)
        for n, one in zip(wanted, given, strict=True):
            xy.append(np.full((k, 2), np.nan) if one is None else one.xy)
            score.append(np.zeros(k) if one is None else one.score)
            names.append(sample.name)
            instance.append(n)
    points, sure = np.array(xy).reshape(-1, k, 2), np.array(score).reshape(-1, k)
    return untimed(name, points, sure, names, instance, dataset, {"file": path.name})


def _given_out(
    sample: Sample, wanted: Sequence[int], found: Sequence[Found], sigmas: Array
) -> list[Found | None]:
    """For each annotated object the one that it gets, the most confident choosing first."""
    ordered = sorted(found, key=lambda one: -one.confidence)
    if len(sample.instances) == 1:
        return [ordered[0] if ordered else None for _ in wanted]
    if not wanted or not found:
        return [None] * len(wanted)
    truth = [sample.instances[n] for n in wanted]
    areas = [i.area if np.isfinite(i.area) and i.area > 0 else _area(i.xy) for i in truth]
    likeness = oks_matrix([i.xy for i in truth], [one.xy for one in ordered], areas, sigmas)
    return [ordered[d] if d >= 0 else None for d in matched(likeness.T, LIKE)]


def _area(xy: Array) -> float:
    return float(max(np.prod(np.nanmax(xy, 0) - np.nanmin(xy, 0)), 1.0))
