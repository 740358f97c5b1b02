"""How odd each landmark is, given all others: a Gaussian model of whole rows, learned from trusted ones.

Rows (B, 2K + E) of K points and E further numbers come in, NaN = not labelled; distances (B, K) come out.
Pictures never.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..imaging.geometry import apply_affine, similarity
from ..structures import Array

TRUSTED = 0.7  #: share of the objects, the least odd ones, that a model is learned from
ROUNDS = 4  #: fit, leave the oddest out, fit again
ALIGN = 5  #: rounds of an alignment
_TINY = 1e-9

Folds = Sequence[tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class RowModel:
    """Mean (D,) and precision (D, D) of rows.

    Parameters
    ----------
    mean, precision
    """

    mean: Array
    precision: Array

    def filled(self, rows: Array) -> Array:
        """Rows (B, D) with NaN replaced by what is expected from the rest of the row."""
        rows, missing = rows.copy(), np.isnan(rows)
        for i in np.flatnonzero(missing.any(1)):
            m = missing[i]
            known = self.precision[np.ix_(m, ~m)] @ (rows[i, ~m] - self.mean[~m])
            rows[i, m] = self.mean[m] - np.linalg.solve(self.precision[np.ix_(m, m)], known)
        return rows

    def misfit(self, rows: Array) -> Array:
        """(B,) squared Mahalanobis distance of filled rows."""
        off = rows - self.mean
        return np.asarray(((off @ self.precision) * off).sum(1))

    def gaps(self, rows: Array, n_points: int) -> Array:
        """(B, K, 2) of filled rows: each point less where the rest of its row expects it."""
        pull = (rows - self.mean) @ self.precision
        return np.stack([pull[:, at] @ np.linalg.inv(self.precision[at, at]) for at in _points(n_points)], 1)

    def oddness(self, rows: Array, n_points: int) -> Array:
        """(B, K) of filled rows: those gaps in standard deviations."""
        gaps = self.gaps(rows, n_points)
        blocks = np.stack([self.precision[at, at] for at in _points(n_points)])
        return np.sqrt(np.maximum(np.einsum("bki,kij,bkj->bk", gaps, blocks, gaps), 0))


def _points(n: int) -> list[slice]:
    return [slice(2 * k, 2 * k + 2) for k in range(n)]


def fit_rows(rows: Array, shrink: float) -> RowModel:
    """A model of complete rows (N, D); ``shrink`` times the middle variance is added to each.

    That much is every number taken to be uncertain by itself: with few rows, more is needed.
    """
    mean = np.median(rows, axis=0)
    off = rows - mean
    covariance = off.T @ off / max(len(rows) - 1, 1)
    spread = max(float(np.median(np.diag(covariance))), _TINY)
    return RowModel(mean, np.linalg.inv(covariance + shrink * spread * np.eye(rows.shape[1])))


def robust_oddness(
    rows: Array, start: Array, n_points: int, shrink: float, folds: Folds
) -> tuple[Array, list[RowModel]]:
    """(B, K) how odd each point is for a model that did not see its fold, in medians of its landmark.

    Parameters
    ----------
    rows : (B, D), the first 2 K numbers are the points; NaN = not labelled
    start : (B, D) finite, stands in for what is missing while a model is learned
    folds : (train, test) rows; a model for each comes out too

    Notes
    -----
    A model is learned, the :data:`TRUSTED` share of the least odd rows is kept, and the model is learned
    again from those alone (:data:`ROUNDS` times): a concentration step of the minimum covariance determinant
    (Rousseeuw & Van Driessen 1999), by the oddest point of a row, since most of a bad row is usually right.
    """
    complete = np.where(np.isnan(rows), start, rows)
    known = np.isfinite(rows[:, : 2 * n_points : 2])
    trusted = np.ones(len(rows), bool)
    odd, models = np.full(known.shape, np.nan), []
    for _ in range(ROUNDS):
        models = [fit_rows(complete[train[trusted[train]]], shrink) for train, _ in folds]
        for model, (_, test) in zip(models, folds, strict=True):
            odd[test] = model.oddness(model.filled(rows[test]), n_points)
        odd[~known] = np.nan
        odd = in_medians(odd, trusted)
        worst = np.nan_to_num(highest(odd))
        trusted = worst <= np.quantile(worst, TRUSTED)
    return odd, models


def in_medians(values: Array, trusted: Array | None = None) -> Array:
    """(B, K) each column divided by its median over the trusted rows."""
    usual = medians(values if trusted is None else values[trusted])
    return values / np.maximum(np.where(np.isfinite(usual), usual, 1.0), _TINY)


def medians(values: Array) -> Array:
    """(K,) median of each column of (B, K), NaN left out; NaN where there is nothing else."""
    count = np.isfinite(values).sum(0)
    ordered = np.sort(np.where(np.isfinite(values), values, np.inf), axis=0)
    low, high = (
        np.take_along_axis(ordered, at[None], 0)[0] for at in (np.maximum(count - 1, 0) // 2, count // 2)
    )
    return np.where(count > 0, (low + high) / 2, np.nan)


def highest(values: Array) -> Array:
    """(B,) largest of each row, NaN left out; NaN where there is nothing else."""
    return np.asarray(np.fmax.reduce(values, axis=1))


def middle(values: Array) -> Array:
    """(B, 2) median over the points (B, K, 2) that are there; 0 where none is."""
    return np.nan_to_num(np.stack([medians(values[..., axis].T) for axis in (0, 1)], axis=1))


def to_mean_shape(guess: Array) -> tuple[Array, Array]:
    """Maps (B, 2, 3) of predicted shapes (B, K, 2) onto their middle shape (K, 2), of size 1 about 0."""
    mean = _unit(guess[0])
    for _ in range(ALIGN):
        mean = _unit(np.median(apply_affine(similarity(guess, mean[None]), guess), axis=0))
    return similarity(guess, mean[None]), mean


def by_themselves(points: Array, mean: Array) -> Array:
    """Maps (B, 2, 3) of shapes (B, K, 2), NaN = not there, onto ``mean``; points far off count little."""
    weight = np.ones(points.shape[:2])
    target = np.broadcast_to(mean, points.shape)
    maps = similarity(points, target, weight)
    for _ in range(ALIGN):
        off = np.linalg.norm(apply_affine(maps, points) - target, axis=2)
        known = np.isfinite(off)
        usual = np.nan_to_num(medians(off.T))[:, None]
        weight = np.where(known, 1 / (usual + np.where(known, off, 0) + _TINY), 0)
        maps = similarity(points, target, weight)
    return maps


def _unit(shape: Array) -> Array:
    centred = shape - shape.mean(0)
    size = float(np.sqrt((centred**2).sum(1).mean()))
    return centred / size if size > _TINY else centred
