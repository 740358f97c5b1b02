"""DeepLabCut's and lightning-pose's tables of labels: a row a frame, a column for each coordinate.

Three or four header rows (scorer, individuals for several animals, bodyparts, coords), then the picture's
path in one cell or in three.  Found as ``labeled-data/FILM/CollectedData_*.csv`` in a project, as a CSV in
one folder, or as lightning-pose's ``CollectedData.csv`` at the top.  Labelling tools centre pixel i at i
(napari, matplotlib), so the centre of the top-left pixel is 0.  A film is a group.  The HDF5 beside a table
holds the same and is read where there is no table.  No picture is opened here.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import Dataset, InputError
from .collect import Collected, Points
from .hdf import MAGIC, read_frame
from .lookup import Tally, in_order, split_of
from .text import number, read_csv, read_head, read_text

CONFIG, SCORER = "config.yaml", "hybridkp"


def recognises(root: Path) -> float:
    """Sure of a table that begins so, and of a folder with such tables."""
    return float(any(_is_one(file) for file in _tables(root)))


def _is_one(file: Path) -> bool:
    head = read_head(file)
    if file.suffix == ".h5":
        return head.startswith(MAGIC)
    return head.lstrip(b"\xef\xbb\xbf").startswith(b"scorer,") and b"\ncoords," in head.replace(b"\r", b"")


def _tables(root: Path) -> list[Path]:
    if not root.is_dir():
        return [root]
    names = ("labeled-data/*/CollectedData*", "CollectedData*", "*/CollectedData*", "*")
    for pattern in (f"{name}{end}" for name in names for end in (".csv", ".h5")):
        if files := [file for file in sorted(root.glob(pattern)) if _is_one(file)]:
            return files
    return []


def splits(root: Path) -> dict[str, Path]:
    """Tables that are called so, ``CollectedData_train.csv``; projects themselves have no splits."""
    files = _tables(root) if root.is_dir() else []
    return in_order({split: file for file in files if (split := split_of(file.stem)) is not None})


def read(
    root: Path, split: str | None = None, *, origin: float = 0.0, images_dir: str | None = None
) -> Dataset:
    """All films of a project, or one table."""
    files = _tables(root) if split is None else [splits(root)[split]]
    if not files:
        raise InputError(f"{root}: no table CollectedData_*.csv; save the labels in DeepLabCut first")
    tables = [(file, *_columns(file)) for file in files]
    landmarks = list(dict.fromkeys(part for _, columns, _ in tables for _, part, _ in columns.values()))
    config = next(
        (
            p
            for p in (root / CONFIG, *(f.parents[2] / CONFIG for f in files if len(f.parents) > 2))
            if p.is_file()
        ),
        None,
    )
    name = (root if root.is_dir() else root.parent).resolve().name
    found = Collected(
        files[0] if len(files) == 1 else root,
        landmarks,
        origin,
        name=name,
        skeleton=_skeleton(config, landmarks),
    )
    base = files[0].parent if images_dir is None else Path(images_dir)
    for file, columns, rows in tables:
        for n, (picture, cells) in rows.items():
            found.picture(picture, group=_film(picture, file))
            for points in _objects(columns, cells, f"{file}: line {n}"):
                found.object(points)
    return found.dataset(list(dict.fromkeys([base, *base.parents[:3], root if root.is_dir() else base])))


def _film(picture: str, file: Path) -> str | None:
    """The folder that a picture lies in; ``images/`` of a converted data set is no film."""
    film = str(Path(picture).parent) if "/" in picture else file.parent.name
    return None if film == "images" else film


Columns = dict[int, tuple[str, str, str]]  #: column -> individual, body part, coordinate


def _columns(file: Path) -> tuple[Columns, dict[int, tuple[str, list[str]]]]:
    """The columns' meaning, and line -> (picture, cells)."""
    rows = _rows_of_frame(file) if file.suffix == ".h5" else read_csv(file)
    head: dict[str, list[str]] = {}
    for row in rows[:5]:
        if row and row[0] in ("scorer", "individuals", "bodyparts", "coords"):
            head[row[0]] = row
    if not {"bodyparts", "coords"} <= head.keys() or len(head["coords"]) != len(head["bodyparts"]):
        raise InputError(f"{file}: needs the header rows scorer, bodyparts, coords of DeepLabCut's tables")
    coords, people = head["coords"], head.get("individuals", [])
    first = next((i for i, cell in enumerate(coords) if cell in ("x", "y")), len(coords))
    if first not in (1, 2, 3):
        raise InputError(f"{file}: the row 'coords' has no x in its second to fourth cell")
    columns = {
        i: (people[i] if i < len(people) else "", head["bodyparts"][i], coord)
        for i, coord in enumerate(coords)
        if coord in ("x", "y", "likelihood")
    }
    body: dict[int, tuple[str, list[str]]] = {}
    for n, row in enumerate(rows[len(head) :], len(head) + 1):
        if not row or not any(row):
            continue
        if len(row) > len(coords) and any(row[len(coords) :]):
            raise InputError(f"{file}: line {n}: {len(row)} cells instead of {len(coords)}")
        row = row[: len(coords)] + [""] * (len(coords) - len(row))  # as pandas does
        picture = "/".join(filter(None, row[:first])).replace("\\", "/")
        if re.fullmatch(r"\d+(\.0)?", picture):
            raise InputError(f"{file}: line {n}: a frame number and no picture: predictions, not labels")
        body[n] = picture, row
    return columns, body


def _rows_of_frame(file: Path) -> list[list[str]]:
    """A frame of pandas as the table that DeepLabCut writes beside it."""
    columns, index, values = read_frame(file)
    levels = ["scorer", "individuals", "bodyparts", "coords"] if columns and len(columns[0]) == 4 else []
    levels = levels or ["scorer", "bodyparts", "coords"]
    if any(len(column) != len(levels) for column in columns):
        raise InputError(f"{file}: columns of {len(columns[0])} levels; DeepLabCut's have three or four")
    head = [[level, *(column[i] for column in columns)] for i, level in enumerate(levels)]
    return head + [[name, *map(repr, row)] for name, row in zip(index, values.tolist(), strict=True)]


def _objects(columns: Columns, cells: list[str], where: str) -> list[Points]:
    """The points of each individual, in the order of the columns."""
    people: dict[str, dict[str, list[float]]] = {}
    for i, (individual, part, coord) in columns.items():
        if coord != "likelihood":
            xy = people.setdefault(individual, {}).setdefault(part, [np.nan, np.nan])
            xy["xy".index(coord)] = number(cells[i], where)
    return list(people.values())  # type: ignore[arg-type]


def _skeleton(config: Path | None, landmarks: list[str]) -> list[list[int]]:
    """The pairs under ``skeleton:`` of the project's config, those of known body parts."""
    if config is None:
        return []
    lines = read_text(config).splitlines()
    start = next((i for i, line in enumerate(lines) if line.rstrip() == "skeleton:"), len(lines))
    names: list[str] = []
    for line in lines[start + 1 :]:
        item = re.fullmatch(r"\s*- (?:- )?['\"]?([^'\"]*)['\"]?\s*|\s+- ['\"]?([^'\"]*)['\"]?\s*", line)
        if item is None:
            break
        names.append((item[1] or item[2]).strip())
    pairs = list(zip(names[::2], names[1::2], strict=False))
    return [[landmarks.index(a), landmarks.index(b)] for a, b in pairs if a in landmarks and b in landmarks]


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """``CollectedData_hybridkp.csv`` as DeepLabCut reads it; pictures by their names."""
    from ..files import write_atomic

    many = max((len(s.instances) for s in dataset), default=1) > 1
    people = [f"individual{i + 1}" for i in range(max((len(s.instances) for s in dataset), default=1))]
    columns = [(who, part, c) for who in people for part in dataset.landmarks for c in "xy"]
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["scorer", *[SCORER] * len(columns)])
    if many:
        table.writerow(["individuals", *(who for who, _, _ in columns)])
    table.writerow(["bodyparts", *(part for _, part, _ in columns)])
    table.writerow(["coords", *(c for _, _, c in columns)])
    for sample in dataset:
        cells = [repr(v) if np.isfinite(v) else "" for i in sample.instances for v in i.xy.ravel().tolist()]
        table.writerow([sample.name, *cells, *[""] * (len(columns) - len(cells))])
    write_atomic(root / f"CollectedData_{split or SCORER}.csv", out.getvalue().encode())


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture a row, a point two cells with a number."""
    files = [splits(root)[split]] if split else _tables(root)
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [line.split(",") for line in lines if ".png," in line or ".jpg," in line]
    filled = sum(cell.replace(".", "").replace("-", "").isdigit() for row in rows for cell in row)
    return Tally(len(rows), None, filled // 2)
