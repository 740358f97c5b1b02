"""Rows of detectors that learn nothing, such as others' networks: asked about every object, in crops.

Crops are as large as the detector wants them, and made a part of the pictures at a time.  Nothing is timed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from ..structures import Array, Dataset, InputError, Predictions
from .crops import make_crops

AT_A_TIME = 256  #: pictures whose crops are in memory


def ask_ready_made(detector: Any, dataset: Dataset, name: str) -> Predictions:
    """What a detector that learns nothing says of every object, in crops as large as it wants them."""
    size_hw = detector.input_hw()
    useful = [row for row, s in enumerate(dataset) if any(i.judged for i in s.instances)]
    xy, score = [], []
    names: list[str] = []
    instance: list[int] = []
    for first in range(0, len(useful), AT_A_TIME):
        crops = make_crops(dataset.subset(useful[first : first + AT_A_TIME]), size_hw)
        if not first:
            detector = clone(detector).fit(crops.batch, crops.xy)
        found, sure = detector.predict_with_score(crops.batch)
        xy.append(crops.to_picture(found))
        score.append(sure)
        names += crops.names
        instance += crops.instance.tolist()
    if not names:
        raise InputError(f"{dataset.name}: no object with a labelled landmark: nothing to judge")
    params = {key: str(value) for key, value in detector.get_params(deep=False).items()}
    return untimed(name, np.concatenate(xy), np.concatenate(score), names, instance, dataset, params)


def second_annotator(dataset: Dataset, name: str = "second annotator") -> Predictions | None:
    """The second annotator's points as a row: the ceiling of what these labels can tell; None without one.

    Only where every object has them, so that no method is compared on more objects than the annotator.
    """
    rows = [
        (sample.name, n, instance.second_xy)
        for sample in dataset
        for n, instance in enumerate(sample.instances)
        if instance.judged
    ]
    xy = [second for _, _, second in rows if second is not None]
    if not rows or len(xy) < len(rows):
        return None
    score = np.isfinite(np.stack(xy)).all(-1).astype(float)
    return untimed(name, np.stack(xy), score, [r[0] for r in rows], [r[1] for r in rows], dataset, {})


def untimed(
    name: str,
    xy: Array,
    score: Array,
    names: Sequence[str],
    instance: ArrayLike,
    dataset: Dataset,
    params: Mapping[str, Any],
) -> Predictions:
    """A row of somebody else's: nothing of it was timed."""
    return Predictions(
        method=name,
        xy=xy,
        score=score,
        names=tuple(names),
        instance=np.array(instance, int),
        seconds=np.full(len(names), np.nan),
        params=params,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
    )
