"""Pictures at the door: one dtype, one channel order, one set of complaints.

Everything behind this door is uint8, (H, W) grey or (H, W, 3) BGR.  No files are opened here.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ..structures import Array, Batch, InputError

MIN_SIDE = 2  #: px; nothing can be detected in less


def as_uint8(image: Array, name: str = "picture") -> Array:
    """Any picture array as (H, W) or (H, W, 3) uint8, by a stated rule.

    * bool: 0 and 255; 16-bit: divided by 257 (65535 becomes 255), by nothing else;
    * float: must lie in 0..1, times 255 (a float picture in 0..255 is accepted when its maximum
      is above 1.5); NaN and infinities are errors;
    * (H, W, 1): grey; (H, W, 4): BGRA, laid over black by its alpha.

    Raises
    ------
    InputError
        For any other shape or dtype, for NaN, and for sides under 2 px.
    """
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise InputError(f"{name}: a picture is (H, W), (H, W, 3) or (H, W, 4), got {image.shape}")
    if min(image.shape[:2]) < MIN_SIDE:
        raise InputError(
            f"{name}: {image.shape[0]} x {image.shape[1]} px is too small, need {MIN_SIDE} x {MIN_SIDE}"
        )
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    elif image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif np.issubdtype(image.dtype, np.floating):
        if not np.isfinite(image).all():
            raise InputError(f"{name}: has NaN or infinite pixels; fill them before detecting")
        top = float(image.max())
        if image.min() < 0 or top > 255:
            raise InputError(f"{name}: float pixels must lie in 0..1 or 0..255")
        image = np.rint(image * (255.0 if top <= 1.5 else 1.0)).clip(0, 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise InputError(f"{name}: dtype {image.dtype} is not a picture's; use uint8, uint16 or float")
    if image.ndim == 3 and image.shape[2] == 4:
        alpha = image[:, :, 3:].astype(np.uint16)
        image = ((image[:, :, :3] * alpha + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def to_grey(image: Array) -> Array:
    """(H, W) uint8 from (H, W) or BGR (H, W, 3) uint8, with OpenCV's weights."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def check_crops(images: Any, like_hw: tuple[int, int] | None = None) -> Array:
    """A batch of crops as one (B, H, W) or (B, H, W, 3) uint8 array (no copy where possible).

    Of a :class:`~hybridkp.structures.Batch` these are its pictures.

    Raises :class:`InputError` when empty, of several sizes, or not of size ``like_hw`` (the size
    the detector was fitted on).
    """
    if isinstance(images, Batch):
        images = images["image"]
    if isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim in (3, 4):
        if images.ndim == 3 and images.shape[-1] in (3, 4) and images.shape[1] > 4:
            raise InputError("images: got one picture (H, W, C); give a batch, images[None]")
        out = images
        if len(out) and ((out.ndim == 4 and out.shape[3] != 3) or min(out.shape[1:3]) < MIN_SIDE):
            out = np.stack([as_uint8(i, f"crop {b}") for b, i in enumerate(out)])
    else:
        rows = [as_uint8(image, f"crop {b}") for b, image in enumerate(images)]
        shapes = {r.shape for r in rows}
        if len({s[:2] for s in shapes}) > 1:
            raise InputError(f"crops must have one size, got {sorted(shapes)[:3]}")
        if len(shapes) > 1:
            rows = [r if r.ndim == 3 else cv2.cvtColor(r, cv2.COLOR_GRAY2BGR) for r in rows]
        out = np.stack(rows) if rows else np.zeros((0, MIN_SIDE, MIN_SIDE), np.uint8)
    if len(out) == 0:
        raise InputError("images: the batch is empty")
    if like_hw is not None and out.shape[1:3] != tuple(like_hw):
        raise InputError(
            f"crops are {out.shape[1]} x {out.shape[2]} px, the detector was fitted on"
            f" {like_hw[0]} x {like_hw[1]}: crop with the same size_hw"
        )
    return out


def check_batch(images: Any, like_hw: tuple[int, int] | None = None) -> Any:
    """:func:`check_crops`, with the further modalities of a Batch kept: for who hands crops on to others."""
    crops = check_crops(images, like_hw)
    return images.replace(image=crops) if isinstance(images, Batch) else crops


def flip_batch(images: Any) -> Any:
    """Crops (B, H, W[, 3]), or a Batch with every modality of the pictures' size, mirrored left to right."""
    if isinstance(images, Batch):
        return images.map_pictures(flip_batch)
    return np.ascontiguousarray(np.flip(images, 2))


def crops_to_grey(images: Array) -> Array:
    """(B, H, W) uint8 from a checked batch."""
    if images.ndim == 3:
        return images
    return np.stack([cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) for i in images])
