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
TABLES, KEY_BITS = 24, 10  #: of random projections
BESIDE = 8  #: neighbours in a table that each picture is compared with

OTHER_SIZE_CURE = "restore the pictures that were annotated, or scale the points to those that are there"


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
    resized: list[str]  #: with both sizes
    changed: list[str]  #: bits or channels were left out

    def compare(self, name: str, said_hw: tuple[int, int] | None, size_hw: tuple[int, ...]) -> None:
        """Note the picture if its size is not the one that its annotation says."""
        words = other_size(said_hw, size_hw)
        if words and said_hw == size_hw[::-1]:
            self.turned.append(name)
        elif words:
            self.resized.append(f"{name} ({words})")


def other_size(said_hw: tuple[int, int] | None, size_hw: tuple[int, ...]) -> str:
    """Both sizes in words, "" where they agree or the annotation says none.

    >>> other_size((60, 40), (40, 60))
    'said 40x60, is 60x40: turned (EXIF orientation?)'
    """
    if said_hw is None or tuple(said_hw) == tuple(size_hw):
        return ""
    turned = ": turned (EXIF orientation?)" if tuple(said_hw) == tuple(size_hw)[::-1] else ""
    return f"said {said_hw[1]}x{said_hw[0]}, is {size_hw[1]}x{size_hw[0]}{turned}"


def check_size(
    name: str, said_hw: tuple[int, int] | None, size_hw: tuple[int, ...], cure: str = OTHER_SIZE_CURE
) -> None:
    """:class:`InputError` for a picture of another size than its annotation says."""
    if other := other_size(said_hw, size_hw):
        raise InputError(f"{name}: is not as large as its annotation says ({other}); {cure}")


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
        out.compare(sample.name, sample.size_hw, image.shape[:2])
        out.prints.append(_print(image, split, sample.name, sample.group))
    return out


def pixels_digest(image: Array) -> str:
    """24 hex digits that only pictures of the same size and pixels share."""
    return hashlib.blake2b(image.tobytes(), digest_size=12, key=str(image.shape).encode()).hexdigest()


def _print(image: Array, split: str, name: str, group: str) -> Print:
    grey = to_grey(image)
    thumb = cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    thumb -= thumb.mean()
    length = float(np.linalg.norm(thumb))
    thumb = thumb / length if length > THUMB else np.zeros_like(thumb)  # under 1 grey level: flat
    row = cv2.resize(grey, (17, 16), interpolation=cv2.INTER_AREA)
    return Print(split, name, group, pixels_digest(image), thumb, (row[:, 1:] > row[:, :-1]).ravel())


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
    (:data:`MAX_HASH_BITS` of 256).  Linear in the number of pictures: only those are compared that lie side
    by side in one of :data:`TABLES` sorted tables of random projections (Charikar 2002).  Of many that are
    all alike not each pair is given, but enough to join them.
    """
    n = len(prints)
    if n < 2:
        return []
    thumbs = np.stack([p.thumb for p in prints])
    bits = np.stack([p.bits for p in prints])
    coarse = thumbs.reshape(n, 6, 4, 6, 4).sum((2, 4)).reshape(n, -1) / 4  # no two lie farther apart there
    far = 2 - 2 * SAME_CORRELATION + 1e-3
    centred = thumbs - thumbs.mean(0)
    rng = np.random.default_rng(0)
    found: list[Array] = []
    for _ in range(TABLES):
        values = centred @ rng.standard_normal((thumbs.shape[1], KEY_BITS + 1)).astype(np.float32)
        key = (values[:, :-1] > 0) @ (1 << np.arange(KEY_BITS))
        order = np.lexsort((values[:, -1], key))
        for step in range(1, min(BESIDE, n - 1) + 1):
            a, b = order[:-step], order[step:]
            for alike in (
                lambda a, b: key[a] == key[b],  # noqa: B023
                lambda a, b: ((coarse[a] - coarse[b]) ** 2).sum(1) <= far,
                lambda a, b: np.einsum("ij,ij->i", thumbs[a], thumbs[b]) >= SAME_CORRELATION,
                lambda a, b: (bits[a] != bits[b]).sum(1) <= MAX_HASH_BITS,
            ):
                near = alike(a, b)
                a, b = a[near], b[near]
            found.append(np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b))
    rows = np.unique(np.concatenate(found))
    pairs = ((prints[i], prints[j]) for i, j in zip(*np.divmod(rows, n), strict=True))
    return [(a, b) for a, b in pairs if a.digest != b.digest]
