"""Pictures with none to eight procedural faces over real backgrounds: known exactly, for finders.

The faces are those of :mod:`.faces`, each laid into the picture at its own place and size, the nearer over
the farther; drawn when a picture is asked for, from ``random_state`` and the index alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from ...imaging.geometry import points_box
from ...structures import HIDDEN, VISIBLE, Array, Dataset, InputError, Instance, Sample
from ..layouts import infer_flip
from .bundled import bundled_picture
from .faces_model import (
    LANDMARKS,
    OUTER_EYE_CORNERS,
    SKELETON,
    Face,
    draw_face,
    landmarks_uv,
    relief_map,
    surface_points,
)
from .faces_paint import draw_looks, paint
from .faces_scene import (
    View,
    add_body,
    add_clutter,
    cast,
    draw_light,
    elliptic,
    expose,
    read_map,
    rotation_matrix,
    shade,
)

#: real pictures without a face in them, shared out so that train and val differ
SCENE_BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "real-train": ("brick", "coffee", "retina", "grass", "china", "chessboard_GRAY", "moon"),
    "real-val": ("gravel", "rocket", "text", "clock_motion", "flower", "hubble_deep_field", "cell"),
}
SCENE_BACKGROUNDS["real"] = SCENE_BACKGROUNDS["real-train"] + SCENE_BACKGROUNDS["real-val"]
FACE_SIDES = 0.12, 0.55  #: smallest and largest face, its height as a part of the picture's shorter side
COVERED = 0.3  #: part of a face's points that nearer people cover, at most


class Placed(NamedTuple):
    """One face of a scene."""

    face: Face
    view: View
    points: Array  #: (K, 3) in head units
    seed: int


def make_scenes(
    n: int,
    size_hw: tuple[int, int] = (240, 320),
    random_state: int = 0,
    *,
    max_faces: int = 8,
    background: str = "real",
    name: str = "scenes",
) -> Dataset:
    """``n`` pictures with 0 to ``max_faces`` synthetic faces each, 20 points a face.

    Parameters
    ----------
    n : pictures; each shows people of its own and is a group of its own
    size_hw : of the pictures, px; at least 64
    random_state : seed; picture i of one seed is the same whatever ``n``
    max_faces : every number from 0 to it is as likely; faces that find no place are left out
    background : "real", or its halves "real-train" and "real-val", which share no picture

    Returns
    -------
    Dataset
        Points as in :func:`make_faces`; those covered by a nearer face are hidden (``visibility`` 1).  The
        box is the points' own, exactly.  A picture may have no object at all.

    Raises
    ------
    InputError
        For numbers out of range, or an unknown background.

    Notes
    -----
    Heads, necks and shoulders are cut out along ellipses and laid over the background: no perspective, no
    common light.  A stand-in for photographs that finders can be told apart on, not a model of them.

    >>> [len(s.instances) for s in make_scenes(6, random_state=1)]
    [7, 2, 3, 0, 6, 1]
    """
    if n < 1 or not 0 <= max_faces <= 8:
        raise InputError(f"make_scenes: n must be at least 1 and max_faces 0 to 8, got {n} and {max_faces}")
    if len(size_hw) != 2 or min(size_hw) < 64:
        raise InputError(f"make_scenes: size_hw must be two sides of at least 64 px, got {size_hw}")
    if background not in SCENE_BACKGROUNDS:
        raise InputError(f"make_scenes: background {background!r} is none of {[*SCENE_BACKGROUNDS]}")
    size = (int(size_hw[0]), int(size_hw[1]))
    return Dataset(
        name=name,
        landmarks=LANDMARKS,
        samples=tuple(_sample(i, size, random_state, max_faces, background, name) for i in range(n)),
        skeleton=np.array(SKELETON),
        flip=infer_flip(LANDMARKS),
        normalizer=("points", *OUTER_EYE_CORNERS),
        licence="made by hybridkp; backgrounds from scikit-image's and scikit-learn's bundled pictures",
        category="face",
    )


def _stream(random_state: int, *what: int) -> np.random.Generator:
    return np.random.default_rng([random_state, 5, *what])


def _plan(index: int, size_hw: tuple[int, int], random_state: int, max_faces: int) -> list[Placed]:
    """The faces of a picture, farthest (smallest) first."""
    rng = _stream(random_state, 0, index)
    placed: list[Placed] = []
    for number in range(int(rng.integers(0, max_faces + 1))):
        seed = int(rng.integers(2**31))
        face, points, own = draw_person(seed)
        turn = np.clip(own.standard_normal(3), -2.2, 2.2) * [18, 9, 11]
        least, most = np.array(FACE_SIDES) * min(size_hw)
        for _ in range(20):  # until it finds a place
            height = float(np.exp(rng.uniform(np.log(least), np.log(most))))
            view = View(rotation_matrix(*turn), height / 1.7, np.zeros(2))
            box = points_box(view.project(points)[:, :2])
            room = np.array(size_hw[::-1]) - box[2:] - 4
            if (room <= 0).any():
                continue
            corner = 2 + rng.uniform(0, 1, 2) * room
            view = view._replace(centre=corner - box[:2])
            one = Placed(face, view, points, seed + number)
            if _apart([*placed, one]):
                placed.append(one)
                break
    return sorted(placed, key=_nearness)


def _nearness(one: Placed) -> float:
    return one.view.scale


def _apart(placed: list[Placed]) -> bool:
    """Whether no face is covered too much by all nearer ones."""
    placed = sorted(placed, key=_nearness)
    return all(hidden_points(placed, i).mean() <= COVERED for i in range(len(placed)))


def draw_person(seed: int) -> tuple[Face, Array, np.random.Generator]:
    """A face, its points (K, 3) in head units, and what is random about it from here on."""
    own = np.random.default_rng(seed)
    face = draw_face(own, own, 1.0)
    return face, surface_points(face, landmarks_uv(face)), own


def visibility_of(hidden: Array) -> Array:
    """(K,) int, COCO's states."""
    return np.where(hidden, HIDDEN, VISIBLE)


def hidden_points(placed: list[Placed], i: int) -> Array:
    """(K,) bool: points of face ``i`` that the later ones cover."""
    xy = placed[i].view.project(placed[i].points)[:, :2]
    return np.logical_or.reduce(
        [_covers(nearer, xy) for nearer in placed[i + 1 :]] or [np.zeros(len(xy), bool)]
    )


def _sample(
    index: int, size_hw: tuple[int, int], random_state: int, max_faces: int, kind: str, name: str
) -> Sample:
    placed = _plan(index, size_hw, random_state, max_faces)
    instances = []
    for i, one in enumerate(placed):
        xy = one.view.project(one.points)[:, :2]
        box = points_box(xy)
        instances.append(
            Instance(xy, visibility_of(hidden_points(placed, i)), box, area=float(box[2] * box[3]))
        )
    return Sample(
        name=f"{name}_{random_state}_{index:05d}.png",
        load=partial(render_scene, index, size_hw, random_state, max_faces, kind),
        instances=tuple(instances),
        group=f"{name}_{random_state}_{index:05d}",
        size_hw=size_hw,
        image_id=index,
    )


def _outline(one: Placed) -> list[tuple[Array, tuple[float, float], float]]:
    """Ellipses (centre, axes, angle) around head and shoulders, picture px."""
    s, centre = one.view.scale, one.view.centre
    roll = float(np.arctan2(one.view.rotation[1, 0], one.view.rotation[0, 0]))
    return [
        (centre + [0, -0.05 * s], (1.05 * s, 1.25 * s), roll),
        (centre + [0, 1.75 * s], (1.35 * s, 0.75 * s), 0.0),
    ]


def _covers(one: Placed, xy: Array) -> Array:
    """(K,) bool: points that lie within the outline of a nearer person."""
    inside = np.zeros(len(xy), bool)
    for centre, axes, angle in _outline(one):
        d = xy - centre
        u = np.cos(angle) * d[:, 0] + np.sin(angle) * d[:, 1]
        v = np.cos(angle) * d[:, 1] - np.sin(angle) * d[:, 0]
        inside |= (u / axes[0]) ** 2 + (v / axes[1]) ** 2 < 1
    return inside


def render_scene(index: int, size_hw: tuple[int, int], random_state: int, max_faces: int, kind: str) -> Array:
    """The picture of scene ``index``, (H, W, 3) uint8 BGR; a function of its arguments only."""
    rng = _stream(random_state, 1, index)
    picture = background_of(kind, size_hw, rng)
    if rng.random() < 0.3:
        add_clutter(picture, rng, int(rng.integers(1, 4)))
    for one in _plan(index, size_hw, random_state, max_faces):
        lay_person(picture, one)
    return expose(picture, draw_light(rng, 0.5), 1.0, 1.0, rng)


def background_of(kind: str, size_hw: tuple[int, int], rng: np.random.Generator) -> Array:
    """A random cut of a real picture, (H, W, 3) float32 in 0..1."""
    h, w = size_hw
    names = SCENE_BACKGROUNDS[kind]
    picture = bundled_picture(names[rng.integers(len(names))])
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    ph, pw = picture.shape[:2]
    scale = min(ph / h, pw / w) * rng.uniform(0.4, 1)
    ch, cw = max(8, int(h * scale)), max(8, int(w * scale))
    y, x = int(rng.integers(0, ph - ch + 1)), int(rng.integers(0, pw - cw + 1))
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    cut = cv2.resize(picture[y : y + ch, x : x + cw], (w, h), interpolation=how)
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    gain = rng.uniform(0.55, 1.15) * (1 + 0.06 * rng.standard_normal(3)) / 255
    return np.clip(cut * gain.astype(np.float32), 0, 1)


def lay_person(picture: Array, one: Placed) -> None:
    """One person over the picture, in place, of which only the surroundings are touched."""
    own, view = np.random.default_rng(one.seed + 1), one.view
    low = np.maximum(np.floor(view.centre - 1.5 * view.scale), 0).astype(int)
    high = np.ceil(view.centre + [1.5 * view.scale, 2.6 * view.scale]).astype(int)
    x1, y1 = np.minimum(high, [picture.shape[1], picture.shape[0]])
    part = picture[low[1] : y1, low[0] : x1]
    view = view._replace(centre=view.centre - low)
    light, looks, height = draw_light(own, 1.0), draw_looks(own), relief_map(one.face)
    person = part.copy()
    add_body(person, one.face, looks, view, light, own)
    hit: Any = cast(one.face, height, view, (part.shape[0], part.shape[1]))
    skin = read_map(paint(one.face, looks, height, own), hit.u, hit.v)
    inside = person[hit.window]
    inside += hit.cover[..., None] * (shade(skin, hit, view, light) - inside)
    mask = np.zeros(part.shape[:2], np.float32)
    for centre, axes, angle in _outline(one._replace(view=view)):
        mask = np.maximum(mask, elliptic((part.shape[0], part.shape[1]), centre, axes, angle, 0.06))
    part += mask[..., None] * (person - part)
