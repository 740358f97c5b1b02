"""Lifters that learn one row of numbers from another: ridge, kernel ridge, forest, network.

(B, K, 2) px become rows (B, D) here, the same for all; what comes out is (B, K, 3) relative to the root.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel

from ..structures import Array, InputError
from ..structures.base import evenly


def check_points(xy: ArrayLike, k: int | None = None) -> Array:
    """(B, K, 2) float64; :class:`InputError` for another shape or infinite values."""
    points = np.asarray(xy, np.float64)
    if points.ndim != 3 or points.shape[2] != 2 or points.shape[1] < 3 or (k and points.shape[1] != k):
        raise InputError(f"xy must have shape (B, {k or 'K >= 3'}, 2), got {points.shape}")
    if np.isinf(points).any():
        raise InputError("xy has infinite values: use NaN for a point that is not known")
    return points


def check_pairs(xy: ArrayLike, xyz: ArrayLike, root: int) -> tuple[Array, Array]:
    """Points, and their places in space relative to the root; rows that lack any are left out."""
    points, space = check_points(xy), np.asarray(xyz, np.float64)
    if space.shape != (*points.shape[:2], 3):
        raise InputError(f"xyz must have shape {(*points.shape[:2], 3)}, got {space.shape}")
    check_root(root, points.shape[1])
    whole = np.asarray(np.isfinite(points).all((1, 2)) & np.isfinite(space).all((1, 2)))
    if whole.sum() < 10:
        raise InputError(f"lifting learns from at least 10 whole poses, got {int(whole.sum())}")
    space = space[whole]
    return points[whole], space - space[:, [root]]


def check_root(root: int, k: int) -> None:
    """:class:`InputError` where none of K landmarks has that number."""
    if not 0 <= root < k:
        raise InputError(f"root {root} is none of the {k} landmarks")


def normalised(xy: Array, root: int) -> tuple[Array, Array, Array]:
    """Points relative to the root in units of their own spread, the spread (B,), and the root (B, 2)."""
    middle = xy[:, root]
    around = xy - middle[:, None]
    spread = np.sqrt((around**2).sum(2).mean(1))
    spread = np.where(spread > 0, spread, 1.0)
    return around / spread[:, None, None], spread, middle


class RowLifter(BaseEstimator):
    """What all of them share: rows are the normalised points, with ``place`` also their spread and the root.

    Spread and place tell how far away and how far off the axis somebody stands, and also who and where it
    was in training.  A pose with a point that is not known gives NaN.
    """

    root: int
    place: bool

    def _learner(self) -> Any:
        raise NotImplementedError

    def fit(self, xy: ArrayLike, xyz: ArrayLike, *, groups: ArrayLike | None = None) -> Any:
        """Learn from (B, K, 2) px and (B, K, 3) in one unit."""
        points, space = check_pairs(xy, xyz, self.root)
        rows = self._raw(points)
        self.mean_, self.scale_ = rows.mean(0), np.where(rows.std(0) > 1e-9, rows.std(0), 1.0)
        self.size_ = float(np.sqrt((space**2).mean())) or 1.0
        self.n_landmarks_ = points.shape[1]
        chosen = self._chosen(len(rows))
        learner = self._learner()
        with warnings.catch_warnings():  # a network that ends at its last epoch does so on purpose
            warnings.simplefilter("ignore", ConvergenceWarning)
            learner.fit(self._rows(points)[chosen], (space.reshape(len(space), -1) / self.size_)[chosen])
        self.learner_ = self._kept(learner)
        return self

    def _kept(self, learner: Any) -> Any:
        """What a model file takes of a fitted learner."""
        return learner

    def _said(self, rows: Array) -> Array:
        return np.asarray(self.learner_.predict(rows))

    def _chosen(self, n: int) -> Array:
        return np.arange(n)

    def _raw(self, points: Array) -> Array:
        around, spread, middle = normalised(points, self.root)
        flat = around.reshape(len(points), -1)
        return np.column_stack([flat, spread, middle]) if self.place else flat

    def _rows(self, points: Array) -> Array:
        return (self._raw(points) - self.mean_) / self.scale_

    def predict(self, xy: ArrayLike) -> Array:
        """(B, K, 3) relative to the root."""
        points = check_points(xy, self.n_landmarks_)
        out = np.full((*points.shape[:2], 3), np.nan)
        whole = np.isfinite(points).all((1, 2))
        if np.any(whole):
            found = self._said(self._rows(points[whole])) * self.size_
            out[whole] = found.reshape(-1, points.shape[1], 3)
        return out - out[:, [self.root]]


@dataclass(eq=False, repr=False)
class RidgeLifter(RowLifter):
    """Linear regression with a penalty.

    Parameters
    ----------
    alpha : of the squared weights
    place : whether rows tell the points' spread and where the root lies
    root : landmark that everything is relative to
    """

    alpha: float = 1.0
    place: bool = True
    root: int = 0

    def _learner(self) -> Any:
        from sklearn.linear_model import Ridge

        return Ridge(alpha=self.alpha)


@dataclass(eq=False, repr=False)
class KernelRidgeLifter(RowLifter):
    """Kernel ridge regression with a Gaussian kernel.

    Parameters
    ----------
    alpha : penalty
    gamma : the kernel is ``exp(-gamma d²)`` of standardised rows
    max_rows : poses that it keeps, evenly chosen; time grows with their cube
    """

    alpha: float = 0.1
    gamma: float = 0.01
    max_rows: int = 1500
    place: bool = True
    root: int = 0

    def _chosen(self, n: int) -> Array:
        return evenly(n, self.max_rows)

    def _learner(self) -> Any:
        from sklearn.kernel_ridge import KernelRidge

        return KernelRidge(alpha=self.alpha, kernel="rbf", gamma=self.gamma)

    def _kept(self, learner: Any) -> Any:
        return {"rows": learner.X_fit_, "weights": learner.dual_coef_}

    def _said(self, rows: Array) -> Array:
        kernel = rbf_kernel(rows, self.learner_["rows"], self.gamma)
        return np.asarray(kernel @ self.learner_["weights"])


@dataclass(eq=False, repr=False)
class ForestLifter(RowLifter):
    """Extremely randomised trees.

    Parameters
    ----------
    n_trees, min_leaf : trees, and poses in a leaf at least
    max_features : share of the numbers that a split chooses from
    """

    n_trees: int = 40
    min_leaf: int = 3
    max_features: float = 0.5
    place: bool = True
    root: int = 0
    random_state: int = 0

    def _learner(self) -> Any:
        from sklearn.ensemble import ExtraTreesRegressor

        return ExtraTreesRegressor(
            self.n_trees,
            min_samples_leaf=self.min_leaf,
            max_features=self.max_features,
            random_state=self.random_state,
        )


@dataclass(eq=False, repr=False)
class NetworkLifter(RowLifter):
    """A network of two hidden layers, stopped early on a tenth of its poses.

    Parameters
    ----------
    units : of each hidden layer
    alpha : penalty on the squared weights
    max_epochs : passes over the poses at most
    """

    units: int = 128
    alpha: float = 1e-3
    max_epochs: int = 60
    place: bool = True
    root: int = 0
    random_state: int = 0

    def _learner(self) -> Any:
        from sklearn.neural_network import MLPRegressor

        return MLPRegressor(
            hidden_layer_sizes=(self.units, self.units),
            alpha=self.alpha,
            max_iter=self.max_epochs,
            early_stopping=True,
            random_state=self.random_state,
        )

    def _kept(self, learner: Any) -> Any:
        return {"weights": list(learner.coefs_), "offsets": list(learner.intercepts_)}

    def _said(self, rows: Array) -> Array:
        *layers, last = zip(self.learner_["weights"], self.learner_["offsets"], strict=True)
        for weights, offset in layers:
            rows = np.maximum(rows @ weights + offset, 0)
        return rows @ last[0] + last[1]
