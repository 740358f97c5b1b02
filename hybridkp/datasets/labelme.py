"""labelme: a JSON file for each picture, whose points are shapes with a label.

Points with one ``group_id`` are one object, and a rectangle with it is the object's box, whose label is the
object's category; points without are one object.  labelme's canvas draws pixel i from i to i + 1, so the
centre of the top-left pixel is (½, ½).  The order of the landmarks is that of ``labels.txt`` (labelme's
``--labels``), where there is one; labels that only rectangles have are no landmarks.
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
from .collect import Collected, in_natural_order, once, pick_kind
from .lookup import Tally, in_order, split_of
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
    root: Path,
    split: str | None = None,
    *,
    origin: float = ORIGIN,
    images_dir: str | None = None,
    category: str | int | None = None,
) -> Dataset:
    """The objects of one category in every JSON of the folder; a picture has the name that its file says."""
    folder = splits(root)[split] if split is not None else root
    files = list(_files(folder))
    documents = [_document(file) for file in files]
    objects = [list(_objects(document, file)) for document, file in zip(documents, files, strict=True)]
    if not any(objects):
        raise InputError(f"{root}: no shape of type point in {len(files)} labelme files; nothing to read")
    kinds = {kind: None for each in objects for kind, *_ in each}
    chosen, unsaid = pick_kind(kinds, category, root)
    objects = [[one for one in each if (one[0] or unsaid) == chosen] for each in objects]
    seen = list(dict.fromkeys(label for each in objects for _, points, _ in each for label, _ in points))
    base = folder if folder.is_dir() else folder.parent
    labels = next((p for p in (base / LABELS, base.parent / LABELS) if p.is_file()), None)
    listed = [name for name in _labels(labels) if name in seen or name not in kinds] if labels else []
    if {kind or unsaid for kind in kinds} != {chosen}:  # labels.txt does not say whose landmarks are whose
        listed = [name for name in listed if name in seen]
    folders = [base, base.parent] if images_dir is None else [Path(images_dir)]
    landmarks = listed or in_natural_order(seen)
    found = Collected(folder, landmarks, origin, chosen, name=base.resolve().name)
    for file, document, each in zip(files, documents, objects, strict=True):
        embedded = isinstance(document.pop("imageData", None), str)
        name = str(document.get("imagePath") or file.with_suffix(".png").name).replace("\\", "/")
        size = document.get("imageHeight"), document.get("imageWidth")
        name = name.removeprefix("../")
        there = any(os.path.isfile(folder / name) for folder in folders)
        load = partial(load_embedded, str(file)) if embedded and not there else None
        found.picture(name, size if None not in size else None, load=load)
        for _, points, box in each:
            found.object(once(points, file.name, found.repairs), box)
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


def _objects(document: Record, file: Path) -> Iterable[tuple[str, list[tuple[str, Any]], Any]]:
    """(its rectangle's label or "", (label, (x, y)) of each point, box or None) of each group with points."""
    groups: dict[Any, list[Record]] = {}
    for shape in document["shapes"]:
        groups.setdefault(shape.get("group_id"), []).append(shape)
    for shapes in groups.values():
        points, box, kinds = [], None, set()
        for shape in shapes:
            corners = [[number(v, str(file)) for v in p] for p in shape["points"]]
            if shape["shape_type"] == "point":
                points.append((shape["label"], corners[0]))
            elif shape["shape_type"] == "rectangle" and len(corners) == 2:
                low = np.min(corners, 0)
                box = [*low, *(np.max(corners, 0) - low)]
                kinds.add(shape["label"])
        if points:
            yield kinds.pop() if len(kinds) == 1 else "", points, box


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
