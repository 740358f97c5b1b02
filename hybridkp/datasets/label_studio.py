"""Label Studio's JSON export: a list of tasks, a task a picture, its key points among the results.

Coordinates are per cent of the picture's width and height, 0 at its outer edge, so the centre of the
top-left pixel is half a pixel.  Key points whose ``parentID`` is a rectangle are that rectangle's object; the
others of a task are one object.  ``data.image`` is a path, a URL or ``/data/local-files/?d=...``, written on
any system.  The order of the landmarks is that of ``label_config.xml``, the project's labelling interface,
where there is one.  Hidden points have no place in the format.  No picture is opened here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from ..structures import NOT_LABELLED, Dataset, InputError, Sample
from .collect import Collected, in_natural_order, once, pick_kind
from .lookup import Tally, by_split, candidates, only
from .text import number, read_any_json, read_head, read_xml, start_of

ORIGIN, CONFIG = 0.5, "label_config.xml"
Record = dict[str, Any]


def recognises(root: Path) -> float:
    """Sure of a JSON list of tasks, and of a folder with one."""
    return 0.95 * any(_is_one(file) for file in candidates(root, ".json"))


def _is_one(file: Path) -> bool:
    head = read_head(file, 1 << 16)
    return start_of(head).startswith(b"[") and b'"result"' in head


def splits(root: Path) -> dict[str, Path]:
    return by_split(filter(_is_one, candidates(root, ".json"))) if root.is_dir() else {}


def read(
    root: Path,
    split: str | None = None,
    *,
    origin: float = ORIGIN,
    images_dir: str | None = None,
    category: str | int | None = None,
) -> Dataset:
    """The first annotation of each task that was not cancelled; a task without one has no objects."""
    file = splits(root)[split] if split is not None else _only(root)
    tasks = read_any_json(file)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{file}: not Label Studio's JSON: expected a list of tasks")
    pictures = [(_picture(task, file, n), _results(task, file)) for n, task in enumerate(tasks)]
    objects = [list(_objects(rows, file)) for _, rows in pictures]
    if not any(objects):
        raise InputError(f"{file}: no keypointlabels in {len(tasks)} tasks; nothing to read")
    config = file.parent / CONFIG
    usual = (_declared(config, "RectangleLabels", []) or ["object"])[0]
    kinds = [kind for each in objects for kind, *_ in each]
    chosen, unsaid = pick_kind(kinds, category, file, usual)
    objects = [[one for one in each if (one[0] or unsaid) == chosen] for each in objects]
    seen = list(dict.fromkeys(label for each in objects for _, points, _ in each for label, _ in points))
    landmarks = _declared(config, "KeyPointLabels", seen) or in_natural_order(seen)
    if {kind or unsaid for kind in kinds} != {chosen}:  # the interface does not say whose landmarks are whose
        landmarks = [name for name in landmarks if name in seen]
    found = Collected(file, landmarks, origin, chosen, name=file.resolve().parent.name)
    for (name, rows), each in zip(pictures, objects, strict=True):
        found.picture(name, _size(rows, file))
        for _, points, box in each:
            found.object(once(points, name, found.repairs), box)
    base = file.parent
    folders = [base, base / "images", *(base.parents[n] for n in range(min(2, len(base.parents))))]
    return found.dataset(folders if images_dir is None else [Path(images_dir)])


def _only(root: Path) -> Path:
    files = candidates(root, ".json")
    return only([file for file in files if _is_one(file)] if root.is_dir() else files, root, "export")


def _picture(task: Record, file: Path, n: int) -> str:
    """The picture's path, whoever wrote it: ``?d=`` of local files, a URL's path, ``\\`` for ``/``."""
    data = task.get("data")
    data = data if isinstance(data, dict) else {}
    usual = [data[key] for key in ("image", "img", "picture") if isinstance(data.get(key), str)]
    text = next(iter([*usual, *(v for v in data.values() if isinstance(v, str))]), "")
    if not text:
        raise InputError(f"{file}: task {str(task.get('id', n))[:20]} names no picture in its data")
    try:
        url = urlsplit(text)
    except ValueError:
        raise InputError(f"{file}: task {str(task.get('id', n))[:20]}: {text[:60]!r} is no path") from None
    local = parse_qs(url.query).get("d")
    path = local[0] if local else unquote(url.path) if url.scheme in ("http", "https") else text
    path = path.replace("\\", "/").removeprefix("/data/upload/").lstrip("/")
    return str(PurePosixPath(path)) if path else text


def _results(task: Record, file: Path) -> list[Record]:
    rows = task.get("annotations") or task.get("completions") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file}: a task's annotations are a list of objects")
    result = next((row.get("result") for row in rows if not row.get("was_cancelled")), None) or []
    if not isinstance(result, list):
        raise InputError(f"{file}: an annotation's result is a list")
    return [r for r in result if isinstance(r, dict) and isinstance(r.get("value"), dict)]


def _is_point(row: Record) -> bool:
    return bool(row["value"].get("keypointlabels"))


def _label(row: Record, file: Path, key: str = "keypointlabels") -> str:
    labels = row["value"][key]
    if not isinstance(labels, list) or not isinstance((labels or [""])[0], str):
        raise InputError(f"{file}: {key} is a list of one name")
    return (labels or [""])[0]


def _size(rows: Iterable[Record], file: Path) -> tuple[float, float] | None:
    for row in rows:
        h, w = (number(row.get(key), f"{file}: {key}") for key in ("original_height", "original_width"))
        if 0 < h < 2**31 and 0 < w < 2**31:
            return h, w
    return None


def _objects(rows: list[Record], file: Path) -> Iterable[tuple[str, list[tuple[str, Any]], Any]]:
    """The rectangle's label or "", (label, (x, y)) of each point, and the box or None, of each object."""
    boxes: dict[Any, Any] = {}
    kinds: dict[Any, str] = {}
    groups: dict[Any, list[tuple[str, Any]]] = {}
    size = _size(rows, file)
    for row in rows:
        value = row["value"]
        if not (_is_point(row) or "rectanglelabels" in value):
            continue
        if size is None:
            raise InputError(f"{file}: a result without original_width and original_height; export as JSON")
        scale = np.array([size[1], size[0]]) / 100
        x, y = (number(value.get(key), f"{file}: {key}") for key in "xy")
        parent = row.get("parentID") or row.get("parent_id")
        if _is_point(row):
            groups.setdefault(str(parent), []).append((_label(row, file), [x, y] * scale))
            continue
        kinds[str(row.get("id"))] = _label(row, file, "rectanglelabels")
        if not value.get("rotation"):
            w, h = (number(value.get(key), f"{file}: {key}") for key in ("width", "height"))
            boxes[str(row.get("id"))] = [*([x, y] * scale), *([w, h] * scale)]
    lone = boxes.popitem()[1] if len(boxes) == 1 and len(groups) == 1 else None
    alone = kinds.popitem()[1] if len(kinds) == 1 and len(groups) == 1 else ""
    for parent, points in groups.items():
        yield kinds.get(parent, alone), points, boxes.get(parent, lone)


def _declared(config: Path, tag: str, needed: list[str]) -> list[str] | None:
    """The labels that the interface lists under ``tag``; None without the file, or where one is missing."""
    if not config.is_file():
        return None
    labels = [
        label.get("value") or "" for control in read_xml(config).iter(tag) for label in control.iter("Label")
    ]
    return labels if labels and set(needed) <= set(labels) else None


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """``tasks.json``, or ``<split>.json``, and the labelling interface that they need."""
    from ..files import write_atomic

    tasks = [_task(dataset, sample, n) for n, sample in enumerate(dataset, 1)]
    text = json.dumps(tasks, allow_nan=False)
    write_atomic(root / f"{split or 'tasks'}.json", text.encode())
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    for tag, name, labels in (
        ("RectangleLabels", "box", [dataset.category]),
        ("KeyPointLabels", "point", dataset.landmarks),
    ):
        control = SubElement(view, tag, name=name, toName="image")
        for label in labels:
            SubElement(control, "Label", value=label)
    indent(view)
    write_atomic(root / CONFIG, tostring(view, "utf-8"))


def _task(dataset: Dataset, sample: Sample, n: int) -> Record:
    h, w = sample.size_hw or sample.image.shape[:2]
    scale = 100 / np.array([w, h])
    rows: list[Record] = []

    def result(key: str, kind: str, control: str, value: Record, **more: Any) -> None:
        about = {"original_width": w, "original_height": h, "image_rotation": 0, "value": value, "id": key}
        rows.append(about | {"from_name": control, "to_name": "image", "type": kind} | more)

    for number_, instance in enumerate(sample.instances):
        parent = f"{n}-{number_}"
        if np.isfinite(instance.box_xywh).all():
            x, y, width, height = (instance.box_xywh * np.tile(scale, 2)).tolist()
            value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
            result(parent, "rectanglelabels", "box", value | {"rectanglelabels": [dataset.category]})
        for label, xy, state in zip(dataset.landmarks, instance.xy, instance.visibility, strict=True):
            if state > NOT_LABELLED:
                x, y = ((xy + ORIGIN) * scale).tolist()
                value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label]}
                result(f"{parent}-{label}", "keypointlabels", "point", value, parentID=parent)
    url = f"/data/local-files/?d={quote(sample.name)}"
    return {
        "id": n,
        "data": {"image": url},
        "annotations": [{"id": n, "result": rows, "was_cancelled": False}],
    }


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture a task, a point a result with keypointlabels."""
    text = (splits(root)[split] if split else _only(root)).read_text(encoding="utf-8")
    return Tally(len(json.loads(text)), None, text.count('"keypointlabels": ['))
