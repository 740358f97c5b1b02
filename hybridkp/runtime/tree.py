"""Belief propagation on a tree of landmarks, and reading maps at their modes; for estimator and runtime.

Exact sum-product messages between score maps, as convolutions by the Fourier transform; all landmarks
of one depth go through at once.  Pure NumPy.  Shapes: B pictures, K landmarks, maps (B, K, h, w).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..structures import Array

LEAST = 1e-6  #: added to each pixel of maps that sum to 1, so that no place is impossible
SMOOTHING, WINDOW, SHARPNESS = 3.0, 4.0, 4.0  #: of :func:`read_mode`, the first two in map px


class Tree(NamedTuple):
    """Which landmark hangs on which, and where it is to be expected from there."""

    parent: Array  #: (K,) int, -1 at the root
    spectrum: Array  #: (K, 2h, w + 1) complex, transform of P(child - parent); the root's is not read

    def levels(self) -> list[Array]:
        """Landmarks of each depth from 1 on; raises ValueError where the parents are no tree."""
        depth = np.where(self.parent < 0, 0, -1)
        if (depth == 0).sum() != 1 or self.parent.max(initial=-1) >= len(self.parent):
            raise ValueError("parents must be a tree")
        for d in range(1, len(depth)):
            depth[(depth < 0) & (depth[self.parent] == d - 1)] = d
        if (depth < 0).any():
            raise ValueError("parents must be a tree")
        return [np.flatnonzero(depth == d) for d in range(1, depth.max() + 1)]


def spectrum_of(kernel: Array) -> Array:
    """Transform of (K, 2h, 2w): P(dx, dy) at index (dy mod 2h, dx mod 2w), offsets in map px."""
    return np.fft.rfft2(kernel)


def marginals(maps: Array, tree: Tree, trust: float) -> Array:
    """(B, K, h, w), each summing to 1: where each landmark is, given all maps and the tree.

    ``maps`` sum to 1; their ``trust``-th power counts, so that more than 1 believes the maps more.

    The belief of a pictorial structure (Felzenszwalb & Huttenlocher, IJCV 2005): the product of a
    landmark's own map and of the messages of its neighbours, up the tree and down again.
    """
    h, w = maps.shape[2:]

    def through(part: Array, which: Array, up: bool) -> Array:
        factor = tree.spectrum[which]
        moved = np.fft.rfft2(part, s=(2 * h, 2 * w)) * (factor.conj() if up else factor)
        return _shares(np.maximum(np.fft.irfft2(moved, s=(2 * h, 2 * w))[..., :h, :w], 1e-12))

    belief, levels = _shares((maps.astype(np.float64) + LEAST) ** trust), tree.levels()
    message = np.ones_like(belief)
    for which in reversed(levels):
        message[:, which] = through(belief[:, which], which, up=True)
        for k in which:  # landmarks, not pixels: siblings share a parent
            belief[:, tree.parent[k]] *= message[:, k]
        belief = _shares(belief)
    for which in levels:
        others = _shares(belief[:, tree.parent[which]] / message[:, which])
        belief[:, which] = _shares(belief[:, which] * through(others, which, up=False))
    return belief


def _shares(maps: Array) -> Array:
    return maps / maps.sum(axis=(-2, -1), keepdims=True)


def read_mode(maps: Array) -> tuple[Array, Array]:
    """Points (B, K, 2) in map px near the modes of maps that sum to 1, and (B, K) the mass around them.

    As :func:`hybridkp.deep.heatmap.decode_mode`: the map, smoothed and sharpened, says where the
    greater mass lies, and two steps of mean shift take the expectation there.
    """
    y, x = (np.arange(n, dtype=float) for n in maps.shape[-2:])
    smooth = _blur(y) @ maps @ _blur(x)
    sharp = np.exp(SHARPNESS * np.log((smooth + 1e-9) / (smooth.max(axis=(-2, -1), keepdims=True) + 1e-9)))
    xy = _mean(_shares(sharp), x, y)
    for _ in range(2):
        over_x = np.exp((x - xy[..., :1]) ** 2 / (-2 * WINDOW**2))
        over_y = np.exp((y - xy[..., 1:]) ** 2 / (-2 * WINDOW**2))
        window = maps * over_x[..., None, :] * over_y[..., :, None]
        mass = window.sum(axis=(-2, -1))
        xy = _mean(window / (mass[..., None, None] + 1e-12), x, y)
    return xy, mass


def _mean(shares: Array, x: Array, y: Array) -> Array:
    return np.stack([(shares.sum(-2) * x).sum(-1), (shares.sum(-1) * y).sum(-1)], -1)


def _blur(i: Array) -> Array:
    return np.exp((i[:, None] - i) ** 2 / (-2 * SMOOTHING**2)) / (SMOOTHING * np.sqrt(2 * np.pi))
