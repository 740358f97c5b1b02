"""Leeds Sports Pose as its authors give it: ``joints.mat`` beside ``images/im0001.jpg`` ....

``joints`` is (3, 14, N): x, y, 1 = hidden; in the extended set (14, 3, N): x, y, 1 = visible, 0 = not
labelled.  MATLAB counts from 1.  One person a picture, the pictures in the order of their names.  No
picture is opened here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..structures import HIDDEN, NOT_LABELLED, VISIBLE, Array, Dataset, InputError
from .collect import Collected
from .lookup import Tally, only
from .matfile import is_mat, mat_names, read_mat
from .schemes import LSP_14

ORIGIN, JOINTS = 1.0, "joints"


def recognises(root: Path) -> float:
    """Sure of a MATLAB file with a variable of that name."""
    return float(any(is_mat(file) and JOINTS in mat_names(file) for file in _candidates(root)))


def _candidates(root: Path) -> list[Path]:
    return sorted(root.glob("joints.mat")) if root.is_dir() else [root]


def read(root: Path, split: None = None, *, origin: float = ORIGIN, images_dir: str | None = None) -> Dataset:
    """Names have four digits, five in the extended set."""
    file = only(_candidates(root), root, "joints.mat")
    table = _table(file)  # (N, 14, 3) as it stands, the last 2, 1, 0
    digits = 4 if len(table) < 10_000 else 5
    folders = [file.parent / "images", file.parent] if images_dir is None else [Path(images_dir)]
    found = Collected(
        *(file, LSP_14.landmarks, origin, "person"),
        flip=LSP_14.flip.tolist(),
        skeleton=LSP_14.skeleton,
        name=file.resolve().parent.name,
    )
    for n, person in enumerate(table, 1):
        found.picture(f"im{n:0{digits}}.jpg")
        found.object(person)
    return found.dataset(folders)


def _table(file: Path) -> Array:
    joints = read_mat(file, JOINTS)
    if not isinstance(joints, np.ndarray) or joints.ndim != 3 or joints.shape[:2] not in ((3, 14), (14, 3)):
        shape = joints.shape if isinstance(joints, np.ndarray) else type(joints).__name__
        raise InputError(f"{file}: joints {shape}, not (3, 14, N) or, extended, (14, 3, N)")
    extended = joints.shape[0] == 14
    table = np.array(joints.transpose(2, 0, 1) if extended else joints.transpose(2, 1, 0), float)
    flag = table[..., 2] > 0
    table[..., 2] = np.where(flag, VISIBLE, NOT_LABELLED) if extended else np.where(flag, HIDDEN, VISIBLE)
    return table


def tally(root: Path, split: None = None, **_: Any) -> Tally:
    """Counts by a plain look: a picture and a person a page of the array."""
    joints = read_mat(only(_candidates(root), root, "joints.mat"), JOINTS)
    pages = joints.shape[2]
    return Tally(pages, pages, int((joints[:, 2] > 0).sum()) if joints.shape[0] == 14 else 14 * pages)
