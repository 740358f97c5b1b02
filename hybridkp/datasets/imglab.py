"""dlib's imglab: one XML, an object a <box>, a landmark a <part> of it.

Points are pixel indices, so the centre of the top-left pixel is 0, and whole numbers: dlib reads no others.
A box's left and top are indices too, its width counts pixels: the same numbers as along pixel edges.  Parts
have names but no order: the comment keeps it where we write; else numbers go by number.  Opens no picture.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from ..structures import NOT_LABELLED, Dataset, DataWarning, InputError
from .collect import Collected, box_of, in_natural_order, once
from .layouts import names_for
from .lookup import Tally, candidates, in_order, only, split_of
from .text import number, read_head, read_xml

IMGLAB = "imglab.xml"
_ORDER = re.compile(r"landmarks in order: (\[.*\])", re.DOTALL)


def recognises(root: Path) -> float:
    """Sure of an XML with <dataset> and <images>."""
    return float(any(_is_one(file) for file in candidates(root, ".xml")))


def _is_one(file: Path) -> bool:
    head = read_head(file)
    return b"<dataset" in head and b"<images" in head


def splits(root: Path) -> dict[str, Path]:
    """By ``train``, ``val`` at the end of a name, or ``training``, ``testing`` at its start, as in dlib."""
    found: dict[str, Path] = {}
    for file in _with_parts(root) if root.is_dir() else ():
        word = file.stem.partition("_")[0]
        split = split_of(file.stem) or split_of(word.removesuffix("ing"))
        if split:
            found.setdefault(split, file)
    return in_order(found)


def _with_parts(root: Path) -> list[Path]:
    files = candidates(root, ".xml")
    return [file for file in files if b"<part" in read_head(file, 1 << 20) and _is_one(file)]


def read(
    root: Path, split: str | None = None, *, origin: float = 0.0, images_dir: str | None = None
) -> Dataset:
    """The boxes with parts; boxes marked ignore, or without a part, are kept as ignored objects."""
    file = splits(root)[split] if split is not None else _only(root)
    tree = read_xml(file)
    images = list(tree.iter("image"))
    seen = dict.fromkeys(p.get("name") or "" for image in images for p in image.iter("part"))
    if not seen:
        raise InputError(f"{file}: no <part> in {len(images)} images: boxes alone have no landmarks")
    landmarks = _order(tree, list(seen))
    numbers = all(re.fullmatch(r"\d+", name) for name in landmarks)
    face = numbers and len(landmarks) == 68
    found = Collected(file, landmarks, origin, "face" if face else "object", name=file.resolve().stem)
    if face:  # what the 68 are called elsewhere, so that the usual layout is recognised
        found.landmarks[:] = names_for(68, "face")
    for image in images:
        name = image.get("file")
        if not name:
            raise InputError(f"{file}: an <image> has no file")
        h, w = (number(image.get(key), f"{file}: {key}") for key in ("height", "width"))
        found.picture(name.replace("\\", "/"), (h, w) if np.isfinite([h, w]).all() else None)
        for box in image.iter("box"):
            x, y, width, height = (
                number(box.get(k), f"{file}: box") for k in ("left", "top", "width", "height")
            )
            parts = [
                (p.get("name") or "", [number(p.get(c), f"{file}: part") for c in "xy"])
                for p in box.iter("part")
            ]
            points = once(parts, name, found.repairs)
            rows = [points.get(landmark, (np.nan, np.nan)) for landmark in landmarks]
            found.object(np.array(rows, float), [x, y, width, height])
    return found.dataset([file.parent, file.parent / "images"] if images_dir is None else [Path(images_dir)])


def _only(root: Path) -> Path:
    files = (_with_parts(root) or candidates(root, ".xml")) if root.is_dir() else [root]
    return only(files, root, "XML with parts")


def _order(tree: Element, seen: list[str]) -> list[str]:
    """As the comment says, else by number, else as dlib does, by name."""
    told = _ORDER.search(tree.findtext("comment") or "")
    try:
        names = json.loads(told[1]) if told else []
    except (ValueError, RecursionError):
        names = []
    if (
        isinstance(names, list)
        and names
        and all(isinstance(n, str) for n in names)
        and set(seen) <= set(names)
    ):
        return list(dict.fromkeys(names))
    return in_natural_order(sorted(seen))


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """``imglab.xml``, or ``<split>.xml``.  dlib keeps whole pixels: others are rounded, with a warning."""
    from ..files import write_atomic

    tree = Element("dataset")
    SubElement(tree, "name").text = dataset.name
    SubElement(tree, "comment").text = f"landmarks in order: {json.dumps(list(dataset.landmarks))}"
    images = SubElement(tree, "images")
    worst = 0.0
    for sample in dataset:
        image = SubElement(images, "image", file=sample.name)
        if sample.size_hw is not None:
            image.set("width", str(sample.size_hw[1]))
            image.set("height", str(sample.size_hw[0]))
        for instance in sample.instances:
            left, top, width, height = np.round(box_of(instance, sample.name)).astype(int).tolist()
            about = {"top": top, "left": left, "width": width, "height": height}
            box = SubElement(image, "box", {key: str(value) for key, value in about.items()})
            for label, xy, state in zip(dataset.landmarks, instance.xy, instance.visibility, strict=True):
                if state > NOT_LABELLED:
                    x, y = np.floor(xy + 0.5).astype(int).tolist()
                    worst = max(worst, float(np.abs(xy - [x, y]).max()))
                    SubElement(box, "part", name=label, x=str(x), y=str(y))
    indent(tree)
    write_atomic(root / (f"{split}.xml" if split else IMGLAB), tostring(tree, "utf-8", xml_declaration=True))
    if worst:
        told = f"{root}: dlib keeps whole pixels: points were rounded, by up to {worst:.2f} px"
        warnings.warn(told, DataWarning, stacklevel=2)


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: an <image>, a <box>, a <part>."""
    text = (splits(root)[split] if split else _only(root)).read_bytes()
    return Tally(text.count(b"<image "), text.count(b"<box "), text.count(b"<part "))
