"""TPS, the files of tpsDig and of R's geomorph: ``LM=K``, K lines ``x y``, ``IMAGE=``, ``ID=``.

y counts from the picture's **lower** edge: y = height - row, x = column, with rows and columns from 0 (the
rule of ml-morph's conversion to dlib).  So the height of each picture is needed, and read from its header.
Negative pairs and NA are missing.  Landmarks have no names.  One object a picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Array, Dataset, InputError
from .collect import ABSENT, Collected
from .lookup import Tally, by_split, candidates, find_pictures, only, path_of
from .text import number, read_head, read_text

TPS = "landmarks.tps"


def recognises(root: Path) -> float:
    """Sure of a .tps that begins with LM=, and of a folder with one."""
    return float(any(re.match(rb"\s*LM\s*=", read_head(file, 999), re.I) for file in _candidates(root)))


def _candidates(root: Path) -> list[Path]:
    return candidates(root, ".tps", "*")  # tpsDig writes .TPS


def splits(root: Path) -> dict[str, Path]:
    return by_split(_candidates(root)) if root.is_dir() else {}


def read(root: Path, split: str | None = None, *, images_dir: str | None = None) -> Dataset:
    """One file; every specimen needs its picture, for the height.  Those without one are left out."""
    from ..files import picture_size

    file = splits(root)[split] if split is not None else _only(root)
    specimens = list(_specimens(file))
    if not specimens:
        raise InputError(f"{file}: no 'LM=' in it; nothing to read")
    k = max(len(points) for points, _ in specimens)
    found = Collected(file, [f"p{i}" for i in range(k)], name=file.resolve().parent.name)
    folders = [file.parent, file.parent / "images"] if images_dir is None else [Path(images_dir)]
    names = [name.replace("\\", "/") for _, name in specimens]
    loads, _ = find_pictures(names, folders, str(file))
    for (points, _), name, load in zip(specimens, names, loads, strict=True):
        path = path_of(load)
        if path is None or not os.path.isfile(path):
            found.repairs[ABSENT].append(name)
            continue
        height, width = picture_size(path)
        found.picture(name, (height, width), load=load)
        table = np.full((k, 2), np.nan)
        table[: len(points)] = np.column_stack([points[:, 0], height - points[:, 1]])
        found.object(table)
    return found.dataset()


def _only(root: Path) -> Path:
    return only(_candidates(root), root, ".tps file")


def _specimens(file: Path) -> Iterator[tuple[Array, str]]:
    """(K, 2) points as they stand, missing ones NaN, and the picture's name."""
    points: list[list[float]] = []
    wanted, name, number_of = 0, "", 0

    def one() -> tuple[Array, str]:
        if len(points) != wanted:
            raise InputError(f"{file}: specimen {number_of} says LM={wanted} and has {len(points)} points")
        if not name:
            raise InputError(f"{file}: specimen {number_of} has no IMAGE=")
        xy = np.array(points, float).reshape(-1, 2)
        xy[(xy < 0).all(1) | np.isnan(xy).any(1)] = np.nan
        return xy, name

    for n, raw in enumerate(read_text(file).splitlines(), 1):
        key, equals, value = raw.partition("=")
        if equals and key.strip().upper() == "LM":
            if number_of:
                yield one()
            wanted = int(value) if value.strip().isdecimal() and len(value.strip()) < 7 else -1
            points, name, number_of = [], "", number_of + 1
        elif equals and key.strip().upper() == "IMAGE":
            name = value.strip()
        elif not equals and raw.strip() and len(points) < wanted:
            cells = raw.replace(",", " ").split()
            if len(cells) != 2:
                raise InputError(f"{file}: line {n}: expected two numbers 'x y', got {raw[:40]!r}")
            points.append([number(cell, f"{file}: line {n}") for cell in cells])
    if number_of:
        yield one()


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """``landmarks.tps``, or ``<split>.tps``; one object a picture."""
    from ..files import write_atomic

    lines = []
    for n, sample in enumerate(dataset):
        if len(sample.instances) != 1:
            raise InputError(f"{sample.name}: {len(sample.instances)} objects; TPS has one a picture")
        h = (sample.size_hw or sample.image.shape[:2])[0]
        lines.append(f"LM={len(dataset.landmarks)}")
        for x, y in sample.instances[0].xy.tolist():
            lines.append("-1 -1" if np.isnan(x) else f"{x!r} {h - y!r}")
        lines += [f"IMAGE={sample.name}", f"ID={n}"]
    write_atomic(root / (f"{split}.tps" if split else TPS), "\n".join([*lines, ""]).encode())


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture an IMAGE=, a point a line of two numbers."""
    text = (splits(root)[split] if split else _only(root)).read_text(encoding="utf-8")
    n = len(re.findall(r"^IMAGE=", text, re.M))
    return Tally(n, n, len(re.findall(r"^\d[\d.]* -?[\d.]+\s*$", text, re.M)))
