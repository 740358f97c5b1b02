"""A picture in overlapping tiles, and what was found in each of them as boxes of the picture.

NumPy and OpenCV only: an exported finder runs from here.  No learning.  Boxes are (N, 4) x, y, width, height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..metrics.boxes import box_overlap
from ..structures import Array
from .boxes_math import suppress

SEAM_PX = 2.0  #: a box that ends so near a tile's inner edge may be a part of an object
INSIDE = 0.6  #: part of such a box that lies in a whole one, from which it is dropped
MOST_TILES = 32  #: along a side

Find = Callable[[Array], tuple[Array, Array]]


def tile_boxes(size_hw: tuple[int, int], n_tiles: int, shared: float) -> Array:
    """(T, 4) int: tiles of a picture, ``n_tiles`` along its longer side, nearly square.

    Neighbours share the part ``shared`` of a side.

    >>> tile_boxes((100, 200), 2, 0.0).tolist()
    [[0, 0, 100, 100], [100, 0, 100, 100]]
    >>> tile_boxes((100, 150), 2, 0.5).tolist()
    [[0, 0, 100, 100], [50, 0, 100, 100]]
    """
    height, width = size_hw
    spans = []
    for length in (height, width):
        n = max(1, round(n_tiles * length / max(height, width)))
        side = min(length, int(np.ceil(length / (n - (n - 1) * shared))))
        start = np.round(np.linspace(0, length - side, n)).astype(int)
        spans.append([(int(s), side) for s in np.unique(start)])
    return np.array([[x, y, w, h] for y, h in spans[0] for x, w in spans[1]])


def find_in_tiles(
    find: Find, image: Array, n_tiles: int, shared: float, whole: bool, overlap: float
) -> tuple[Array, Array]:
    """What a finder sees in the tiles of a picture, and with ``whole`` in all of it.

    Boxes (N, 4) and scores (N,), best first.  A box that ends at a seam gives way to one that holds most of
    it; then the usual suppression.
    """
    tiles = tile_boxes((image.shape[0], image.shape[1]), n_tiles, shared)
    found = [find(np.ascontiguousarray(image[y : y + h, x : x + w])) for x, y, w, h in tiles.tolist()]
    boxes = [b + [*tile[:2], 0, 0] for tile, (b, _) in zip(tiles, found, strict=True)]
    cut = [at_seam(b, tile, image.shape[:2]) for b, tile in zip(boxes, tiles, strict=True)]
    if whole and len(tiles) > 1:
        found.append(find(image))
        boxes.append(found[-1][0])
        cut.append(np.zeros(len(boxes[-1]), bool))
    return merged(boxes, [score for _, score in found], cut, overlap)


def at_seam(boxes: Array, tile: Array, size_hw: tuple[int, ...]) -> Array:
    """(N,) bool: boxes in picture px that end at an edge of their tile (4,), but not of the picture."""
    start, end = tile[:2], tile[:2] + tile[2:]
    before = (boxes[:, :2] <= start + SEAM_PX) & (start > 0)
    after = (boxes[:, :2] + boxes[:, 2:] >= end - SEAM_PX) & (end < [size_hw[1], size_hw[0]])
    return np.asarray((before | after).any(1))


def merged(
    boxes: Sequence[Array], scores: Sequence[Array], cut: Sequence[Array], overlap: float
) -> tuple[Array, Array]:
    """Boxes of all tiles as those of one picture."""
    box, score = np.concatenate([np.zeros((0, 4)), *boxes]), np.concatenate([np.zeros(0), *scores])
    part = np.concatenate([np.zeros(0, bool), *cut])
    inside = box_overlap(box[part], box[~part], part=True).max(1, initial=0) >= INSIDE
    kept = np.ones(len(box), bool)
    kept[np.flatnonzero(part)[inside]] = False
    box, score = box[kept], score[kept]
    rows = suppress(box, score, overlap)
    return box[rows], score[rows]
