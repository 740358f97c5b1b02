"""Pairs of pictures of procedural rooms, with exact cameras and depth: textured boxes in front of walls.

Every surface is a rectangle with a cut of a real photograph on it, drawn through its own homography with a
depth buffer.  Pictures and truth are functions of ``random_state`` and names; no file but installed packages'
own is read.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from ...imaging.geometry import resize_matrix
from ...structures import Array
from ...structures.pairs import Cameras, Pair, PairSet
from ..hpatches import shrink_matrix, shrunk
from ..lookup import SHORT_SIDE
from .bundled import BENCH_PICTURES, TRAIN_PICTURES, bundled_picture, stereo_picture

DEPTH = "depth"
SIZE_HW = (360, 480)  #: of the pictures, px
SUPERSAMPLING = 2
FOCAL = 0.85  #: of the camera, in widths of the picture
#: change -> how far the second camera stands off (room units), turns (degrees), and comes nearer
MOVES: dict[str, tuple[float, float, float]] = {
    "narrow": (0.35, 3.0, 0.0),
    "medium": (0.8, 6.0, 0.3),
    "wide": (1.5, 10.0, 0.5),
    "turned": (0.7, 30.0, 0.3),
}
_NEAR = 0.1  # what is nearer to the camera is not drawn
_NOISE = 2.0  # grey values, standard deviation
_STEREO = "motorcycle"
#: what judges, and what settings may be chosen on: they share no picture
TEXTURES = {"bench": (*BENCH_PICTURES, _STEREO), "train": tuple(n for n in TRAIN_PICTURES if n != "moon")}


class Surface(NamedTuple):
    """A rectangle in the room with a cut of a picture on it."""

    origin: Array  #: (3,) the top left outer corner; x right, y down, z away from the viewer
    along: Array  #: (3,) its upper side
    down: Array  #: (3,) its left side
    picture: str
    cut: tuple[int, int, int, int]  #: x, y, width, height in the picture, px


class View(NamedTuple):
    """A camera in the room: x_camera = rotation x_room + shift."""

    matrix: Array  #: (3, 3) intrinsic
    rotation: Array  #: (3, 3)
    shift: Array  #: (3,)


def make_depth_pairs(
    short_side: int | None = SHORT_SIDE, random_state: int = 0, n_rooms: int = 10, textures: str = "bench"
) -> PairSet:
    """``n_rooms`` rooms with four pairs each: a narrow, a medium and a wide baseline, and a turned camera.

    Parameters
    ----------
    short_side : larger pictures (they are 360 x 480) are shrunk to this short side, px; None or 0: none is
    random_state : seed; a room depends on nothing but it and its number
    textures : "bench" for judging, "train" for choosing settings: the pictures of :data:`TEXTURES`

    Returns
    -------
    PairSet
        Each pair has exact cameras and a flow, NaN where the second picture does not show the place.  A
        sequence is a room.

    >>> pairs = make_depth_pairs(n_rooms=1)
    >>> [p.name for p in pairs], pairs.pairs[0].cameras.pose.shape
    (['room0/narrow', 'room0/medium', 'room0/wide', 'room0/turned'], (3, 4))
    """
    pairs = []
    _, shrink = shrink_matrix(SIZE_HW, short_side or 0)
    for room in range(n_rooms):
        for change in MOVES:
            a, b = _views(room, change, random_state)
            rotation = b.rotation @ a.rotation.T
            pose = np.column_stack([rotation, b.shift - rotation @ a.shift])
            args = room, change, random_state, textures, short_side or 0
            pairs.append(
                Pair(
                    name=f"room{room}/{change}",
                    sequence=f"room{room}",
                    load_a=partial(_picture, 0, *args),
                    load_b=partial(_picture, 1, *args),
                    flow=partial(_flow, *args),
                    change=change,
                    rotated=change == "turned",
                    cameras=Cameras(shrink @ a.matrix, shrink @ b.matrix, pose),
                )
            )
    return PairSet(DEPTH, tuple(pairs), "scikit-image's bundled pictures, see its data/README.txt")


# --------------------------------------------------------------------------------------------
# rooms and cameras
# --------------------------------------------------------------------------------------------


def _views(room: int, change: str, random_state: int) -> tuple[View, View]:
    rng = np.random.default_rng([random_state, 7, room, list(MOVES).index(change)])
    h, w = SIZE_HW
    matrix = np.array([[FOCAL * w, 0, (w - 1) / 2], [0, FOCAL * w, (h - 1) / 2], [0, 0, 1]])
    off, roll, nearer = MOVES[change]
    home = np.random.default_rng([random_state, 8, room]).uniform([-0.5, -0.3, -0.3], [0.5, 0.3, 0.3])
    angle = rng.uniform(0, 2 * np.pi)
    side = off * np.array([np.cos(angle), 0.4 * np.sin(angle), 0]) * rng.choice([-1, 1])
    target = np.array([0, 0.2, 5.0])
    first = _looking(home, target, 0.0)
    spread = rng.uniform(-0.35, 0.35, 3)
    second = _looking(home + side + [0, 0, nearer], target + spread, roll * rng.choice([-1, 1]))
    return View(matrix, *first), View(matrix, *second)


def _looking(eye: Array, target: Array, roll: float) -> tuple[Array, Array]:
    """Rotation and shift of a camera at ``eye`` that looks at ``target``, turned by ``roll`` degrees."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    c, s = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.stack([x, np.cross(z, x), z])
    return rotation, -rotation @ eye


def _surfaces(room: int, random_state: int, textures: str) -> list[Surface]:
    """Floor, three walls and five to seven boxes."""
    rng = np.random.default_rng([random_state, 9, room])
    planes: list[tuple[Any, Any, Any]] = [  # origin, along, down
        ([-4, 1.5, 9], [8, 0, 0], [0, 0, -8]),
        ([-4, -3.0, 9], [8, 0, 0], [0, 4.5, 0]),
        ([-4, -3.0, 1], [0, 0, 8], [0, 4.5, 0]),
        ([4, -3.0, 9], [0, 0, -8], [0, 4.5, 0]),
    ]
    for _ in range(int(rng.integers(5, 8))):
        width, height, depth = rng.uniform(0.5, 1.5, 3)
        turn = rng.uniform(-0.9, 0.9)
        u, v = np.array([np.cos(turn), 0, np.sin(turn)]), np.array([-np.sin(turn), 0, np.cos(turn)])
        corner = np.array([rng.uniform(-2.6, 1.8), rng.uniform(-1.2, 1.5 - height), rng.uniform(3.2, 7.0)])
        down = np.array([0, height, 0])
        u, v = width * u, depth * v
        planes += [(corner, u, down), (corner + v, -v, down), (corner + u, v, down)]
        planes += [(corner + v, u, -v), (corner + down, u, v)]
    names = TEXTURES[textures]
    return [
        _textured(
            np.array(o, float), np.array(u, float), np.array(v, float), names[rng.integers(len(names))], rng
        )
        for o, u, v in planes
    ]


def _textured(origin: Array, along: Array, down: Array, picture: str, rng: np.random.Generator) -> Surface:
    """A cut of the picture of the rectangle's shape, as large as it fits."""
    h, w = _texture(picture, 0).shape[:2]
    shape = float(np.linalg.norm(along) / np.linalg.norm(down))
    share = rng.uniform(0.7, 1.0)
    width = max(16, int(share * min(w, h * shape)))
    height = min(h, max(16, round(width / shape)))
    x, y = int(rng.integers(0, w - width + 1)), int(rng.integers(0, h - height + 1))
    return Surface(origin, along, down, picture, (x, y, width, height))


@lru_cache(maxsize=64)
def _texture(picture: str, level: int) -> Array:
    """A picture in colour, halved ``level`` times."""
    image = stereo_picture(0) if picture == _STEREO else bundled_picture(picture)
    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
    for _ in range(level):
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return image


# --------------------------------------------------------------------------------------------
# drawing
# --------------------------------------------------------------------------------------------


def _to_picture(surface: Surface, view: View) -> Array:
    """(3, 3) from (share along, share down, 1) to picture px times depth."""
    frame = np.column_stack([surface.along, surface.down, surface.origin])
    camera = view.rotation @ frame
    camera[:, 2] += view.shift
    return np.asarray(view.matrix @ camera)


def render(
    surfaces: list[Surface], view: View, size_hw: tuple[int, int], scale: int, paint: bool = True
) -> tuple[Array, Array]:
    """Picture (h s, w s, 3) uint8 and depth (h s, w s) float32, inf where there is nothing.

    Pixel i of the finer picture lies at (i + 1/2) / s - 1/2 of the plain one, by the intrinsic matrix.
    """
    h, w = size_hw[0] * scale, size_hw[1] * scale
    finer = np.vstack([resize_matrix(scale), [0, 0, 1]])
    image: Array = np.zeros((h, w, 3), np.uint8)
    depth: Array = np.full((h, w), np.inf, np.float32)
    for surface in surfaces:
        forward = finer @ _to_picture(surface, view)
        if abs(np.linalg.det(forward)) < 1e-9:  # seen edge on
            continue
        x0, y0, x1, y1 = _reach(forward, (h, w))
        if x0 >= x1 or y0 >= y1:
            continue
        back = np.linalg.inv(forward)
        x, y = np.arange(x0, x1, dtype=np.float32)[None], np.arange(y0, y1, dtype=np.float32)[:, None]
        shares: list[Array] = [np.float32(r[0]) * x + np.float32(r[1]) * y + np.float32(r[2]) for r in back]
        along, down, nearness = shares
        z = 1 / np.maximum(nearness, 1e-6)
        along, down = along * z, down * z
        part = depth[y0:y1, x0:x1]
        seen = (
            (nearness > 0)
            & (z > _NEAR)
            & (z < part)
            & (along >= 0)
            & (along <= 1)
            & (down >= 0)
            & (down <= 1)
        )
        if not seen.any():
            continue
        part[seen] = z[seen]
        if paint:
            image[y0:y1, x0:x1][seen] = _painted(surface, along, down, float(seen.sum()))[seen]
    return image, depth


def _reach(forward: Array, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """The window of a rectangle in the picture; the whole picture where a corner lies behind the camera."""
    h, w = size_hw
    corners = forward @ np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    if (corners[2] < _NEAR).all():
        return 0, 0, 0, 0
    if (corners[2] < _NEAR).any():
        return 0, 0, w, h
    low = np.clip(np.floor((corners[:2] / corners[2]).min(1)), 0, [w, h]).astype(int)
    high = np.clip(np.ceil((corners[:2] / corners[2]).max(1)) + 1, 0, [w, h]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _painted(surface: Surface, along: Array, down: Array, pixels: float) -> Array:
    """The surface's colour at each place, read from the level of its picture that fits its size."""
    x, y, width, height = surface.cut
    level = int(np.clip(round(np.log2(max((width * height / max(pixels, 1.0)) ** 0.5, 1.0))), 0, 3))
    texture, share = _texture(surface.picture, level), 0.5**level
    at_x = (x + along * width) * np.float32(share) - np.float32(0.5)
    at_y = (y + down * height) * np.float32(share) - np.float32(0.5)
    return cv2.remap(texture, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=8)
def _rendered(which: int, room: int, change: str, random_state: int, textures: str) -> Array:
    """A first picture is one for all pairs of its room."""
    view = _views(room, change, random_state)[which]
    fine, _ = render(_surfaces(room, random_state, textures), view, SIZE_HW, SUPERSAMPLING)
    image = cv2.resize(fine, SIZE_HW[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    rng = np.random.default_rng([random_state, 10, room, which, list(MOVES).index(change)])
    image = image * np.float32(np.exp(rng.uniform(-0.25, 0.25))) + np.float32(rng.uniform(-8, 8))
    image += np.float32(_NOISE) * rng.standard_normal(image.shape, dtype=np.float32)
    out: Array = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    out.flags.writeable = False
    return out


def _picture(which: int, room: int, change: str, random_state: int, textures: str, short_side: int) -> Array:
    change = change if which else next(iter(MOVES))
    return np.array(shrunk(_rendered(which, room, change, random_state, textures), short_side))


def _flow(room: int, change: str, random_state: int, textures: str, short_side: int) -> Array:
    """(H, W, 2): where each pixel of the first picture lies in the second; NaN where it is hidden."""
    a, b = _views(room, change, random_state)
    size, shrink = shrink_matrix(SIZE_HW, short_side)
    a, b = (v._replace(matrix=shrink @ v.matrix) for v in (a, b))
    surfaces = _surfaces(room, random_state, textures)
    depth, other = (render(surfaces, v, size, 1, paint=False)[1].astype(float) for v in (a, b))
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    known = np.isfinite(depth)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(a.matrix).T
    points = (rays * np.where(known, depth, 1.0)[..., None] - a.shift) @ a.rotation  # in the room
    ends = (points @ b.rotation.T + b.shift) @ b.matrix.T
    z = ends[..., 2]
    known &= z > _NEAR
    ends = ends[..., :2] / np.where(known, z, 1.0)[..., None]
    inside = known & (ends >= 0).all(-1) & (ends[..., 0] <= size[1] - 1) & (ends[..., 1] <= size[0] - 1)
    at = np.rint(np.where(inside[..., None], ends, 0)).astype(int)
    inside &= z < other[at[..., 1], at[..., 0]] * 1.02
    return np.where(inside[..., None], ends, np.nan)
