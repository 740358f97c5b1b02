"""What detectors say about objects that they did not learn from: the second opinion on every label.

Data sets come in; crops, their labels and points (M, B, K, 2) of M detectors come out, all in crop px.
Folds never cut a group.  Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluate import Crops, make_crops
from ..evaluate.bench_landmarks import check_crops_only
from ..evaluate.processes import Progress
from ..memory import TooFewLabels, out_of_fold
from ..structures import MARGIN, Array, Dataset, InputError, short_repr

FEW = 20  #: labelled objects under which nothing is concluded
FOLDS = 3


@dataclass(frozen=True, eq=False)
class Opinions:
    """Labelled objects, and what M detectors say about each without having seen it."""

    data: Dataset
    crops: Crops
    names: tuple[str, ...]
    xy: Array  #: (M, B, K, 2) crop px

    __repr__ = short_repr


def ask(
    dataset: Dataset,
    detectors: Mapping[str, Any],
    *,
    size_hw: tuple[int, int] = (128, 128),
    margin: float = MARGIN,
    cv: int = FOLDS,
    random_state: int = 0,
    progress: Progress | None = None,
    crops: Crops | None = None,
) -> Opinions:
    """Out-of-fold predictions of each detector for each labelled object.

    Parameters
    ----------
    detectors : name -> unfitted detector
    size_hw, margin : of the crops, as everywhere
    cv : folds, which never cut a group; inside :func:`hybridkp.memory.remember` finished ones are kept
    progress : called with (detector, number done, number of all)
    crops : of an earlier call for the same data, which are then not cut again

    Raises
    ------
    InputError
        No detector, fewer than :data:`FEW` labelled objects, one group only, a landmark that is labelled in
        too few groups, data without a usable picture.
    """
    if not detectors:
        raise InputError("no detector to ask: name at least one method")
    for name, detector in detectors.items():
        check_crops_only(name, detector)
    crops = _cut(dataset, size_hw, margin) if crops is None else crops
    found = []
    for number, (name, detector) in enumerate(detectors.items()):
        if progress:
            progress(name, number, len(detectors))
        try:
            xy, _ = out_of_fold(
                detector,
                crops.images,
                crops.xy,
                groups=crops.groups,
                flip=crops.flip,
                cv=cv,
                random_state=random_state,
            )
        except TooFewLabels as error:
            raise InputError(f"{dataset.name}: {error}") from None
        found.append(xy)
    return Opinions(dataset, crops, tuple(detectors), np.stack(found).astype(float))


def _cut(dataset: Dataset, size_hw: tuple[int, int], margin: float) -> Crops:
    """Crops of all labelled objects, enough of them and of enough groups."""
    labelled = sum(i.judged for s in dataset for i in s.instances)
    if labelled < FEW:
        raise InputError(
            f"{dataset.name}: {labelled} labelled objects; a detector's opinion needs {FEW}: label more first"
        )
    crops = make_crops(dataset, size_hw, margin, anyway=True)
    if len(crops) < FEW:
        raise InputError(f"{dataset.name}: only {len(crops)} objects have a picture that can be read")
    _check_groups(dataset, crops)
    return crops


def _check_groups(dataset: Dataset, crops: Crops) -> None:
    groups = len(set(crops.groups.tolist()))
    if groups < 2:
        raise InputError(
            f"{dataset.name}: all are of one group ({crops.groups[0]}); a detector must be asked about"
            " groups that it has not seen: name them (photograph, film, animal) in the annotations"
        )
    known: Array = np.isfinite(crops.xy[..., 0])
    inside = [len(set(crops.groups[seen].tolist())) for seen in known.T]
    rare = [n for n, count in zip(dataset.landmarks, inside, strict=True) if count < 2]
    if rare:
        raise InputError(
            f"{dataset.name}: labelled in fewer than two groups: {', '.join(rare[:3])}; label more, or take"
            " the landmark out of the scheme"
        )
