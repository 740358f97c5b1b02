"""Datasets as COCO keypoint JSON, so that every tool that reads COCO reads ours.

What COCO has no field for (normaliser, sigmas, flip, group, licence) goes into custom fields that
:func:`~hybridkp.datasets.coco.read_coco` reads back.  Pictures are named, never copied.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import NOT_LABELLED, VISIBLE, Dataset, Instance
from .coco_objects import SECOND
from .coco_senses import senses_written

Record = dict[str, Any]


def write_coco(dataset: Dataset, path: str | Path) -> None:
    """The dataset's annotations as COCO keypoint JSON, written whole or not at all.

    Pictures are referred to by name and not copied.  Points keep 3 decimals; normaliser, sigmas,
    flip and groups are kept in custom fields that :func:`read_coco` reads back, and so are text, times, views
    and tags, and the names of files of depth and sound that lie beneath the folder of ``path``.
    """
    from ..files import write_atomic

    document = coco_document(dataset)
    for image, sample in zip(document["images"], dataset.samples, strict=True):
        image |= senses_written(sample, Path(path).parent)
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    write_atomic(Path(path), text.encode())


def image_ids(dataset: Dataset) -> list[Any]:
    """The id of each sample's picture; counted from 1 unless all have their own, each another."""
    ids = [s.image_id for s in dataset.samples]
    if len(set(ids)) != len(ids) or any(isinstance(i, int) and i < 0 for i in ids):
        return list(range(1, len(ids) + 1))
    return ids


def coco_document(dataset: Dataset) -> Record:
    """What :func:`write_coco` writes, as a dict; see :func:`image_ids`."""
    ids = image_ids(dataset)
    category: Record = {
        "id": dataset.category_id,
        "name": dataset.category,
        "keypoints": list(dataset.landmarks),
        "skeleton": (dataset.skeleton + 1).tolist(),
        "sigmas": dataset.sigmas.tolist(),
    }
    if dataset.flip is not None:
        category["flip_indices"] = dataset.flip.tolist()
    images: list[Record] = []
    annotations: list[Record] = []
    for image_id, sample in zip(ids, dataset.samples, strict=True):
        image: Record = {"id": image_id, "file_name": sample.name, "group": sample.group}
        if sample.size_hw is not None:
            image |= {"width": sample.size_hw[1], "height": sample.size_hw[0]}
        if sample.mm_per_px > 0:
            image["mm_per_px"] = float(sample.mm_per_px)
        images.append(image)
        for instance in sample.instances:
            ids_of = {"id": len(annotations) + 1, "image_id": image_id, "category_id": dataset.category_id}
            annotations.append(ids_of | _annotation(instance))
    info = {
        "description": dataset.name,
        "normalizer": list(dataset.normalizer),
        "licence": dataset.licence,
    }
    return {"info": info, "images": images, "annotations": annotations, "categories": [category]}


def _annotation(instance: Instance) -> Record:
    visible = np.minimum(instance.visibility, VISIBLE)
    table = np.column_stack([np.round(np.nan_to_num(instance.xy), 3), visible])
    out: Record = {
        "iscrowd": int(instance.ignore and bool(visible.any())),
        "keypoints": [int(v) if i % 3 == 2 else v for i, v in enumerate(table.ravel().tolist())],
        "num_keypoints": int((visible > NOT_LABELLED).sum()),
        "score": float(instance.score),
    }
    if instance.track >= 0:
        out["track_id"] = instance.track
    if instance.second_xy is not None:
        there = np.isfinite(instance.second_xy).all(1)
        pairs = np.column_stack([np.round(np.nan_to_num(instance.second_xy), 3), there * VISIBLE])
        out[SECOND] = [int(v) if i % 3 == 2 else v for i, v in enumerate(pairs.ravel().tolist())]
    if np.isfinite(instance.box_xywh).all():
        out["bbox"] = np.round(instance.box_xywh, 3).tolist()
    if np.isfinite(instance.area):
        out["area"] = round(float(instance.area), 3)
    return out
