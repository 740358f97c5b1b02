"""The 300-W / iBUG ``.pts`` format: one text file of points beside each picture.

Read with or without its header (``version: 1``, ``n_points: 68``, ``{`` ... ``}``); points are
1-based there and become 0-based here.  Pictures are not opened; boxes are made from the points.
300-VW's ``annot/000001.pts`` is the first frame of the film beside ``annot``, where there are no pictures.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from ..structures import Array, Dataset, InputError, Instance, Sample
from .collect import Load, box_around
from .films import is_film, load_frame
from .lookup import SUFFIXES, Tally, in_order, loader, split_of
from .schemes import IBUG_68
from .text import read_text

#: one face of several in a photograph: HELEN's 100032540_1, AFW's 1051618982_2
_FACE_NUMBER = re.compile(r"^(.*\d{4,}.*)_\d{1,2}$")
#: a line of two numbers
_PAIR = re.compile(r"^[ \t]*([-+.\deEnNaA]+)[ ,\t]+([-+.\deEnNaA]+)[ \t]*$", re.MULTILINE)
#: 300-W's copies mirrored by the authors
_MIRRORED = re.compile(r"_mirror(?=\.|$)")


def read_pts(path: str | Path, origin: float = 1.0) -> Array:
    """(K, 2) float64 points of one file, 0-based.

    Parameters
    ----------
    path : with or without header; ``x y`` a line, blanks or commas between; ``#`` and ``//``
        start comments
    origin : the coordinate that the file gives to the centre of the top-left pixel; 1 in 300-W,
        0 when the points were counted from zero

    Notes
    -----
    Negative pairs ``-1 -1`` and ``nan nan`` stand for a missing landmark and become NaN.

    Raises
    ------
    InputError
        Not found, not numbers, or not as many points as ``n_points`` says (a truncated file).
    """
    path = Path(path)
    text = read_text(path)
    rows: list[list[float]] = []
    declared: int | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.split(r"#|//", raw, maxsplit=1)[0].replace(",", " ").strip()
        if not line or line in "{}":
            continue
        key, colon, value = line.partition(":")
        if colon:
            if key.strip().lower() == "n_points":
                declared = _count(value, path)
            continue
        rows.append(_row(line, path, number))
    if declared is not None and declared != len(rows):
        raise InputError(f"{path}: says n_points: {declared} but holds {len(rows)}; the file is incomplete")
    if not rows:
        raise InputError(f"{path}: holds no points; expected a line 'x y' for each landmark")
    xy = np.array(rows)
    missing = ~np.isfinite(xy).all(1) | (xy == -1).all(1)
    xy[missing] = np.nan
    return xy - origin


def _count(value: str, path: Path) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"{path}: n_points: {value.strip()!r} is not a whole number") from None


def _row(line: str, path: Path, number: int) -> list[float]:
    try:
        x, y = (float(v) for v in line.split())
    except ValueError:
        raise InputError(f"{path}: line {number}: expected two numbers 'x y', got {line[:40]!r}") from None
    return [x, y]


def photo_group(stem: str) -> str:
    """The photograph that a picture's name belongs to.

    A last ``_1`` ... ``_99`` after a name with a number of at least four digits counts the faces
    of one photograph (HELEN, AFW) and is cut off; so is ``_mirror``.  Other names are their own
    group: ``image_0018`` (LFPW) stays whole.

    >>> photo_group("100032540_1"), photo_group("image_0018"), photo_group("1051618982_2_mirror")
    ('100032540', 'image_0018', '1051618982')
    """
    stem = _MIRRORED.sub("", stem)
    found = _FACE_NUMBER.match(stem)
    return found.group(1) if found else stem


def read_pts_folder(
    folder: str | Path,
    origin: float = 1.0,
    name: str | None = None,
    images_dir: str | Path | None = None,
) -> Dataset:
    """A folder of ``.pts`` files (subfolders included), each with its picture beside it.

    With ``images_dir`` pictures are looked for there, in the same subfolders or in none.

    The picture has the same name with any usual ending.  The box is the points' tight box grown
    by 10 % of its longer side on every side, and ``area`` is that box's.  Faces of one photograph
    share a group (:func:`photo_group`, within one subfolder).  With 68 points the iBUG layout is taken;
    otherwise landmarks are called p0, p1, ... and nothing is known about mirroring.

    Raises
    ------
    InputError
        No .pts file, a picture missing, or files with different numbers of points.
    """
    root = Path(folder)
    files = [root] if root.is_file() else sorted(root.rglob("*.pts"))
    if not files:
        raise InputError(f"{folder}: no .pts file in it")
    base = root.parent if root.is_file() else root
    images = None if images_dir is None else Path(images_dir)
    samples = tuple(_sample(file, base, origin, images) for file in files)
    k = len(samples[0].instances[0].xy)
    for file, sample in zip(files, samples, strict=True):
        if len(sample.instances[0].xy) != k:
            raise InputError(
                f"{file}: has {len(sample.instances[0].xy)} points, {files[0].name} has {k};"
                " all files of a folder need the same landmarks"
            )
    ibug = k == 68
    return Dataset(
        name=name or root.resolve().name,
        landmarks=IBUG_68.landmarks if ibug else tuple(f"p{i}" for i in range(k)),
        samples=samples,
        skeleton=np.array(IBUG_68.skeleton if ibug else (), int),
        flip=IBUG_68.flip if ibug else None,
        normalizer=IBUG_68.normalizer if ibug else ("box",),
        category="face" if ibug else "object",
    )


# --------------------------------------------------------------------------------------------
# the row's questions
# --------------------------------------------------------------------------------------------


def splits(root: Path) -> dict[str, Path]:
    """Split name -> the folder of .pts files that is called so."""
    found: dict[str, Path] = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else ():
        split = split_of(folder.name)
        if split and split not in found and next(folder.rglob("*.pts"), None) is not None:
            found[split] = folder
    return in_order(found)


def recognises(root: Path) -> float:
    """Sure of a .pts file and of named folders of them; other folders may hold such files by the way."""
    if root.is_file():
        return float(root.suffix.lower() == ".pts")
    if next(root.glob("*/annot/*.pts"), None) is not None:
        return 0.9
    return 0.9 if splits(root) else 0.4 * (next(root.rglob("*.pts"), None) is not None)


def read(
    root: Path, split: str | None = None, *, origin: float = 1.0, images_dir: str | None = None
) -> Dataset:
    return read_pts_folder(splits(root)[split] if split is not None else root, origin, images_dir=images_dir)


def tally(root: Path, split: str | None = None, **_: float) -> Tally:
    """Counts by a plain look: a picture and an object a file, a point a line of two numbers."""
    where = root if split is None else splits(root)[split]
    files = [where] if where.is_file() else list(where.rglob("*.pts"))
    pairs = [m for file in files for m in _PAIR.findall(file.read_text(encoding="utf-8-sig"))]
    missing = sum(x.lower() == "nan" or float(x) == float(y) == -1 for x, y in pairs)
    return Tally(len(files), len(files), len(pairs) - missing)


# --------------------------------------------------------------------------------------------
# one file
# --------------------------------------------------------------------------------------------


def _sample(file: Path, base: Path, origin: float, images: Path | None) -> Sample:
    xy = read_pts(file, origin)
    name, load = _picture_of(file, base, images)
    box = box_around(xy)
    if box is None or max(np.ptp(xy[np.isfinite(xy).all(1)], axis=0)) <= 0:
        raise InputError(f"{file}: needs at least two different points to make a box from")
    roots = (*(() if images is None else (images,)), base, base.parent)
    relative = name.relative_to(next(root for root in roots if name.is_relative_to(root)))
    film = relative.parent.parent if file.parent.name == "annot" else None  # its frames are one group
    group = film if film is not None else relative.parent / photo_group(file.stem)
    return Sample(
        name=relative.as_posix(),
        load=load,
        instances=(Instance(xy, box_xywh=box, area=float(box[2] * box[3])),),
        group=group.as_posix(),
    )


def _picture_of(file: Path, base: Path, images: Path | None) -> tuple[Path, Load]:
    """Where the picture is, or would be, and its ``Sample.load``; of 300-VW's films the frame."""
    folder = file.parent
    in_film = folder.name == "annot"  # 300-VW: annot/000001.pts, and imgs/000001.jpg or vid.avi
    beside = [folder.parent / name / file.name for name in ("imgs", "images")] if in_film else []
    places = [file, *beside] if images is None else [images / file.relative_to(base), images / file.name]
    for place in places:
        for suffix in SUFFIXES:
            for candidate in (place.with_suffix(suffix), place.with_suffix(suffix.upper())):
                if candidate.is_file():
                    return candidate, loader(candidate)
    films = [p for p in sorted(folder.parent.iterdir()) if is_film(p)] if in_film else []
    if films and file.stem.isdecimal() and int(file.stem) > 0:
        frame = partial(load_frame, str(films[0]), int(file.stem) - 1)  # 000001 is the first
        return (folder.parent / "imgs" / file.name).with_suffix(".png"), frame
    films_too = ", nor a film beside annot/" if in_film else ""
    where = f"beside it{films_too}" if images is None else f"in {images}"
    raise InputError(f"{file}: no picture {file.stem}.jpg, .png, ... {where}")
