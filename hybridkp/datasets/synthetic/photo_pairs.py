"""The embedded pairs of the interest-point bench: real photographs under known changes, and a stereo pair.

Three bundled photographs are turned, zoomed, tilted, lit, blurred and made noisy by ``random_state``;
where each pixel goes is known exactly.  The motorcycle pair is two real pictures with measured
disparity.  No file but the installed packages' own is read.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

import cv2
import numpy as np

from ...imaging.geometry import resize_matrix
from ...structures import Array
from ...structures.pairs import Pair, PairSet
from ..hpatches import ROTATED_DEG, rotation_degrees, shrink_matrix, shrunk
from ..lookup import SHORT_SIDE
from .bundled import BENCH_PICTURES as BENCH_PICTURES
from .bundled import TRAIN_PICTURES as TRAIN_PICTURES
from .bundled import bundled_picture, stereo_disparity, stereo_picture
from .bundled import training_pictures as training_pictures

SYNTHETIC = "synthetic"
SUPERSAMPLING = 3  #: pictures are warped on a grid so much finer, then averaged: no aliasing down to 1/3


class View(NamedTuple):
    """How far a homography may go: the bounds of uniform draws, both signs."""

    rotation: tuple[float, float]  #: degrees, absolute value
    zoom: tuple[float, float]  #: natural logarithm of the scale, absolute value
    tilt: float  #: perspective: how far a corner moves, as a share of the sides
    shift: float  #: as a share of the sides


_STILL = View((0, 3), (0, 0.02), 0.01, 0.02)  #: a hand-held camera: no pixel stays on its grid place
#: change -> what is drawn, one pair each
VIEWS: dict[str, tuple[View, ...]] = {
    "viewpoint": (
        *[View((0, 8), (0, 0.1), 0.06, 0.03)] * 2,  # mild
        *[View((0, 15), (0, 0.2), 0.14, 0.05)] * 2,  # medium
        *[View((5, 19), (0.1, 0.35), 0.22, 0.06)] * 2,  # strong
    ),
    "rotation": (View((25, 60), (0, 0.05), 0.02, 0.02), View((60, 175), (0, 0.05), 0.02, 0.02)),
    "zoom+rotation": (View((25, 60), (0.3, 0.5), 0.03, 0.03), View((30, 120), (0.5, 0.8), 0.03, 0.03)),
    "light": (_STILL,) * 3,
    "blur": (_STILL,) * 2,
    "noise": (_STILL,) * 2,
}


def make_pairs(short_side: int | None = SHORT_SIDE, random_state: int = 0) -> PairSet:
    """The embedded set: 17 pairs of each of three photographs, and one real stereo pair.

    Parameters
    ----------
    short_side : pictures are shrunk to this short side, px; None or 0: they stay as they are
    random_state : seed; a pair depends on nothing but it, the photograph, the change and its number

    Returns
    -------
    PairSet
        A sequence is one photograph under one kind of change ("coffee-light"); homographies are exact.
        Sequences of one photograph are not wholly independent: intervals over them are a little too
        narrow.  The pair "motorcycle/1-2" has a flow: disparity with NaN where it was not measured
        and where the right picture does not show the point.

    Notes
    -----
    Beyond its edges the photograph is mirrored; points there have no counterpart and count as
    wrong when matched.  Both pictures are resampled once from the original.
    """
    pairs = []
    for number, picture in enumerate(BENCH_PICTURES):
        for kind, (change, views) in enumerate(VIEWS.items()):
            for index, view in enumerate(views):
                seed = (random_state, number, kind, index)
                pairs.append(_pair(picture, change, index, view, seed, short_side or 0))
    pairs.append(_stereo_pair(short_side or 0))
    return PairSet(SYNTHETIC, tuple(pairs), "scikit-image's bundled pictures, see its data/README.txt")


# --------------------------------------------------------------------------------------------
# photographs under homographies
# --------------------------------------------------------------------------------------------


def draw_homography(view: View, size_hw: tuple[int, int], rng: np.random.Generator) -> Array:
    """A (3, 3) map between pictures of one size: tilt, then zoom and turn about the centre, then shift."""
    h, w = size_hw
    centre = np.array([w - 1, h - 1]) / 2
    corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], float)
    angle = np.deg2rad(rng.uniform(*view.rotation)) * rng.choice([-1, 1])
    scale = np.exp(rng.uniform(*view.zoom) * rng.choice([-1, 1]))
    moved = corners + rng.uniform(-1, 1, (4, 2)) * view.tilt * [w, h]
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    moved = (moved - centre) @ np.array([[c, s], [-s, c]]) + centre
    moved += rng.uniform(-1, 1, 2) * view.shift * [w, h]
    return _homography(corners, moved)


def warp_homography(image: Array, homography: Array, size_hw: tuple[int, int]) -> Array:
    """The picture through a homography, mirrored beyond its edges, without aliasing."""
    fine = np.vstack([resize_matrix(SUPERSAMPLING), [0, 0, 1]])
    size = (size_hw[1] * SUPERSAMPLING, size_hw[0] * SUPERSAMPLING)
    large = cv2.warpPerspective(
        image, fine @ homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    out: Array = cv2.resize(large, size_hw[::-1], interpolation=cv2.INTER_AREA)
    return out


def _pair(picture: str, change: str, index: int, view: View, seed: tuple[int, ...], short_side: int) -> Pair:
    h, w = _source(picture).shape[:2]
    size, shrink = shrink_matrix((h, w), short_side)
    between = draw_homography(view, size, np.random.default_rng(seed))  # of the shrunk pictures
    centre = (np.array(size[::-1]) - 1) / 2
    return Pair(
        name=f"{picture}-{change}/{index + 1}",
        sequence=f"{picture}-{change}",
        load_a=partial(_first, picture, short_side),
        load_b=partial(_second, picture, change, index, between @ shrink, size, seed),
        homography=between,
        change=change,
        rotated=abs(rotation_degrees(between, centre)) > ROTATED_DEG,
    )


@lru_cache(maxsize=len(BENCH_PICTURES))
def _source(picture: str) -> Array:
    image = bundled_picture(picture)
    image.flags.writeable = False  # everybody gets the same one
    return image


def _first(picture: str, short_side: int) -> Array:
    return np.array(shrunk(_source(picture), short_side))


def _second(
    picture: str, change: str, index: int, homography: Array, size_hw: tuple[int, int], seed: tuple[int, ...]
) -> Array:
    image = warp_homography(_source(picture), homography, size_hw)
    return _alter(image, change, index, np.random.default_rng((*seed, 1)))


def _alter(image: Array, change: str, index: int, rng: np.random.Generator) -> Array:
    """Light, blur or noise, stronger with the pair's number; (H, W[, 3]) uint8."""
    strength = index + 1
    if change == "blur":
        return cv2.GaussianBlur(image, (0, 0), 1.2 * strength)
    if change not in ("light", "noise"):
        return image
    values = image.astype(np.float32) / 255
    if change == "noise":
        values += 0.04 * strength * rng.standard_normal(values.shape, dtype=np.float32)
    else:
        h, w = image.shape[:2]
        direction = rng.uniform(0, 2 * np.pi)
        x, y = (
            np.linspace(-1, 1, w)[None] * np.cos(direction),
            np.linspace(-1, 1, h)[:, None] * np.sin(direction),
        )
        lamp = np.exp(0.25 * strength * (x + y) - 0.2 * strength).astype(np.float32)  # a shade across it
        values = np.clip(values, 0, 1) ** np.float32(np.exp(rng.uniform(0.1, 0.25) * strength))
        values *= lamp[..., None] if image.ndim == 3 else lamp
    return np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)


def _homography(source: Array, target: Array) -> Array:
    """The (3, 3) map of four points (4, 2) onto four."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solved = np.linalg.solve(np.array(rows), target.reshape(-1))
    return np.append(solved, 1.0).reshape(3, 3)


# --------------------------------------------------------------------------------------------
# the stereo pair
# --------------------------------------------------------------------------------------------


def _stereo_pair(short_side: int) -> Pair:
    return Pair(
        name="motorcycle/1-2",
        sequence="motorcycle",
        load_a=partial(_stereo_view, 0, short_side),
        load_b=partial(_stereo_view, 1, short_side),
        flow=partial(_stereo_flow, short_side),
        change="stereo",
    )


def _stereo_view(index: int, short_side: int) -> Array:
    return shrunk(stereo_picture(index), short_side)


def _stereo_flow(short_side: int) -> Array:
    """(H, W, 2) float64: where each pixel of the (shrunk) left picture lies in the (shrunk) right one."""
    disparity = visible_disparity(stereo_disparity())
    (h, w), _ = shrink_matrix((disparity.shape[0], disparity.shape[1]), short_side)
    scale = np.array([w / disparity.shape[1], h / disparity.shape[0]])
    xy = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1)
    original = (xy + 0.5) / scale - 0.5
    nearest = np.rint(original).astype(int)  # no mean across an edge in depth
    shift = disparity[nearest[..., 1], nearest[..., 0]]
    right = original - np.stack([shift, np.zeros_like(shift)], -1)
    return (right + 0.5) * scale - 0.5


def visible_disparity(disparity: Array, margin_px: float = 1.0) -> Array:
    """``disparity`` (H, W), NaN also where something nearer covers the point in the right picture.

    A point is covered when another of its row lands within a pixel of it with a disparity larger by
    more than ``margin_px``.
    """
    h, w = disparity.shape
    known = np.isfinite(disparity)
    y, x = np.nonzero(known)
    shift = disparity[y, x]
    lands = np.rint(x - shift).astype(int)
    nearest = np.full((h, w + 2), -np.inf, np.float32)
    inside = (lands >= 0) & (lands < w)
    for side in range(3):  # a pixel to either side as well
        np.maximum.at(nearest, (y[inside], lands[inside] + side), shift[inside])
    out = np.where(known, disparity, np.nan)
    covered = np.ones(len(x), bool)  # out of the right picture: not seen there either
    covered[inside] = nearest[y[inside], lands[inside] + 1] > shift[inside] + margin_px
    out[y[covered], x[covered]] = np.nan
    return out
