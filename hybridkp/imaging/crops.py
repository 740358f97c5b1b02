"""Crop and back: a box's part of a picture at one size, and points in it back in the picture.

One place for training, evaluation and the runtime, so light: NumPy and OpenCV only; no learning, no file.
Pictures (h, w[, 3]) uint8 and boxes (4,) come in, crops (H, W, 3) and points (K, 2) go out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, Batch, InputError, check_box, modality, stack_rows
from .geometry import apply_affine, crop_matrix, invert_affine, warp, warp_nearest

#: a picture, or further modalities of it too, by name
Picture = Array | Mapping[str, Array]


def cut(image: Array, matrix: ArrayLike, size_hw: tuple[int, int]) -> Array:
    """One crop (H, W, 3) uint8 BGR of a picture (h, w) or (h, w, 3)."""
    crop = warp(image, matrix, size_hw)
    return crop if crop.ndim == 3 else cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR)


def cut_modalities(picture: Mapping[str, Any], matrix: ArrayLike, size_hw: tuple[int, int]) -> Any:
    """Modality -> crop; the picture in colour, others in their own dtype and channels."""
    return {
        k: cut(v, matrix, size_hw) if k == "image" else move_modality(k, v, matrix, size_hw)
        for k, v in picture.items()
    }


def move_modality(name: str, value: Any, matrix: ArrayLike, size_hw: tuple[int, int]) -> Any:
    """A sample's modality when its picture goes through a map: by its kind (:func:`.modality`)."""
    kind = modality(name)
    if kind.spatial:
        return (warp if kind.mixes else warp_nearest)(np.asarray(value), matrix, size_hw)
    if name == "words":
        corners = np.array([word[:4] for word in value], float).reshape(-1, 2, 2)
        moved = apply_affine(matrix, corners).reshape(-1, 4).tolist()
        return tuple((*box, word[4]) for box, word in zip(moved, value, strict=True))
    return value


def move_batch(images: Any, maps: Sequence[ArrayLike]) -> Any:
    """Crops (B, H, W[, 3]), or a Batch with every modality that moves with them, each through its own map.

    They keep their size; what comes from beyond an edge is the border, repeated.
    """
    size_hw = (int(images.shape[1]), int(images.shape[2]))

    def change(name: str, rows: Any) -> Any:
        moved = [move_modality(name, row, m, size_hw) for row, m in zip(rows, maps, strict=True)]
        return stack_rows(name, moved)

    return images.map_pictures(change) if isinstance(images, Batch) else change("image", images)


def to_picture(matrix: ArrayLike, xy: ArrayLike) -> Array:
    """Points in crop px -> picture px, float64; ``matrix`` (2, 3) or (B, 2, 3) takes to the crop."""
    return apply_affine(invert_affine(matrix), xy)


def predict_in_box(
    predict: Callable[[Any], Any],
    picture: Picture,
    box_xywh: ArrayLike,
    size_hw: tuple[int, int],
    margin: float,
) -> tuple[Any, ...]:
    """What ``predict`` says of one object, its points in the picture.

    Parameters
    ----------
    predict : crop (H, W, 3) (or modality -> crop) to points (K, 2) in crop px and whatever else, a tuple
    picture : (h, w[, 3]), or modality -> array of that height and width

    Returns
    -------
    points (K, 2) in picture px, and the rest as it was given

    Raises
    ------
    InputError
        For a box that is not finite or has no area.
    """
    matrix = crop_matrix(box_xywh, size_hw, margin)
    if isinstance(picture, Mapping):
        xy, *rest = predict(cut_modalities(picture, matrix, size_hw))
    else:
        xy, *rest = predict(cut(picture, matrix, size_hw))
    return (to_picture(matrix, xy), *rest)


def crop_scale(box_xywh: ArrayLike, size_hw: tuple[int, int], margin: float) -> float:
    """Px of a box's crop per px of its picture."""
    return float(crop_matrix(box_xywh, size_hw, margin)[0, 0])


def batch_of_one(crop: Picture) -> Array | Batch:
    """A crop, or modality -> crop, as detectors take them."""
    if isinstance(crop, Mapping):
        return Batch({name: stack_rows(name, [row]) for name, row in crop.items()})
    return crop[None]


def is_outside(box_xywh: Array, image_hw: tuple[int, int]) -> bool:
    """Whether a box with area shares nothing with a picture of that size."""
    x, y, w, h = box_xywh
    return bool(w > 0 and h > 0 and (x >= image_hw[1] or y >= image_hw[0] or x + w <= 0 or y + h <= 0))


def box_of(image: Array, box_xywh: ArrayLike) -> Array:
    """A box (4,) that shares something with the picture; :class:`InputError` for any other."""
    box, (h, w) = check_box(box_xywh), image.shape[:2]
    if is_outside(box, (h, w)):
        raise InputError(f"the box {box.tolist()} lies outside the picture of {w} x {h} px")
    return box


def usable_box(box_xywh: Array, image_hw: tuple[int, int]) -> tuple[Array | None, bool]:
    """(box or None when wholly outside, whether the whole picture stands in for a missing box)."""
    h, w = image_hw
    if not (np.isfinite(box_xywh).all() and box_xywh[2] > 0 and box_xywh[3] > 0):
        return np.array([0.0, 0.0, w, h]), True
    return (None if is_outside(box_xywh, image_hw) else box_xywh), False
