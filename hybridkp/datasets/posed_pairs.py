"""Pairs with known cameras: SuperGlue's pairs file, and COLMAP's text model.

A line of SuperGlue's file is ``name0 name1 rot0 rot1 K0 K1 T_0to1``: two pictures, their quarter turns
counter-clockwise, two (3, 3) intrinsic matrices and the (4, 4) pose, rows first (Sarlin et al., CVPR 2020).
Of COLMAP's model ``cameras.txt`` and ``images.txt`` are read; pictures are paired as ``pairs.txt`` beside
them says, else those that share points.  Pictures are opened when asked for; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..structures import Array, InputError
from ..structures.pairs import Cameras, Pair, PairSet
from .hpatches import shrink_matrix, shrunk
from .lookup import SHORT_SIDE, load_picture
from .text import read_text

_FIELDS = 2 + 2 + 9 + 9 + 16
SHARED_POINTS = 0.2, 0.8  #: of COLMAP's points of a picture, that another shares: else they are no pair
PARTNERS = 5  #: of a picture, at most, the nearest in share to the middle of these
#: COLMAP's camera models -> how its numbers become fx, fy, cx, cy, and the distortion
MODELS = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), ()),
    "PINHOLE": ((0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), (3,)),
    "RADIAL": ((0, 0, 1, 2), (3, 4)),
    "OPENCV": ((0, 1, 2, 3), (4, 5, 6, 7)),
}


def recognises_pairs_file(root: Path) -> float:
    """Sure of a text file whose first line has the fields of SuperGlue's."""
    if root.suffix.lower() != ".txt" or not root.is_file() or root.name in ("cameras.txt", "images.txt"):
        return 0.0
    with root.open("rb") as file:
        return float(len(file.readline(1 << 14).split()) == _FIELDS)


def recognises_colmap(root: Path) -> float:
    """Sure of a folder with a text model, or with one in ``sparse`` or ``sparse/0``."""
    return float(root.is_dir() and _model_folder(root) is not None)


def read_pairs_file(path: str | Path, short_side: int | None = SHORT_SIDE) -> PairSet:
    """Pairs of SuperGlue's text form; names are looked for beside the file.

    The first folder of a name, or else the name of the file, is the pair's sequence.

    Raises
    ------
    InputError
        A line with another number of fields, numbers that are no camera or no rotation, a missing picture.
    """
    path = Path(path).expanduser()
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        try:
            if len(fields) != _FIELDS:
                raise ValueError
            turns = [int(f) for f in fields[2:4]]
            values = np.array(fields[4:], float)
        except ValueError:
            raise InputError(
                f"{where}: expected name0 name1 rot0 rot1 and 9 + 9 + 16 numbers, got {len(fields)} fields"
            ) from None
        names = [_picture_path((path.parent,), name, where) for name in fields[:2]]
        matrices, pose = values[:18].reshape(2, 3, 3), values[18:].reshape(4, 4)[:3]
        sequence = fields[0].replace("\\", "/").rpartition("/")[0] or path.stem
        name = f"{_stem(fields[0])}~{_stem(fields[1])}"
        pairs.append(_pair(name, sequence, names, turns, matrices, pose, ((), ()), short_side or 0, where))
    return _set(path.stem, pairs, path)


def read_colmap(path: str | Path, short_side: int | None = SHORT_SIDE) -> PairSet:
    """Pairs of a COLMAP text model: poses and intrinsic matrices; all of one sequence.

    COLMAP calls the centre of the top-left pixel (1/2, 1/2): principal points are moved to 0-based ones.

    Raises
    ------
    InputError
        Damaged files, camera models other than :data:`MODELS`, a missing picture, no pair.
    """
    root = Path(path).expanduser()
    folder = _model_folder(root)
    if folder is None:
        raise InputError(
            f"{path}: no cameras.txt and images.txt there, or in sparse/0; export the model as text"
        )
    cameras = _read_cameras(folder / "cameras.txt")
    images = _read_images(folder / "images.txt", cameras)
    above = folder.resolve().parents  # a model in sparse/0 has its pictures beside sparse
    places = (root, *(one / "images" for one in (root, folder, *above[:2])))
    pairs, where = [], str(folder / "images.txt")
    for a, b in _partners(folder, images):
        rotation = images[b].rotation @ images[a].rotation.T
        pose = np.column_stack([rotation, images[b].shift - rotation @ images[a].shift])
        (matrix_a, bent_a), (matrix_b, bent_b) = (cameras[images[n].camera] for n in (a, b))
        files = [_picture_path(places, n, where) for n in (a, b)]
        matrices, name, bent = np.stack([matrix_a, matrix_b]), f"{_stem(a)}~{_stem(b)}", (bent_a, bent_b)
        pairs.append(_pair(name, root.name, files, [0, 0], matrices, pose, bent, short_side or 0, where))
    return _set(root.resolve().name, pairs, folder)


def _set(name: str, pairs: list[Pair], path: Path) -> PairSet:
    if not pairs:
        raise InputError(f"{path}: has no pairs")
    seen: dict[str, int] = {}
    unique = []
    for pair in pairs:  # names of pictures may repeat, pairs' names may not
        count = seen[pair.name] = seen.get(pair.name, 0) + 1
        unique.append(pair if count == 1 else replace(pair, name=f"{pair.name}#{count}"))
    return PairSet(name, tuple(unique), "see the data's own terms")


def _stem(name: str) -> str:
    return Path(name.replace("\\", "/")).stem


def _picture_path(folders: Sequence[Path], name: str, where: str) -> Path:
    name = name.replace("\\", "/")
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts:
        raise InputError(
            f"{where}: {name}: pictures are named from the folder on; write no absolute path or .."
        )
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{where}: no picture {name} in {folders[0]}; put file and pictures into one folder")


def load_turned(path: str, turns: int, short_side: int) -> Array:
    """A picture shrunk, then turned by quarter turns counter-clockwise; picklable."""
    return np.ascontiguousarray(np.rot90(shrunk(load_picture(path), short_side), turns))


def _pair(
    name: str,
    sequence: str,
    files: Sequence[Path],
    turns: Sequence[int],
    matrices: Array,
    pose: Array,
    distortions: tuple[tuple[float, ...], tuple[float, ...]],
    short_side: int,
    where: str,
) -> Pair:
    from ..files import picture_size

    good = np.isfinite(matrices).all() and np.isfinite(pose).all() and (matrices[:, [0, 1], [0, 1]] > 0).all()
    if not good or np.abs(matrices[:, 2] - [0, 0, 1]).max() > 1e-6:
        raise InputError(f"{where}: not two intrinsic matrices and a pose; focal lengths are above 0")
    if np.abs(pose[:, :3] @ pose[:, :3].T - np.eye(3)).max() > 1e-2 or np.linalg.det(pose[:, :3]) < 0:
        raise InputError(f"{where}: the pose's first three columns are no rotation")
    rotations, own = [], []
    for file, matrix, turn in zip(files, matrices, turns, strict=True):
        size, shrink = shrink_matrix(picture_size(file), short_side)
        turned, rotation = quarter_turned(shrink @ matrix, size, turn)
        rotations.append(rotation)
        own.append(turned)
    rotation = rotations[1] @ pose[:, :3] @ rotations[0].T
    full = np.column_stack([rotation, rotations[1] @ pose[:, 3]])
    load_a, load_b = (partial(load_turned, str(f), t, short_side) for f, t in zip(files, turns, strict=True))
    cameras = Cameras(own[0], own[1], full, *distortions)
    # a camera that only turned has no epipolar lines, but says where every pixel goes
    still = None if full[:, 3].any() else own[1] @ rotation @ np.linalg.inv(own[0])
    return Pair(name, sequence, load_a, load_b, homography=still, cameras=cameras)


def quarter_turned(matrix: Array, size_hw: tuple[int, int], turns: int) -> tuple[Array, Array]:
    """Intrinsic matrix and (3, 3) rotation of a camera whose picture is turned counter-clockwise."""
    h, w = size_hw
    rotation = np.eye(3)
    for _ in range(turns % 4):
        quarter = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
        matrix = np.array([[0.0, 1, 0], [-1, 0, w - 1], [0, 0, 1]]) @ matrix @ quarter.T
        rotation, (h, w) = quarter @ rotation, (w, h)
    return matrix, rotation


# --------------------------------------------------------------------------------------------
# COLMAP
# --------------------------------------------------------------------------------------------


class _Image(NamedTuple):
    rotation: Array
    shift: Array
    camera: str
    points: frozenset[str]


def _model_folder(root: Path) -> Path | None:
    for folder in (root, root / "sparse", root / "sparse" / "0"):
        if (folder / "cameras.txt").is_file() and (folder / "images.txt").is_file():
            return folder
    return None


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line number and words, without comments; empty lines stay, as a picture without points has one."""
    lines = read_text(path).splitlines()
    return [(n, line.split()) for n, line in enumerate(lines, 1) if not line.startswith("#")]


def _read_cameras(path: Path) -> dict[str, tuple[Array, tuple[float, ...]]]:
    out = {}
    for number, words in _lines(path):
        if not words:
            continue
        model = words[1] if len(words) > 1 else ""
        if model not in MODELS:
            raise InputError(
                f"{path}:{number}: camera model {model!r} is none of {', '.join(MODELS)}; undistort the"
                " pictures (colmap image_undistorter) and read that model"
            )
        order, bent = MODELS[model]
        try:
            values = [float(w) for w in words[4:]]
            fx, fy, cx, cy = (values[i] for i in order)
            distortion = [values[i] for i in bent]
        except (ValueError, IndexError):
            raise InputError(f"{path}:{number}: not the numbers of a {model} camera") from None
        k = tuple(distortion + [0.0] * (4 - len(distortion))) if bent else ()
        out[words[0]] = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]]), k
    return out


def _read_images(path: Path, cameras: dict[str, tuple[Array, tuple[float, ...]]]) -> dict[str, _Image]:
    lines = _lines(path)
    while lines and not lines[-1][1] and len(lines) % 2:
        lines.pop()
    out = {}
    for i in range(0, len(lines), 2):
        number, words = lines[i]
        points = lines[i + 1][1] if i + 1 < len(lines) else []
        try:
            quaternion, shift = np.array(words[1:5], float), np.array(words[5:8], float)
            camera, name = words[8], " ".join(words[9:])
            rotation = _rotation(quaternion)
            if not name or camera not in cameras or not np.isfinite(shift).all():
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(
                f"{path}:{number}: expected an image's id, quaternion, shift, camera of cameras.txt and name"
            ) from None
        out[name] = _Image(rotation, shift, camera, frozenset(p for p in points[2::3] if p != "-1"))
    return out


def _rotation(quaternion: Array) -> Array:
    length = float(np.linalg.norm(quaternion))
    if quaternion.shape != (4,) or not 0 < length < np.inf:
        raise ValueError("no quaternion")
    w, x, y, z = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _partners(folder: Path, images: dict[str, _Image]) -> list[tuple[str, str]]:
    listed = folder / "pairs.txt"
    if listed.is_file():
        out = []
        for number, words in _lines(listed):
            if words and (len(words) < 2 or words[0] not in images or words[1] not in images):
                raise InputError(f"{listed}:{number}: expected two names of images.txt")
            if words:
                out.append((words[0], words[1]))
        return out
    low, high = SHARED_POINTS
    chosen: set[tuple[str, str]] = set()
    share = {}
    for a, b in combinations(sorted(images), 2):
        fewer = min(len(images[a].points), len(images[b].points))
        both = len(images[a].points & images[b].points) / fewer if fewer else 0.0
        if low <= both <= high:
            share[a, b] = abs(both - (low + high) / 2)
    for name in images:
        mine = sorted((pair for pair in share if name in pair), key=lambda pair: (share[pair], pair))
        chosen.update(mine[:PARTNERS])
    if not chosen:
        raise InputError(
            f"{folder}: no two share {low:.0%} to {high:.0%} of their points; list pairs in pairs.txt"
        )
    return sorted(chosen)
