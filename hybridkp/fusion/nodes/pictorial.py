"""Belief propagation on a tree of landmarks, and reading maps at their modes; for estimator and runtime.

Exact sum-product messages between score maps, as convolutions by the Fourier transform; all landmarks
of one depth go through at once.  Pure NumPy.  Shapes: B pictures, K landmarks, maps (B, K, h, w).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...imaging.geometry import resize_points
from ...runtime.nodes import Node, Run, on_planes
from ...runtime.values import array, number, whole
from ...structures import Array
from ..kernels import recalibrated

LEAST = 1e-6  #: added to each pixel of maps that sum to 1, so that no place is impossible
SMOOTHING, WINDOW = 3.0, 4.0  #: map px, of :func:`read_mode`


class Tree(NamedTuple):
    """Which landmark hangs on which, and where it is to be expected from there."""

    parent: Array  #: (K,) int, -1 at the root
    levels: list[Array]  #: landmarks of each depth from 1 on
    spectrum: Array  #: (K, 2h, w + 1) complex, transform of P(child - parent); the root's is not read

    @classmethod
    def of(cls, parent: Array, kernel: Array) -> Tree:
        """From (K,) parents and (K, 2h, 2w) densities: P(dx, dy) at index (dy mod 2h, dx mod 2w), map px.

        Raises ValueError where the parents are no tree.
        """
        depth = np.where(parent < 0, 0, -1)
        if (depth == 0).sum() != 1 or parent.max(initial=-1) >= len(parent):
            raise ValueError("parents must be a tree")
        for d in range(1, len(depth)):
            depth[(depth < 0) & (depth[parent] == d - 1)] = d
        if (depth < 0).any():
            raise ValueError("parents must be a tree")
        levels = [np.flatnonzero(depth == d) for d in range(1, depth.max() + 1)]
        return cls(parent, levels, np.fft.rfft2(kernel.astype(np.float64)))


def marginals(maps: Array, tree: Tree, power: float) -> Array:
    """(B, K, h, w), each summing to 1: where each landmark is, given all maps and the tree.

    ``maps`` sum to 1; their ``power``-th power counts, so that more than 1 believes the maps more.

    The belief of a pictorial structure (Felzenszwalb & Huttenlocher, IJCV 2005): the product of a
    landmark's own map and of the messages of its neighbours, up the tree and down again.
    """
    return _beliefs(maps, tree, power)[0]


def messages_to(maps: Array, tree: Tree, power: float, landmark: int) -> dict[int, Array]:
    """Neighbour -> what it says of a landmark's place, (h, w) of sum 1, in the first of the pictures.

    The belief is the product of these and of the landmark's own map to the power of ``power``.
    """
    _, up, down = _beliefs(maps[:1], tree, power)
    children = np.flatnonzero(tree.parent == landmark).tolist()
    found = {k: up[0, k] for k in children}
    parent = int(tree.parent[landmark])
    return found if parent < 0 else {parent: down[0, landmark], **found}


def _beliefs(maps: Array, tree: Tree, power: float) -> tuple[Array, Array, Array]:
    """The marginals; the messages of landmarks to their parents; those of parents to them."""
    h, w = maps.shape[2:]

    def through(part: Array, which: Array, up: bool) -> Array:
        factor = tree.spectrum[which]
        moved = np.fft.rfft2(part, s=(2 * h, 2 * w)) * (factor.conj() if up else factor)
        return _shares(np.maximum(np.fft.irfft2(moved, s=(2 * h, 2 * w))[..., :h, :w], 1e-12))

    belief = _shares((maps.astype(np.float64) + LEAST) ** power)
    message, back = np.ones_like(belief), np.ones_like(belief)
    for which in reversed(tree.levels):
        message[:, which] = through(belief[:, which], which, up=True)
        for k in which:  # landmarks, not pixels: siblings share a parent
            belief[:, tree.parent[k]] *= message[:, k]
        belief = _shares(belief)
    for which in tree.levels:
        others = _shares(belief[:, tree.parent[which]] / message[:, which])
        back[:, which] = through(others, which, up=False)
        belief[:, which] = _shares(belief[:, which] * back[:, which])
    return belief, message, back


def _shares(maps: Array) -> Array:
    return maps / maps.sum(axis=(-2, -1), keepdims=True)


def read_mode(maps: Array) -> tuple[Array, Array]:
    """Points (B, K, 2) in map px near the modes of maps that sum to 1, and (B, K) the mass around them.

    As :func:`hybridkp.deep.codec.decode_mode`: the map, smoothed and sharpened by its fourth power,
    says where the greater mass lies (of every second px), and two steps of mean shift take the expectation
    there.
    """
    y, x = (np.arange(n, dtype=float) for n in maps.shape[-2:])
    few_y, few_x = every_second(y), every_second(x)
    smooth = smoothing(few_y, y) @ maps @ smoothing(x, few_x) + 1e-9
    sharp = _shares((smooth * smooth) * (smooth * smooth))
    xy = _mean(sharp.sum(-2), sharp.sum(-1), few_x, few_y)
    for _ in range(2):
        window_x = np.exp((x - xy[..., :1]) ** 2 / (-2 * WINDOW**2))
        window_y = np.exp((y - xy[..., 1:]) ** 2 / (-2 * WINDOW**2))
        over_x = (window_y[..., None, :] @ maps)[..., 0, :] * window_x
        over_y = (maps @ window_x[..., None])[..., 0] * window_y
        mass = over_x.sum(axis=-1, keepdims=True)
        xy = _mean(over_x / (mass + 1e-12), over_y / (mass + 1e-12), x, y)
    return xy, mass[..., 0]


def _mean(over_x: Array, over_y: Array, x: Array, y: Array) -> Array:
    return np.stack([(over_x * x).sum(-1), (over_y * y).sum(-1)], -1)


def every_second(i: Array) -> Array:
    """Places two px apart, as far from either end of an axis."""
    return i[::2] + (1 - len(i) % 2) / 2


def smoothing(rows: Array, columns: Array) -> Array:
    """(n, m): Gaussian smoothing along an axis, from ``columns`` to ``rows``; what leaves the map is lost."""
    spread = np.exp((rows[:, None] - columns) ** 2 / (-2 * SMOOTHING**2))
    return spread / (SMOOTHING * np.sqrt(2 * np.pi))


def make(node: Node, engine: str) -> Run:
    ask, kernel = on_planes(node, engine, ["maps"]), array(node["kernel"], -1, -1, -1)
    parent, calibration = array(node["parent"], len(kernel)), array(node["calibration"], 2)
    if parent.dtype.kind != "i" or (kernel < 0).any():
        raise ValueError("a tree has whole parents and no negative density")
    tree, power = Tree.of(parent, kernel), number(node["power"], 1e-3, 1e3)
    stride = whole(node, "stride", 1, 64)

    def run(picture: Array) -> tuple[Array, Array]:
        xy, mass = read_mode(marginals(ask(picture)[0], tree, power))
        return resize_points(xy[0], stride).astype(np.float32), recalibrated(mass[0], calibration, True)

    return run
