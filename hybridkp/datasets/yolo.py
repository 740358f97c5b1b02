"""YOLO-pose as Ultralytics lays it out: ``data.yaml``, a text of ``labels/`` for each picture of ``images/``.

A line is an object: class, box centre and size, then x, y and (with ``kpt_shape: [K, 3]``) visibility of each
point, all divided by the picture's width and height.  Sets converted from COCO hold COCO's own numbers
divided, so the centre of the top-left pixel is 0 for points; boxes are along pixel edges.  Names come from
``kpt_names``, mirror pairs from ``flip_idx``.  The pictures' sizes are read from their headers.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import NOT_LABELLED, VISIBLE, Array, Dataset, DataWarning, InputError, Instance
from .collect import Collected, box_of
from .layouts import names_for
from .lookup import SUFFIXES, Tally, in_order, loader
from .repairs import Repairs
from .text import MAX_BYTES, read_head, read_text

YAML, KEYS = "data.yaml", ("train", "val", "test")
Record = dict[str, Any]


def recognises(root: Path) -> float:
    """Sure of a YAML with ``kpt_shape``; a folder of labels/ alone may be one."""
    if _yaml(root) is not None:
        return 1.0
    return 0.3 * (root.is_dir() and next((root / "labels").rglob("*.txt"), None) is not None)


def _yaml(root: Path) -> Path | None:
    files = sorted(root.glob("*.y*ml")) if root.is_dir() else [root]
    known = [f for f in files if f.suffix in (".yaml", ".yml") and b"kpt_shape" in read_head(f)]
    return known[0] if known else None


def splits(root: Path) -> dict[str, Any]:
    """Those that the YAML names; when train and val are one list, the data are undivided."""
    file = _yaml(root)
    if file is None:
        return {}
    about = _about(file)
    found = {key: about[key] for key in KEYS if about.get(key)}
    return {} if len({str(v) for v in found.values()}) < 2 and len(found) != 1 else in_order(found)


def _about(file: Path) -> Record:
    """The YAML's top level."""
    import yaml

    if file.is_file() and file.stat().st_size > 1 << 20:
        raise InputError(f"{file}: over 1 MB; a data.yaml names folders and landmarks")
    try:
        about = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        what = " ".join(str(error).split())[:100]
        raise InputError(f"{file}: not valid YAML ({what})") from None
    if not isinstance(about, dict):
        raise InputError(f"{file}: not a data.yaml: holds no 'kpt_shape: [K, 3]' at its top level")
    return about


def read(root: Path, split: str | None = None, *, category: str | int | None = None) -> Dataset:
    file = _yaml(root)
    if file is None:
        raise InputError(f"{root}: no data.yaml with kpt_shape; write one beside labels/ and images/")
    about = _about(file)
    k, dims = _shape(about, file)
    names = _classes(about)
    landmarks = _landmarks(about, k, next(iter(names.values())) if len(names) == 1 else "object", file)
    flip = about.get("flip_idx")
    if flip is not None and (
        not isinstance(flip, list) or sorted(map(str, flip)) != sorted(map(str, range(k)))
    ):
        raise InputError(f"{file}: flip_idx must be the {k} numbers 0..{k - 1}, each once")
    folder = file.resolve().parent
    found = Collected(file, landmarks, kinds=names or {0: "object"}, flip=flip, name=folder.name)
    key = split or next((key for key in KEYS if about.get(key)), "train")
    pictures = list(_pictures(about, key, file))
    if not pictures:
        raise InputError(
            f"{file}: no picture where '{key}' points ({about.get(key)}); put the pictures there"
        )
    for path in pictures:
        _add(found, path, folder, (k, dims))
    return found.dataset(category=category)


def _shape(about: Record, file: Path) -> tuple[int, int]:
    shape = about.get("kpt_shape")
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
        k, dims = shape
        if 0 < k < 10_000 and dims in (2, 3):
            return k, dims
    raise InputError(f"{file}: kpt_shape must be [landmarks, 2 or 3], such as [17, 3]")


def _classes(about: Record) -> dict[int, str]:
    """Number -> name of each class."""
    names = about.get("names")
    rows = names.items() if isinstance(names, dict) else enumerate(names if isinstance(names, list) else [])
    return {int(number): str(name) for number, name in rows if str(number).isdecimal()}


def class_names(folder: Path) -> dict[int, str]:
    """Number -> name of each class by the ``data.yaml`` in the folder or above it; empty without one."""
    file = _yaml(folder) or _yaml(folder.resolve().parent)
    return {} if file is None else _classes(_about(file))


def _landmarks(about: Record, k: int, category: str, file: Path) -> list[str]:
    """``kpt_names``: a list, or one for each class of which the first counts."""
    names = about.get("kpt_names")
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    if names is None:
        return list(names_for(k, category))
    if not isinstance(names, list) or len(names) != k:
        raise InputError(f"{file}: kpt_names must be the {k} names of kpt_shape")
    return [str(name) for name in names]


def _pictures(about: Record, key: str, file: Path) -> Iterator[Path]:
    """The split's pictures: a folder, a list of them, or a text file that lists pictures.

    As with Ultralytics, a place is looked for under ``path``, beside the file, and there without ``../``;
    never outside the file's folder.
    """
    base = file.resolve().parent
    top = base / str(about.get("path") or "")
    places = about.get(key)
    for place in places if isinstance(places, list) else [places]:
        text = str(place).replace("\\", "/")
        ways = (top / text, base / text, base / text.removeprefix("../"))
        path = next((way for way in ways if _within(way, base)), None)
        if path is None:
            continue
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif path.suffix == ".txt":
            for line in filter(None, map(str.strip, read_text(path).splitlines())):
                picture = path.parent / line.replace("\\", "/")
                if not _within(picture, base):
                    raise InputError(f"{path}: {line[:200]!r} is no file in {base}; put the picture there")
                yield Path(os.path.normpath(picture))


def _within(path: Path, base: Path) -> bool:
    """Whether there is such a file or folder, inside ``base`` by its name."""
    try:
        return Path(os.path.normpath(path)).is_relative_to(base) and path.exists()
    except (OSError, ValueError):
        return False


def _label_file(picture: Path) -> Path:
    """As Ultralytics does: the last folder called images is called labels."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _add(found: Collected, path: Path, folder: Path, shape: tuple[int, int]) -> None:
    from ..files import picture_size

    name = path.relative_to(folder).as_posix()
    h, w = picture_size(path)
    found.picture(name, (h, w), load=loader(path))
    labels = _label_file(path)
    if not labels.is_file():
        return
    if labels.stat().st_size > MAX_BYTES >> 4:
        raise InputError(f"{labels}: over {MAX_BYTES >> 24} MB for one picture; no label file is")
    k, dims = shape
    for n, line in enumerate(read_text(labels).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = np.array(line.split(), float)
        except ValueError:
            raise InputError(f"{labels}: line {n}: not all numbers") from None
        if len(row) != 5 + k * dims:
            needs = f"{5 + k * dims} (class, box, {k} points of {dims})"
            raise InputError(f"{labels}: line {n}: {len(row)} numbers instead of {needs}")
        if not (row[0] >= 0 and row[0].is_integer()):
            raise InputError(f"{labels}: line {n}: the class {row[0]:g} is no number from 0")
        x, y, bw, bh = row[1:5] * [w, h, w, h]
        table = _table(row[5:].reshape(k, dims), (w, h), f"{name} line {n}", found.repairs)
        found.object(table, [x - bw / 2, y - bh / 2, bw, bh], int(row[0]))


def _table(table: Array, size_wh: tuple[int, int], who: str, repairs: Repairs) -> Array:
    """(K, 3) px; without visibilities, negative points and those at exactly (0, 0) are not labelled."""
    xy = table[:, :2] * size_wh
    if table.shape[1] == 3:
        return np.column_stack([xy, table[:, 2]])
    zero = (table == 0).all(1)
    if zero.any():
        repairs["points at 0 0 without a visibility, now not labelled"] += [who] * int(zero.sum())
    return np.column_stack([xy, np.where(zero | (table < 0).any(1), NOT_LABELLED, VISIBLE)])


def write(dataset: Dataset, root: Path, split: str | None = None) -> None:
    """A text for each picture, the list of the split's pictures, and ``data.yaml``.

    Ultralytics leaves out a whole picture for one number outside 0..1: boxes are cut at the picture's edge,
    and points outside it are not written, with a warning that counts them.
    """
    import yaml

    from ..files import write_atomic

    lines, outside = [], 0
    for sample in dataset:
        h, w = sample.size_hw or sample.image.shape[:2]
        text = "\n".join(_line(instance, (w, h), sample.name) for instance in sample.instances)
        outside += sum(int(_outside(instance.xy, (w, h)).sum()) for instance in sample.instances)
        write_atomic(_label_file(root / sample.name), text.encode())
        lines.append(f"./{sample.name}")
    listed = f"{split or 'pictures'}.txt"
    write_atomic(root / listed, "\n".join(lines).encode())
    file = root / YAML
    about = _about(file) if split and file.is_file() else {}
    about |= {"path": ".", **({split: listed} if split else {"train": listed, "val": listed})}
    about |= {"names": {0: dataset.category}, "kpt_shape": [len(dataset.landmarks), 3]}
    about |= {"kpt_names": {0: list(dataset.landmarks)}}
    if dataset.flip is not None:
        about["flip_idx"] = dataset.flip.tolist()
    write_atomic(file, yaml.safe_dump(about, sort_keys=False, allow_unicode=True).encode())
    if outside:
        told = f"{root}: {outside} points outside their pictures are not written: Ultralytics takes none"
        warnings.warn(told, DataWarning, stacklevel=2)


def _line(instance: Instance, size_wh: tuple[int, int], name: str) -> str:
    scale = np.array(size_wh, float)
    low, extent = np.split(box_of(instance, name), 2)
    low, high = np.clip(low, 0, scale), np.clip(low + extent, 0, scale)
    box = [*((low + high) / 2 / scale), *((high - low) / scale)]
    out = _outside(instance.xy, size_wh)
    xy = np.where(out[:, None], 0, np.nan_to_num(instance.xy)) / scale
    seen = np.where(out, NOT_LABELLED, instance.visibility)
    points = [f"{x!r} {y!r} {v}" for (x, y), v in zip(xy.tolist(), seen.tolist(), strict=True)]
    return " ".join(["0", *(repr(float(v)) for v in box), *points])


def _outside(xy: Array, size_wh: tuple[int, int]) -> Array:
    """(K,) bool: the file has no number for a labelled point."""
    return np.asarray(((xy < 0) | (xy > size_wh)).any(axis=1))


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look at the label files: an object a line."""
    file = _yaml(root)
    assert file is not None
    paths = list(_pictures(_about(file), split or "train", file))
    texts = [_label_file(p).read_text(encoding="utf-8") for p in paths if _label_file(p).is_file()]
    return Tally(len(paths), sum(bool(line.strip()) for text in texts for line in text.splitlines()))
