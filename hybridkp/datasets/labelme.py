"""labelme: a JSON file for each picture, whose points are shapes with a label.

Points with one ``group_id`` are one object, and a rectangle with it is the object's box; points without
are one object.  labelme's canvas draws pixel i from i to i + 1, so the centre of the top-left pixel is
(½, ½).  The order of the landmarks is that of ``labels.txt`` (labelme's ``--labels``), where there is one.
Hidden points have no place in the format.  A picture that is not there is taken from its ``imageData``, when
it is asked for; no other is opened here.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import NOT_LABELLED, Array, Dataset, InputError, Sample
from .collect import Collected, in_natural_order, once
from .lookup import Tally, in_order, split_of
from .repairs import Repairs
from .text import number, read_any_json, read_head, read_text

ORIGIN, LABELS = 0.5, "labels.txt"
Record = dict[str, Any]


def recognises(root: Path) -> float:
    """Sure of a JSON with shapes and flags, and of a folder whose first JSON is one."""
    if root.is_dir():
        found = splits(root)
        root = next(_files(next(iter(found.values()), root)), root)
    head = read_head(root)
    return float(root.suffix == ".json" and b'"shapes"' in head and b'"flags"' in head)


def splits(root: Path) -> dict[str, Path]:
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    named = {split_of(p.name): p for p in folders if next(_files(p), None) is not None}
    return in_order({split: p for split, p in named.items() if split})


def _files(root: Path) -> Iterator[Path]:
    return iter(sorted(root.glob("*.json")) if root.is_dir() else [root])


def read(
    root: Path, split: str | None = None, *, origin: float = ORIGIN, images_dir: str | None = None
) -> Dataset:
    """Every JSON of the folder; a picture has the name that its file says, beside it."""
    folder = splits(root)[split] if split is not None else root
    files = list(_files(folder))
    documents = [_document(file) for file in files]
    base = folder if folder.is_dir() else folder.parent
    labels = next((p for p in (base / LABELS, base.parent / LABELS) if p.is_file()), None)
    seen = dict.fromkeys(s["label"] for d in documents for s in d["shapes"] if s["shape_type"] == "point")
    landmarks = _labels(labels) if labels else in_natural_order(list(seen))
    if not landmarks:
        raise InputError(f"{root}: no shape of type point in {len(files)} labelme files; nothing to read")
    folders = [base, base.parent] if images_dir is None else [Path(images_dir)]
    found = Collected(folder, landmarks, origin, name=base.resolve().name)
    for file, document in zip(files, documents, strict=True):
        embedded = isinstance(document.pop("imageData", None), str)
        name = str(document.get("imagePath") or file.with_suffix(".png").name).replace("\\", "/")
        size = document.get("imageHeight"), document.get("imageWidth")
        name = name.removeprefix("../")
        there = any(os.path.isfile(folder / name) for folder in folders)
        load = partial(load_embedded, str(file)) if embedded and not there else None
        found.picture(name, size if None not in size else None, load=load)
        for points, box in _objects(document, file, found.repairs):
            found.object(points, box)
    return found.dataset(folders)


def load_embedded(path: str) -> Array:
    """The picture in a labelme file; a function of the module, so that it pickles."""
    from ..files import decode_image

    text = _document(Path(path)).get("imageData")
    try:
        data = base64.b64decode(text or "", validate=True)
    except (ValueError, TypeError):
        raise InputError(f"{path}: its imageData are no base64; save it again in labelme") from None
    return decode_image(data, Path(path))


def _labels(path: Path) -> list[str]:
    lines = (line.strip() for line in read_text(path).splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("_")))


def _document(file: Path) -> Record:
    document = read_any_json(file)
    shapes = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(s, dict) for s in shapes):
        raise InputError(f"{file}: not a labelme file: 'shapes' is missing or not a list of objects")
    for shape in shapes:
        points = shape.get("points")
        sound = isinstance(points, list) and all(isinstance(p, list) and len(p) == 2 for p in points)
        if not (sound and points and isinstance(shape.get("label"), str)):
            raise InputError(f"{file}: a shape needs a label and its points [[x, y], ...]")
        if isinstance(shape.get("group_id"), list | dict):
            raise InputError(f"{file}: a group_id is a number")
        shape.setdefault("shape_type", "polygon")
    return document


def _objects(document: Record, file: Path, repairs: Repairs) -> Iterable[tuple[Any, Any]]:
    """(points, box or None) of each group, in the order of the shapes."""
    groups: dict[Any, list[Record]] = {}
    for shape in document["shapes"]:
        groups.setdefault(shape.get("group_id"), []).append(shape)
    for shapes in groups.values():
        labels, box = [], None
        for shape in shapes:
            corners = [[number(v, str(file)) for v in p] for p in shape["points"]]
            if shape["shape_type"] == "point":
                labels.append((shape["label"], corners[0]))
            elif shape["shape_type"] == "rectangle" and len(corners) == 2:
                low = np.min(corners, 0)
                box = [*low, *(np.max(corners, 0) - low)]
        if labels:
            yield once(labels, file.name, repairs), box


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """A JSON beside each picture, or in a folder of the split's name, and ``labels.txt``."""
    from ..files import write_atomic

    folder, taken = root / split if split else root, set[str]()
    for sample in dataset:
        stem = Path(sample.name.removeprefix("images/").replace("/", "__")).stem
        while stem.lower() in taken or split_of(stem):  # a/b.png beside a__b.png; train.json is COCO's
            stem += "_"
        taken.add(stem.lower())
        text = json.dumps(_record(dataset, sample, "../" if split else ""), indent=2, allow_nan=False)
        write_atomic(folder / f"{stem}.json", text.encode())
    write_atomic(folder / LABELS, "\n".join(dataset.landmarks).encode())


def _record(dataset: Dataset, sample: Sample, up: str) -> Record:
    shapes: list[Record] = []

    def shape(label: str, kind: str, points: Any, group: int) -> None:
        about = {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {}}
        shapes.append(about | {"description": ""})

    for n, instance in enumerate(sample.instances):
        if np.isfinite(instance.box_xywh).all():
            x, y, w, h = (float(v) for v in instance.box_xywh)
            shape(dataset.category, "rectangle", [[x, y], [x + w, y + h]], n)
        for label, xy, state in zip(dataset.landmarks, instance.xy, instance.visibility, strict=True):
            if state > NOT_LABELLED:
                shape(label, "point", [(xy + ORIGIN).tolist()], n)
    size: tuple[Any, Any] = sample.size_hw or (None, None)
    about = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": up + sample.name}
    return about | {"imageData": None, "imageHeight": size[0], "imageWidth": size[1]}


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture a file, an object a group, a point a shape."""
    documents = [
        json.loads(f.read_text(encoding="utf-8")) for f in _files(splits(root)[split] if split else root)
    ]
    points = [[s for s in d["shapes"] if s["shape_type"] == "point"] for d in documents]
    objects = sum(len({s.get("group_id") for s in shapes}) for shapes in points)
    return Tally(len(documents), objects, sum(map(len, points)))
