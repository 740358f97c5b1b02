"""A linear stacked regressor in the frame of the mean shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.builder import Complex, Crop, Points, logit, members, sigmoid
from ..nodes.stacking import MAX_ZOOM


def emit(node: dict[str, Any], crop: Crop) -> Points:
    g = crop.graph
    xy, score = members(node, crop)
    m, k = node["weights"].shape
    share = node["weights"] / node["weights"].sum(axis=0)
    # the base is float32 in the library, too
    base = (xy * share[:, :, None]).sum(0, keep=False).to(np.float32).to(np.float64)
    mean = np.asarray(node["mean"], float)
    target = mean[:, 0] + 1j * mean[:, 1]
    z, centred = Complex.points(base), target - target.mean()
    middle = z.sum(0, keep=True).scaled(1 / k)
    off = z - middle
    power = (off.re * off.re + off.im * off.im).sum(0)
    product = (off.conj() * Complex.of(g, centred)).sum(0, keep=True)
    enough = power > 1e-9
    one, none = np.ones(1), np.zeros(1)
    safe = g.where(enough, power, one)
    ratio = Complex(g.where(enough, product.re / safe, one), g.where(enough, product.im / safe, none))
    size = ratio.abs()
    ratio = Complex(g.where(size > 1e-9, ratio.re, one), g.where(size > 1e-9, ratio.im, none))
    size = ratio.abs()
    linear = ratio.scaled(size.clip(1 / MAX_ZOOM, MAX_ZOOM) / size.at_least(1e-9))
    apart = xy - base
    offset = Complex(apart.take(0, 2), apart.take(1, 2)) * linear  # (M, K)
    offsets = g.stack([offset.re, offset.im], 2).transpose(1, 0, 2).reshape(k, 2 * m)
    shape = (off * ratio - Complex.of(g, centred)).xy()
    seen = g.concat([offsets, logit(score).transpose(1, 0), shape], 1)  # (K, 3M + 2)
    rows = seen.take(np.asarray(node["neighbours"], np.int64)).reshape(k, 1, -1)
    move = (rows @ np.asarray(node["coefficients"], float)).reshape(k, 2) + np.asarray(node["offset"], float)
    moved = (Complex.points(move) * linear.inverse()).xy()
    slope, level = (float(c) for c in node["calibration"])
    confidence = sigmoid(logit(score).mean(0).reshape(k) * slope + level)
    return (base + moved).to(np.float32), confidence.to(np.float32)
