"""What cascades share: laying a mean shape over points, and a score from how far they went."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import rescale
from ...runtime.builder import Complex, Tensor, sigmoid
from ..fast_descent import ShapeFrame
from ..frames import MAX_ZOOM


def turn_of(mean: ShapeFrame, z: Complex) -> Complex:
    """(1,) as :meth:`.ShapeFrame.turn`: scale and turn that lay the mean shape over (K,) points."""
    g = z.re.graph
    one, none = np.ones(1), np.zeros(1)
    if mean.power <= 1e-9:
        return Complex.of(g, np.ones(1, complex))
    ratio = (Complex.of(g, np.conj(mean.offset)) * z).sum(0, keep=True).scaled(1 / mean.power)
    size = ratio.abs()
    there = size > 1e-9
    factor = size.clip(1 / MAX_ZOOM, MAX_ZOOM) / size.at_least(1e-9)
    return Complex(g.where(there, ratio.re * factor, one), g.where(there, ratio.im * factor, none))


def pose_of(mean: ShapeFrame, z: Complex, scale: float, k: int) -> tuple[Complex, Complex]:
    """(1,) each, as :meth:`.ShapeFrame.frame_pose`: ``a z + b`` lies in the frame."""
    a = turn_of(mean, z).inverse().scaled(scale)
    return a, _landing(mean, z, a, scale, k)


def laid_on(mean: ShapeFrame, z: Complex, k: int) -> Complex:
    """(1,) as :func:`..frames.frame_maps` at scale 1: what lays (K,) points over the mean shape."""
    g = z.re.graph
    one, none = np.ones(1), np.zeros(1)
    off = z - z.sum(0, keep=True).scaled(1 / k)
    power = (off.re * off.re + off.im * off.im).sum(0)
    product = (off.conj() * Complex.of(g, mean.offset)).sum(0, keep=True)
    enough = power > 1e-9
    safe = g.where(enough, power, one)
    ratio = Complex(g.where(enough, product.re / safe, one), g.where(enough, product.im / safe, none))
    size = ratio.abs()
    there = size > 1e-9
    factor = size.clip(1 / MAX_ZOOM, MAX_ZOOM) / size.at_least(1e-9)
    return Complex(g.where(there, ratio.re * factor, one), g.where(there, ratio.im * factor, none))


def frame_of(mean: ShapeFrame, z: Complex, scale: float, k: int) -> tuple[Complex, Complex]:
    """(1,) each, as :func:`..frames.frame_maps`: ``a z + b`` lies in the frame of ``scale``."""
    a = laid_on(mean, z, k).scaled(scale)
    return a, _landing(mean, z, a, scale, k)


def _landing(mean: ShapeFrame, z: Complex, a: Complex, scale: float, k: int) -> Complex:
    """What takes the middle of ``a z`` to the mean shape's."""
    landed = complex(*(rescale(part, scale) for part in (mean.centre.real, mean.centre.imag)))
    return Complex.of(z.re.graph, [landed]) - a * z.sum(0, keep=True).scaled(1 / k)


def step_scores(lengths: list[Tensor], curve: Any) -> Tensor:
    """(K,) as :func:`..descent.step_scores`, of lengths (K,) of each stage."""
    last, before = lengths[-1], lengths[-min(2, len(lengths))]
    constant, *slopes = (float(c) for c in curve)
    seen = [(part + 0.1).log() * s for part, s in zip((last, before, last.mean(0)), slopes, strict=True)]
    return sigmoid((seen[0] + seen[1] + seen[2] + constant).clip(-30, 30)).to(np.float32)
