"""What every local feature shares: the picture at the door, order, budget, and tiles for huge pictures.

Grey uint8 pictures go through here, and :class:`~hybridkp.structures.Keypoints` with their rows.
Never here: a method's name, matching, learning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..imaging.images import as_uint8, to_grey
from ..structures import Array, InputError, Keypoints, Parameters, check_whole

#: px; larger pictures are worked tile by tile.  SIFT keeps about 240 bytes per pixel: 1 GB.
MAX_PIXELS = 1 << 22
#: px around a tile's core that are looked at too: blobs and patches up to this reach are whole
MARGIN = 192
#: px; no classical detector finds anything in less, and some of them crash there
MIN_SIDE = 16

_GRID = 64  # px; tiles begin on this grid, so that octaves are sampled as in the whole picture


class Tile(NamedTuple):
    """A part of a picture: what is looked at, and the core whose points it owns."""

    window: tuple[slice, slice]  #: rows, columns
    origin_xy: Array  #: (2,) float32, the window's first pixel
    core: tuple[float, float, float, float]  #: left, top, right, bottom; right and bottom excluded

    def owns(self, xy: Array) -> Array:
        """(N,) bool: the points (N, 2), in px of the picture, that lie in the core."""
        left, top, right, bottom = self.core
        x, y = xy[:, 0], xy[:, 1]
        inside: Array = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        return inside


def picture(image: Array) -> Array:
    """Any picture as uint8; one that is a single pixel thin is doubled, as nothing is found in it.

    Raises
    ------
    InputError
        By the rules of :func:`hybridkp.imaging.images.as_uint8`.
    """
    image = np.asarray(image)
    if image.ndim in (2, 3) and min(image.shape[:2]) == 1:
        image = np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)
    return as_uint8(image)


def grey_picture(image: Array) -> Array:
    """:func:`picture` as (H, W) uint8."""
    return to_grey(picture(image))


def tiles(size_hw: tuple[int, int]) -> list[Tile]:
    """One tile for a picture of up to ``MAX_PIXELS``, else tiles of about as many, with margins.

    Every point of the plane, outside the picture too, lies in exactly one core.
    """
    h, w = size_hw
    if h * w <= MAX_PIXELS:
        everywhere = -np.inf, -np.inf, np.inf, np.inf
        return [Tile((slice(0, h), slice(0, w)), np.zeros(2, np.float32), everywhere)]
    side = max(int(MAX_PIXELS**0.5) - 2 * MARGIN, _GRID) // _GRID * _GRID
    down, along = list(_spans(h, side)), list(_spans(w, side))
    return [
        Tile((rows, columns), np.array([columns.start, rows.start], np.float32), (left, top, right, bottom))
        for rows, top, bottom in down
        for columns, left, right in along
    ]


def _spans(length: int, side: int) -> Iterator[tuple[slice, float, float]]:
    """Windows along one axis, each with the first and the last border of its core."""
    count = -(-length // side)
    for i in range(count):
        low, high = i * side, min((i + 1) * side, length)
        first = max(low - MARGIN, 0) // _GRID * _GRID
        yield (
            slice(first, min(high + MARGIN, length)),
            low - 0.5 if i else -np.inf,
            high - 0.5 if i < count - 1 else np.inf,
        )


def best_first(points: Keypoints, n_points: int) -> Array:
    """Indices of the ``n_points`` best, best first.

    Equal scores are ordered by place, then size, then angle: two runs agree, on any number of
    threads.
    """
    angle = np.where(np.isnan(points.angle), -1.0, points.angle)
    x, y = points.xy.T
    return np.lexsort((angle, points.size, x, y, -points.score))[:n_points]


def moved(points: Keypoints, by_xy: Array) -> Keypoints:
    """The same points, shifted; columns of the detector's own bookkeeping are kept."""
    return Keypoints(points.xy + by_xy, points.score, points.size, points.angle, points.octave, points.label)


def join(parts: list[Keypoints]) -> Keypoints:
    """Keypoints one after another."""
    names = "xy", "score", "size", "angle", "octave", "label"
    return Keypoints(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


class TiledFeature(Parameters):
    """A :class:`~hybridkp.structures.LocalFeature` made of work on one grey tile.

    A subclass has the parameter ``n_points`` and writes ``_find`` (points and rows of a tile;
    rows may be None when they are not asked for), ``_rows`` (rows at given points of a tile, and
    which of them are real), ``norm`` and ``n_features``.
    """

    norm = "L2"
    n_points: int

    @property
    def n_features(self) -> int:
        raise NotImplementedError

    def detect(self, image: Array) -> Keypoints:
        """The ``n_points`` best interest points of a picture, best first.

        Parameters
        ----------
        image : (H, W) or BGR (H, W, 3)
            uint8, or what :func:`hybridkp.imaging.images.as_uint8` takes.

        Raises
        ------
        InputError
            For a picture that is none, and parameters out of range.
        """
        return self._search(image, False)[0]

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """:meth:`detect` and the points' rows in one pass: (N, D), row i for keypoint i."""
        return self._search(image, True)

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        """Rows at given points, of any detector, in any order.

        Returns
        -------
        (N, D) float32 or uint8
            Row i for keypoint i; zero where the method can give none (for most, at the border).

        Raises
        ------
        InputError
            For a picture that is none, points that are not finite, sizes that are not positive.
        """
        self.check_numbers()
        grey = grey_picture(image)
        out = self._no_rows(len(keypoints))
        if not np.isfinite(keypoints.xy).all():
            raise InputError(f"{type(self).__name__}: keypoints must be finite, drop NaN before describing")
        if not (np.isfinite(keypoints.size) & (keypoints.size > 0)).all():
            raise InputError(f"{type(self).__name__}: keypoint sizes must be positive px")
        for tile in tiles(grey.shape):
            mine = np.flatnonzero(tile.owns(keypoints.xy))
            if len(mine):
                part = np.ascontiguousarray(grey[tile.window])
                out[mine] = self._rows(part, moved(keypoints[mine], -tile.origin_xy))[0]
        return out

    def _search(self, image: Array, describe: bool) -> tuple[Keypoints, Array]:
        self.check_numbers()
        n = check_whole(self.n_points, f"{type(self).__name__}: n_points", 1)
        grey = grey_picture(image)
        parts, rows = [Keypoints(np.zeros((0, 2)))], [self._no_rows(0)]
        for tile in tiles(grey.shape):
            part = np.ascontiguousarray(grey[tile.window])
            if min(part.shape) < MIN_SIDE:
                continue
            points, found = self._find(part, n, describe)
            points = moved(points, tile.origin_xy)
            mine = np.flatnonzero(tile.owns(points.xy))
            mine = mine[best_first(points[mine], int(n))]
            parts.append(points[mine])
            rows.append(self._no_rows(0) if found is None else found[mine])
        points, table = join(parts), np.concatenate(rows)
        if len(parts) <= 2:  # one tile: in order already
            return points, table
        order = best_first(points, int(n))
        return points[order], table[order] if describe else table

    def _no_rows(self, n: int) -> Array:
        return np.zeros((n, self.n_features), np.float32 if self.norm == "L2" else np.uint8)

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        raise NotImplementedError

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        raise NotImplementedError


class OpenCVFeature(TiledFeature):
    """Detection and rows of one ``cv2.Feature2D`` that finds both in one pass."""

    def _make(self, n_points: int) -> Any:
        raise NotImplementedError

    def _multiple(self) -> int:
        """Sides that are a multiple of this are halved without a rest, as OpenCV takes for granted."""
        return 1

    def _filled(self, grey: Array) -> Array:
        """The picture with its last row and column repeated up to the multiple."""
        down, right = (-side % self._multiple() for side in grey.shape)
        if not (down or right):
            return grey
        return np.asarray(cv2.copyMakeBorder(grey, 0, down, 0, right, cv2.BORDER_REPLICATE))

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        method, filled = self._make(n_points), self._filled(grey)
        if describe:
            found, rows = method.detectAndCompute(filled, None)
        else:
            found, rows = method.detect(filled), None
        points = from_cv2(found)
        if filled is not grey:
            inside = (points.xy < np.array(grey.shape[::-1]) - 0.5).all(axis=1)
            points, rows = points[inside], None if rows is None else rows[inside]
        order = best_first(points, n_points)
        if describe:
            rows = self._no_rows(0) if rows is None else rows[order]
        return points[order], rows


def from_cv2(found: Any) -> Keypoints:
    """OpenCV's keypoints without its bookkeeping in ``class_id``, which is not a landmark's index."""
    points = Keypoints.from_cv2(found)
    return Keypoints(points.xy, points.score, points.size, points.angle, points.octave)


def within_reach(points: Keypoints, grey: Array) -> tuple[Array, Array]:
    """Places (N, 2) at most a pixel outside the picture, and sizes (N,) no larger than it.

    Beyond that there is nothing to see, and some of OpenCV's indices would overflow.
    """
    h, w = grey.shape
    xy = np.clip(points.xy, -1.0, [w, h]).astype(np.float32)
    return xy, np.minimum(points.size, max(h, w)).astype(np.float32)


def aligned_rows(method: Any, grey: Array, given: tuple[Any, ...], out: Array) -> tuple[Array, Array]:
    """``method.compute`` with its rows put back by ``class_id``; which of ``out`` (zeros) were filled."""
    kept, rows = method.compute(grey, given)
    order = [p.class_id for p in kept]
    real = np.zeros(len(out), bool)
    if rows is not None and order:
        out[order], real[order] = rows, True
    return out, real
