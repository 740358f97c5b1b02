"""OpenCV's ways with grey pictures (H, W), rounding included, as ONNX operators.

As OpenCV 5 computes them: ``warpAffine`` there interpolates in float32; 4.x rounds positions to 1/32 px.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import rescale
from ...runtime.builder import Complex, Tensor
from ..frames import MAX_ZOOM, frame_size


def padded(maps: Tensor, pad: int) -> Tensor:
    """(C, H + 2 pad, W + 2 pad), the border repeated."""
    return maps.graph.pad_edge(maps, 0, pad, pad, 0, pad, pad) if pad else maps


def separable(maps: Tensor, channels: int, taps: Any, n: int = 0) -> Tensor:
    """(C, H, W) filtered along x and y by (n,) taps, an array or a tensor; the border repeats."""
    g = maps.graph
    n = n if isinstance(taps, Tensor) else len(taps)
    taps = taps if isinstance(taps, Tensor) else g.tensor(taps, np.float32)
    wide = padded(maps, n // 2)
    one = g.op("Unsqueeze", wide, g.ints([0]))
    if channels > 1:
        taps = taps.reshape(1, -1) * np.ones((channels, 1), np.float32)
    for shape in ((channels, 1, 1, n), (channels, 1, n, 1)):
        one = g.op("Conv", one, taps.reshape(*shape), group=channels, kernel_shape=list(shape[2:]))
    return g.op("Squeeze", one, g.ints([0]))


_REACH = 6  #: taps on each side of the widest blur that a frame needs


def blurred_by(maps: Tensor, sigma: Tensor, channels: int) -> Tensor:
    """What ``cv2.GaussianBlur`` makes of a picture (C, H, W) by a ``sigma`` (1,) over :data:`LEAST_BLUR`.

    Fixed point, as OpenCV's 8-bit path: weights in 1/256 whose rounding errors are handed inward.
    """
    g, variance = maps.graph, (sigma * sigma).at_least(1e-3)
    reach = (((variance.sqrt() * 6.0 + 1.0).round() * 0.5).floor()).at_most(float(_REACH))
    steps = np.arange(_REACH, -1, -1, dtype=float)
    taps = (np.square(steps) * -0.5 / variance).exp()
    inside = (g.tensor(steps) - reach) < 0.5
    taps = g.where(inside, taps, np.zeros(1))
    total = (taps * np.where(steps > 0, 2.0, 1.0)).sum(0)
    taps = taps / total * 256.0
    error, kept = g.tensor(np.zeros(1)), []
    for i in range(_REACH):
        wanted = taps.take([i]) + error
        kept.append(wanted.round())
        error = wanted - kept[-1]
    side = g.concat(kept)
    centre = 256.0 - side.sum(0) * 2.0
    shrinks = sigma > LEAST_BLUR
    side = g.where(shrinks, side, np.zeros(1))
    centre = g.where(shrinks, centre, np.full(1, 256.0))
    kernel = g.concat([side, centre, side.slice(0, -1, -(2**31), -1)]).to(np.float32)
    wide = separable(maps, channels, kernel, 2 * _REACH + 1)
    return ((wide + 32768.0) / 65536.0).floor()


def fixed_blur(grey: Tensor, sigma: float) -> Tensor:
    """``cv2.GaussianBlur`` of a grey 8-bit picture by a known Gaussian; 0 leaves it as it is."""
    if sigma <= 0:
        return grey
    g, n = grey.graph, round(sigma * 6 + 1) | 1
    taps = np.exp(-0.5 * ((np.arange(n) - n // 2) / sigma) ** 2)
    taps, error = 256 * taps / taps.sum(), 0.0
    for i in range(n // 2):
        wanted = taps[i] + error
        taps[i] = taps[n - 1 - i] = np.rint(wanted)
        error = wanted - taps[i]
    taps[n // 2] = 256 - 2 * taps[: n // 2].sum()
    wide = g.op("Squeeze", separable(g.op("Unsqueeze", grey, g.ints([0])), 1, taps), g.ints([0]))
    return ((wide + 32768.0) / 65536.0).floor()


LEAST_BLUR = 0.3  #: px; :func:`hybridkp.imaging.warp` leaves out a blur of less
BLURRED = float(1 / np.sqrt(1 + 4 * LEAST_BLUR**2))  #: the size of a map from which on that is


def warped(
    grey: Tensor, size_hw: tuple[int, int], a: Complex, b: Complex, scale: float, below: float = 0.9
) -> Tensor:
    """As :func:`..fast_descent.warp_frame`: the crop in the frame of ``a z + b``, grey levels.

    With ``below`` = :data:`BLURRED` as :func:`..frames.to_frame` of a float32 crop.
    """
    smallest = scale / MAX_ZOOM
    if smallest < below:
        grey = _blurred(grey, a.abs(), smallest, below)
    return interpolated(grey, size_hw, a, b, frame_size(size_hw, scale))


def _blurred(grey: Tensor, size: Tensor, smallest: float, below: float) -> Tensor:
    """``cv2.GaussianBlur`` of floats before a map that shrinks to ``size`` (1,); none from ``below`` on."""
    g, variance = grey.graph, (1.0 / (size * size) - 1.0).at_least(1e-3) * 0.25
    most = int(8 * 0.5 * np.sqrt(1 / smallest**2 - 1) + 1.5) // 2
    steps = np.arange(-most, most + 1, dtype=float)
    reach = ((variance.sqrt() * 8.0 + 1.0).round() * 0.5).floor()
    used = (g.tensor(np.abs(steps)) - g.where(size < below, reach, np.zeros(1))) < 0.5
    taps = g.where(used, (np.square(steps) * -0.5 / variance).exp(), np.zeros(1))
    kernel = (taps / taps.sum(0)).to(np.float32)
    wide = separable(g.op("Unsqueeze", grey, g.ints([0])), 1, kernel, len(steps))
    return g.op("Squeeze", wide, g.ints([0]))


def interpolated(
    maps: Tensor,
    size_hw: tuple[int, int],
    a: Complex,
    b: Complex,
    to_hw: tuple[int, int],
    channels: tuple[int, ...] = (),
) -> Tensor:
    """``cv2.warpAffine`` of (..., H, W) by ``a z + b``, positions in float32; the border repeats."""
    h, w = to_hw
    back = a.inverse()
    shift = b * back
    c, s = back.re.to(np.float32), back.im.to(np.float32)
    x, y = np.arange(w, dtype=float), np.arange(h, dtype=np.float32)[:, None]
    # a multiplication and an addition that are rounded together, as the processor's instruction does it
    rest_x, rest_y = -s * y - shift.re.to(np.float32), c * y - shift.im.to(np.float32)
    at_x = (c.to(np.float64) * x + rest_x.to(np.float64)).to(np.float32)
    at_y = (s.to(np.float64) * x + rest_y.to(np.float64)).to(np.float32)
    return read_pixels(maps, size_hw, at_x, at_y, channels)


def read_pixels(
    maps: Tensor, size_hw: tuple[int, int], at_x: Tensor, at_y: Tensor, channels: tuple[int, ...] = ()
) -> Tensor:
    """``cv2.remap`` of (..., H, W) at places (h, w) float32, not rounded; the border repeats."""
    low_x, low_y = at_x.floor(), at_y.floor()
    fx, fy = at_x - low_x, at_y - low_y
    most_y, most_x = size_hw[0] - 1.0, size_hw[1] - 1.0
    x0, x1 = low_x.clip(0, most_x), (low_x + 1.0).clip(0, most_x)
    y0, y1 = low_y.clip(0, most_y) * float(size_hw[1]), (low_y + 1.0).clip(0, most_y) * float(size_hw[1])
    flat = maps.reshape(*channels, -1)

    def read(row: Tensor, column: Tensor) -> Tensor:
        return flat.take((row + column).to(np.int32), -1)

    first = read(y0, x0)
    top = first + fx * (read(y0, x1) - first)
    second = read(y1, x0)
    bottom = second + fx * (read(y1, x1) - second)
    return top + fy * (bottom - top)


def resized(grey: Tensor, size_hw: tuple[int, int], to_hw: tuple[int, int], area: bool) -> Tensor:
    """``cv2.resize`` of a grey 8-bit picture: averages (INTER_AREA) or INTER_LINEAR."""
    if size_hw == to_hw:
        return grey
    return _by_area(grey, size_hw, to_hw) if area else _linear(grey, size_hw, to_hw)


def _by_area(grey: Tensor, size_hw: tuple[int, int], to_hw: tuple[int, int]) -> Tensor:
    for axis in (1, 0):
        index, weight = _shares(size_hw[axis], to_hw[axis])
        # in OpenCV's order: sums in float32
        parts = [grey.take(i, axis) * (s if axis else s[:, None]) for i, s in zip(index, weight, strict=True)]
        grey = sum(parts[1:], parts[0])
    halves = all(n == 2 * m for n, m in zip(size_hw, to_hw, strict=True))  # whole numbers there, rounded up
    return (grey + 0.5).floor() if halves else grey.round()


def _shares(n: int, m: int) -> tuple[Any, Any]:
    """(T, m) pixels and float32 weights of the average that each of m pixels is of n."""
    cell = n / m
    overlap = np.zeros((m, n))
    for i in range(m):
        j = np.arange(n)
        overlap[i] = np.clip(np.minimum((i + 1) * cell, j + 1) - np.maximum(i * cell, j), 0, None) / cell
    overlap[overlap < 1e-9] = 0
    first, count = (overlap > 0).argmax(1), (overlap > 0).sum(1).max()
    index = np.minimum(first[:, None] + np.arange(count), n - 1)
    weight = np.take_along_axis(overlap, index, 1)
    weight[first[:, None] + np.arange(count) > n - 1] = 0
    return index.T, weight.T.astype(np.float32)


def _linear(grey: Tensor, size_hw: tuple[int, int], to_hw: tuple[int, int]) -> Tensor:
    """11-bit weights; the second pass drops four and sixteen bits, and rounds by two."""
    (y0, y1, v0, v1), (x0, x1, u0, u1) = (_taps(n, m) for n, m in zip(size_hw, to_hw, strict=True))
    grey = grey.to(np.float64)  # products reach 2^26, which float32 does not keep whole
    rows = ((grey.take(x0, 1) * u0 + grey.take(x1, 1) * u1) / 16.0).floor()
    upper, lower = rows.take(y0) * v0[:, None], rows.take(y1) * v1[:, None]
    total = (upper / 65536.0).floor() + (lower / 65536.0).floor()
    return ((total + 2.0) / 4.0).floor().to(np.float32)


def _taps(n: int, m: int) -> tuple[Any, Any, Any, Any]:
    place = rescale(np.arange(m), n / m)
    low = np.floor(place).astype(int)
    part = (place - low).astype(np.float32).astype(float)
    low, high = np.clip(low, 0, n - 1), np.clip(low + 1, 0, n - 1)
    return low, high, np.rint((1 - part) * 2048), np.rint(part * 2048)
