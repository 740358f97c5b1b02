"""A learned window, slid over the pyramid of a picture: what :class:`.WindowFinder` learns is applied here.

All windows of a level are judged at once: a linear rule as a convolution over its cells, trees as gathers
from them.  NumPy and OpenCV only: an exported finder runs from here.  Pictures (h, w[, 3]) uint8 come in,
boxes (N, 4) and scores (N,) go out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..imaging.geometry import crop_matrix, warp
from ..imaging.images import to_grey
from ..landmarks.trees import checked_packed, packed_leaves
from ..stats.calibration import probability
from ..structures import Array, InputError, short_repr
from .boxes_math import corrected, suppress, voted
from .channels import Cells

MOST_ZOOM = 3.0  #: a picture is enlarged at most so much for its smallest objects
CANDIDATES = 300  #: windows of a picture that are looked at more closely, the best ones
AROUND = 2  #: cells around a window that is looked at alone, for their contrast
FIRST_TREES = 8  #: that every window is shown to; the others are for those that pass


class Level(NamedTuple):
    """One level of a picture, padded, as cells."""

    cells: Array  #: (H, W, C) float32
    scale: Array  #: (2,) level px per picture px, x and y
    pad: Array  #: (2,) cells added on each side, x and y


class Windows(NamedTuple):
    """Windows of a picture."""

    box: Array  #: (N, 4) picture px
    raw: Array  #: (N,) the rule's own value
    rows: Array  #: (N, h * w * C) their cells


@dataclass(frozen=True, eq=False)
class WindowModel:
    """What is slid, and how its answers become boxes.

    Parameters
    ----------
    channels : of the cells
    window_hw : cells
    context : window side / box side
    least_px : square root of the area of the smallest box that is looked for
    octave : levels of the pyramid per factor of two
    overlap : of two boxes, above which the better one stays
    linear : (h * w * C + 1,) weights and, last, their offset; empty where there are trees
    trees : as :func:`hybridkp.landmarks.trees.packed` makes them with leaves' ``value``; empty where linear
    reject : a window whose first trees' mean is lower is given up
    regression : (h * w * C + 1, 4), the correction of a box from its window's cells
    calibration : (2,), raw value to probability
    fast : cells are computed once an octave of the pyramid and resampled in between
    """

    channels: Cells
    window_hw: tuple[int, int]
    context: float
    least_px: float
    octave: int
    overlap: float
    linear: Array
    trees: dict[str, Any]
    reject: float
    regression: Array
    calibration: Array
    fast: bool = False

    __repr__ = short_repr

    def __post_init__(self) -> None:
        (h, w), n = self.window_hw, self.n_features
        sane = 2 <= h <= 64 and 2 <= w <= 64 and 1 <= self.channels.cell_px <= 32
        sane &= 1 <= self.context <= 4 and self.least_px >= 1 and 1 <= self.octave <= 16
        sane &= 2 <= self.channels.n_orientations <= 64 and 0 < self.overlap <= 1
        sane &= (
            self.regression.shape == (n + 1, 4) and self.calibration.shape == (2,) and self.calibration[0] > 0
        )
        sane &= self.linear.shape == (0,) if self.trees else self.linear.shape == (n + 1,)
        arrays = (self.linear, self.regression, self.calibration)
        if not sane or not all(a.dtype.kind == "f" and np.isfinite(a).all() for a in arrays):
            raise InputError("a window finder's parts do not fit together: train it again")
        if self.trees:
            try:
                checked_packed(self.trees, n, 1, value=0)
            except ValueError as error:
                raise InputError(f"a window finder's trees are damaged ({error}): train it again") from None

    @property
    def n_features(self) -> int:
        return self.window_hw[0] * self.window_hw[1] * self.channels.n_channels

    def find(self, image: Array, least: float) -> tuple[Array, Array]:
        """Boxes (N, 4) of a uint8 picture and their probabilities (N,) of at least ``least``."""
        slope, offset = self.calibration
        least = min(max(least, 1e-9), 1 - 1e-9)
        boxes, raw = self.judged(image, float((np.log(least / (1 - least)) - offset) / slope))
        return boxes, probability(raw, self.calibration)

    def judged(self, image: Array, least_raw: float) -> tuple[Array, Array]:
        """Corrected boxes (N, 4) and raw values (N,), best first, that no better one overlaps.

        Those that are suppressed still say where the better one lies.
        """
        found = self.windows(image, least_raw)
        boxes = corrected(found.box, found.rows @ self.regression[:-1] + self.regression[-1])
        kept = suppress(boxes, found.raw, self.overlap)
        return voted(boxes, probability(found.raw, self.calibration), kept), found.raw[kept]

    def windows(self, image: Array, least_raw: float) -> Windows:
        """The :data:`CANDIDATES` best windows of a picture whose raw value is at least ``least_raw``."""
        box, raw, rows = [np.zeros((0, 4))], [np.zeros(0)], [np.zeros((0, self.n_features), np.float32)]
        for level in self.levels(image):
            y, x, value = self.response(level.cells, least_raw)
            best = np.argsort(-value, kind="stable")[:CANDIDATES]
            y, x = y[best], x[best]
            box.append(self.boxes(level, y, x))
            raw.append(value[best])
            rows.append(self.rows(level.cells, y, x))
        boxes, raws = np.concatenate(box), np.concatenate(raw)
        order = np.argsort(-raws, kind="stable")[:CANDIDATES]
        return Windows(boxes[order], raws[order], np.concatenate(rows)[order])

    def at(self, image: Array, boxes: Array) -> tuple[Array, Array]:
        """Boxes (N, 4) as they are corrected, and raw values (N,), of a window laid on each."""
        (h, w), n = self.window_hw, self.channels.cell_px
        image = image if self.channels.color else to_grey(image)
        side = np.sqrt(boxes[:, 2:].prod(1, keepdims=True) / (h * w))  # of a cell's share of the box
        centre, shape = boxes[:, :2] + boxes[:, 2:] / 2, side * [w, h]
        size, rows = ((h + 2 * AROUND) * n, (w + 2 * AROUND) * n), np.zeros((len(boxes), self.n_features))
        for row, middle, cell in zip(rows, centre, side * self.context, strict=True):
            seen = cell * [w + 2 * AROUND, h + 2 * AROUND]
            crop = warp(image, crop_matrix([*(middle - seen / 2), *seen], size, 1.0), size)
            row[:] = self.channels.cells(crop)[AROUND : AROUND + h, AROUND : AROUND + w].ravel()
        change = rows @ self.regression[:-1] + self.regression[-1]
        return corrected(np.concatenate([centre - shape / 2, shape], 1), change), self.values(rows)

    def values(self, rows: Array) -> Array:
        """(N,) raw values of rows (N, h * w * C)."""
        if self.trees:
            return tree_mean(self.trees, rows, self.trees["root"])
        return np.asarray(rows @ self.linear[:-1] + self.linear[-1])

    def levels(self, image: Array) -> Iterator[Level]:
        """The pyramid, from the level in which the smallest object fills the window's box.

        Where ``fast``, cells are computed once an octave and resampled in between.
        """
        (h, w), pad = self.window_hw, self.pad
        height, width = image.shape[:2]
        image = image if self.channels.color else to_grey(image)  # once, not on every level
        for scale, size in self.sizes(height, width):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            level = image if size == (width, height) else cv2.resize(image, size, interpolation=how)
            edge = pad * self.channels.cell_px
            level = cv2.copyMakeBorder(level, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
            whole = self.channels.cells(level)
            resampled = self.octave if self.fast else 1
            for step in range(resampled):
                factor = 2 ** (-step / self.octave)
                part = round(whole.shape[1] * factor), round(whole.shape[0] * factor)
                if part[0] < w or part[1] < h:
                    return
                cells = whole if step == 0 else _resized(whole, part)
                moved = np.array(part) / [whole.shape[1], whole.shape[0]]
                yield Level(cells, np.array(size) / [width, height] * moved, pad * moved)

    @property
    def pad(self) -> int:
        """Cells that are added on each side of a level."""
        return max(1, min(self.window_hw) // 3)

    def sizes(self, height: int, width: int) -> Iterator[tuple[float, tuple[int, int]]]:
        """Scales, and (width, height) of the levels whose cells are computed, without end."""
        h, w = self.window_hw
        base = self.channels.cell_px * float(np.sqrt(h * w)) / self.context
        scale = min(base / self.least_px, MOST_ZOOM)
        while True:
            yield scale, (max(1, round(width * scale)), max(1, round(height * scale)))
            scale *= 2 ** (-(self.octave if self.fast else 1) / self.octave)

    def response(self, cells: Array, least: float) -> tuple[Array, Array, Array]:
        """Rows, columns and raw values of all windows of (H, W, C) with a value of at least ``least``."""
        h, w = self.window_hw
        if self.trees:
            return self._by_trees(cells, least)
        table = self.linear[:-1].reshape(h, w, -1).astype(np.float32)
        high, wide = cells.shape[0] - h + 1, cells.shape[1] - w + 1
        value = np.full((high, wide), self.linear[-1], np.float32)
        for plane, weights in zip(np.moveaxis(cells, 2, 0), np.moveaxis(table, 2, 0), strict=True):
            plane, weights = np.ascontiguousarray(plane), np.ascontiguousarray(weights)
            value += cv2.filter2D(plane, cv2.CV_32F, weights, anchor=(0, 0))[:high, :wide]
        y, x = np.nonzero(value >= least)
        return y, x, value[y, x]

    def _by_trees(self, cells: Array, least: float) -> tuple[Array, Array, Array]:
        h, w = self.window_hw
        high, wide, c = cells.shape[0] - h + 1, cells.shape[1] - w + 1, cells.shape[2]
        y, x = (grid.ravel() for grid in np.mgrid[:high, :wide])
        trees, flat = self.trees, np.ascontiguousarray(cells).ravel()
        row, rest = np.divmod(trees["feature"], w * c)
        offset = row * cells.shape[1] * c + rest  # from a window's first value to the node's
        start = (y * cells.shape[1] + x) * c

        def mean(start: Array, root: Array) -> Array:
            node = np.broadcast_to(root, (len(start), len(root)))
            for _ in range(trees["depth"]):
                above = flat[start[:, None] + offset[node]] > trees["threshold"][node]
                node = np.where(above, trees["right"][node], trees["left"][node])
            return trees["value"][node].mean(1, dtype=float)

        first = mean(start, trees["root"][:FIRST_TREES])
        passed = first >= self.reject
        y, x, start = y[passed], x[passed], start[passed]
        value = mean(start, trees["root"])
        kept = value >= least
        return y[kept], x[kept], value[kept]

    def rows(self, cells: Array, y: Array, x: Array) -> Array:
        """(N, h * w * C) float32, the cells of windows."""
        view = np.lib.stride_tricks.sliding_window_view(cells, self.window_hw, (0, 1))  # (.., .., C, h, w)
        return view[y, x].transpose(0, 2, 3, 1).reshape(len(y), self.n_features)

    def boxes(self, level: Level, y: Array, x: Array) -> Array:
        """(N, 4) of windows, picture px."""
        side = np.array(self.window_hw[::-1]) * self.channels.cell_px
        corner = (np.stack([x, y], 1) - level.pad) * self.channels.cell_px
        size = side / self.context
        low = (corner + (side - size) / 2) / level.scale
        return np.concatenate([low, np.broadcast_to(size / level.scale, low.shape)], 1)


def tree_mean(trees: dict[str, Any], rows: Array, root: Array) -> Array:
    """(N,) mean of the trees that start at ``root`` (T,), of rows (N, D)."""
    return np.asarray(trees["value"][packed_leaves(trees, rows, root)].mean(1, dtype=float))


def _resized(cells: Array, size: tuple[int, int]) -> Array:
    """Cells (H, W, C) on a coarser grid of (width, height)."""
    return np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR))
