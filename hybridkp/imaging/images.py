"""Pictures at the door: one dtype, one channel order, one set of complaints.

Everything behind this door is uint8, (H, W) grey or (H, W, 3) BGR.  No files are opened here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..structures import Array, Batch, DataWarning, InputError, Stream, stack_rows
from .geometry import flip_image

MIN_SIDE = 2  #: px; nothing can be detected in less
MASK = 0.5  #: of a transparency's pixels are 0 or 255
DEPTHS = (8, 10, 12, 14, 16)  #: bits that cameras fill of a 16-bit value


class RangeWarning(DataWarning):
    """A picture uses fewer bits, or more channels, than its file has."""


def depth_of(images: Iterable[Array]) -> int:
    """The bits that the values of 16-bit pictures of one kind need: the smallest of :data:`DEPTHS`."""
    deep = (i for i in images if i.dtype.newbyteorder("=") == np.uint16 and i.size)
    top = max((int(i.max()) for i in deep), default=0)
    return next(bits for bits in DEPTHS if top < 1 << bits) if top else 16


def in_255(image: Array) -> bool:
    """Whether a picture of floats lies in 0..255 by its largest value, and not in 0..1."""
    return bool(np.issubdtype(image.dtype, np.floating) and image.size and image.max() > 1.5)


def as_uint8(image: Array, name: str = "picture", bits: int | None = None, alpha: bool = False) -> Array:
    """Any picture array as (H, W) or (H, W, 3) uint8, by a stated rule.

    Parameters
    ----------
    image : see below
    name : for complaints
    bits : how many bits of a 16-bit picture mean something (12: 4095 becomes 255); None: as many as its
        largest value needs, of 8, 10, 12, 14 and 16, with a :class:`RangeWarning` when that is under 16.
        Pictures that are compared want one value for all (:func:`depth_of`).  8 says of a picture of floats
        that it lies in 0..255 (:func:`in_255`), however dark it is
    alpha : a fourth channel is alpha: the picture is laid over black by it, with a :class:`RangeWarning`
        where less than half of it is 0 or 255, as a mask is and depth is not.  Otherwise it is left out,
        with a :class:`RangeWarning` unless it is full everywhere

    Notes
    -----
    * bool: 0 and 255; 16-bit: scaled by ``bits``, brighter values cut with a :class:`RangeWarning`;
    * float: must lie in 0..1, times 255 (a float picture in 0..255 is accepted when its maximum
      is above 1.5); NaN and infinities are errors;
    * (H, W, 1): grey; (H, W, 4): see ``alpha``.

    Raises
    ------
    InputError
        For any other shape or dtype, for NaN, and for sides under 2 px.
    """
    image = np.asarray(image)
    if image.ndim == 0:
        value = image.item()
        told = (
            "None, as cv2.imread gives for a file it cannot read" if value is None else type(value).__name__
        )
        raise InputError(f"{name}: a picture is an array (H, W), (H, W, 3) or (H, W, 4), got {told}")
    if not image.dtype.isnative:  # 16-bit values as TIFF and PNG keep them
        image = image.astype(image.dtype.newbyteorder("="))
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
        image = _from_16(image, name, bits)
    elif np.issubdtype(image.dtype, np.floating):
        if not np.isfinite(image).all():
            raise InputError(f"{name}: has NaN or infinite pixels; fill them before detecting")
        if image.min() < 0 or image.max() > 255:
            raise InputError(f"{name}: float pixels must lie in 0..1 or 0..255")
        image = np.rint(image * (1.0 if bits == 8 or in_255(image) else 255.0)).clip(0, 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise InputError(f"{name}: dtype {image.dtype} is not a picture's; use uint8, uint16 or float")
    if image.ndim == 3 and image.shape[2] == 4:
        image = _without_fourth(image, name, alpha)
    return np.ascontiguousarray(image)


def _from_16(image: Array, name: str, bits: int | None) -> Array:
    if bits is None:
        bits = depth_of([image])
        if bits < 16:
            warnings.warn(
                f"{name}: 16-bit values that need {bits} bits only (largest {image.max()}): read so;"
                " give bits=16 to read them as they are",
                RangeWarning,
                stacklevel=3,
            )
    elif int(image.max()) >= 1 << bits:
        warnings.warn(
            f"{name}: brighter than {bits} bits (largest {image.max()}): cut", RangeWarning, stacklevel=3
        )
    table, out = _table(bits), np.empty(image.shape, np.uint8)
    for row in range(0, len(image), 64):  # an index takes 8 bytes a pixel: not for all at once
        out[row : row + 64] = table[image[row : row + 64]]
    return out


@lru_cache
def _table(bits: int) -> Array:
    """(65536,) uint8: each 16-bit value rounded to 255 / (2^bits - 1) of it, at most 255."""
    top = (1 << bits) - 1
    values = (np.arange(65536, dtype=np.uint64) * 255 + top // 2) // top
    return np.minimum(values, 255).astype(np.uint8)


def _without_fourth(image: Array, name: str, alpha: bool) -> Array:
    fourth = image[:, :, 3:]
    if alpha and fourth.min() < 255:
        if np.isin(fourth, (0, 255)).mean() < MASK:
            warnings.warn(
                f"{name}: its fourth channel is transparency by the file's format, the picture is laid over"
                " black by it; if it is depth, save it as a 16-bit PNG of its own, in mm (depth_file)",
                RangeWarning,
                stacklevel=3,
            )
        return ((image[:, :, :3] * fourth.astype(np.uint16) + 127) // 255).astype(np.uint8)
    if not alpha and fourth.min() < 255:
        warnings.warn(
            f"{name}: has a fourth channel that is not said to be alpha: left out", RangeWarning, stacklevel=3
        )
    return image[:, :, :3]


def to_grey(image: Array) -> Array:
    """(H, W) uint8 from (H, W) or BGR (H, W, 3) uint8, with OpenCV's weights."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def planes_of(image: Array) -> Array:
    """(3, H, W) float32 of BGR (H, W, 3); OpenCV splits colours more quickly than NumPy moves axes."""
    return np.array(cv2.split(image), np.float32)


def check_crops(images: Any, like_hw: tuple[int, int] | None = None) -> Any:
    """A batch of crops as one (B, H, W) or (B, H, W, 3) uint8 array (no copy where possible).

    Of a :class:`~hybridkp.structures.Batch` these are its pictures; a :class:`~hybridkp.structures.Stream`
    of such crops stays one, so that nothing is read yet.

    Raises :class:`InputError` when empty, of several sizes, or not of size ``like_hw`` (the size
    the detector was fitted on).
    """
    if isinstance(images, Batch):
        images = images["image"]
    out: Any
    if isinstance(images, Stream):
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
            raise InputError(f"crops on disk must be (B, H, W[, 3]) uint8, got {images}")
        out = images
    elif isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim in (3, 4):
        if images.ndim == 3 and images.shape[-1] in (3, 4) and images.shape[1] > 4:
            raise InputError("images: got one picture (H, W, C); give a batch, images[None]")
        out = images
        if len(out) and ((out.ndim == 4 and out.shape[3] != 3) or min(out.shape[1:3]) < MIN_SIDE):
            out = np.stack([as_uint8(i, f"crop {b}") for b, i in enumerate(out)])
    else:
        images = list(images)
        bits = _one_depth(images)
        rows = [as_uint8(image, f"crop {b}", bits) for b, image in enumerate(images)]
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
    """Crops (B, H, W[, 3]), or a Batch with every modality that moves with them, mirrored left to right."""
    if isinstance(images, Batch):
        last = images.shape[2] - 1
        return images.map_pictures(
            lambda name, rows: _flip_words(rows, last) if name == "words" else flip_batch(rows)
        )
    return images.map(flip_image) if isinstance(images, Stream) else flip_image(images, axis=2)


def _flip_words(rows: Array, last: int) -> Array:
    """Words with boxes in pictures whose last column is ``last``."""
    flipped = [[(last - x1, y0, last - x0, y1, text) for x0, y0, x1, y1, text in row] for row in rows]
    return stack_rows("words", flipped)


def with_mirrored(images: Any) -> Any:
    """(2 B, H, W[, 3]): crops, then their mirror images; of a stream nothing is copied."""
    both = [images, flip_batch(images)]
    return Stream.joined(both) if isinstance(images, Stream) else np.concatenate(both)


def _one_depth(images: list[Any]) -> int | None:
    """The bits of a batch of 16-bit crops, told once; 8 where floats lie in 0..255; None for others."""
    deep = [i for i in images if isinstance(i, np.ndarray) and i.dtype == np.uint16 and i.size]
    bits = depth_of(deep) if deep else None
    if bits is not None and bits < 16:
        warnings.warn(f"crops: 16-bit values that need {bits} bits only: read so", RangeWarning, stacklevel=3)
    if not deep and any(in_255(i) for i in images if isinstance(i, np.ndarray)):
        return 8
    return bits


def crops_to_grey(images: Any) -> Any:
    """(B, H, W) uint8 from a checked batch; a stream stays one."""
    if images.ndim == 3:
        return images
    if isinstance(images, Stream):
        return images.map(to_grey)
    return np.stack([cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) for i in images])
