"""COFW, faces that are partly hidden, as its authors give it: ``COFW_train_color.mat`` and ``_test_``.

MATLAB 7.3, that is HDF5 (``pip install 'hybridkp[formats]'``), with the pictures inside: ``IsTr`` cells,
``bboxesTr`` (4, N) x, y, width, height, ``phisTr`` (87, N) 29 x, 29 y, 29 times 1 = hidden; ``IsT`` and so
on in the test file.  Counted from 1.  A picture is read when it is asked for.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import HIDDEN, VISIBLE, Array, Dataset, InputError
from .collect import Collected
from .hdf import open_hdf, table_of, whole
from .lookup import Tally, by_split, only
from .matfile import is_hdf, is_mat, mat_names
from .schemes import COFW_29

ORIGIN, K, MAX_SIDE = 1.0, 29, 20_000
WHAT = "COFW's MATLAB file"
#: points, boxes, pictures: of the training file, of the test file
PARTS = (("phisTr", "bboxesTr", "IsTr"), ("phisT", "bboxesT", "IsT"))


def recognises(root: Path) -> float:
    """Sure of a file of version 7.3 with these variables."""
    return float(any(_is_one(file) for file in _candidates(root)))


def _is_one(file: Path) -> bool:
    names = set(mat_names(file)) if is_mat(file) and is_hdf(file) else set()
    return any(set(part) <= names for part in PARTS)


def _candidates(root: Path) -> list[Path]:
    return sorted(root.glob("COFW*.mat")) if root.is_dir() else [root]


def splits(root: Path) -> dict[str, Path]:
    """The files are called ``COFW_train_color.mat`` and ``COFW_test_color.mat``."""
    return by_split(filter(_is_one, _candidates(root)), drop="_color") if root.is_dir() else {}


def read(root: Path, split: str | None = None, *, origin: float = ORIGIN) -> Dataset:
    file = splits(root)[split] if split is not None else _only(root)
    found = Collected(
        *(file, COFW_29.landmarks, origin, "face"), flip=COFW_29.flip.tolist(), name=file.resolve().stem
    )
    with open_hdf(file, WHAT) as opened:
        phis, boxes, names = next(part for part in PARTS if set(part) <= set(opened))
        points = np.asarray(whole(opened, phis, file), float)
        edges = np.asarray(whole(opened, boxes, file), float)
        n = points.shape[-1]
        if points.shape != (3 * K, n) or edges.shape != (4, n) or table_of(opened, names, file).size != n:
            raise InputError(f"{file}: {phis} {points.shape} and {boxes} {edges.shape} are not COFW's")
        for row in range(n):
            h, w = _picture(opened, names, row, file).shape[-1:-3:-1]
            load = partial(load_picture_of, str(file), names, row)
            found.picture(f"{file.stem}-{row + 1:04}.png", (h, w), load=load)
            x, y, hidden = points[:, row].reshape(3, K)
            found.object(np.column_stack([x, y, np.where(hidden > 0, HIDDEN, VISIBLE)]), _box(edges[:, row]))
    return found.dataset()


def _box(edges: Array) -> list[float] | None:
    """x, y of the first pixel, counted from 1, width, height; None where there is none."""
    x, y, w, h = edges.tolist()
    return [x - 1, y - 1, w, h] if np.isfinite(edges).all() and min(w, h) > 0 else None


def _picture(opened: Any, names: str, row: int, file: Path) -> Any:
    """The table of a picture, not read: (W, H) or (3, W, H), columns first as MATLAB has them."""
    import h5py

    cells = table_of(opened, names, file)
    cell = cells[np.unravel_index(row, cells.shape)]
    if not isinstance(cell, h5py.Reference):
        raise InputError(f"{file}: {names} holds no pictures")
    table = opened[cell]
    if not isinstance(table, h5py.Dataset):
        raise InputError(f"{file}: picture {row + 1} is no array")
    table = table_of(opened, table.name, file)
    shape = table.shape
    if table.dtype != np.uint8 or len(shape) not in (2, 3) or shape[:-2] not in ((), (3,)) or 0 in shape:
        raise InputError(f"{file}: picture {row + 1} is {table.dtype} {shape}, not 8-bit grey or colour")
    if max(shape) > MAX_SIDE:
        raise InputError(f"{file}: picture {row + 1} claims {shape[-2]} x {shape[-1]} px")
    return table


def load_picture_of(path: str, names: str, row: int) -> Array:
    """(H, W) or (H, W, 3) uint8 BGR; a function of the module, so that it pickles."""
    with open_hdf(Path(path), WHAT) as opened:
        image = np.asarray(_picture(opened, names, row, Path(path))[()])
    return np.ascontiguousarray(image.T if image.ndim == 2 else image.transpose(2, 1, 0)[..., ::-1])


def _only(root: Path) -> Path:
    return only([file for file in _candidates(root) if _is_one(file)], root, "file of COFW")


def tally(root: Path, split: str | None = None, **_: Any) -> Tally:
    """Counts by a plain look at the tables: every landmark has a place, also the hidden ones."""
    import h5py

    with h5py.File(splits(root)[split] if split else _only(root), "r") as file:
        n = next(file[name] for name in ("phisTr", "phisT") if name in file).shape[1]
    return Tally(n, n, K * n)
