"""CVAT for images 1.1, and for video 1.1: one XML for all pictures.

A ``skeleton`` is an object; ``points`` with one point each are landmarks by their label, one object for each
``group_id``; a ``points`` element of several points is an object whose landmarks go by their number.  CVAT's
canvas draws pixel i from i to i + 1 (a box of the whole picture is 0, 0, W, H), so the centre of the top-left
pixel is (½, ½).  ``occluded`` is hidden, ``outside`` is not labelled.  No picture is opened here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from ..structures import HIDDEN, NOT_LABELLED, VISIBLE, Dataset, InputError, Sample
from .collect import Collected, in_natural_order, once, pick_kind
from .layouts import names_for
from .lookup import Tally, by_split, candidates, only
from .text import number, read_head, read_xml

ORIGIN = 0.5
ANNOTATIONS = "annotations.xml"


def recognises(root: Path) -> float:
    """Sure of an XML whose root is <annotations>, and of a folder with one."""
    return float(any(b"<annotations" in read_head(file, 999) for file in candidates(root, ".xml")))


def splits(root: Path) -> dict[str, Path]:
    """``train.xml``, ``val.xml``, as exports of tasks are often called."""
    return by_split(candidates(root, ".xml")) if root.is_dir() else {}


def read(
    root: Path,
    split: str | None = None,
    *,
    origin: float = ORIGIN,
    images_dir: str | None = None,
    category: str | int | None = None,
) -> Dataset:
    """The objects with points of one label; shapes of other kinds are left alone."""
    file = splits(root)[split] if split is not None else _only(root)
    tree = read_xml(file)
    if tree.tag != "annotations":
        raise InputError(f"{file}: not CVAT's XML: the root is <{tree.tag[:40]}>, not <annotations>")
    pictures = _of_tracks(tree, file) if tree.find("track") is not None else _of_images(tree, file)
    rows = [_objects(shapes, file) for _, shapes in pictures]
    if not any(rows):
        raise InputError(f"{file}: no skeleton and no points in {len(pictures)} pictures; nothing to read")
    kinds = (kind for row in rows for kind, *_ in row)
    chosen, unsaid = pick_kind(kinds, category, file, _category(tree))
    rows = [[each for each in row if (each[0] or unsaid) == chosen] for row in rows]
    objects = [points for row in rows for _, points, _ in row]
    named = [points for points in objects if points and not isinstance(points[0][0], int)]
    landmarks = _landmarks(tree, chosen, [label for points in named for label, _ in points])
    numbers = max(len(points) for points in objects)
    landmarks = landmarks if named else list(names_for(numbers))
    names = [*landmarks, *map(str, range(len(landmarks), numbers))]  # of a numbered object among named ones
    found = Collected(file, landmarks, origin, chosen, name=file.resolve().parent.name)
    for (about, _), row in zip(pictures, rows, strict=True):
        h, w = (number(about.get(key), f"{file}: {key}") for key in ("height", "width"))
        found.picture(about.get("name", ""), (h, w) if np.isfinite([h, w]).all() else None)
        for _, points, box in row:
            numbered = [(names[p] if isinstance(p, int) else p, xy) for p, xy in points]
            found.object(once(numbered, found.images[-1]["file_name"], found.repairs), box)
    folders = [file.parent / "images", file.parent, *sorted(file.parent.glob("images/*/"))]
    return found.dataset(folders if images_dir is None else [Path(images_dir)])


def _only(root: Path) -> Path:
    files = candidates(root, ".xml")
    return only([file for file in files if file.name == ANNOTATIONS] or files, root, "XML file")


def _of_images(tree: Element, file: Path) -> list[tuple[Any, list[Element]]]:
    images = [(image.attrib, list(image)) for image in tree.iter("image")]
    for about, _ in images:
        if not about.get("name"):
            raise InputError(f"{file}: an <image> has no name")
    return images


def _of_tracks(tree: Element, file: Path) -> list[tuple[Any, list[Element]]]:
    """Frames of a film; an element that lies in a track stands for its frame, under the track's label."""
    frames: dict[int, list[Element]] = {}
    size = tree.find("meta//original_size")
    about = {} if size is None else {key: size.findtext(key) for key in ("height", "width")}
    for track in tree.iter("track"):
        for shape in track:
            frame = number(shape.get("frame"), f"{file}: frame")
            if not 0 <= frame < 1e8:
                raise InputError(f"{file}: a shape of track {track.get('id')} has no frame")
            if shape.get("outside") != "1":
                shape.set("label", track.get("label", ""))
                frames.setdefault(int(frame), []).append(shape)
    return [({"name": f"frame_{frame:06}.png", **about}, frames[frame]) for frame in sorted(frames)]


def _objects(shapes: Iterable[Element], file: Path) -> list[tuple[str, list[tuple[Any, Any]], Any]]:
    """(its label or "", (label or number, (x, y, visibility)) of each point, box or None) of each object.

    The label of points that lie loose is that of the box of their group.
    """
    loose: dict[str, list[tuple[Any, Any]]] = {}
    boxes: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    objects: list[tuple[str, list[tuple[Any, Any]], str]] = []
    for shape in shapes:
        group, label = shape.get("group_id", ""), shape.get("label", "")
        if shape.tag == "skeleton":
            points = [(p.get("label", ""), xy) for p in shape.iter("points") for xy in _xy(p, file)]
            objects.append((label, points, group))
        elif shape.tag == "points":
            found = _xy(shape, file)
            if len(found) > 1:
                objects.append((label, list(enumerate(found)), ""))
            else:
                loose.setdefault(group, []).extend((label, xy) for xy in found)
        elif shape.tag == "box" and group:
            edges = [number(shape.get(key), f"{file}: box") for key in ("xtl", "ytl", "xbr", "ybr")]
            boxes[group] = [edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]]
            kinds[group] = label
    objects += [(kinds.get(group, ""), points, group) for group, points in loose.items()]
    return [(kind, points, boxes.get(group)) for kind, points, group in objects]


def _xy(element: Element, file: Path) -> list[tuple[float, float, int]]:
    """x, y, visibility of each point of an element."""
    state = VISIBLE if element.get("occluded", "0") == "0" else HIDDEN
    if element.get("outside") == "1":
        state = NOT_LABELLED
    out = []
    for pair in element.get("points", "").split(";"):
        if pair.strip():
            x, _, y = pair.partition(",")
            out.append((number(x, f"{file}: points"), number(y, f"{file}: points"), state))
    return out


def _landmarks(tree: Element, kind: str, seen: list[str]) -> list[str]:
    """In the order of the labels that the file declares, those of ``kind`` all, then of appearance."""
    there = dict.fromkeys(seen)
    declared = [
        (each.findtext("name") or "", each.findtext("parent")) for each in tree.iterfind("meta//label")
    ]
    first = list(dict.fromkeys(name for name, parent in declared if name in there or parent == kind))
    return first + in_natural_order([name for name in there if name not in first])


def _category(tree: Element) -> str:
    for label in tree.iterfind("meta//label"):
        if label.findtext("type") == "skeleton":
            return label.findtext("name") or "object"
    return "object"


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """``annotations.xml``, or ``<split>.xml``: a skeleton an object, its box in the same group."""
    from ..files import write_atomic

    tree = Element("annotations")
    SubElement(tree, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(tree, "meta"), "task"), "labels")
    for name in (dataset.category, *dataset.landmarks):
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "type").text = "points" if name in dataset.landmarks else "skeleton"
        if name in dataset.landmarks:
            SubElement(label, "parent").text = dataset.category
    for n, sample in enumerate(dataset):
        _add_image(tree, n, sample, dataset)
    indent(tree)
    file = f"{split}.xml" if split else ANNOTATIONS
    write_atomic(root / file, tostring(tree, "utf-8", xml_declaration=True))


def _add_image(tree: Element, n: int, sample: Sample, dataset: Dataset) -> None:
    image = SubElement(tree, "image", id=str(n), name=sample.name.removeprefix("images/"))
    if sample.size_hw is not None:
        image.set("height", str(sample.size_hw[0]))
        image.set("width", str(sample.size_hw[1]))
    for group, instance in enumerate(sample.instances, 1):
        common = {"label": dataset.category, "source": "manual", "z_order": "0", "group_id": str(group)}
        if np.isfinite(instance.box_xywh).all():
            x, y, w, h = instance.box_xywh.tolist()
            edges = {"xtl": x, "ytl": y, "xbr": x + w, "ybr": y + h}
            SubElement(image, "box", common | {key: repr(value) for key, value in edges.items()})
        skeleton = SubElement(image, "skeleton", common)
        for label, xy, state in zip(dataset.landmarks, instance.xy, instance.visibility, strict=True):
            x, y = (np.nan_to_num(xy) + ORIGIN).tolist()
            outside, hidden = str(int(state == NOT_LABELLED)), str(int(state == HIDDEN))
            about = {"label": label, "outside": outside, "occluded": hidden, "points": f"{x!r},{y!r}"}
            SubElement(skeleton, "points", about | {"source": "manual"})


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture an <image>, an object a skeleton, where there are any."""
    text = (splits(root)[split] if split else _only(root)).read_text(encoding="utf-8")
    objects = text.count("<skeleton")
    return Tally(text.count("<image "), objects or None)
