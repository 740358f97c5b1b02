"""Crops of boxes as ONNX operators: :func:`hybridkp.imaging.warp` without a turn, rounding included.

A picture (3, H, W) of any size, whole numbers in float32, and a map of scale and shift come in; what the
library cuts out of such a picture comes out.  Boxes are float64 (4,).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...landmarks.graphs.pictures import blurred_by
from ...runtime.builder import Graph, Tensor
from ...structures import Array
from ..top_down import SAME


class Map(NamedTuple):
    """From picture to crop: ``x' = scale x + shift``, each (1,) float64."""

    scale: Tensor
    x: Tensor
    y: Tensor

    def back(self, xy: Tensor) -> Tensor:
        """Points (K, 2) of the crop in the picture, float64."""
        shift = self.scale.graph.concat([self.x, self.y]).reshape(1, 2)
        return (xy.to(np.float64) - shift) / self.scale


def box_map(box: Tensor, size_hw: tuple[int, int], margin: float) -> Map:
    """As :func:`hybridkp.imaging.crop_matrix` of a box (4,) float64."""
    h, w = size_hw
    x, y, wide, high = (box.slice(0, i, i + 1) for i in range(4))
    if h == w:
        scale = float(w) / (wide.at_least(high) * margin)
    else:
        scale = (float(w) / wide).at_most(float(h) / high) / margin
    half = (scale - 1.0) * 0.5
    return Map(scale, w / 2 - scale * (x + wide * 0.5) + half, h / 2 - scale * (y + high * 0.5) + half)


def around(xy: Tensor, box: Tensor, change: Array) -> Tensor:
    """The box (4,) laid around points (K, 2) by ``change``, or ``box`` where the two overlap too little.

    As :meth:`hybridkp.detection.TopDown.detect` has it for its second look.
    """
    low, high = -((-xy).largest(0)), xy.largest(0)
    size = (high - low).at_least(1.0).reshape(2)
    shift = np.clip(change[:2], -0.5, 0.5) + 0.5
    centre = low.reshape(2) + 0.5 + size * shift
    size = size * np.exp(np.clip(change[2:], -np.log(2), np.log(2)))
    other = xy.graph.concat([centre - size * 0.5, size])
    ends = [(b.slice(0, 0, 2), b.slice(0, 0, 2) + b.slice(0, 2, 4)) for b in (box, other)]
    shared = ends[0][1].at_most(ends[1][1]) - ends[0][0].at_least(ends[1][0])
    both, own, new = (_area(side) for side in (shared.at_least(0.0), box.slice(0, 2, 4), size))
    return xy.graph.where(both < (own + new - both) * SAME, box, other)


def mean_of(first: dict[str, Tensor], again: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two looks at an object as one, as :class:`hybridkp.detection.TopDown` has it."""
    weights = []
    for look in (first, again):
        mean = look["score"].to(np.float64).reshape(-1).mean(0).at_least(1e-6)
        weights.append(mean * mean * (mean * mean))
    share = weights[1] / (weights[0] + weights[1])
    out = dict(again)
    for name in [name for name in again if name != "covariance"]:
        one, other = (look[name].to(np.float64) for look in (first, again))
        out[name] = one + (other - one) * share
    return out


def _area(size: Tensor) -> Tensor:
    return size.slice(0, 0, 1) * size.slice(0, 1, 2)


def cut(picture: Tensor, to_crop: Map, size_hw: tuple[int, int]) -> Tensor:
    """(3, h, w) as :func:`hybridkp.imaging.crops.cut`."""
    g, s = picture.graph, to_crop.scale
    sigma = (1.0 / (s * s) - 1.0).at_least(0.0).sqrt() * 0.5
    factor = (0.5 / s).floor()
    far = factor > 1.0
    factor = g.where(far, factor, np.ones(1))
    lines = []
    for axis, n, shift in ((2, size_hw[1], to_crop.x), (1, size_hw[0], to_crop.y)):
        lines.append(_seen(g, picture, axis, n, shift, s, sigma, factor))
    part = picture
    for line in lines:
        part = g.op("Slice", part, line.start, line.end, g.ints([line.axis]))
        part = _averaged(part, line)
    both = lines[0].ratio * lines[1].ratio
    part = g.where(both > 3.99, g.where(both < 4.01, (part + 0.5).floor(), part.round()), part.round())
    left = (sigma * sigma - (factor * factor - 1.0) / 12.0).at_least(0.0).sqrt() / factor
    part = blurred_by(part.to(np.float32), g.where(far, left, sigma), 3)
    for line, n in zip(reversed(lines), size_hw, strict=True):
        part = _read(part, line, n)
    return part.round()


class _Line(NamedTuple):
    """The part of an axis that a crop sees: :func:`hybridkp.imaging.warp` before it warps."""

    axis: int
    start: Tensor  #: (1,) int64
    end: Tensor
    made: Tensor  #: (1,) float64, pixels that it is averaged to
    ratio: Tensor  #: (1,) float64, pixels of the part to each of them
    scale: Tensor  #: (1,) float64, of those pixels to the crop
    shift: Tensor


def _seen(
    g: Graph, picture: Tensor, axis: int, n: int, shift: Tensor, s: Tensor, sigma: Tensor, factor: Tensor
) -> _Line:
    side = g.op("Shape", picture, start=axis, end=axis + 1, dtype=np.int64).to(np.float64)
    pad = -((sigma * -3.0).floor()) + 2.0
    low, high = -shift / s, (n - 1.0 - shift) / s
    start = (low.floor() - pad).at_least(0.0).at_most(side - 1.0)
    end = (-((-high).floor()) + pad + 1.0).at_least(start + 1.0).at_most(side)
    part = end - start
    made = (part / factor).round().at_least(1.0)
    ratio = part / made
    moved = shift + s * start  # of the part's own coordinates
    scale = s * ratio
    return _Line(
        axis,
        start.to(np.int64),
        end.to(np.int64),
        made,
        ratio,
        scale,
        moved + s * (ratio * 0.5 - 0.5),
    )


def _averaged(part: Tensor, line: _Line) -> Tensor:
    """Means over ``ratio`` pixels, shares of those at the ends included: running sums, subtracted."""
    g, axis = part.graph, line.axis
    whole = g.op("CumSum", part.to(np.float64), g.ints(axis))
    pads = [0] * 6
    pads[axis] = 1
    total = g.op("Pad", whole, g.ints(pads))
    edges = g.op("Range", g.tensor(0, float), (line.made + 1.0).reshape(), g.tensor(1, float)) * line.ratio
    last = (line.ratio * line.made).round()
    low = (edges + 1e-9).floor().at_most(last)
    share = (edges - low).at_least(0.0)
    high = (low + 1.0).at_most(last)
    shape = [1, 1, -1] if axis == 2 else [1, -1, 1]
    first = total.take(low.to(np.int64), axis)
    upto = first + (total.take(high.to(np.int64), axis) - first) * share.reshape(*shape)
    far = 2**31
    return (upto.slice(axis, 1, far) - upto.slice(axis, 0, -1)) / line.ratio


def _read(part: Tensor, line: _Line, n: int) -> Tensor:
    """``cv2.warpAffine`` along one axis: positions in float32, the border repeats."""
    g, axis = part.graph, line.axis
    back = (1.0 / line.scale).to(np.float32).to(np.float64)
    rest = (-line.shift / line.scale).to(np.float32).to(np.float64)
    at = (back * np.arange(n, dtype=float) + rest).to(np.float32)
    low = at.floor()
    share = (at - low).reshape(*([1, 1, n] if axis == 2 else [1, n, 1]))
    most = line.made.to(np.float32) - 1.0
    zero = g.tensor(0, np.float32)
    first = part.take(low.at_least(zero).at_most(most).to(np.int64), axis)
    second = part.take((low + 1.0).at_least(zero).at_most(most).to(np.int64), axis)
    return first + (second - first) * share
