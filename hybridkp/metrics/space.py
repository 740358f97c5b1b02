"""Errors of points in space: MPJPE, with the pose put over the truth first, and PCK in three dimensions.

Letters: **B** objects, **K** landmarks; truth and predictions (B, K, 3) in one unit, NaN = not known.  A
point that is known and was not predicted makes its object's error infinite and its PCK smaller: silence
never pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError, short_repr
from .landmarks import mean_of_known
from .metric import Metric


def _checked(truth: ArrayLike, predicted: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if a.ndim != 3 or a.shape[2] != 3 or a.shape != b.shape:
        raise InputError(f"truth {a.shape} and predicted {b.shape} must both be (B, K, 3)")
    return a, b


def space_errors(truth: ArrayLike, predicted: ArrayLike) -> Array:
    """(B, K) distances; NaN where there is no truth, infinite where there is one and no prediction."""
    a, b = _checked(truth, predicted)
    error = np.linalg.norm(a - b, axis=2)
    error[np.isnan(error)] = np.inf
    return np.where(np.isfinite(a).all(2), error, np.nan)


def mpjpe(truth: ArrayLike, predicted: ArrayLike, root: int | None = None) -> Array:
    """(B,) mean per-joint position error, in the points' unit; NaN without truth.

    Parameters
    ----------
    truth, predicted : (B, K, 3)
    root : landmark that both are moved to first ("root-centred"); None = as they are.  It then counts with 0.

    Examples
    --------
    >>> mpjpe([[[0, 0, 0], [3, 4, 0]]], [[[0, 0, 0], [0, 0, 0]]])
    array([2.5])
    """
    a, b = _checked(truth, predicted)
    if root is not None:
        a, b = a - a[:, [root]], b - b[:, [root]]
    return mean_of_known(space_errors(a, b), axis=1)


def similarities(truth: ArrayLike, predicted: ArrayLike, scale: bool = True) -> tuple[Array, Array, Array]:
    """The size (B,), turn (B, 3, 3) and shift (B, 3) that lay each prediction over its truth, least squares.

    ``truth = size * predicted @ turn.T + shift``; no reflection.  Points that either lacks take no part;
    fewer than three give NaN.

    References
    ----------
    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    a, b = _checked(truth, predicted)
    both = np.asarray(np.isfinite(a).all(2) & np.isfinite(b).all(2))[..., None]
    share = both / np.maximum(both.sum(1, keepdims=True), 1)
    x, y = np.where(both, b, 0), np.where(both, a, 0)
    mean_x, mean_y = (x * share).sum(1), (y * share).sum(1)
    x, y = np.where(both, x - mean_x[:, None], 0), np.where(both, y - mean_y[:, None], 0)
    u, s, vt = np.linalg.svd(np.swapaxes(y * share, 1, 2) @ x)
    sign = np.ones(s.shape)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    turn = (u * sign[:, None]) @ vt
    spread = (x * x * share).sum((1, 2))
    size = (s * sign).sum(1) / np.maximum(spread, 1e-300) if scale else np.ones(len(a))
    size[both.sum((1, 2)) < 3] = np.nan
    shift = mean_y - size[:, None] * np.einsum("bij,bj->bi", turn, mean_x)
    return size, turn, shift


def aligned(truth: ArrayLike, predicted: ArrayLike, scale: bool = True) -> Array:
    """(B, K, 3) predictions laid over the truth by :func:`similarities`."""
    size, turn, shift = similarities(truth, predicted, scale)
    return size[:, None, None] * np.asarray(predicted, float) @ np.swapaxes(turn, 1, 2) + shift[:, None]


def p_mpjpe(truth: ArrayLike, predicted: ArrayLike) -> Array:
    """(B,) :func:`mpjpe` after :func:`aligned`: how wrong the shape is, whatever its place, size and turn."""
    a, b = _checked(truth, predicted)
    return mean_of_known(space_errors(a, aligned(a, b)), axis=1)


def pck3d(truth: ArrayLike, predicted: ArrayLike, within: float) -> Array:
    """(B,) share of an object's known points that were predicted at most ``within`` away; NaN without any."""
    error = space_errors(truth, predicted)
    return mean_of_known(np.where(np.isnan(error), np.nan, error <= within), axis=1)


def reprojection_error(xy: ArrayLike, reprojected: ArrayLike) -> Array:
    """(B,) mean distance in px of the points of all views, (B, V, K, 2); NaN without any.

    A point that a view sees and that has no reprojection is left out: it is counted among the points found.
    """
    a, b = np.asarray(xy, np.float64), np.asarray(reprojected, np.float64)
    if a.ndim != 4 or a.shape[3] != 2 or a.shape != b.shape:
        raise InputError(f"xy {a.shape} and reprojected {b.shape} must both be (B, V, K, 2)")
    return mean_of_known(np.linalg.norm(a - b, axis=3).reshape(len(a), -1), axis=1)


@dataclass(frozen=True, eq=False)
class Poses3D:
    """B objects in space with what one method said of them: what a row of :func:`space_metrics` judges."""

    truth: Array  #: (B, K, 3)
    predicted: Array  #: (B, K, 3)
    xy: Array | None = None  #: (B, V, K, 2) px in the pictures
    reprojected: Array | None = None  #: (B, V, K, 2) px of the predicted points

    __repr__ = short_repr

    def __post_init__(self) -> None:
        for name, value in zip(("truth", "predicted"), _checked(self.truth, self.predicted), strict=True):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, rows: Any) -> Poses3D:
        parts = (self.truth, self.predicted, self.xy, self.reprojected)
        return Poses3D(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]

    def has(self, need: str) -> Array:
        """(B,) bool: whether an object has "reprojection", points in pictures to hold against."""
        if need != "reprojection":
            raise InputError(f"a metric of poses needs {need!r}: there is only 'reprojection'")
        return np.full(len(self), self.xy is not None and self.reprojected is not None)


def space_metrics(unit: str = "mm", near: float = 150.0, digits: int = 1) -> list[Metric]:
    """The rows of points in space, MPJPE first; ``near`` is the PCK's radius in ``unit``."""
    keys = unit or "units"
    return [
        Metric(
            *(f"mpjpe_{keys}", lambda p: mpjpe(p.truth, p.predicted), "MPJPE", unit, digits),
            words="mean distance of an object's points from the truth; mean over objects",
        ),
        Metric(
            *(f"p_mpjpe_{keys}", lambda p: p_mpjpe(p.truth, p.predicted), "P-MPJPE", unit, digits),
            words="the same after the best turn, shift and scale: the error of the shape alone",
        ),
        Metric(
            *("pck3d_percent", lambda p: pck3d(p.truth, p.predicted, near), "PCK3D", "%", 1, "higher"),
            words=f"points at most {near:g} {unit} away".strip(),
            scale=100.0,
        ),
        Metric(
            *("reprojection_px", lambda p: reprojection_error(p.xy, p.reprojected), "reprojection", "px", 2),
            words="distance in the pictures between the points there and the reprojected ones",
            needs=("reprojection",),
        ),
    ]
