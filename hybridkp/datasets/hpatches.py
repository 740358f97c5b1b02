"""Pairs with known homographies from a folder in the HPatches layout.

A sequence is a folder with ``1.png`` ... ``N.png`` (or .ppm, .pgm, .jpg, ...) and ``H_1_2`` ... ``H_1_N``,
nine numbers each, that take pixels of picture 1 to picture N (Balntas et al., HPatches, CVPR 2017;
Mikolajczyk et al., IJCV 2005).  Pictures are opened when asked for; nothing is written here.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import apply_homography, resize_matrix
from ..structures import Array, InputError
from ..structures.pairs import Pair, PairSet
from .lookup import SHORT_SIDE, SUFFIXES, load_picture
from .text import read_text

ROTATED_DEG = 20.0  #: pairs turned by more than this are marked as rotated

_HOMOGRAPHY = re.compile(r"H_1_(\d+)")
#: what differs within the sequences of Mikolajczyk et al.
_CHANGES = {
    "graf": "viewpoint",
    "wall": "viewpoint",
    "boat": "zoom+rotation",
    "bark": "zoom+rotation",
    "bikes": "blur",
    "trees": "blur",
    "leuven": "light",
    "ubc": "compression",
}


def read_hpatches(
    path: str | Path, short_side: int | None = SHORT_SIDE, *, name: str | None = None
) -> PairSet:
    """Every picture of every sequence paired with the sequence's first.

    Parameters
    ----------
    path : a folder of sequences, or one sequence
    short_side : larger pictures are shrunk to this short side (by area), and the homographies with
        them, x' = (x + 1/2) s - 1/2; smaller ones stay as they are; None or 0: all stay
    name : of the set; default the folder's

    Returns
    -------
    PairSet
        Pairs are named "graf/1-3"; ``change`` comes from the sequence's name (``i_`` light, ``v_``
        viewpoint, and the eight of Mikolajczyk et al.), ``rotated`` from the homography.

    Raises
    ------
    InputError
        No such folder, no sequence in it, a picture without its H_1_N or the reverse, an H_1_N that is
        not nine numbers or not invertible.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InputError(f"{path}: no such folder; give one with sequences of 1.png, 2.png, H_1_2, ...")
    if short_side is not None and short_side < 0:
        raise InputError(f"short_side must be positive, got {short_side}")
    folders = [root] if _is_sequence(root) else sorted(p for p in root.iterdir() if _is_sequence(p))
    if not folders:
        raise InputError(f"{path}: no sequence there: a folder with 1.png, 2.png, ... and H_1_2, ...")
    pairs = tuple(pair for folder in folders for pair in _read_sequence(folder, short_side or 0))
    licence = "see the data's own terms"
    return PairSet(name or root.resolve().name, pairs, licence)


def recognises(root: Path) -> float:
    """Sure of a sequence and of a folder of sequences; of any other folder it says best what is wrong."""
    if not root.is_dir():
        return 0.0
    return 1.0 if _is_sequence(root) or any(map(_is_sequence, root.iterdir())) else 0.05


def rotation_degrees(homography: ArrayLike, xy: ArrayLike) -> float:
    """By how much a homography turns the surroundings of a point, -180..180, clockwise on screen.

    The angle of the rotation nearest to its derivative there (polar decomposition).
    """
    centre = np.asarray(xy, float)
    step = np.array([[0.5, 0], [0, 0.5]])
    ends = apply_homography(homography, np.concatenate([centre + step, centre - step]))
    derivative = (ends[:2] - ends[2:]).T
    turn = np.arctan2(derivative[1, 0] - derivative[0, 1], derivative[0, 0] + derivative[1, 1])
    return float(np.rad2deg(turn))


def shrink_matrix(size_hw: tuple[int, int], short_side: int) -> tuple[tuple[int, int], Array]:
    """The size (h, w) of a picture shrunk to ``short_side`` (0 = none), and the (3, 3) map of its points."""
    h, w = size_hw
    scale = min(1.0, short_side / min(h, w)) if short_side else 1.0
    size = (max(2, round(h * scale)), max(2, round(w * scale)))
    return size, np.vstack([resize_matrix((size[1] / w, size[0] / h)), [0, 0, 1]])


def shrunk(image: Array, short_side: int) -> Array:
    """The picture of :func:`shrink_matrix`, by area."""
    size, _ = shrink_matrix((image.shape[0], image.shape[1]), short_side)
    if size == image.shape[:2]:
        return image
    out: Array = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return out


def load_shrunk(path: str, short_side: int) -> Array:
    """A picture file through :func:`shrunk`; a function of the module, so that it pickles."""
    return shrunk(load_picture(path), short_side)


def _is_sequence(folder: Path) -> bool:
    return folder.is_dir() and any(_HOMOGRAPHY.fullmatch(p.name) for p in folder.iterdir())


def _read_sequence(folder: Path, short_side: int) -> list[Pair]:
    from ..files import picture_size

    maps = {int(found[1]): p for p in folder.iterdir() if (found := _HOMOGRAPHY.fullmatch(p.name))}
    pictures: dict[int, Path] = {}
    for p in sorted(folder.iterdir()):
        if p.suffix.lower() in (*SUFFIXES, ".ppm") and p.stem.isdigit():
            pictures.setdefault(int(p.stem), p)
    for number in sorted({1, *maps} - set(pictures)):
        raise InputError(f"{folder}: picture {number} is missing (such as {number}.png)")
    for number in sorted(set(pictures) - {1, *maps}):
        raise InputError(f"{folder}: H_1_{number} is missing, the homography from picture 1 to {number}")
    sizes = {n: picture_size(p) for n, p in pictures.items()}
    _, first = shrink_matrix(sizes[1], short_side)
    centre = (np.array(sizes[1][::-1]) - 1) / 2
    pairs = []
    for number in sorted(maps):
        original = _read_homography(maps[number])
        second = shrink_matrix(sizes[number], short_side)[1]
        turned = abs(rotation_degrees(original, centre))
        pairs.append(
            Pair(
                name=f"{folder.resolve().name}/1-{number}",
                sequence=folder.resolve().name,
                load_a=partial(load_shrunk, str(pictures[1]), short_side),
                load_b=partial(load_shrunk, str(pictures[number]), short_side),
                homography=second @ original @ np.linalg.inv(first),
                change=_change(folder.resolve().name),
                rotated=not turned <= ROTATED_DEG,  # NaN: the centre lies behind the horizon
            )
        )
    return pairs


def _change(sequence: str) -> str:
    kind = {"i_": "light", "v_": "viewpoint"}.get(sequence[:2].lower())
    return kind or _CHANGES.get(sequence.lower(), "unknown")


def _read_homography(path: Path) -> Array:
    try:
        values = np.array(read_text(path).split(), float)
    except ValueError:
        values = np.zeros(0)
    if values.size != 9 or not np.isfinite(values).all():
        raise InputError(f"{path}: expected a homography, nine numbers in three rows")
    matrix: Array = values.reshape(3, 3)
    if abs(np.linalg.det(matrix / max(np.abs(matrix).max(), 1e-300))) < 1e-15:
        raise InputError(f"{path}: the homography is not invertible; copy the file again")
    scale = matrix[2, 2]
    return matrix / scale if abs(scale) > 1e-12 else matrix
