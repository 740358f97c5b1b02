"""The classical finder: cells of every level of a picture of one size, and what is slid over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...landmarks.graphs.pictures import resized, separable
from ...landmarks.graphs.trees import walked
from ...runtime.builder import Crop, Graph, Tensor, sigmoid
from ...structures import InputError
from ..channels import COLOR_RANGE, CONTRAST_CELLS, NOISE, directions
from ..nodes.windows import model_of
from ..windows import CANDIDATES, FIRST_TREES, WindowModel
from .suppression import kept_boxes

GIVEN_UP = -1e6  #: value of a window that is not worth all trees: its probability is 0


def emit(node: dict[str, Any], crop: Crop) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) float64, picture px, and scores (N,), best first."""
    model, g = model_of(node), crop.graph
    if model.fast:
        raise InputError(
            "windows (detection), cells resampled between octaves: have no ONNX form; export to a .hkr file"
            " instead"
        )
    h, w = model.window_hw
    c = model.channels.n_channels
    values, tables, rows = [], [], []
    first_window, first_cell = 0, 0
    for level, cells, (high, wide) in _levels(model, crop):
        tables.append(cells.transpose(1, 2, 0).reshape(-1, c))
        across = wide - w + 1
        judge = _by_trees if model.trees else _by_rule
        values.append(judge(model, cells, tables[-1], (high - h + 1, across)))
        rows.append([first_window, across, first_cell, wide, *level])
        first_window, first_cell = first_window + across * (high - h + 1), first_cell + high * wide
    if not rows:
        raise InputError("the picture is smaller than the finder's window: give a larger --picture")
    value, index = g.top(g.concat(values), min(CANDIDATES, first_window))
    facts = _facts(g, index, np.array(rows))
    boxes, seen = _windows(model, g.concat(tables), index, facts)
    regression = np.asarray(model.regression, float)
    boxes = _corrected(boxes, seen.to(np.float64) @ regression[:-1] + regression[-1])
    slope, offset = (float(v) for v in model.calibration)
    score = sigmoid(value.to(np.float64) * slope + offset)
    return kept_boxes(boxes, value, score, model.overlap, float(node["min_score"]), vote=True)


def _by_rule(model: WindowModel, cells: Tensor, table: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(N,) float32 of all windows of cells (C, H, W), a linear rule's, as a convolution."""
    g, (h, w) = cells.graph, model.window_hw
    filters = np.asarray(model.linear[:-1], np.float32).reshape(h, w, -1).transpose(2, 0, 1)[None]
    one = g.op("Unsqueeze", cells, g.ints([0]))
    value = g.op("Conv", one, g.tensor(filters), kernel_shape=[h, w]) + np.float32(model.linear[-1])
    return value.reshape(-1)


def _by_trees(model: WindowModel, cells: Tensor, table: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(N,) float32 of all windows, the mean of trees that look at a table (H * W, C) of cells.

    Those that the first trees give up are left at :data:`GIVEN_UP`.
    """
    g, w, (high, across) = cells.graph, model.window_hw[1], size_hw
    c, trees, flat = model.channels.n_channels, model.trees, table.reshape(-1)
    row, rest = np.divmod(np.asarray(trees["feature"], np.int64), w * c)
    offset = row * (across + w - 1) * c + rest
    y, x = (grid.ravel() for grid in np.mgrid[:high, :across])
    said = g.tensor(np.asarray(trees["value"], float))

    def mean(first: Any, root: Any) -> Tensor:
        return said.take(walked(flat, trees, offset, first, root[None])).mean(1).reshape(-1)

    first, root = ((y * (across + w - 1) + x) * c)[:, None], np.asarray(trees["root"])
    passed = g.op("Not", mean(first, root[:FIRST_TREES]) < model.reject)
    left = g.op("Compress", g.tensor(first, np.int32), passed, axis=0)
    at = g.op("Compress", g.ints(np.arange(len(first))), passed, axis=0)
    given_up = g.tensor(np.full(len(first), GIVEN_UP), np.float32)
    return g.op("ScatterElements", given_up, at, mean(left, root).to(np.float32), axis=0)


def _levels(model: WindowModel, crop: Crop) -> Any:
    """For each level its scales and pads (4,), its cells (C, H, W), and (H, W)."""
    g, n, pad = crop.graph, model.channels.cell_px, model.pad
    (height, width), edge = crop.size_hw, pad * n
    for scale, size in model.sizes(height, width):
        size_hw = size[::-1]
        planes = [crop.bgr.take(i) for i in range(3)] if model.channels.color else [crop.grey]
        if size_hw != crop.size_hw:
            planes = [resized(p, crop.size_hw, size_hw, scale < 1) for p in planes]
        picture = g.stack(planes, 0)
        picture = g.pad_edge(picture, 0, edge, edge, 0, edge, edge)
        h, w = ((side + 2 * edge) // n for side in size_hw)
        if h < model.window_hw[0] or w < model.window_hw[1]:
            return
        cells = _cells(model, picture.slice(1, 0, h * n).slice(2, 0, w * n), (h, w))
        yield (size[0] / width, size[1] / height, pad, pad), cells, (h, w)


def _cells(model: WindowModel, picture: Tensor, cells_hw: tuple[int, int]) -> Tensor:
    """(C, H, W) as :meth:`..channels.Cells.cells`, of (3, h, w) where these see colour, else (1, h, w)."""
    g, n, (h, w) = picture.graph, model.channels.cell_px, cells_hw
    color = model.channels.color
    one = g.op("Unsqueeze", Crop(picture, (h * n, w * n)).grey, g.ints([0])) if color else picture
    across, down = g.pad_edge(one, 0, 0, 1, 0, 0, 1), g.pad_edge(one, 0, 1, 0, 0, 1, 0)
    gx = across.slice(2, 2, w * n + 2) - across.slice(2, 0, w * n)
    gy = down.slice(1, 2, h * n + 2) - down.slice(1, 0, h * n)
    planes = g.concat([gx, gy, (gx * gx + gy * gy).sqrt()])
    table = directions(model.channels.n_orientations)
    mixed = g.tensor(table[:, :, None, None])
    mixed = g.op("Conv", g.op("Unsqueeze", planes, g.ints([0])), mixed, kernel_shape=[1, 1]).relu()
    mixed = g.op("AveragePool", mixed, kernel_shape=[n, n], strides=[n, n])
    out = g.op("Squeeze", mixed, g.ints([0]))
    last = len(table) - 1
    contrast = separable(out.slice(0, last, last + 1), 1, np.full(CONTRAST_CELLS, 1 / CONTRAST_CELLS)) + NOISE
    out = (out / contrast).sqrt()
    if not color:
        return out
    small = g.op("AveragePool", g.op("Unsqueeze", picture, g.ints([0])), kernel_shape=[n, n], strides=[n, n])
    small = g.op("Squeeze", small, g.ints([0]))
    small = (small + 0.5).floor() if n == 2 else small.round()
    return g.concat([out, (small - small.mean(1, 2)) / COLOR_RANGE])


def _facts(g: Graph, index: Tensor, rows: Any) -> list[Tensor]:
    """Of windows by their number among all: what :func:`emit` knows of their levels, each (N, 1) float64."""
    after = (g.op("Unsqueeze", index, g.ints([1])).to(np.float64) + 0.5) > rows[:, 0].astype(float)
    level = after.to(np.int64).sum(1, keep=False) - 1
    table = g.tensor(rows.astype(float)).take(level)
    return [table.slice(1, i, i + 1) for i in range(rows.shape[1])]


def _windows(model: WindowModel, cells: Tensor, index: Tensor, facts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) and rows (N, h * w * C) of windows."""
    g, (h, w), n = cells.graph, model.window_hw, model.channels.cell_px
    first, across, cell, wide, scale_x, scale_y, pad_x, pad_y = facts
    place = g.op("Unsqueeze", index, g.ints([1])).to(np.float64) - first
    y = ((place + 0.5) / across).floor()
    x = place - y * across
    shift_y, shift_x = (grid.ravel().astype(float) for grid in np.mgrid[:h, :w])
    at = cell + (y + shift_y) * wide + (x + shift_x)
    seen = g.op("Flatten", cells.take(at.to(np.int64)), axis=1)
    parts = []
    for start, pad, scale, side in ((x, pad_x, scale_x, w * n), (y, pad_y, scale_y, h * n)):
        size = side / model.context
        parts.append((((start - pad) * float(n) + (side - size) / 2) / scale, size / scale))
    return g.concat([parts[0][0], parts[1][0], parts[0][1], parts[1][1]], 1), seen


def _corrected(boxes: Tensor, change: Tensor) -> Tensor:
    """As :func:`..boxes_math.corrected`."""
    low, size = boxes.slice(1, 0, 2), boxes.slice(1, 2, 4)
    centre = low + size * 0.5 + size * change.slice(1, 0, 2).clip(-0.5, 0.5)
    grown = size * change.slice(1, 2, 4).clip(-np.log(2), np.log(2)).exp()
    return boxes.graph.concat([centre - grown * 0.5, grown], 1)
