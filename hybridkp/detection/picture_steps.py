"""An object that was found in a whole picture, on its way through the steps on its crop.

NumPy and OpenCV only: an exported method runs from here.  Pictures (h, w[, 3]) and instances come in, crops
and points (K, 2) go out.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from ..imaging.crops import cut, usable_box
from ..imaging.geometry import apply_affine, crop_matrix
from ..structures import Array, InputError, Instance
from .objects_read import completed

_GIVEN: ContextVar[Array | None] = ContextVar("hybridkp_points_given", default=None)


def cut_start(
    image: Array, found: Instance, mean: Array, size_hw: tuple[int, int], margin: float
) -> tuple[Array, Array, Array]:
    """The crop (H, W, 3) of a found object, its points (K, 2) there, none missing, and the map to it."""
    box, _ = usable_box(found.box_xywh, image.shape[:2])
    matrix = crop_matrix(found.box_xywh if box is None else box, size_hw, margin)
    return cut(image, matrix, size_hw), apply_affine(matrix, completed(found.xy, mean)), matrix


def stepped(found: Instance, xy: Array, sure: Array) -> Instance:
    """The object with the points (K, 2) that the steps gave, and their scores (K,)."""
    known = sure[np.isfinite(sure)]
    score = found.score * float(known.mean()) if len(known) else 0.0
    return Instance(xy, box_xywh=found.box_xywh, area=found.area, score=score, keypoint_scores=sure)


def given_points() -> Array:
    """The points (K, 2) that the steps of a runtime file begin with."""
    xy = _GIVEN.get()
    if xy is None:
        raise InputError("steps of a whole-picture method need the points that they begin with")
    return xy


def with_points(run: Any, crop: Array, xy: Array) -> tuple[Array, Array]:
    """What a runtime's function of crops says, beginning with points (K, 2)."""
    token = _GIVEN.set(xy)
    try:
        found: tuple[Array, Array] = run(crop)
        return found
    finally:
        _GIVEN.reset(token)
