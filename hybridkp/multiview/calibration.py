"""Cameras from pictures of a board: each camera's lens, then all of them in one world.

Detections of :mod:`.boards` come in; cameras, residuals and what was left out come out.  Letters: **V**
cameras, **B** poses of the board.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files import find_images, read_image
from ..report.cells import median
from ..structures import Array, InputError, short_repr
from ..structures.base import Progress
from .boards import Board
from .bundle import RigidBoard, adjust
from .cameras import Camera, Cameras

LEAST_PICTURES = 3  #: with the board, of each camera
_FLAGS = {  #: what cv2.calibrateCamera leaves as it is
    "radial": ("FIX_ASPECT_RATIO", "FIX_PRINCIPAL_POINT", "ZERO_TANGENT_DIST", "FIX_K2", "FIX_K3"),
    "full": ("FIX_K3",),
}


@dataclass(frozen=True, eq=False)
class Detection:
    """The board in one picture; no corners = not found."""

    camera: str
    key: str  #: what pictures of one moment have in common
    path: Path
    size_hw: tuple[int, int]
    numbers: Array  #: (n,) of the corners
    xy: Array  #: (n, 2) px

    __repr__ = short_repr


@dataclass(frozen=True, eq=False)
class Calibration:
    """Cameras with what their boards say of them."""

    cameras: Cameras
    board: Board
    detections: tuple[Detection, ...]
    alone_px: Array  #: (V,) root mean square residual of each camera calibrated by itself
    residual_px: tuple[Array, ...]  #: (n,) of each detection in the common world; NaN where it took no part
    moments: int  #: poses of the board that tie the cameras together
    refused: Mapping[Path, str] = field(default_factory=dict)  #: pictures that cannot be read -> why

    __repr__ = short_repr

    @property
    def error_px(self) -> Array:
        """(V,) median residual in the common world."""
        out = []
        for name in self.cameras.names:
            parts = [r for d, r in zip(self.detections, self.residual_px, strict=True) if d.camera == name]
            out.append(median(np.concatenate([np.zeros(0), *parts])))
        return np.array(out)

    @property
    def without_board(self) -> list[Path]:
        """Pictures in which the board was not found."""
        return [d.path for d in self.detections if not len(d.numbers)]


def board_pictures(folder: str | os.PathLike[str]) -> dict[str, list[tuple[str, Path]]]:
    """Camera -> (key, picture): a subfolder for each camera, pictures of one moment with one name.

    Without subfolders all pictures are of one camera, which has the folder's name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with a subfolder of pictures for each camera")
    places = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    out = {}
    for place in places or [folder]:
        try:
            out[place.resolve().name] = [(path.stem, path) for path in find_images(str(place))]
        except InputError:
            if not places:
                raise
    if not out:
        raise InputError(f"{folder}: neither it nor its subfolders have pictures")
    return out


def calibrate(
    pictures: str | os.PathLike[str] | Mapping[str, Sequence[tuple[str, Path]]],
    board: Board,
    *,
    lens: str = "radial",
    told: Progress | None = None,
) -> Calibration:
    """Cameras from pictures of a board.

    Parameters
    ----------
    pictures : a folder (:func:`board_pictures`), or camera -> (key, path); pictures with one key are of one
        moment
    board : what it looks like; its unit becomes the world's
    lens : "radial": one focal length, the centre in the picture's middle, one number of distortion, which a
        dozen pictures can tell; "full": two focal lengths, the centre, and four numbers
    told : called with a line, how many pictures are done, and of how many

    Returns
    -------
    Calibration
        The world is that of the first camera.  Each camera is calibrated alone; relative poses come from
        moments that two cameras share, along the best connected ones; then everything is moved together
        (:func:`.bundle.adjust`) to the least robust squares.  Pictures that cannot be read are left out.

    Raises
    ------
    InputError
        When a camera has under three pictures with the board, when pictures of a camera differ in size,
        when no moment ties a camera to the others, and for a board that looks the same after half a turn
        and several cameras.
    """
    if lens not in _FLAGS:
        raise InputError(f"lens {lens!r}: use one of {', '.join(_FLAGS)}")
    table = pictures if isinstance(pictures, Mapping) else board_pictures(pictures)
    if board.symmetric and len(table) > 1:
        raise InputError(
            "this checkerboard looks the same after half a turn, so several cameras cannot agree on it: use"
            " one with an even and an odd side, or ChArUco"
        )
    found, refused = _detect(table, board, told)
    alone = {}
    for name, rows in table.items():
        unread = [why for _, path in rows if (why := refused.get(Path(path)))]
        alone[name] = _alone([d for d in found if d.camera == name], name, board, lens, unread)
    poses = {(d.camera, d.key): p for name in table for d, p in alone[name][2]}
    world = _placed({name: alone[name][0] for name in table}, poses)
    errors = np.array([alone[name][1] for name in table])
    best = {d.key: d.camera for d in sorted(found, key=lambda d: len(d.xy))}  # who sees most of it
    keys = [key for key, name in best.items() if (name, key) in poses]
    start = np.stack([_board_pose(world[best[key]], poses[best[key], key]) for key in keys])
    return replace(_together(world, board, found, keys, start, errors, lens), refused=refused)


def _detect(table: Mapping[str, Any], board: Board, told: Any) -> tuple[list[Detection], dict[Path, str]]:
    """The board in each picture, and why pictures cannot be read."""
    total = sum(len(rows) for rows in table.values())
    out: list[Detection] = []
    refused: dict[Path, str] = {}
    for name, rows in table.items():
        for key, path in rows:
            try:
                image = read_image(path)
            except InputError as error:
                refused[Path(path)], what = str(error), "cannot be read"
            else:
                numbers, xy = board.find(image)
                size = (image.shape[0], image.shape[1])
                out.append(Detection(name, key, Path(path), size, numbers, xy))
                what = f"{len(numbers)} corners"
            if told:
                told(f"{name}/{path.name}: {what}", len(out) + len(refused), total)
    return out, refused


def _alone(
    rows: Sequence[Detection], name: str, board: Board, lens: str, unread: Sequence[str]
) -> tuple[Camera, float, Any]:
    """The camera in its own world, its residual, and (detection, board's pose) of its pictures."""
    sizes = {d.size_hw for d in rows}
    if len(sizes) > 1:
        raise InputError(f"camera {name!r}: its pictures have several sizes; calibrate with one")
    good = [d for d in rows if len(d.numbers)]
    if len(good) < LEAST_PICTURES:
        more = f" {len(unread)} more cannot be read (first: {unread[0]})" if unread else ""
        raise InputError(
            f"camera {name!r}: the board was found in {len(good)} of {len(rows)} pictures, {LEAST_PICTURES}"
            f" are needed; is it this board (squares, dictionary)?{more}"
        )
    h, w = sizes.pop()
    on_board = [board.corners[d.numbers].astype(np.float32) for d in good]
    seen = [d.xy.astype(np.float32) for d in good]
    matrix = np.array([[w, 0, (w - 1) / 2], [0, w, (h - 1) / 2], [0, 0, 1.0]])
    flags = sum(getattr(cv2, f"CALIB_{flag}") for flag in ("USE_INTRINSIC_GUESS", *_FLAGS[lens]))
    try:
        error, matrix, distortions, turns, shifts = cv2.calibrateCamera(
            on_board, seen, (w, h), matrix, np.zeros(5), flags=flags
        )
    except cv2.error as problem:
        what = " ".join(str(problem).split())[-80:]
        raise InputError(
            f"camera {name!r}: its pictures do not fix a lens ({what}); tilt the board more"
        ) from None
    camera = Camera(name, matrix, np.ravel(distortions)[:5], size_hw=(h, w))
    poses = [np.concatenate([np.ravel(r), np.ravel(t)]) for r, t in zip(turns, shifts, strict=True)]
    return camera, float(error), list(zip(good, poses, strict=True))


def _matrix(pose: Array) -> Array:
    """(4, 4) of a Rodrigues vector and a translation."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = cv2.Rodrigues(pose[:3])[0], pose[3:]
    return out


def _pose(matrix: Array) -> Array:
    return np.concatenate([cv2.Rodrigues(matrix[:3, :3])[0].ravel(), matrix[:3, 3]])


def _placed(alone: Mapping[str, Camera], poses: Mapping[tuple[str, str], Array]) -> dict[str, Camera]:
    """Every camera in the first one's world, over the pairs that share most moments."""
    names = list(alone)
    keys = {name: {key for camera, key in poses if camera == name} for name in names}
    world = {names[0]: np.eye(4)}
    while len(world) < len(names):
        pairs = [(len(keys[a] & keys[b]), a, b) for a in world for b in names if b not in world]
        shared, a, b = max(pairs, key=lambda pair: pair[0])
        if not shared:
            raise InputError(
                f"camera {b!r} and {a!r} never see the board in pictures of one name: nothing ties them"
            )
        steps = [
            _matrix(poses[b, k]) @ np.linalg.inv(_matrix(poses[a, k])) for k in sorted(keys[a] & keys[b])
        ]
        world[b] = _middle(steps) @ world[a]
    out = {}
    for name in names:
        pose = _pose(world[name])
        out[name] = replace(alone[name], rotation=pose[:3], translation=pose[3:])
    return out


def _middle(steps: Sequence[Array]) -> Array:
    """The one of several (4, 4) that is nearest to all others: no mean that an outlier could pull."""
    all_of = np.stack(steps)
    size = np.median(np.linalg.norm(all_of[:, :3, 3], axis=1)) or 1.0
    gap = all_of[:, None] - all_of[None]
    gap[..., :3, 3] /= size
    return steps[int(np.linalg.norm(gap, axis=(2, 3)).sum(1).argmin())]


def _board_pose(camera: Camera, pose: Array) -> Array:
    """(6,) of the board in the world, from its pose before a camera."""
    return _pose(
        np.linalg.inv(_matrix(np.concatenate([camera.rotation, camera.translation]))) @ _matrix(pose)
    )


def _together(
    world: Mapping[str, Camera],
    board: Board,
    found: Sequence[Detection],
    keys: Sequence[str],
    start: Array,
    alone_px: Array,
    lens: str,
) -> Calibration:
    cameras = Cameras(tuple(world.values()), board.unit)
    numbers = {key: b for b, key in enumerate(keys)}
    used = [d for d in found if len(d.numbers) and d.key in numbers]
    count = [len(d.numbers) for d in used]
    camera = np.repeat([cameras.names.index(d.camera) for d in used], count)
    point = np.concatenate([numbers[d.key] * len(board.corners) + d.numbers for d in used])
    xy = np.concatenate([d.xy for d in used])
    moved, _, left = adjust(cameras, RigidBoard(board.corners, start), camera, point, xy, lens=lens)
    parts = iter(np.split(left, np.cumsum(count)[:-1]))
    took = {id(d) for d in used}
    residual = tuple(next(parts) if id(d) in took else np.full(len(d.numbers), np.nan) for d in found)
    shared = sum(sum(d.key == key for d in used) > 1 for key in keys)
    return Calibration(moved, board, tuple(found), alone_px, residual, shared)
