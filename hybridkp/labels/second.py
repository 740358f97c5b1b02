"""A second annotator's labels of the same objects: from the field ``keypoints_b`` of COCO files, or from a
data set of their own.

Paths and data sets come in; points (B, K, 2) in the order of the first data set's objects come out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..metrics import box_overlap
from ..structures import Array, Dataset, InputError, Instance

SAME = 0.5  #: overlap of two boxes from which they may be one object


def own_second(dataset: Dataset) -> Dataset | None:
    """The second annotator's labels that come with a data set (``Instance.second_xy``), where any do."""
    samples = []
    for sample in dataset:
        twice = ((i, i.second_xy) for i in sample.instances)
        second = tuple(
            Instance(xy, box_xywh=i.box_xywh, area=i.area, ignore=i.ignore)
            for i, xy in twice
            if xy is not None
        )
        samples.append(replace(sample, instances=second))
    return replace(dataset, samples=tuple(samples)) if any(s.instances for s in samples) else None


def paired(first: Dataset, second: Dataset) -> tuple[Array, Array, Array, Array]:
    """Objects that both labelled: points of each (B, K, 2), areas and groups (B,).

    Pictures are matched by name, and objects in one picture by the overlap of their boxes, the largest first.

    Raises
    ------
    InputError
        Other landmarks, or no object in common.
    """
    pictures: dict[str, list] = {}
    if second.landmarks != first.landmarks:
        raise InputError(
            f"{second.name} has {len(second.landmarks)} landmarks and {first.name} {len(first.landmarks)} (or"
            " other names): both need one scheme"
        )
    for sample in second:
        pictures.setdefault(Path(sample.name).name, []).extend(sample.instances)
    rows = []
    for sample in first:
        others = pictures.get(Path(sample.name).name, [])
        for i, j in _pairs(sample.instances, others):
            own, other = sample.instances[i], others[j]
            rows.append((own.xy, other.xy, own.area, sample.group))
    if not rows:
        raise InputError(f"{first.name}: no object is labelled in the second data, too; pictures go by name")
    a, b, area, group = zip(*rows, strict=True)
    return np.stack(a), np.stack(b), np.array(area, float), np.array(group)


def _pairs(ours: tuple, theirs: list) -> list[tuple[int, int]]:
    """Objects of one picture that are the same one; with one on each side nothing is asked."""
    if len(ours) == len(theirs) == 1:
        return [(0, 0)]
    if not ours or not theirs:
        return []
    near = box_overlap(np.stack([i.box_xywh for i in ours]), np.stack([i.box_xywh for i in theirs]))
    out = []
    while near.size and np.nanmax(near) >= SAME:
        i, j = np.unravel_index(int(np.nanargmax(near)), near.shape)
        out.append((int(i), int(j)))
        near[i], near[:, j] = -1, -1
    return sorted(out)
