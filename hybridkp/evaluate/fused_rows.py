"""Rows of a table that others' predictions can be part of: a rule of fusion over stored predictions.

What a rule learns it learns here from the judged objects themselves, out of fold: the objects of a group are
combined by a rule that was learned on the other groups, so that no truth is used twice.  No method is asked.
Points are taken into the crops' frame, in which the rules know their lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..datasets import group_folds
from ..imaging.crops import to_picture
from ..imaging.geometry import apply_affine, crop_matrix
from ..structures import (
    MARGIN,
    Array,
    CombinesPredictions,
    Dataset,
    InputError,
    ObjectKey,
    Predictions,
    object_keys,
    supports,
)
from .ready_made import untimed

FOLDS = 5
SIZE_HW = 128, 128  #: of the crops' frame


def fuse_rows(
    rows: Sequence[Predictions], dataset: Dataset, rule: Any, name: str, *, random_state: int = 0
) -> Predictions:
    """One row more: what ``rule`` makes of the others' points, learned without each object's own group.

    Parameters
    ----------
    rows : predictions for ``dataset``, ours or others'; what one of them lacks has no say
    rule : a combination of :mod:`hybridkp.fusion` that needs points and scores alone, unfitted
    name : of the row

    Raises
    ------
    InputError
        Fewer than two rows, a rule that needs more than points, or a single group.
    """
    if len(rows) < 2:
        raise InputError(f"{name}: needs two rows to combine, has {len(rows)}")
    if not supports(rule, CombinesPredictions):
        raise InputError(f"{name}: {type(rule).__name__} needs more than points and scores")
    keys, samples, numbers, truth, matrix = _objects(rows, dataset)
    xy, score = _table(rows, keys, len(dataset.landmarks))
    xy = np.stack([apply_affine(matrix, each) for each in xy])
    groups = np.array([dataset.samples[s].group for s in samples], dtype=object)
    found, confidence = np.full(truth.shape, np.nan), np.zeros(truth.shape[:2])
    for train, test in group_folds(groups, FOLDS, random_state):
        combine = rule.combiner(xy[:, train], score[:, train], truth[train], groups[train], max(SIZE_HW))
        found[test], confidence[test] = combine(xy[:, test], score[:, test])
    names, params = [key[0] for key in keys], {"fused": [row.method for row in rows], "folds": FOLDS}
    row = untimed(name, to_picture(matrix, found), confidence, names, numbers, dataset, params)
    return replace(row, split=rows[0].split)


def _objects(
    rows: Sequence[Predictions], dataset: Dataset
) -> tuple[list[ObjectKey], list[int], Array, Array, Array]:
    """Keys, samples and numbers of the objects that any row speaks of, their truth and maps to the crops."""
    asked = {key for row in rows for key in _keys(row)}
    every = [(s, n) for s, sample in enumerate(dataset) for n in range(len(sample.instances))]
    named = object_keys((dataset.samples[s].name, n) for s, n in every)
    kept = [(key, s, n) for key, (s, n) in zip(named, every, strict=True) if key in asked]
    truth, matrix = [], []
    for _, s, n in kept:
        sample, instance = dataset.samples[s], dataset.samples[s].instances[n]
        box = instance.box_xywh
        if not (np.isfinite(box).all() and min(box[2:]) > 0):
            h, w = sample.size_hw or sample.image.shape[:2]
            box = np.array([0, 0, w, h])
        matrix.append(crop_matrix(box, SIZE_HW, MARGIN))
        truth.append(apply_affine(matrix[-1], instance.xy))
    keys, samples, numbers = (list(column) for column in zip(*kept, strict=True))
    return keys, samples, np.array(numbers), np.stack(truth), np.stack(matrix)


def _keys(row: Predictions) -> list[ObjectKey]:
    return object_keys(zip(row.names, row.instance.tolist(), strict=True))


def _table(rows: Sequence[Predictions], keys: Sequence[ObjectKey], k: int) -> tuple[Array, Array]:
    """(M, B, K, 2) px of the pictures and (M, B, K); NaN and 0 where a row says nothing."""
    place: Mapping[ObjectKey, int] = {key: b for b, key in enumerate(keys)}
    xy, score = np.full((len(rows), len(keys), k, 2), np.nan), np.zeros((len(rows), len(keys), k))
    for m, row in enumerate(rows):
        at = [place[key] for key in _keys(row)]
        xy[m, at], score[m, at] = row.xy, np.nan_to_num(row.score)
    return xy, score
