"""MPII Human Pose as JSON, the form in which most training code has it: a list, a person an entry.

``joints`` are MATLAB's: the centre of the top-left pixel is (1, 1); ``joints_vis`` 0 is not labelled (-1 -1
likewise).  ``center`` and ``scale`` (a person's height over 200 px, by the set's authors) give the box.
Pictures are called by ``image``.  No picture is opened here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import NOT_LABELLED, VISIBLE, Dataset, InputError
from .collect import Collected
from .lookup import Tally, by_split, only
from .schemes import MPII_16
from .text import number, read_any_json, read_head, start_of

ORIGIN, HEIGHT_PX = 1.0, 200.0


def recognises(root: Path) -> float:
    return float(any(_is_one(file) for file in _candidates(root)))


def _is_one(file: Path) -> bool:
    head = read_head(file)
    return start_of(head).startswith(b"[") and b'"joints' in head


def _candidates(root: Path) -> list[Path]:
    files = sorted(p for sub in ("", "annot/", "annotations/") for p in root.glob(f"{sub}*.json"))
    return files if root.is_dir() else [root]


def splits(root: Path) -> dict[str, Path]:
    return by_split(filter(_is_one, _candidates(root))) if root.is_dir() else {}


def read(
    root: Path, split: str | None = None, *, origin: float = ORIGIN, images_dir: str | None = None
) -> Dataset:
    """People of one picture stand together."""
    file = splits(root)[split] if split is not None else _only(root)
    people = read_any_json(file)
    if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
        raise InputError(f"{file}: not MPII's JSON: expected a list of people")
    pictures: dict[str, list[dict[str, Any]]] = {}
    for n, person in enumerate(people):
        if not isinstance(person.get("image"), str) or not isinstance(person.get("joints"), list):
            raise InputError(f"{file}: person {n} needs image and joints")
        pictures.setdefault(person["image"], []).append(person)
    found = Collected(
        file,
        MPII_16.landmarks,
        origin,
        "person",
        flip=MPII_16.flip.tolist(),
        skeleton=MPII_16.skeleton,
        name=file.resolve().stem,
    )
    for picture, persons in pictures.items():
        found.picture(picture)
        for person in persons:
            found.object(*_points(person, f"{file}: {picture}", origin))
    base = file.parent
    folders = [base / "images", base, base.parent / "images"]
    return found.dataset(folders if images_dir is None else [Path(images_dir)])


def _points(person: dict[str, Any], who: str, origin: float) -> tuple[Any, Any]:
    """(16, 3) and the box; a person without a scale has the points' box."""
    seen = person.get("joints_vis") or [1] * len(person["joints"])
    joints = person["joints"]
    if len(joints) != 16 or not isinstance(seen, list) or len(seen) != 16:
        raise InputError(f"{who}: needs 16 joints and 16 joints_vis, has {len(joints)}")
    if not all(isinstance(p, list) and len(p) == 2 for p in joints):
        raise InputError(f"{who}: joints are pairs [x, y]")
    xy = np.array([[number(v, who) for v in p] for p in joints])
    gone = np.array([number(v, who) <= 0 for v in seen]) | (xy == -1).all(1)
    table = np.column_stack([xy, np.where(gone, NOT_LABELLED, VISIBLE)])
    centre, scale = person.get("center"), number(person.get("scale"), who)
    if not (isinstance(centre, list) and len(centre) == 2 and scale > 0):
        return table, None
    side = scale * HEIGHT_PX
    x, y = (number(v, who) - origin + 0.5 for v in centre)
    return table, [x - side / 2, y - side / 2, side, side]


def _only(root: Path) -> Path:
    files = [file for file in _candidates(root) if _is_one(file)] if root.is_dir() else [root]
    return only(files, root, "JSON of people")


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture a name, an object an entry."""
    people = json.loads((splits(root)[split] if split else _only(root)).read_text(encoding="utf-8"))
    seen = [sum(v > 0 for v in p["joints_vis"]) for p in people]
    return Tally(len({p["image"] for p in people}), len(people), sum(seen))
