"""A second annotator's labels of the same objects: from the field ``keypoints_b`` of COCO files, or from a
data set of their own.

Paths and data sets come in; points (B, K, 2) in the order of the first data set's objects come out.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ..datasets import coco_folder, recognise_format, split_names
from ..datasets.coco import dataset_of, read_json
from ..metrics import box_overlap
from ..structures import Array, Dataset, DataWarning, InputError

FIELD = "keypoints_b"
SAME = 0.5  #: overlap of two boxes from which they may be one object


def own_second(path: str, category: str | None = None) -> list[Dataset]:
    """The labels in ``keypoints_b`` of a COCO file or folder, a data set for each split; [] where none are.

    Raises
    ------
    InputError
        As the reader of COCO files.
    """
    root = Path(path).expanduser()
    if not root.exists() or recognise_format(path).name != "coco":
        return []
    found = []
    for split in split_names(path) or (None,):
        file = coco_folder.source(root, split)
        document = read_json(file)
        twice = [a for a in document["annotations"] if isinstance(a.get(FIELD), list) and a[FIELD]]
        if not twice:
            continue
        for annotation in twice:
            annotation["keypoints"] = annotation.pop(FIELD)
            annotation.pop("num_keypoints", None)
        document["annotations"] = twice
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            found.append(dataset_of(document, file, _unopened, category=category))
    return found


def _unopened(names: object) -> tuple[list, str]:
    """Loads of pictures that are never looked at."""
    return [lambda: np.zeros((1, 1), np.uint8) for _ in names], ""  # type: ignore[attr-defined]


def paired(first: Dataset, second: list[Dataset]) -> tuple[Array, Array, Array, Array]:
    """Objects that both labelled: points of each (B, K, 2), areas and groups (B,).

    Pictures are matched by name, and objects in one picture by the overlap of their boxes, the largest first.

    Raises
    ------
    InputError
        Other landmarks, or no object in common.
    """
    pictures: dict[str, list] = {}
    for data in second:
        if data.landmarks != first.landmarks:
            raise InputError(
                f"{data.name} has {len(data.landmarks)} landmarks and {first.name} {len(first.landmarks)} (or"
                " other names): both need one scheme"
            )
        for sample in data:
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
