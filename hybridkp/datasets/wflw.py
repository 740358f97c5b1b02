"""WFLW's lists: a face a line, 98 pairs ``x y``, its rectangle, six attributes, the picture's name.

``list_98pt_rect_attr_train.txt`` and ``_test.txt``, also the shorter lines ``98 pairs, name`` of its test
subsets.  Pictures lie in ``WFLW_images``.  Counted from 0.  Faces of one picture stand together; the
attributes are not read.  No picture is opened here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Dataset, InputError
from .collect import Collected
from .lookup import SUFFIXES, Tally, by_split, only
from .schemes import WFLW_98
from .text import number, read_head, read_text

NUMBERS = (2 * 98, 2 * 98 + 4 + 6)  #: of a line before the name, without and with rectangle and attributes
FOLDERS = ("", "WFLW_annotations/*/", "list_98pt*/", "annotations/")


def recognises(root: Path) -> float:
    """Sure of a first line of that many numbers and a picture's name."""
    return float(any(_is_one(file) for file in _candidates(root)))


def _is_one(file: Path) -> bool:
    if file.suffix.lower() != ".txt":
        return False
    cells = read_head(file).partition(b"\n")[0].split()
    plain = all(re.fullmatch(rb"-?[\d.]+(e[-+]?\d+)?", cell) for cell in cells[:-1])
    return (
        len(cells) - 1 in NUMBERS
        and plain
        and cells[-1].lower().endswith(tuple(s.encode() for s in SUFFIXES))
    )


def _candidates(root: Path) -> list[Path]:
    """Files with rectangles first, so that they are a split's."""
    if not root.is_dir():
        return [root]
    files = [file for folder in FOLDERS for file in root.glob(f"{folder}list_98pt*.txt")]
    return sorted(dict.fromkeys(files), key=lambda file: ("rect" not in file.name, str(file)))


def splits(root: Path) -> dict[str, Path]:
    files = [file for file in _candidates(root) if _is_one(file)] if root.is_dir() else []
    return by_split(files[::-1])  # the first of a split last, so that it stays


def read(
    root: Path, split: str | None = None, *, origin: float = 0.0, images_dir: str | None = None
) -> Dataset:
    file = splits(root)[split] if split is not None else _only(root)
    faces: dict[str, list[Any]] = {}
    for n, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        *cells, name = line.split()
        if len(cells) not in NUMBERS:
            raise InputError(f"{file}: line {n}: {len(cells)} numbers before the name, not {NUMBERS[1]}")
        values = np.array([number(cell, f"{file}: line {n}") for cell in cells])
        faces.setdefault(name, []).append(values)
    found = Collected(
        *(file, WFLW_98.landmarks, origin, "face"),
        flip=WFLW_98.flip.tolist(),
        skeleton=WFLW_98.skeleton,
        name=file.resolve().stem,
    )
    for name, rows in faces.items():
        found.picture(name)
        for values in rows:
            x0, y0, x1, y1 = values[196:200] if len(values) > 200 else [np.nan] * 4
            box = [x0, y0, x1 - x0, y1 - y0] if x1 > x0 and y1 > y0 else None
            found.object(values[:196].reshape(98, 2), box)
    above = [file.parent, *file.resolve().parents[:3]]
    folders = [place / folder for place in above for folder in ("WFLW_images", "images")] + above[:1]
    return found.dataset(list(dict.fromkeys(folders)) if images_dir is None else [Path(images_dir)])


def _only(root: Path) -> Path:
    return only([file for file in _candidates(root) if _is_one(file)], root, "list of WFLW")


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a face a line, 98 points each."""
    lines = (splits(root)[split] if split else _only(root)).read_text(encoding="utf-8").split("\n")
    names = [line.rsplit(" ", 1)[-1] for line in lines if line.strip()]
    return Tally(len(set(names)), len(names), 98 * len(names))
