"""Belief propagation on a tree of landmarks: transforms as matrix products, products as logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...imaging.geometry import rescale
from ...runtime.builder import Crop, Graph, Points, Tensor, recalibrated
from ..nodes.pictorial import LEAST, WINDOW, Tree, every_second, smoothing


def emit(node: dict[str, Any], crop: Crop) -> Points:
    g, stride = crop.graph, float(node["stride"])
    maps = crop.maps(node)
    k = len(node["kernel"])
    h, w = (n // 2 for n in node["kernel"].shape[1:])
    maps = maps.reshape(k, h, w).to(np.float64)
    tree = Tree.of(node["parent"], node["kernel"])
    xy, mass = _mode(g, _marginals(g, maps, tree, float(node["power"]), (h, w)), (h, w))
    return rescale(xy, stride).to(np.float32), recalibrated(mass, node["calibration"])


def _shares(maps: Tensor) -> Tensor:
    return maps / maps.sum(1, 2)


def _belief(logs: Tensor) -> Tensor:
    return _shares((logs - logs.largest(1, 2)).exp())


def _marginals(g: Graph, maps: Tensor, tree: Tree, power: float, size_hw: tuple[int, int]) -> Tensor:
    """(K, h, w), each of sum 1, as :func:`..nodes.pictorial.marginals` makes them."""
    k = len(tree.parent)
    transform = Transform(g, size_hw)
    logs = (_shares(maps + LEAST)).log() * power
    messages: dict[int, Tensor] = {}
    for depth in reversed(range(len(tree.levels))):
        which = tree.levels[depth]
        moved = transform.through(_belief(logs.take(which)), np.conj(tree.spectrum[which]))
        messages[depth] = _shares(moved.at_least(1e-12)).log()
        to_parent = np.zeros((k, len(which)))
        to_parent[tree.parent[which], np.arange(len(which))] = 1
        flat = g.tensor(to_parent) @ messages[depth].reshape(len(which), -1)
        logs = logs + flat.reshape(k, *size_hw)
    for depth, which in enumerate(tree.levels):
        others = _belief(logs.take(tree.parent[which]) - messages[depth])
        moved = _shares(transform.through(others, tree.spectrum[which]).at_least(1e-12)).log()
        own = np.zeros((k, len(which)))
        own[which, np.arange(len(which))] = 1
        logs = logs + (g.tensor(own) @ moved.reshape(len(which), -1)).reshape(k, *size_hw)
    return _belief(logs)


class Transform:
    """Convolutions of maps (n, h, w) with densities whose transform over (2h, 2w) is known."""

    def __init__(self, g: Graph, size_hw: tuple[int, int]) -> None:
        self.graph, (self.h, self.w) = g, size_hw
        there = np.fft.rfft(np.eye(self.w), 2 * self.w)  # (w, w + 1)
        self.over_x = np.concatenate([there.real, there.imag], 1)
        down = np.fft.fft(np.eye(self.h), 2 * self.h).T  # (2h, h)
        self.down = np.concatenate([down.real, down.imag])
        up = np.fft.ifft(np.eye(2 * self.h))[: self.h]  # (h, 2h), symmetric
        self.up = np.concatenate([np.hstack([up.real, -up.imag]), np.hstack([up.imag, up.real])])
        basis = np.eye(self.w + 1)
        back = [np.fft.irfft(part, 2 * self.w)[:, : self.w] for part in (basis, 1j * basis)]
        self.back = np.concatenate(back)

    def through(self, maps: Tensor, spectrum: Any) -> Tensor:
        """(n, h, w) of (n, h, w) and (n, 2h, w + 1) complex."""
        h2, wide = 2 * self.h, self.w + 1
        first = maps @ self.over_x  # (n, h, 2 (w + 1)): real beside imaginary
        both = (
            self.graph.tensor(self.down) @ first
        )  # (n, 4h, ...): real above imaginary parts of the other transform
        top, bottom = both.slice(1, 0, h2), both.slice(1, h2, 2 * h2)
        re = top.slice(2, 0, wide) - bottom.slice(2, wide, 2 * wide)
        im = top.slice(2, wide, 2 * wide) + bottom.slice(2, 0, wide)
        a, b = np.ascontiguousarray(spectrum.real), np.ascontiguousarray(spectrum.imag)
        product = self.graph.concat([re * a - im * b, re * b + im * a], 1)  # (n, 4h, w + 1)
        back = self.graph.tensor(self.up) @ product  # (n, 2h, w + 1): real above imaginary
        halves = [back.slice(1, 0, self.h), back.slice(1, self.h, h2)]
        return self.graph.concat(halves, 2) @ self.back


def _mode(g: Graph, maps: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Points (K, 2) in map px and the mass (K,) around them, as :func:`..nodes.pictorial.read_mode`."""
    y, x = (np.arange(n, dtype=float) for n in size_hw)
    few_y, few_x = every_second(y), every_second(x)
    smooth = g.tensor(smoothing(few_y, y)) @ maps @ smoothing(x, few_x) + 1e-9
    sharp = smooth * smooth
    sharp = _shares(sharp * sharp)
    at_x, at_y = (sharp.sum(1) * few_x).sum(2), (sharp.sum(2) * few_y[:, None]).sum(1)  # (K, 1, 1) each
    for _ in range(2):
        off_x, off_y = at_x * -1.0 + x, at_y * -1.0 + y[:, None]
        window_x = (off_x * off_x * (-0.5 / WINDOW**2)).exp()
        window_y = (off_y * off_y * (-0.5 / WINDOW**2)).exp()
        seen = maps * window_x * window_y
        mass = seen.sum(1, 2)
        at_x = (seen.sum(1) * x).sum(2) / (mass + 1e-12)
        at_y = (seen.sum(2) * y[:, None]).sum(1) / (mass + 1e-12)
    k = -1
    return g.concat([at_x.reshape(k, 1), at_y.reshape(k, 1)], 1), mass.reshape(k)
