"""Procedural faces with 20 named points, known exactly: the embedded data of the main job.

A face is a head in three dimensions with painted, lit skin, before a real background (see
:mod:`.faces_model`, :mod:`.faces_paint`, :mod:`.faces_scene`); it is drawn when its picture is
asked for and depends on nothing but ``random_state`` and its index.  No files but scikit-image's
bundled pictures are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...imaging.geometry import points_box
from ...structures import HIDDEN, VISIBLE, Array, Dataset, InputError, Instance, Sample
from ..layouts import infer_flip
from .faces_model import (
    LANDMARKS,
    OUTER_EYE_CORNERS,
    SKELETON,
    draw_face,
    landmarks_uv,
    relief_map,
    surface_points,
)
from .faces_paint import draw_looks, paint
from .faces_scene import (
    BACKGROUNDS,
    View,
    add_body,
    add_clutter,
    add_occluder,
    cast,
    draw_light,
    draw_occluder,
    expose,
    read_map,
    rotation_matrix,
    shade,
)
from .faces_scene import background as draw_background

PICTURES_PER_PERSON = 2
HEAD_MM = 100.0  #: of a head unit: outer eye corners are about 90 mm apart
SENSOR_MM = 3.0  #: standard deviation of a depth camera's noise at ``noise`` 1
_KNOBS = ("pose", "expression", "light", "blur", "noise", "occlusion")


def make_faces(
    n: int,
    size_hw: tuple[int, int] = (192, 192),
    random_state: int = 0,
    *,
    pose: float = 1.0,
    expression: float = 1.0,
    light: float = 1.0,
    blur: float = 1.0,
    noise: float = 1.0,
    occlusion: float = 1.0,
    background: str = "real",
    name: str = "synthetic",
    pictures_per_person: int = PICTURES_PER_PERSON,
    lasting_skin: bool = False,
    cameras: Sequence[float] = (0.0,),
) -> Dataset:
    """``n`` synthetic faces, one a picture, with 20 points each.

    Parameters
    ----------
    n : pictures; ``pictures_per_person`` successive ones show one person (one ``group``)
    size_hw : of the pictures, px; at least 48
    random_state : seed; picture i of one seed is the same whatever ``n``
    pose : spread of the head's turn (18 degrees yaw at 1), nod (9) and tilt (11), and of place and scale
    expression : spread of smile, open mouth, brows, lids and gaze
    light : spread of the lamp's direction, exposure and colour; 0 is even light
    blur : optical blur and motion blur; 0 is sharp
    noise : sensor noise; 0 is none
    occlusion : chance (0.3 at 1) that something hides part of the face, and clutter behind it
    background : "real" (cuts of scikit-image's bundled pictures), "real-train" and "real-val"
        (two halves with no picture in common) or "noise"
    lasting_skin : what is fine in skin, brows and hair is the person's too, as recognition needs it, and not
        drawn anew in each picture
    cameras : degrees by which each camera stands to the side, 60 at most; each of several sees all ``n``
        faces (``view`` "camera0", ... and ``instant``).  :func:`~hybridkp.multiview.face_cameras` has their
        geometry, :func:`faces_in_space` the points

    Returns
    -------
    Dataset
        Points are exact to 0.1 px before blur and noise, also where hidden (``visibility`` 1: turned
        away or covered).  The box is detector-like: the points' box moved by up to 8 % and
        scaled by up to 10 %.  Errors are divided by the distance of the outer eye corners.  Each sample
        has its ``depth`` in mm, registered to the picture (:func:`render_depth`).

    Notes
    -----
    Parallel projection, no cast shadows, one lamp: a stand-in for photographs that methods can
    be told apart on, not a model of them.

    >>> make_faces(2, random_state=1).samples[0].image.shape
    (192, 192, 3)
    """
    knobs = dict(zip(_KNOBS, map(float, (pose, expression, light, blur, noise, occlusion)), strict=True))
    _check(n, size_hw, knobs, background)
    if pictures_per_person < 1:
        raise InputError(f"make_faces: pictures_per_person must be at least 1, got {pictures_per_person}")
    if not len(cameras) or len(set(cameras)) < len(cameras) or not all(abs(c) <= 60 for c in cameras):
        raise InputError(f"make_faces: cameras must be different angles of -60 to 60 degrees, got {cameras}")
    whose = _Whose(pictures_per_person, lasting_skin)
    samples = tuple(
        _sample(
            i, (size_hw[0], size_hw[1]), random_state, knobs, background, name, whose._replace(aside=aside)
        )
        for i in range(n)
        for aside in map(float, cameras)
    )
    if len(cameras) > 1:
        samples = tuple(_seen_by(s, j % len(cameras)) for j, s in enumerate(samples))
    return Dataset(
        name=name,
        landmarks=LANDMARKS,
        samples=samples,
        skeleton=np.array(SKELETON),
        flip=infer_flip(LANDMARKS),
        normalizer=("points", *OUTER_EYE_CORNERS),
        licence="made by hybridkp; backgrounds from scikit-image's bundled pictures",
        category="face",
    )


def faces_in_space(
    n: int,
    size_hw: tuple[int, int] = (192, 192),
    random_state: int = 0,
    *,
    pose: float = 1,
    expression: float = 1,
) -> Array:
    """(n, K, 3) where the points of :func:`make_faces` are, in px of the first camera's picture.

    x and y are those of that picture from its middle, z points away from the camera.
    """
    knobs = {**dict.fromkeys(_KNOBS, 0.0), "pose": float(pose), "expression": float(expression)}
    out = np.empty((n, len(LANDMARKS), 3))
    for i in range(n):
        _, view, points, _ = _plan(i, (size_hw[0], size_hw[1]), random_state, knobs)
        seen = view.project(points)
        out[i, :, :2] = seen[:, :2] - _middle(size_hw)
        out[i, :, 2] = -view.scale * seen[:, 2]
    return out


class _Whose(NamedTuple):
    """Which pictures show one person, how much of a picture is the person's, and from where it is seen."""

    each: int = PICTURES_PER_PERSON
    lasting_skin: bool = False
    aside: float = 0.0  #: degrees


def _middle(size_hw: tuple[int, int]) -> Array:
    return np.array([size_hw[1], size_hw[0]]) / 2 - 0.5


def _seen_by(sample: Sample, camera: int) -> Sample:
    """A sample as one of several of its instant."""
    stem = sample.name.removesuffix(".png")
    name = f"{stem}_camera{camera}.png"
    return replace(sample, name=name, view=f"camera{camera}", instant=stem, image_id=-1)


_USUAL = _Whose()


def _check(n: int, size_hw: tuple[int, int], knobs: dict[str, float], background: str) -> None:
    if n < 1:
        raise InputError(f"make_faces: n must be at least 1, got {n}")
    if len(size_hw) != 2 or min(size_hw) < 48:
        raise InputError(f"make_faces: size_hw must be two sides of at least 48 px, got {size_hw}")
    for knob, value in knobs.items():
        if not 0 <= value <= 3:
            raise InputError(f"make_faces: {knob} must lie between 0 and 3, got {value}")
    if background not in (*BACKGROUNDS, "noise"):
        raise InputError(f"make_faces: background {background!r} is none of {[*BACKGROUNDS, 'noise']}")


def _stream(random_state: int, *what: int) -> np.random.Generator:
    return np.random.default_rng([random_state, *what])


def _plan(
    index: int,
    size_hw: tuple[int, int],
    random_state: int,
    knobs: dict[str, float],
    whose: _Whose = _USUAL,
) -> Any:
    """Everything about a picture that its points depend on: face, view, points, occluder."""
    person = index // whose.each
    picture = _stream(random_state, 1, index)
    face = draw_face(_stream(random_state, 0, person), picture, knobs["expression"])
    turn = np.clip(picture.standard_normal(3), -2.2, 2.2) * [18, 9, 11] * knobs["pose"]
    place = picture.uniform(-1, 1, 3) * knobs["pose"]
    side = min(size_hw)
    view = View(
        rotation_matrix(*np.clip(turn, [-42, -24, -60], [42, 24, 60])),
        side * 0.395 * float(np.exp(0.13 * place[2])),
        _middle(size_hw) + 0.05 * side * place[:2] + [0, 0.02 * side],
    )
    points = surface_points(face, landmarks_uv(face))
    seen = view.project(points)[:, :2]
    low, high = seen.min(0), seen.max(0)  # a point outside the frame would measure guessing
    inside = np.clip(low, 3, None) - low + np.clip(high, None, np.array(size_hw[::-1]) - 4) - high
    view = view._replace(centre=view.centre + inside)
    occluder = None
    if picture.random() < 0.3 * knobs["occlusion"]:
        occluder = draw_occluder(size_hw, view, picture)
    if whose.aside:  # what hides the face stands before the first camera
        turn, middle = rotation_matrix(whose.aside, 0, 0), _middle(size_hw)
        moved = turn[:2, :2] @ (view.centre - middle) + middle
        return face, View(turn @ view.rotation, view.scale, moved), points, None
    return face, view, points, occluder


def _sample(
    index: int,
    size_hw: tuple[int, int],
    random_state: int,
    knobs: dict[str, float],
    kind: str,
    name: str,
    whose: _Whose,
) -> Sample:
    face, view, points, occluder = _plan(index, size_hw, random_state, knobs, whose)
    seen = view.project(points)
    xy = seen[:, :2]
    hidden = _turned_away(face, view, points)
    if occluder is not None:
        column, row = np.clip(np.rint(xy), 0, [size_hw[1] - 1, size_hw[0] - 1]).astype(int).T
        hidden |= occluder[1][row, column] > 0.5
    tight = points_box(xy)
    jitter = _stream(random_state, 2, index)
    scale = 1 + 0.10 * jitter.uniform(-1, 1, 2)
    centre = tight[:2] + tight[2:] / 2 + 0.08 * jitter.uniform(-1, 1, 2) * tight[2:]
    box = np.concatenate([centre - scale * tight[2:] / 2, scale * tight[2:]])
    # the usual pictures keep the arguments by which memory knows them
    own: tuple[Any, ...] = () if whose == _USUAL else tuple(whose) if whose.aside else tuple(whose)[:2]
    drawn = index, size_hw, random_state, tuple(knobs.values())
    return Sample(
        name=f"{name}_{random_state}_{index:05d}.png",
        load=partial(render_face, *drawn, kind, *own),
        instances=(Instance(xy, np.where(hidden, HIDDEN, VISIBLE), box, area=float(tight[2] * tight[3])),),
        group=f"{name}_{random_state}_person{index // whose.each:05d}",
        size_hw=size_hw,
        image_id=index,
        modalities={"depth": partial(render_depth, *drawn, *own[:1], *own[2:])},
    )


def _turned_away(face: Any, view: View, points: Array) -> Array:
    """(K,) bool: the base surface's normal points away from the viewer."""
    x, y, z = points.T
    normal = np.column_stack([2 * x / face.width**2, 1.2 * y**3, 2 * z / face.depth**2])
    return normal @ view.rotation[2] < 0.12


def render_face(
    index: int,
    size_hw: tuple[int, int],
    random_state: int,
    knob_values: tuple[float, ...],
    kind: str,
    each: int = PICTURES_PER_PERSON,
    lasting_skin: bool = False,
    aside: float = 0.0,
) -> Array:
    """The picture of face ``index``, (H, W, 3) uint8 BGR; a function of its arguments only."""
    knobs = dict(zip(_KNOBS, knob_values, strict=True))
    face, view, _, occluder = _plan(index, size_hw, random_state, knobs, _Whose(each, lasting_skin, aside))
    height = relief_map(face)
    person = index // each
    looks = draw_looks(_stream(random_state, 3, person))
    rng = _stream(random_state, 4, index)
    light = draw_light(rng, knobs["light"])
    picture = draw_background(kind, size_hw, rng)
    if rng.random() < 0.6 * knobs["occlusion"]:
        add_clutter(picture, rng, int(rng.integers(1, 5)))
    add_body(picture, face, looks, view, light, rng)
    hit = cast(face, height, view, size_hw)
    fine = _stream(random_state, 5, person) if lasting_skin else rng
    skin = read_map(paint(face, looks, height, fine), hit.u, hit.v)
    part = picture[hit.window]
    part += hit.cover[..., None] * (shade(skin, hit, view, light) - part)
    if occluder is not None:
        what, mask = occluder
        add_occluder(picture, what, mask, kind, looks.skin, rng)
    return expose(picture, light, knobs["blur"], knobs["noise"], rng)


def render_depth(
    index: int,
    size_hw: tuple[int, int],
    random_state: int,
    knob_values: tuple[float, ...],
    each: int = PICTURES_PER_PERSON,
    aside: float = 0.0,
) -> Array:
    """The depth of face ``index`` as a camera beside the first would give it, (H, W) uint16 mm.

    Head and what is in front of it are where the picture shows them; hair, neck and body are left out,
    behind the head is a wall.  With ``noise`` there is a sensor's, and holes (0) where the surface turns
    away.  No light has a part in it.
    """
    knobs = dict(zip(_KNOBS, knob_values, strict=True))
    face, view, _, occluder = _plan(index, size_hw, random_state, knobs, _Whose(each, aside=aside))
    rng = _stream(random_state, 5, index)
    away, (wall, tilt_x, tilt_y) = rng.uniform(700, 1100), rng.uniform([600, -1, -1], [1400, 1, 1])
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] - np.array(size_hw)[:, None, None] / 2
    out = away + wall + 0.3 * HEAD_MM * (tilt_x * x + tilt_y * y) / view.scale
    hit = cast(face, relief_map(face), view, size_hw)
    on = hit.cover > 0.5
    out[hit.window][on] = away - HEAD_MM * hit.depth[on]
    if occluder is not None:
        out[occluder[1] > 0.5] = away - HEAD_MM * 1.3
    noise = SENSOR_MM * knobs["noise"]
    steep = np.hypot(*np.gradient(out)) * view.scale / HEAD_MM > 4  # beyond 76 degrees nothing comes back
    out = np.clip(np.rint(out + noise * rng.standard_normal(out.shape)), 1, 65535).astype(np.uint16)
    if noise:
        out[steep] = 0
    return out
