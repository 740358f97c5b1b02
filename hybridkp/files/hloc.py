"""Features and matches of many pictures in HDF5, laid out as hloc's: other programs go on from there.

``features.h5``: a group for each picture's name with ``keypoints`` (N, 2) px, an integer at a pixel's centre,
``scores`` (N,), ``descriptors`` (D, N), ``image_size`` (2,) width and height.  ``matches.h5``: a group
``A/B`` for each pair, "/" in names written "-", with ``matches0`` (N,), -1 = none, and ``matching_scores0``.
Files stand after a kill: an entry counts once it is whole.  Never here: what finds and what matches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..structures import Array, InputError, Keypoints
from ..structures.pairs import Features

_MADE_BY = "hybridkp"  #: attribute of the file: what everything in it was made with
_WHOLE = "whole"  #: attribute of an entry that was written to its end


@contextmanager
def entries(path: str | os.PathLike[str], settings: dict[str, Any] | None = None) -> Iterator[Any]:
    """The open file: to go on writing with ``settings``, or to read.

    Raises
    ------
    InputError
        Without h5py, for a file that is none, and for one that was made with other settings.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: needs h5py: pip install 'hybridkp[formats]'") from None
    try:
        file = h5py.File(path, "r" if settings is None else "a", libver="latest" if settings else None)
    except (OSError, ValueError) as error:
        told = "cannot be opened as HDF5; if a run was killed while it wrote, delete it and run again"
        if isinstance(error, FileNotFoundError):
            told = "no such file"
        raise InputError(f"{path}: {told}") from None
    with file:
        if settings is not None:
            text = json.dumps(settings, sort_keys=True)
            if len(file) and file.attrs.get(_MADE_BY) != text:
                raise InputError(f"{path}: was made with other settings: give another name, or delete it")
            file.attrs[_MADE_BY] = text
        yield file


def has(file: Any, name: str) -> bool:
    """Whether an entry is there, and whole."""
    return name in file and bool(file[name].attrs.get(_WHOLE, False))


def write_entry(file: Any, name: str, **arrays: Array) -> None:
    """An entry anew, marked whole when all of it is on the disk."""
    if name in file:
        del file[name]
    group = file.create_group(name)
    for key, value in arrays.items():
        group.create_dataset(key, data=value)
    file.flush()
    group.attrs[_WHOLE] = True
    file.flush()


def pair_entry(a: str, b: str) -> str:
    """The name of a pair's entry."""
    return "/".join(name.replace("/", "-") for name in (a, b))


def write_features(file: Any, name: str, found: Features) -> None:
    """A picture's entry; bits are kept as their bytes."""
    write_entry(
        file,
        name,
        keypoints=np.asarray(found.keypoints.xy, np.float32),
        scores=np.asarray(found.keypoints.score, np.float32),
        descriptors=np.ascontiguousarray(found.rows.T),
        image_size=np.array(found.size_hw[::-1], np.int64),
    )


def read_features(file: Any, name: str) -> Features:
    """What :func:`write_features` wrote, or hloc."""
    try:
        group = file[name]
        xy, rows = np.asarray(group["keypoints"], np.float32), np.asarray(group["descriptors"]).T
        score = np.asarray(group["scores"], np.float32) if "scores" in group else np.ones(len(xy), np.float32)
        w, h = (int(v) for v in group["image_size"])
        if xy.shape != (len(score), 2) or len(rows) != len(xy):
            raise ValueError("columns of different lengths")
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise InputError(f"{file.filename}: the features of {name} cannot be read ({error})") from None
    rows = rows if rows.dtype == np.uint8 else rows.astype(np.float32)
    return Features(Keypoints(xy, score), np.ascontiguousarray(rows), (h, w))
