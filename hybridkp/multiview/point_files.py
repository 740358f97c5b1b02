"""Points in space as files: an npz of T instants, K landmarks and V views; written, read, matched to views.

What the points are, says :mod:`.triangulation`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..files.npz import read_npz, write_npz
from ..structures import Array, InputError
from ..structures.base import short_repr
from .instants import Views
from .triangulation import Triangulated


@dataclass(frozen=True, eq=False)
class Points3D:
    """Points in space of T instants, as they lie in a file."""

    xyz: Array  #: (T, K, 3)
    landmarks: tuple[str, ...]
    instants: tuple[str, ...]
    unit: str

    __repr__ = short_repr


def save_points(views: Views, found: Triangulated, path: str | os.PathLike[str]) -> None:
    """An npz: ``points`` (T, K, 3), ``left_out_px`` and ``used`` (T, V, K), ``uncertainty`` (T, K), names."""
    t, v, k = views.xy.shape[:3]
    arrays: dict[str, Any] = {
        "points": found.xyz.reshape(t, k, 3),
        "left_out_px": np.moveaxis(found.left_out.reshape(v, t, k), 0, 1),
        "used": np.moveaxis(found.used.reshape(v, t, k), 0, 1),
        "uncertainty": found.uncertainty.reshape(t, k),
        "names": np.array(views.landmarks),
        "instants": np.array(views.instants),
        "cameras": np.array(views.cameras.names),
        "unit": np.array(views.cameras.unit),
    }
    write_npz(path, arrays)


def load_points(path: str | os.PathLike[str]) -> Points3D:
    """What :func:`save_points` wrote, or another npz with ``points`` (T, K, 3); no objects are unpickled.

    Raises
    ------
    InputError
        For a file that is missing, damaged, too large, or without such points.
    """
    arrays = read_npz(path, ("points", "names", "instants", "unit"))
    points = arrays.get("points")
    if points is None or points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds no points (T, K, 3)")
    names = tuple(map(str, arrays.get("names", range(points.shape[1]))))
    instants = tuple(map(str, arrays.get("instants", range(len(points)))))
    if len(names) != points.shape[1] or len(instants) != len(points):
        raise InputError(f"{path}: its names or instants are not as many as its points")
    return Points3D(points.astype(np.float64), names, instants, str(arrays.get("unit", "")))


def truth_of(points: Points3D, views: Views, path: str | os.PathLike[str] = "the truth") -> Array:
    """(T, K, 3) of the views' own instants; NaN where the file has none.

    Landmarks go by name; instants too, and where no name is known, a number is the row.
    """
    missing = [name for name in views.landmarks if name not in points.landmarks]
    if missing:
        raise InputError(f"{path}: has no landmark {missing[0]!r}")
    columns = [points.landmarks.index(name) for name in views.landmarks]
    rows = {name: i for i, name in enumerate(points.instants)}
    out = np.full((len(views), len(columns), 3), np.nan)
    for t, name in enumerate(views.instants):
        row = rows.get(name, int(name) if name.isdecimal() else -1)
        if 0 <= row < len(points.xyz):
            out[t] = points.xyz[row][columns]
    if np.isnan(out).all():
        raise InputError(f"{path}: has none of the instants of the data")
    return out
