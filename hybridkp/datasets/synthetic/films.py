"""Short films of procedural faces that move over a real background: known exactly in every frame.

The faces and their surroundings are those of :mod:`.scenes`; each frame is drawn when it is asked for, from
``random_state`` and its number alone.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ...imaging.geometry import points_box
from ...structures import Array, Dataset, InputError, Instance, Sample
from ..layouts import infer_flip
from .faces_model import LANDMARKS, OUTER_EYE_CORNERS, SKELETON
from .faces_scene import View, draw_light, expose, rotation_matrix
from .scenes import Placed, background_of, draw_person, hidden_points, lay_person, visibility_of

TURN = (24.0, 10.0, 12.0)  #: degrees, the largest turn, nod and tilt to either side
SWAY = 0.3  #: of the room that a face has, how far it moves to either side
SECONDS = (2.0, 6.0)  #: shortest and longest period of a movement
GRAIN = 3.0  #: grey levels, standard deviation of the noise, another one in each frame
_SEED = 7


def make_film(
    n_frames: int = 75,
    size_hw: tuple[int, int] = (240, 320),
    random_state: int = 0,
    *,
    n_faces: int = 2,
    rate: float = 25.0,
    background: str = "real",
    away: tuple[int, int] | None = None,
    name: str = "film",
) -> Dataset:
    """One film in which ``n_faces`` synthetic faces move and turn, 20 points a face.

    Parameters
    ----------
    rate : frames a second; a movement takes seconds, whatever the rate
    background : as in :func:`make_scenes`; it stands still
    away : frames (first, after the last) in which the first face is not in the picture

    Returns
    -------
    Dataset
        Frames in their order, all of one group; ``track`` of an instance is its face's number.

    Raises
    ------
    InputError
        For numbers out of range.

    >>> film = make_film(3, random_state=1)
    >>> [[i.track for i in sample.instances] for sample in film]
    [[0, 1], [0, 1], [0, 1]]
    """
    if n_frames < 1 or not 1 <= n_faces <= 4 or not rate > 0:
        raise InputError(f"make_film: n_frames and rate above 0, n_faces 1 to 4; got {n_frames}, {n_faces}")
    if len(size_hw) != 2 or min(size_hw) < 64:
        raise InputError(f"make_film: size_hw must be two sides of at least 64 px, got {size_hw}")
    size = (int(size_hw[0]), int(size_hw[1]))
    people = _people(n_faces, size, random_state)
    frames = range(n_frames)
    return Dataset(
        name=name,
        landmarks=LANDMARKS,
        samples=tuple(_sample(i, people, size, random_state, rate, background, away, name) for i in frames),
        skeleton=np.array(SKELETON),
        flip=infer_flip(LANDMARKS),
        normalizer=("points", *OUTER_EYE_CORNERS),
        licence="made by hybridkp; backgrounds from scikit-image's and scikit-learn's bundled pictures",
        category="face",
    )


class _Person:
    """A face in its column of the picture, and how it moves."""

    def __init__(self, number: int, of: int, size_hw: tuple[int, int], random_state: int) -> None:
        rng = np.random.default_rng([random_state, _SEED, number])
        self.seed = int(rng.integers(2**31))
        self.face, self.points, _ = draw_person(self.seed)
        h, w = size_hw
        self.scale = min(h, w / of) * rng.uniform(0.2, 0.26)
        self.home = np.array([w * (number + 0.5) / of, 0.45 * h])
        self.sway = SWAY * np.array([w / of, h]) / 2
        self.speed = 2 * np.pi / rng.uniform(*SECONDS, 6)
        self.phase = rng.uniform(0, 2 * np.pi, 6)

    def at(self, seconds: float) -> Placed:
        wave = np.sin(self.speed * seconds + self.phase)
        view = View(
            rotation_matrix(*(wave[:3] * TURN)),
            self.scale * (1 + 0.15 * wave[5]),
            self.home + self.sway * wave[3:5],
        )
        return Placed(self.face, view, self.points, self.seed)


def _people(n: int, size_hw: tuple[int, int], random_state: int) -> list[_Person]:
    return [_Person(i, n, size_hw, random_state) for i in range(n)]


def _there(people: list[_Person], index: int, rate: float, away: tuple[int, int] | None) -> list[Placed]:
    out = away is not None and away[0] <= index < away[1]
    return [person.at(index / rate) for person in people[out:]]


def _sample(
    index: int,
    people: list[_Person],
    size_hw: tuple[int, int],
    random_state: int,
    rate: float,
    kind: str,
    away: tuple[int, int] | None,
    name: str,
) -> Sample:
    placed = _there(people, index, rate, away)
    first = len(people) - len(placed)
    instances = []
    for i, one in enumerate(placed):
        xy = one.view.project(one.points)[:, :2]
        box = points_box(xy)
        shown = visibility_of(hidden_points(placed, i))
        instances.append(Instance(xy, shown, box, area=float(box[2] * box[3]), track=first + i))
    load = partial(render_frame, index, size_hw, random_state, len(people), rate, kind, away)
    return Sample(
        f"{name}_{random_state}_{index:06d}.png", load, tuple(instances), name, size_hw, image_id=index
    )


def render_frame(
    index: int,
    size_hw: tuple[int, int],
    random_state: int,
    n_faces: int,
    rate: float,
    kind: str,
    away: tuple[int, int] | None,
) -> Array:
    """Frame ``index``, (H, W, 3) uint8 BGR; a function of its arguments only."""
    steady = np.random.default_rng([random_state, _SEED, 100])
    picture = background_of(kind, size_hw, steady)
    for one in _there(_people(n_faces, size_hw, random_state), index, rate, away):
        lay_person(picture, one)
    still = expose(picture, draw_light(steady, 0.5), 0.5, 0.0, steady)
    noise = np.random.default_rng([random_state, _SEED, 200, index]).normal(0, GRAIN, still.shape)
    return np.clip(still + noise + 0.5, 0, 255).astype(np.uint8)
