"""Tracks of points with what is done in them: from arrays, and from what a followed film leaves.

Three forms are read: ``.npz`` with ``xy`` (F, K, 2), ``start`` and ``length`` (N,); ``predictions.json``
(COCO with ``track_id``) and ``tracks.csv`` (DeepLabCut's table), as ``hybridkp predict film.mp4`` writes
them.  In a folder, the name of the subfolder that a file lies in is its action.  No picture is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files.npz import read_npz
from ..structures import Array, InputError, short_repr
from .coco import dataset_of, read_json
from .layouts import infer_flip

ENDINGS = (".json", ".csv", ".npz")
_NEEDED, _WORDS = ("xy", "start", "length"), ("action", "view", "name", "group")


@dataclass(frozen=True, eq=False)
class Tracks:
    """N tracks (T, K, 2) px, NaN = not seen, with words about each; "" where there are none."""

    tracks: tuple[Array, ...]
    names: tuple[str, ...]  #: of what each was read from
    labels: tuple[str, ...]  #: the action
    groups: tuple[str, ...]  #: no split cuts one
    landmarks: tuple[str, ...]
    views: tuple[str, ...] = ()  #: from where it was seen
    first: tuple[int, ...] = ()  #: frame of the film that each begins with

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def flip(self) -> Array | None:
        """(K,) the landmark on the other side of each, where names say so."""
        found: Array | None = infer_flip(self.landmarks)
        return found

    def windows(self, n_frames: int) -> Tracks:
        """Each track in pieces of ``n_frames`` that overlap by half; shorter tracks stay whole."""
        pieces = []
        for i, track in enumerate(self.tracks):
            last = max(len(track) - n_frames, 0)
            starts = sorted({*range(0, last + 1, max(n_frames // 2, 1)), last})
            pieces += [(i, start, track[start : start + n_frames]) for start in starts]
        rows = [i for i, _, _ in pieces]
        begin = self.first or (0,) * len(self)
        words = ("names", "labels", "groups", "views")
        taken = {column: _taken(getattr(self, column), rows) for column in words}
        return replace(
            self,
            tracks=tuple(piece for _, _, piece in pieces),
            first=tuple(begin[i] + start for i, start, _ in pieces),
            **taken,
        )


def _taken(column: Sequence[str], rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(column[i] for i in rows) if column else ()


def load_tracks(path: str | os.PathLike[str]) -> Tracks:
    """Tracks of a file, or of all files in a folder.

    Parameters
    ----------
    path : an ``.npz`` (``xy``, ``start``, ``length``; where they are there ``action``, ``view``, ``name``,
        ``group`` (N,) and ``joints`` (K,); (0, 0) and NaN are points that are not known), a
        ``predictions.json``, a ``tracks.csv``, or a folder of such

    Raises
    ------
    InputError
        Where there is none, for damaged ones, and for files with different landmarks.
    """
    root = Path(path)
    if not root.is_dir():
        return _read(root, "")
    files = _files(root)
    if not files:
        raise InputError(f"{root}: no predictions.json, tracks.csv or .npz lies in it or in a subfolder")
    parts = []
    for file in files:
        inside = file.relative_to(root).parts
        parts.append(_read(file, inside[0] if len(inside) > 1 else "", "/".join(inside[:-1]) or file.stem))
    odd = next((f for f, p in zip(files, parts, strict=True) if p.landmarks != parts[0].landmarks), None)
    if odd is not None:
        raise InputError(f"{odd}: has other landmarks than {files[0]}; give tracks of one kind of object")
    return replace(
        parts[0],
        tracks=tuple(t for part in parts for t in part.tracks),
        names=tuple(n for part in parts for n in part.names),
        labels=tuple(n for part in parts for n in part.labels),
        groups=tuple(g for part in parts for g in part.groups),
        views=tuple(v for part in parts for v in part.views or ("",) * len(part)),
        first=tuple(n for part in parts for n in part.first or (0,) * len(part)),
    )


def _files(root: Path) -> list[Path]:
    """One file of each folder: the JSON, where a table of the same lies beside it."""
    found: dict[Path, list[Path]] = {}
    for file in sorted(p for p in root.rglob("*") if p.suffix in ENDINGS and p.is_file()):
        found.setdefault(file.parent, []).append(file)
    return [file for files in found.values() for file in _chosen(files)]


def _chosen(files: list[Path]) -> list[Path]:
    names = {file.name: file for file in files}
    for written in ("predictions.json", "tracks.csv"):
        if written in names:
            return [names[written]]
    return [file for file in files if file.suffix != ".json"]


def _read(file: Path, label: str, group: str = "") -> Tracks:
    readers = {".npz": _read_npz, ".json": _read_coco, ".csv": _read_table}
    if not file.is_file():
        raise InputError(f"{file}: no such file or folder; check the path")
    if file.suffix not in readers:
        raise InputError(f"{file}: tracks are read from {', '.join(ENDINGS)}, or from a folder of such")
    try:
        return readers[file.suffix](file, label, group or file.stem)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, MemoryError) as error:
        words = " ".join(str(error).split())[:150]
        raise InputError(f"{file}: no tracks can be read from it ({type(error).__name__}: {words})") from None


# --------------------------------------------------------------------------------------------
# arrays
# --------------------------------------------------------------------------------------------


def _read_npz(file: Path, label: str, group: str) -> Tracks:
    values = read_npz(file, (*_NEEDED, *_WORDS, "joints"))
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise InputError(f"{file}: has no array {missing[0]!r}; it needs xy (F, K, 2), start and length (N,)")
    xy, start, length = np.asarray(values["xy"], float), values["start"], values["length"]
    n = len(start)
    if xy.ndim != 3 or xy.shape[2] != 2 or start.shape != (n,) or length.shape != (n,) or not n:
        raise InputError(f"{file}: xy {xy.shape}, start {start.shape}, length {length.shape} do not fit")
    start, length = (np.nan_to_num(v, nan=-1, posinf=-1).astype(np.int64) for v in (start, length))
    if (start < 0).any() or (length < 1).any() or (length > len(xy) - start).any():
        raise InputError(f"{file}: start and length name frames that are not there")
    known = np.isfinite(xy).all(2) & (xy != 0).any(2)
    xy = np.where(known[..., None], xy, np.nan)
    tracks = tuple(xy[a : a + count] for a, count in zip(start.tolist(), length.tolist(), strict=True))
    words = {key: _words(values, key, n) for key in _WORDS}
    numbered = words["name"] or tuple(f"{file.stem}:{i}" for i in range(n))
    joints = _words(values, "joints", xy.shape[1]) or tuple(f"point{i}" for i in range(xy.shape[1]))
    labels = words["action"] or (label,) * n
    return Tracks(tracks, numbered, labels, words["group"] or numbered, joints, words["view"], (0,) * n)


def _words(values: Mapping[str, Array], key: str, n: int) -> tuple[str, ...]:
    if key not in values:
        return ()
    if values[key].shape != (n,):
        raise InputError(f"{key} must be ({n},), and is {values[key].shape}")
    return tuple(str(v) for v in values[key])


# --------------------------------------------------------------------------------------------
# what a followed film leaves
# --------------------------------------------------------------------------------------------


def _read_coco(file: Path, label: str, group: str) -> Tracks:
    dataset = dataset_of(read_json(file), file, _no_pictures)
    seen = ((t, i.track, i.xy) for t, s in enumerate(dataset) for i in s.instances if i.track >= 0)
    return _gathered(file, seen, tuple(dataset.landmarks), label, group)


def _no_pictures(names: Sequence[str], sizes_hw: Sequence[Any]) -> tuple[list[Any], str]:
    """Nothing to load: a film's frames were never files."""
    return [_gone] * len(names), ""


def _gone() -> Array:
    raise InputError("a frame of a film is no picture file")


def _read_table(file: Path, label: str, group: str) -> Tracks:
    import pandas as pd

    head = pd.read_csv(file, header=None, nrows=4, dtype=str, keep_default_na=False)
    kinds = [str(v) for v in head.iloc[:, 0]]
    if "bodyparts" not in kinds or "coords" not in kinds:
        raise InputError(f"{file}: is no table of tracks: it lacks the header rows bodyparts and coords")
    n_head = kinds.index("coords") + 1
    rows = {kind: head.iloc[i, 1:].tolist() for i, kind in enumerate(kinds[:n_head])}
    who = rows.get("individuals") or ["0"] * len(rows["coords"])
    parts = tuple(dict.fromkeys(rows["bodyparts"]))
    table = pd.read_csv(file, header=None, skiprows=n_head, dtype=float).to_numpy()
    number = {name: n for n, name in enumerate(dict.fromkeys(who))}
    xy = np.full((len(number), len(table), len(parts), 2), np.nan)
    for column, (name, part, kind) in enumerate(zip(who, rows["bodyparts"], rows["coords"], strict=True), 1):
        if kind in "xy":
            xy[number[name], :, parts.index(part), "xy".index(kind)] = table[:, column]
    seen = (
        (t, n, xy[n, t]) for n in number.values() for t in range(len(table)) if np.isfinite(xy[n, t]).any()
    )
    return _gathered(file, seen, parts, label, group)


def _gathered(
    file: Path, seen: Iterator[tuple[int, int, Array]], landmarks: tuple[str, ...], label: str, group: str
) -> Tracks:
    """Sightings (frame, track, (K, 2)) as one array a track, from its first to its last frame."""
    known: dict[int, dict[int, Array]] = {}
    for t, track, xy in seen:
        known.setdefault(track, {})[t] = xy
    if not known:
        raise InputError(f"{file}: holds no track; a film's predictions have a track_id for each object")
    names, tracks, begin = [], [], []
    for number, rows in sorted(known.items()):
        first = min(rows)
        whole: Array = np.full((max(rows) + 1 - first, len(landmarks), 2), np.nan)
        for t, xy in rows.items():
            whole[t - first] = xy
        names.append(f"{group}:{number}")
        tracks.append(whole)
        begin.append(first)
    n = len(tracks)
    return Tracks(tuple(tracks), tuple(names), (label,) * n, (group,) * n, landmarks, first=tuple(begin))
