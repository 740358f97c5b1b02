"""A PCA shape model in space, fitted to the points of a picture: which shape, turned how, looks like this?

Points (B, K, 2) in, poses (B, K, 3) in the camera's axes out.  The camera is taken as far away (scaled
orthographic).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from ..metrics import aligned, similarities
from ..structures import Array
from .rows import check_pairs, check_points, normalised

_ALIGNINGS = 3
_STARTS = 8  #: turns about the upright axis from which the fit begins


@dataclass(eq=False, repr=False)
class ShapeLifter(BaseEstimator):
    """Mean shape and principal components, turned and scaled over the points by alternating least squares.

    Parameters
    ----------
    n_components : of the shapes, after their turns were taken out
    prior : weight of the components' own spread against the points, in units of the points' spread squared
    rounds : of the alternation
    root : landmark that everything is relative to

    Notes
    -----
    A parallel view cannot tell a shape from its mirror image in depth: of the turns that fit, the one with
    the likelier components is taken, and often that is the wrong one.

    References
    ----------
    Ramakrishna, Kanade, Sheikh, "Reconstructing 3D human pose from 2D image landmarks", ECCV 2012.
    """

    n_components: int = 8
    prior: float = 0.01
    rounds: int = 12
    root: int = 0

    def fit(self, xy: ArrayLike, xyz: ArrayLike, *, groups: ArrayLike | None = None) -> Any:
        """Learn from (B, K, 2) px, which only say which poses are whole, and (B, K, 3)."""
        _, space = check_pairs(xy, xyz, self.root)
        space = space - space.mean(1, keepdims=True)
        mean = space[0]
        for _ in range(_ALIGNINGS):
            turned = aligned(np.broadcast_to(mean, space.shape), space, scale=False)
            mean = turned.mean(0)
        _, spread, rows = np.linalg.svd((turned - mean).reshape(len(space), -1), full_matrices=False)
        n = min(self.n_components, len(rows))
        self.shape_mean_ = mean
        self.components_ = rows[:n].reshape(n, *mean.shape)
        self.deviation_ = np.maximum(spread[:n] / np.sqrt(len(space)), 1e-9)
        self.turn_ = _usual_turn(space, mean)
        self.size_ = float(np.sqrt((space[:, :, :2] ** 2).sum(2).mean(1)).mean())
        self.n_landmarks_ = mean.shape[0]
        return self

    def predict(self, xy: ArrayLike) -> Array:
        """(B, K, 3) relative to the root."""
        points = check_points(xy, self.n_landmarks_)
        out = np.full((*points.shape[:2], 3), np.nan)
        rows = np.flatnonzero(np.isfinite(points).all((1, 2)))
        if len(rows):
            flat = normalised(points[rows], self.root)[0]
            flat = (flat - flat.mean(1, keepdims=True)) * self.size_
            found = [self._fitted(flat, turn) for turn in self._starts()]
            best = np.argmin([cost for _, cost in found], axis=0)
            poses = np.stack([pose for pose, _ in found])[best, np.arange(len(rows))]
            out[rows] = poses - poses[:, [self.root]]
        return out

    def _starts(self) -> list[Array]:
        angles = np.arange(_STARTS) * 2 * np.pi / _STARTS
        about = [np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]) for a in angles]
        return [turn @ self.turn_ for turn in about]

    def _fitted(self, flat: Array, start: Array) -> tuple[Array, Array]:
        """(B, K, 3) poses and their (B,) costs, from one turn."""
        b, n = len(flat), len(self.components_)
        turn, size = np.broadcast_to(start, (b, 3, 3)), np.ones(b)
        weights = np.zeros((b, n))
        noise = self.prior * self.size_**2
        for _ in range(self.rounds):
            shape = self.shape_mean_ + np.tensordot(weights, self.components_, 1)
            turn, size = _pose(flat, shape)
            half = size[:, None, None] * turn[:, :2]
            base = flat - self.shape_mean_ @ np.swapaxes(half, 1, 2)
            seen = np.einsum("nkj,bij->bnki", self.components_, half).reshape(b, n, -1)
            normal = seen @ np.swapaxes(seen, 1, 2) + np.diag(noise / self.deviation_**2)
            weights = np.linalg.solve(normal, (seen @ base.reshape(b, -1, 1)))[..., 0]
        shape = self.shape_mean_ + np.tensordot(weights, self.components_, 1)
        poses = size[:, None, None] * shape @ np.swapaxes(turn, 1, 2)
        cost = ((poses[:, :, :2] - flat) ** 2).sum((1, 2)) + noise * ((weights / self.deviation_) ** 2).sum(1)
        return shape @ np.swapaxes(turn, 1, 2), cost


def _usual_turn(space: Array, mean: Array) -> Array:
    """A turn that lays the mean shape upright as the poses stand."""
    turns = similarities(space, np.broadcast_to(mean, space.shape), scale=False)[1]
    u, _, vt = np.linalg.svd(turns.mean(0))
    return np.asarray(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def _pose(flat: Array, shape: Array) -> tuple[Array, Array]:
    """The (B, 3, 3) turn and (B,) size that put shapes (B, K, 3) over (B, K, 2), least squares."""
    cross = np.swapaxes(flat, 1, 2) @ shape
    spread = np.swapaxes(shape, 1, 2) @ shape
    affine = np.linalg.solve(
        spread + 1e-9 * np.eye(3) * np.trace(spread, axis1=1, axis2=2)[:, None, None],
        np.swapaxes(cross, 1, 2),
    )
    u, s, vt = np.linalg.svd(np.swapaxes(affine, 1, 2), full_matrices=False)
    first = u @ vt
    turn = np.concatenate([first, np.cross(first[:, 0], first[:, 1])[:, None]], 1)
    return turn, s.mean(1)
