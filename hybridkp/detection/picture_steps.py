"""An object that was found in a whole picture, on its way through the steps on its crop.

NumPy and OpenCV only: an exported method runs from here.  Pictures (h, w[, 3]) and instances come in, crops
and points (K, 2) go out.
"""

from __future__ import annotations

from contextvars import ContextVar

from ..imaging.crops import cut, to_picture, usable_box
from ..imaging.geometry import apply_affine, crop_matrix
from ..runtime.nodes import Run, told
from ..structures import Array, InputError, Instance, Prediction
from .objects_read import completed

_GIVEN: ContextVar[Array | None] = ContextVar("hybridkp_points_given", default=None)


def cut_start(
    image: Array, found: Instance, mean: Array, size_hw: tuple[int, int], margin: float
) -> tuple[Array, Array, Array]:
    """The crop (H, W, 3) of a found object, its points (K, 2) there, none missing, and the map to it."""
    box, _ = usable_box(found.box_xywh, image.shape[:2])
    matrix = crop_matrix(found.box_xywh if box is None else box, size_hw, margin)
    return cut(image, matrix, size_hw), apply_affine(matrix, completed(found.xy, mean)), matrix


def stepped(found: Instance, said: Prediction, matrix: Array) -> Instance:
    """The object with what the steps say of its crop, to which the map leads."""
    return said.instance(to_picture(matrix, said.xy), found.box_xywh, float(matrix[0, 0]), found.score)


def given_points() -> Array:
    """The points (K, 2) that the steps of a runtime file begin with."""
    xy = _GIVEN.get()
    if xy is None:
        raise InputError("steps of a whole-picture method need the points that they begin with")
    return xy


def with_points(run: Run, crop: Array, xy: Array) -> Prediction:
    """All that a runtime's function of crops says, beginning with points (K, 2)."""
    token = _GIVEN.set(xy)
    try:
        return told(run, crop)
    finally:
        _GIVEN.reset(token)
