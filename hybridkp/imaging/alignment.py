"""Faces brought to one place and size by their points, as recognition wants them.

Pictures (h, w[, 3]) uint8 and points (K, 2) px come in, crops come out.  NumPy and OpenCV alone; nothing is
recognised here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError
from .geometry import similarity, warp
from .images import as_uint8

FACE_SIDE = 112  #: px of a crop
#: (5, 2) px in such a crop: the eyes, the tip of the nose, the corners of the mouth, from left to right in
#: the picture, where recognition nets expect them (Deng et al. 2019, "ArcFace"; OpenCV's FaceRecognizerSF)
FACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)

_Rows = tuple[Sequence[int], ...]
#: number of landmarks -> rows of one eye, the other, the nose, one corner of the mouth, the other; of schemes
#: whose landmarks have numbers for names
_NUMBERED: dict[int, _Rows] = {
    68: (range(36, 42), range(42, 48), (30,), (48,), (54,)),
    98: (range(60, 68), range(68, 76), (54,), (76,), (82,)),
    106: (range(66, 74), range(75, 83), (54,), (84,), (90,)),
    29: ((8, 10, 12, 13, 16), (9, 11, 14, 15, 17), (20,), (22,), (23,)),
}


def five_points(keypoints: ArrayLike, landmarks: Sequence[str]) -> Array:
    """(5, 2): eyes, nose and corners of the mouth, from left to right in the picture, of any landmark scheme.

    An eye is the mean of all its landmarks.  Names say what is what (``right_eye_outer``, ``nose_tip``,
    ``left_mouth``); schemes of 29 (COFW), 68 (iBUG), 98 (WFLW) and 106 points (LaPa) are known by number.
    What a scheme lacks, or what is NaN throughout, is NaN: COCO's people have no mouth.

    Raises
    ------
    InputError
        Where the names show neither two eyes nor an eye and a nose.

    >>> names = ["left_eye", "right_eye", "nose"]  # sides of the person, or of the picture
    >>> five_points([[70, 40], [30, 40], [50, 60]], names)[:3].tolist()
    [[30.0, 40.0], [70.0, 40.0], [50.0, 60.0]]
    """
    xy = np.asarray(keypoints, float)
    if xy.shape != (len(landmarks), 2):
        raise InputError(
            f"keypoints {xy.shape} must be one (x, y) for each of the {len(landmarks)} landmarks"
        )
    rows = _by_name(landmarks)
    if sum(map(bool, rows[:3])) < 2:
        rows = _NUMBERED.get(len(landmarks), rows)
    if sum(map(bool, rows[:3])) < 2:
        raise InputError("the landmarks' names show no eyes and nose: give the five points yourself")
    out = np.stack([_mean(xy[list(part)]) for part in rows])
    below = _mean(out[2:])
    across, down = _mean(out[[1, 4]] - out[[0, 3]]), below - _mean(out[:2])
    if across[0] * down[1] - across[1] * down[0] < 0:  # names are of the picture's sides
        out = out[[1, 0, 2, 4, 3]]
    return out


def align(
    image: Array,
    keypoints: ArrayLike,
    template: ArrayLike | None = None,
    *,
    landmarks: Sequence[str] | None = None,
    size_hw: tuple[int, int] = (FACE_SIDE, FACE_SIDE),
) -> Array:
    """The picture moved, turned and scaled so that its points fall on a template's.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) uint8
    keypoints : (K, 2) px; NaN = not known, left out
    template : (K, 2) px in the crop; None: :data:`FACE_TEMPLATE`
    landmarks : names of K keypoints of any scheme, from which :func:`five_points` are made
    size_hw : of the crop, px

    Returns
    -------
    (H, W) or (H, W, 3) uint8; beyond the picture's edge its border repeats.

    Raises
    ------
    InputError
        Fewer than two points that differ are known, or they do not fit the template.

    Notes
    -----
    The least-squares similarity of all points (Umeyama 1991), never a reflection.

    >>> image = np.zeros((60, 80, 3), np.uint8)
    >>> align(image, [[20, 20], [40, 20]], [[10, 10], [50, 10]], size_hw=(48, 64)).shape
    (48, 64, 3)
    """
    points = np.asarray(keypoints, float) if landmarks is None else five_points(keypoints, landmarks)
    goal = FACE_TEMPLATE if template is None else np.asarray(template, float)
    if points.shape != goal.shape or goal.ndim != 2 or goal.shape[1] != 2:
        raise InputError(f"keypoints {points.shape} and template {goal.shape} must both be (K, 2)")
    known = np.isfinite(points).all(1) & np.isfinite(goal).all(1)
    spread = [np.ptp(each[known], axis=0).max() if known.sum() >= 2 else 0.0 for each in (points, goal)]
    if min(spread) < 1e-6:
        raise InputError("align needs two known points that differ")
    picture: Any = as_uint8(image, "image")
    return warp(picture, similarity(points, goal), size_hw)


def _by_name(landmarks: Sequence[str]) -> _Rows:
    names = [name.lower() for name in landmarks]
    eyes = [i for i, n in enumerate(names) if "eye" in n and "brow" not in n]
    nose = [i for i, n in enumerate(names) if "nose" in n]
    tip = [i for i in nose if "tip" in names[i]]
    mouth = [i for i, n in enumerate(names) if "mouth" in n]
    first, other = ([i for i in eyes if side in names[i]] for side in ("right", "left"))
    corners = ([i for i in mouth if side in names[i]] for side in ("right", "left"))
    return (first, other, tip or nose, *corners)


def _mean(points: Array) -> Array:
    known = points[np.isfinite(points).all(1)]
    out: Array = known.mean(0) if len(known) else np.full(2, np.nan)
    return out
