"""The linter's questions to pixels: can they be read, are they as large as said, did we see them before?

Each picture is read once and reduced to a :class:`Print` of about a kilobyte; nothing else of it
is kept.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import NamedTuple

import cv2
import numpy as np

from ...imaging.images import RangeWarning, to_grey
from ...structures import Array, Dataset, InputError

THUMB = 24  #: side of the thumbnails that near-duplicates are found with, px
SAME_CORRELATION = 0.985  #: correlation of two thumbnails from which the pictures count as the same
MAX_HASH_BITS = 40  #: of 256 bits of the difference hash that may differ


class Print(NamedTuple):
    """What remains of a picture."""

    split: str
    name: str
    group: str
    digest: str  #: of the decoded pixels
    thumb: Array  #: (THUMB²,) float32, mean 0, length 1; all 0 for a flat picture
    bits: Array  #: (256,) bool, difference hash


class Pictures(NamedTuple):
    """One split's pictures: prints, and what was wrong (name, why)."""

    prints: list[Print]
    unreadable: list[tuple[str, str]]
    turned: list[str]  #: width and height of the file are exchanged against the annotation
    resized: list[tuple[str, str]]
    changed: list[str]  #: bits or channels were left out


def read_prints(dataset: Dataset, split: str) -> Pictures:
    """Read every picture of the split once."""
    out = Pictures([], [], [], [], [])
    for sample in dataset:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", RangeWarning)
                image = sample.image
        except InputError as error:
            out.unreadable.append((sample.name, str(error)))
            continue
        out.changed.extend(str(w.message) for w in caught)
        size = image.shape[:2]
        if sample.size_hw is not None and size != tuple(sample.size_hw):
            if size == tuple(sample.size_hw)[::-1]:
                out.turned.append(sample.name)
            else:
                said = f"{sample.size_hw[1]}x{sample.size_hw[0]}, is {size[1]}x{size[0]}"
                out.resized.append((sample.name, said))
        out.prints.append(_print(image, split, sample.name, sample.group))
    return out


def _print(image: Array, split: str, name: str, group: str) -> Print:
    digest = hashlib.blake2b(image.tobytes(), digest_size=12, key=str(image.shape).encode()).hexdigest()
    grey = to_grey(image)
    thumb = cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    thumb -= thumb.mean()
    length = float(np.linalg.norm(thumb))
    thumb = thumb / length if length > THUMB else np.zeros_like(thumb)  # under 1 grey level: flat
    row = cv2.resize(grey, (17, 16), interpolation=cv2.INTER_AREA)
    return Print(split, name, group, digest, thumb, (row[:, 1:] > row[:, :-1]).ravel())


def same_pixels(prints: list[Print]) -> list[tuple[Print, Print]]:
    """Pairs of pictures with identical pixels, each later one with the first of its kind."""
    first: dict[str, Print] = {}
    pairs = []
    for p in prints:
        if p.digest in first:
            pairs.append((first[p.digest], p))
        else:
            first[p.digest] = p
    return pairs


def look_alikes(prints: list[Print]) -> list[tuple[Print, Print]]:
    """Pairs that a person would call the same picture (rescaled, recompressed), pixels differing.

    Both must agree: the correlation of the thumbnails (:data:`SAME_CORRELATION`) and the difference hash
    (:data:`MAX_HASH_BITS` of 256).
    """
    if len(prints) < 2:
        return []
    thumbs = np.stack([p.thumb for p in prints])
    signs = np.stack([p.bits for p in prints]).astype(np.float32) * 2 - 1
    pairs = []
    block = 512
    for start in range(0, len(prints), block):
        near = thumbs[start : start + block] @ thumbs.T >= SAME_CORRELATION
        near &= signs[start : start + block] @ signs.T >= 256 - 2 * MAX_HASH_BITS
        for i, j in np.argwhere(np.triu(near, start + 1)):
            a, b = prints[start + i], prints[j]
            if a.digest != b.digest:
                pairs.append((a, b))
    return pairs
