"""Pairs of points in a picture and in space, from npz files, and the camera's axes for them.

Letters: **B** pairs, **K** landmarks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..files.npz import read_npz
from ..structures import Array, InputError, short_repr
from ..structures.base import evenly

LEAST = 50  #: points from which a camera is told


@dataclass(frozen=True, eq=False)
class PosePairs:
    """B pairs; ``groups`` are sequences, which no split cuts; ``camera`` is which camera saw them."""

    xy: Array  #: (B, K, 2) px
    xyz: Array  #: (B, K, 3) in the world's or the camera's axes
    groups: Array  #: (B,) of sequences
    camera: Array  #: (B,)
    skeleton: Array  #: (E, 2)

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.xy)


def load_pairs(path: str | os.PathLike[str], group_by: str | None = None) -> PosePairs:
    """An npz with ``xy`` (B, K, 2) and ``xyz`` (B, K, 3).

    ``group_by``: a regular expression that finds in a sequence's name what no split may cut, such as the
    person; without one, the name.

    ``start``, ``length`` (S,), ``name`` and ``camera`` (S,), where they are, say which rows are one sequence;
    otherwise each row stands for itself.  The same sequence seen by several cameras is one group.

    Raises
    ------
    InputError
        For a file that is missing, damaged or lacks them, for sequences and a skeleton that do not fit, and
        for ``group_by`` without sequences.
    """
    found = read_npz(path, ("xy", "xyz", "name", "camera", "start", "length", "skeleton"))
    xy, xyz = found.get("xy"), found.get("xyz")
    if xy is None or xyz is None or xy.ndim != 3 or xy.shape[2:] != (2,) or xyz.shape != (*xy.shape[:2], 3):
        raise InputError(f"{path}: needs xy (B, K, 2) and xyz (B, K, 3)")
    if xy.dtype.kind not in "fiu" or xyz.dtype.kind not in "fiu":
        raise InputError(f"{path}: xy and xyz must hold numbers")
    n, k = xy.shape[:2]
    groups, camera = np.arange(n).astype(object), np.zeros(n, int)
    if "start" in found and "length" in found:
        for start, size, name, one in _sequences(found, path):
            if not (start >= 0 and 0 < size <= n - start):
                raise InputError(f"{path}: a sequence has rows {start} to {start + size} of {n}")
            rows = slice(start, start + size)
            groups[rows], camera[rows] = _group(name, group_by), one
    elif group_by is not None:
        raise InputError(f"{path}: --group-by needs sequences: start, length and name (S,)")
    skeleton = found.get("skeleton", np.zeros((0, 2), int))
    edges = skeleton.reshape(-1, 2) if skeleton.size % 2 == 0 else None
    if edges is None or (
        edges.size and (edges.dtype.kind not in "iu" or edges.min() < 0 or edges.max() >= k)
    ):
        raise InputError(f"{path}: skeleton must hold pairs (E, 2) of landmarks 0 to {k - 1}")
    return PosePairs(xy.astype(np.float64), xyz.astype(np.float64), groups, camera, edges.astype(int))


def _sequences(found: dict[str, Array], path: str | os.PathLike[str]) -> Iterator[tuple[int, int, str, int]]:
    """Start, length, name and camera of each."""
    n = found["start"].size
    numbers = [found["start"], found["length"], found.get("camera", np.zeros(n, int))]
    names = found.get("name", np.arange(n))
    if any(part.shape != (n,) for part in (*numbers, names)):
        raise InputError(f"{path}: start, length, name and camera differ in how many they are")
    if any(part.dtype.kind not in "iu" for part in numbers):
        raise InputError(f"{path}: start, length and camera must hold whole numbers")
    start, length, camera = (part.tolist() for part in numbers)
    return zip(start, length, map(str, names), camera, strict=True)


def _group(name: str, pattern: str | None) -> str:
    if pattern is None:
        return name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise InputError(f"--group-by {pattern!r} is no regular expression ({error})") from None
    if found is None:
        raise InputError(f"--group-by {pattern!r} finds nothing in the name {name[:60]!r}")
    return found.group(found.re.groups and 1)


def camera_frame(pairs: PosePairs) -> dict[int, tuple[Array, float]]:
    """Camera -> the (3, 3) turn of the world into its axes, and the median residual in px.

    Found from the pairs themselves by resection (direct linear transform), for data whose space is the
    world's and whose cameras are not told.  Learn it on the training pairs alone and use it on others.

    Raises
    ------
    InputError
        When a camera has under 50 points, or they lie in one plane.
    """
    out = {}
    for one in np.unique(pairs.camera).tolist():
        rows = pairs.camera == one
        xy, xyz = pairs.xy[rows].reshape(-1, 2), pairs.xyz[rows].reshape(-1, 3)
        good = np.flatnonzero(np.isfinite(xy).all(1) & np.isfinite(xyz).all(1))
        if len(good) < LEAST:
            raise InputError(f"camera {one}: {len(good)} points are too few to find its axes")
        good = good[evenly(len(good), 4000)]
        out[int(one)] = _resected(xy[good], xyz[good], one)
    return out


def _resected(xy: Array, xyz: Array, name: int) -> tuple[Array, float]:
    middle, size = xyz.mean(0), xyz.std() or 1.0
    flat, scale = xy.mean(0), xy.std() or 1.0
    space = np.column_stack([(xyz - middle) / size, np.ones(len(xyz))])
    seen = (xy - flat) / scale
    rows = np.zeros((2 * len(xy), 12))
    rows[0::2, :4], rows[0::2, 8:] = space, -seen[:, :1] * space
    rows[1::2, 4:8], rows[1::2, 8:] = space, -seen[:, 1:] * space
    _, strength, vt = np.linalg.svd(rows, full_matrices=False)
    if strength[-2] < 1e-4 * strength[0]:
        raise InputError(f"camera {name}: its points lie in a plane, which does not tell its axes")
    matrix = vt[-1].reshape(3, 4)
    again = space @ matrix.T
    error = float(np.median(np.linalg.norm(again[:, :2] / again[:, 2:] - seen, axis=1)) * scale)
    if np.median(again[:, 2]) < 0:
        matrix = -matrix
    inverse = np.array([[scale, 0, flat[0]], [0, scale, flat[1]], [0, 0, 1]])
    block = inverse @ matrix[:, :3]
    return _rq(block)[1], error


def _rq(block: Array) -> tuple[Array, Array]:
    """block = upper @ turn, with a positive diagonal."""
    q, r = np.linalg.qr(block[::-1].T)
    upper, turn = r.T[::-1, ::-1], q.T[::-1]
    sign = np.sign(np.diag(upper))
    turn = sign[:, None] * turn
    return upper * sign, turn * np.sign(np.linalg.det(turn))


def in_camera(pairs: PosePairs, turns: dict[int, tuple[Array, float]]) -> PosePairs:
    """The same pairs with space in the axes of their cameras."""
    missing = sorted(set(pairs.camera.tolist()) - set(turns))
    if missing:
        raise InputError(f"camera {missing[0]} is in none of the training pairs")
    xyz = np.empty_like(pairs.xyz)
    for one, (turn, _) in turns.items():
        rows = pairs.camera == one
        xyz[rows] = pairs.xyz[rows] @ turn.T
    return PosePairs(pairs.xy, xyz, pairs.groups, pairs.camera, pairs.skeleton)
