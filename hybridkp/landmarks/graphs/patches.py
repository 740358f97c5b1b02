"""The levels of a patch detector: responses of linear experts around each point, and plausible shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...descriptors.gradients import CLIP, NOISE, cells_reach, triangular_window
from ...imaging.geometry import rescale
from ...runtime.builder import Complex, Crop, Points, Tensor, sigmoid
from ...runtime.builder import emit as emitted
from ...structures import InputError
from ..fast_descent import ShapeFrame
from ..frames import frame_size
from ..response import window_offsets
from .histograms import votes
from .pictures import BLURRED, separable, warped
from .steps import frame_of


def emit(node: dict[str, Any], crop: Crop) -> Points:
    if any("trees" in level for level in node["levels"]):
        raise InputError(
            "forests on patches (landmarks) have no ONNX form, since a last bit sends rows through other"
            " leaves: export to a .hkr file instead"
        )
    start, _ = emitted(node["start"], crop)
    shape, z = node["shape"], Complex.points(start)
    mean, k = ShapeFrame.of(shape["mean_"]), len(shape["mean_"])
    for level in node["levels"]:
        scale, s = float(level["scale"]), 2 * int(level["radius"]) + 1
        a, b = frame_of(mean, z, scale, k)
        frame = warped(crop.grey, crop.size_hw, a, b, scale, BLURRED)
        points = a * z + b
        centre = Complex(points.re.round(), points.im.round())
        odds = _responses(frame, frame_size(crop.size_hw, scale), centre, level, node["hog"], k)
        curve = np.asarray(level["curve"], np.float32)
        odds = odds * curve[:, 0, None, None] + curve[:, 1, None, None]
        middle, peak = (part + centre for part in _evidence(odds, s, k))
        base = _plausible(middle, shape, scale, k)
        moved = base
        if "weights_update" in level:
            moved = base + _correction(level, [part - base for part in (middle, peak, points)], k)
        z = (moved - b) * a.inverse()
    raw = _read(odds, moved - centre, s, k)
    final = np.asarray(node["curve"], float)
    score = sigmoid((raw.to(np.float64) * final[:, 0] + final[:, 1]).clip(-30, 30))
    return z.xy().to(np.float32), score.to(np.float32)


def _responses(
    frame: Tensor,
    size_hw: tuple[int, int],
    centre: Complex,
    level: dict[str, Any],
    hog: dict[str, Any],
    k: int,
) -> Tensor:
    """(K, S, S) as :func:`..response.linear_responses` of :func:`..search.dense_windows`."""
    g, n, cells, cell_px = frame.graph, hog["n_orientations"], hog["cells"], hog["cell_px"]
    radius, pad = int(level["radius"]), cells_reach(cells, cell_px)
    h, w = size_hw[0] + 2 * pad, size_hw[1] + 2 * pad
    wide = g.pad_edge(frame, pad, pad, pad, pad)
    maps = separable(votes(wide, (h, w), n, hog["signed"]), n, triangular_window(cell_px))
    energy = separable((maps * maps).sum(0) * 4.0, 1, triangular_window(cell_px))
    maps = (maps / (energy + NOISE**2).sqrt()).at_most(CLIP)
    reach = (cells - 1) * cell_px
    if reach % 2:  # cells' centres lie between pixels
        over = g.pad_edge(maps, 0, 0, 0, 0, 1, 1)
        corners = [over.slice(1, i, h + i).slice(2, j, w + j) for i in (0, 1) for j in (0, 1)]
        maps = (corners[0] + corners[1] + corners[2] + corners[3]) * 0.25
    s, side = 2 * radius + 1, 2 * radius + 1 + reach
    steps = np.arange(side) + float(pad - radius - (reach + reach % 2) // 2)
    columns = (centre.re.reshape(k, 1, 1) + steps).clip(0, w - 1.0)
    rows = (centre.im.reshape(k, 1, 1) + steps[:, None]).clip(0, h - 1.0)
    part = maps.transpose(1, 2, 0).reshape(h * w, n).take((rows * float(w) + columns).to(np.int32))
    weights = np.asarray(level["weights"], np.float32).reshape(k, cells * cells, n)
    by_cell = g.tensor(weights) @ part.reshape(k, side * side, n).transpose(0, 2, 1)
    by_cell = by_cell.reshape(k, cells * cells, side, side)
    total = g.tensor(np.asarray(level["bias"], np.float32)[:, None, None])
    for cell in range(cells * cells):
        y, x = (cell_px * i for i in divmod(cell, cells))
        one = by_cell.slice(1, cell, cell + 1).reshape(k, side, side)
        total = total + one.slice(1, y, y + s).slice(2, x, x + s)
    return total


def _evidence(odds: Tensor, s: int, k: int) -> tuple[Complex, Complex]:
    """Mean and peak of the posterior, from the window's centre: :func:`..response.evidence`."""
    g = odds.graph
    flat = odds.reshape(k, s * s)
    mass = (flat - flat.largest(1)).at_least(-30.0).exp()
    mass = (mass / mass.sum(1)).to(np.float64)
    offset = window_offsets(s // 2).astype(float)
    mean = Complex(*((mass @ offset[:, i, None]).reshape(k) for i in (0, 1)))
    best = g.op("ArgMax", flat, axis=1, keepdims=0, dtype=np.int64)
    wide = flat.to(np.float64).reshape(-1)
    first = best + np.arange(k) * s * s
    place = best.to(np.float64)
    y = (place / float(s)).floor()
    x = place - y * float(s)
    middle = wide.take(first)

    def vertex(step: int, at: Tensor) -> Tensor:
        inside = ((at - (s - 1) / 2).abs() < (s - 1) / 2 - 0.5).to(np.int64) * step
        before, after = wide.take(first - inside), wide.take(first + inside)
        curvature = before - middle * 2.0 + after
        ok = curvature < -1e-12
        shift = (before - after) / g.where(ok, curvature * 2.0, np.ones(1))
        return at + g.where(ok, shift, np.zeros(1)).clip(-0.5, 0.5) - float(s // 2)

    return mean, Complex(vertex(1, x), vertex(s, y))


def _plausible(z: Complex, shape: dict[str, Any], scale: float, k: int) -> Complex:
    """:meth:`..shape.PointDistribution.project` in a frame of ``scale``, all points known."""
    g = z.re.graph
    mean = rescale(np.asarray(shape["mean_"], float), scale).ravel()
    rows, sigma = np.asarray(shape["components_"], float), np.asarray(shape["sigma_"], float) * scale
    noise = float(shape["noise_"]) * scale**2
    system = rows @ rows.T + np.diag(noise / np.maximum(sigma**2, 1e-9))
    inward = np.linalg.solve(system, rows).T if len(rows) else np.zeros((2 * k, 0))
    limit, current = float(shape["limit"]) * sigma, Complex.points(g.tensor(mean.reshape(k, 2)))
    for _ in range(3):
        a, b = _similarity(z, current, k)
        if not len(rows):
            break
        aligned = (a * z + b).xy().reshape(1, 2 * k)
        weights = ((aligned - mean) @ inward).clip(-limit, limit)
        current = Complex.points((weights @ rows + mean).reshape(k, 2))
    return (current - b) * a.inverse()


def _similarity(source: Complex, target: Complex, k: int) -> tuple[Complex, Complex]:
    """(1,) each: ``a z + b`` lays ``source`` over ``target``; the identity where that would be wild."""
    g = source.re.graph
    one, none = np.ones(1), np.zeros(1)
    mean, middle = (part.sum(0, keep=True).scaled(1 / k) for part in (source, target))
    off = source - mean
    power = (off.re * off.re + off.im * off.im).sum(0)
    product = (off.conj() * (target - middle)).sum(0, keep=True)
    enough = power > 1e-9
    safe = g.where(enough, power, one)
    a = Complex(g.where(enough, product.re / safe, one), g.where(enough, product.im / safe, none))
    b = middle - a * mean
    size = a.abs()
    sane = g.op("And", size > 0.1, size < 10.0)
    kept = [
        g.where(sane, part, other) for part, other in ((a.re, one), (a.im, none), (b.re, none), (b.im, none))
    ]
    return Complex(*kept[:2]), Complex(*kept[2:])


def _correction(level: dict[str, Any], parts: list[Complex], k: int) -> Complex:
    g = parts[0].re.graph
    row = g.concat([part.xy().reshape(1, 2 * k) for part in parts], 1).to(np.float32)
    weights = np.asarray(level["weights_update"])
    step = (row.to(weights.dtype) @ weights).to(np.float64) + np.asarray(level["offset_update"], float)
    return Complex.points(step.reshape(k, 2))


def _read(odds: Tensor, offset: Complex, s: int, k: int) -> Tensor:
    """(K,) float32 of windows (K, S, S) at offsets from their centres: :func:`..response.read_windows`."""
    flat = odds.reshape(-1)
    x = (offset.re + float(s // 2)).clip(0, s - 1.0)
    y = (offset.im + float(s // 2)).clip(0, s - 1 - 1e-6)
    x0, y0 = x.floor().at_most(s - 2.0), y.floor()
    fx, fy = ((a - b).to(np.float32) for a, b in ((x, x0), (y, y0)))
    first = (y0 * float(s) + x0 + np.arange(k, dtype=float) * s * s).to(np.int64)

    def blended(step: int) -> Tensor:
        return flat.take(first + step) * (1.0 - fx) + flat.take(first + (step + 1)) * fx

    return blended(0) * (1.0 - fy) + blended(s) * fy
