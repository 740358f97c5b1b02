"""What ``hybridkp data info`` shows: the facts of a data set as one plain dict.

Counts annotations only; no picture is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..structures import HIDDEN, NOT_LABELLED, Dataset
from .load import load_dataset


def describe_dataset(
    dataset: Dataset | str | Path, split: str | None = None, **options: Any
) -> dict[str, Any]:
    """Facts of a data set (or of what lies at a path), JSON-able, in reading order.

    ``labelled`` maps each landmark to the share of instances that label it; ``box_px`` and
    ``picture_px`` give smallest, median and largest longer side; ``mirrors`` tells whether
    pictures may be mirrored for training.  ``options`` are the reader's, as of :func:`load_dataset`.
    """
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset, split, **options)
    instances = [i for s in dataset for i in s.instances]
    visibility = np.array([i.visibility for i in instances]).reshape(len(instances), -1)
    boxes = [float(max(i.box_xywh[2:])) for i in instances if np.isfinite(i.box_xywh).all()]
    sizes = [float(max(s.size_hw)) for s in dataset if s.size_hw is not None]
    share = (visibility > NOT_LABELLED).mean(0) if len(instances) else np.zeros(len(dataset.landmarks))
    return {
        "name": dataset.name,
        "category": dataset.category,
        "pictures": len(dataset),
        "instances": len(instances),
        "ignored instances": sum(i.ignore for i in instances),
        "groups": len({s.group for s in dataset}),
        "landmarks": len(dataset.landmarks),
        "labelled share": _rounded(share.mean()) if share.size else 0.0,
        "hidden share": _rounded((visibility == HIDDEN).mean()) if visibility.size else 0.0,
        "labelled": {name: _rounded(s) for name, s in zip(dataset.landmarks, share, strict=True)},
        "box_px": _range(boxes),
        "picture_px": _range(sizes),
        "normalizer": normalizer_text(dataset),
        "mirrors": dataset.flip is not None,
        "skeleton edges": len(dataset.skeleton),
        "sigmas": sorted({_rounded(s) for s in dataset.sigmas}),
        "licence": dataset.licence or "not stated",
        "fingerprint": dataset.fingerprint,
    }


def normalizer_text(dataset: Dataset) -> str:
    """By what errors are divided, in words."""
    kind, *ends = dataset.normalizer
    if kind == "points":
        a, b = (dataset.landmarks[i] for i in ends)
        return f"distance from {a} ({ends[0]}) to {b} ({ends[1]})"
    return {
        "box": "square root of the box's area",
        "pixel": "nothing: errors in px",
        "mm": "nothing: errors in mm",
    }[kind]


def _range(values: list[float]) -> list[float] | None:
    if not values:
        return None
    return [_rounded(v, 1) for v in (min(values), float(np.median(values)), max(values))]


def _rounded(value: Any, digits: int = 4) -> float:
    return round(float(value), digits)
