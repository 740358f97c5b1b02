"""COCO keypoint JSON as it lies in a folder: which file is which split, and the counts of a plain look.

What a file says is read in :mod:`.coco`, imported when first asked; here are names and places.  Roots
are a JSON file, a folder with ``train.json`` beside ``images/`` or in ``annotations/``, or Roboflow's
folder for each split.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..structures import Dataset, InputError
from .lookup import CAMERAS, Tally, in_order, split_of
from .text import read_head, start_of


def splits(root: Path) -> dict[str, Path]:
    """Split name -> its JSON file; {} when undivided."""
    out: dict[str, Path] = {}
    if root.is_file():
        return out
    for folder in (root, root / "annotations"):
        files = sorted(folder.glob("*.json"), key=lambda p: (len(p.name), p.name))
        keypoints = [p for p in files if "keypoints" in p.stem]  # COCO's folder also has captions
        for file in keypoints or files:
            split = split_of(file.stem)
            if split:
                out.setdefault(split, file)
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        split, file = split_of(folder.name), folder / "_annotations.coco.json"
        if split and split not in out and file.is_file():
            out[split] = file
    return in_order(out)


def recognises(root: Path) -> float:
    """Sure of files with the names of splits, half sure of any other JSON."""
    if root.is_file():
        return 0.5 * (root.suffix.lower() in (".json", ".coco"))
    if any(start_of(read_head(file)).startswith(b"{") for file in splits(root).values()):
        return 1.0
    return 0.5 * bool(_undivided(root))


def read(root: Path, split: str | None = None, **options: Any) -> Dataset:
    from .coco import read_coco

    return read_coco(source(root, split), **options)


def source(root: Path, split: str | None) -> Path:
    """The JSON file of a split, or the only one there is."""
    if split is not None or root.is_file():
        return splits(root)[split] if split is not None else root
    files = _undivided(root)
    if len(files) > 1:
        names = ", ".join(f.name for f in files[:4])
        raise InputError(f"{root}: several JSON files ({names}) and none is train.json; give one of them")
    return files[0]


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """Into ``<split>.json``; the pictures that it names are not copied."""
    from .coco_writer import write_coco

    write_coco(dataset, root / f"{split or 'annotations'}.json")


def tally(root: Path, split: str | None = None, *, category: str | int | None = None, **_: Any) -> Tally:
    """Counts by a plain look at the file: pictures, objects with keypoints, points with v > 0."""
    from .coco import pick_category

    path = source(root, split)
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    wanted = pick_category(document, category, path).get("id")
    objects = [
        a["keypoints"]
        for a in document["annotations"]
        if a.get("category_id", wanted) == wanted and a.get("keypoints")
    ]
    return Tally(len(document["images"]), len(objects), sum(v > 0 for o in objects for v in o[2::3]))


def _undivided(root: Path) -> list[Path]:
    here = sorted(file for file in root.glob("*.json") if file.name != CAMERAS)
    return here or sorted(root.glob("annotations/*.json"))
