"""Training crops seen otherwise: what a judge of presence learns to accept, and what to refuse.

Crops (B, H, W[, 3]), or a Batch of several modalities, and their points (B, K, 2) come in, as many crops of
a kind go out.  No learning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..imaging.crops import move_batch
from ..imaging.geometry import about_middle, compose, crop_matrix, points_box
from ..structures import MARGIN, Array, Batch

Box = Callable[[Array, float, np.random.Generator], Array]

PRESENT = "jittered"
SHUFFLED = "shuffled"
TURNED = "turned"
LEAST_TURN = 60.0  #: degrees to either side of crops that show the object turned
TURN = 3.0  #: degrees, standard deviation
NOISE = 3.0  #: grey levels, standard deviation


def seen_otherwise(images: Any, xy: Array, kind: str, rng: np.random.Generator) -> Any:
    """The crops seen otherwise: ``kind`` is :data:`PRESENT`, one of :data:`ABSENT`, :data:`SHUFFLED`, or
    :data:`TURNED`.

    What lies outside a crop is its border, repeated, as for a box that hangs out of its picture.  Those
    that still hold the object are also turned a little, and lighter or darker, with noise.
    """
    size_hw = (int(images.shape[1]), int(images.shape[2]))
    size, see = np.array(size_hw[::-1], float), ABSENT.get(kind, _jittered)
    maps = [crop_matrix(see(size, side, rng), size_hw, 1.0) for side in _sides(xy, size_hw)]
    if kind == PRESENT:
        maps = [compose(about_middle(size_hw, rng.normal(0, TURN)), m) for m in maps]
    if kind == TURNED:
        turns = rng.uniform(LEAST_TURN, 360 - LEAST_TURN, len(maps))
        maps = [compose(about_middle(size_hw, d), m) for d, m in zip(turns, maps, strict=True)]
    n = int(rng.integers(3, 7))
    orders = [rng.permutation(n * n) for _ in maps]

    def shuffle(name: str, rows: Any) -> Any:
        return rows if name == "words" else np.stack(list(map(_shuffled, rows, orders)))

    if kind == SHUFFLED:
        return images.map_pictures(shuffle) if isinstance(images, Batch) else shuffle("image", images)
    seen = move_batch(images, maps)
    if kind != PRESENT:
        return seen
    return seen.replace(image=_relit(seen["image"], rng)) if isinstance(seen, Batch) else _relit(seen, rng)


def _shuffled(crop: Array, order: Array) -> Array:
    """A crop (H, W, ...) whose n x n tiles have changed places: all that it showed, but in no order."""
    n, out = round(len(order) ** 0.5), crop.copy()
    h, w = crop.shape[0] // n, crop.shape[1] // n
    for to, of in enumerate(order):
        (i, j), (y, x) = divmod(to, n), divmod(int(of), n)
        out[i * h : (i + 1) * h, j * w : (j + 1) * w] = crop[y * h : (y + 1) * h, x * w : (x + 1) * w]
    return out


def _relit(images: Array, rng: np.random.Generator) -> Array:
    """Another contrast and brightness, and noise."""
    alone = (len(images), *[1] * (images.ndim - 1))
    light = images * np.exp(rng.normal(0, 0.1, alone)) + rng.normal(0, 6, alone)
    return np.clip(light + rng.normal(0, NOISE, images.shape), 0, 255).astype(np.uint8)


def _sides(xy: Array, size_hw: tuple[int, int]) -> list[float]:
    """(B,) longer sides of the objects, by their labelled points; of too few, as boxes usually are."""
    usual = max(size_hw) / MARGIN
    sides = [float(np.nan_to_num(points_box(points)[2:].max())) for points in xy]
    return [side if side > usual / 4 else usual for side in sides]


def _jittered(size: Array, side: float, rng: np.random.Generator) -> Array:
    """About the crop's own box, as other boxes of that object are."""
    own = size * np.exp(rng.normal(0, 0.04))
    return np.concatenate([(size - own) / 2 + rng.normal(0, 0.02, 2) * size, own])


def _half(size: Array, side: float, rng: np.random.Generator) -> Array:
    """The crop's box beside its object, so that a half or less of it is left."""
    angle = np.pi / 2 * rng.integers(4) + rng.uniform(-0.4, 0.4)
    return np.concatenate([side * rng.uniform(0.4, 0.7) * np.array([np.cos(angle), np.sin(angle)]), size])


def _part(size: Array, side: float, rng: np.random.Generator) -> Array:
    """A smaller box anywhere."""
    own = size / rng.uniform(1.8, 3.0)
    return np.concatenate([rng.uniform(-0.1 * size, 1.1 * size - own), own])


def _corner(size: Array, side: float, rng: np.random.Generator) -> Array:
    """A small box in a corner, where there is background."""
    own = size / rng.uniform(2.5, 4.0)
    return np.concatenate([rng.integers(2, size=2) * (size - own) + rng.uniform(-0.05, 0.05, 2) * size, own])


def _large(size: Array, side: float, rng: np.random.Generator) -> Array:
    """A box much larger than the object, as a whole picture is."""
    own = size / rng.uniform(0.25, 0.5)
    return np.concatenate([-rng.uniform(0, 0.8, 2) * (own - size), own])


ABSENT: dict[str, Box] = {"half": _half, "part": _part, "corner": _corner, "large": _large}
