"""Stacking: a regressor learns from the members' out-of-fold predictions where the point really is.

Unlike a vote it may leave the members' hull: it can undo a bias, and use what the members say about the
neighbouring landmarks.  Shapes: M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone

from ..datasets.splits import group_folds
from ..stats.calibration import NEAR, calibrate, logit
from ..structures import Array, InputError
from .members import LearnedCombination, Members, Rule
from .nodes.stacking import corrected, mean_confidence, stacked, stacked_rows

ALPHAS = (1e-3, 1e-2, 0.1, 1.0, 10.0)  #: ridge penalties that are tried, in units of the number of rows
FOLDS = 5


@dataclass(eq=False, repr=False)
class Stacking(LearnedCombination):
    """Stacked generalisation (Wolpert 1992; for regressors Breiman 1996) in a pose-normalised frame.

    A weighted mean of the members is the base; for each landmark a regressor maps the members'
    offsets from the base, their log-odds and the base's own shape, at the landmark and at its nearest
    neighbours, to the offset of the truth.  Departure from Breiman: coefficients may be negative (the
    ridge penalty keeps correlated members in check), and the targets are clipped at three robust standard
    deviations, since blunders can be recognised but not repaired.

    Parameters
    ----------
    members : sequence of (name, detector)
    cv : folds for the out-of-fold predictions
    regressor : scikit-learn regressor for several targets, cloned for each landmark; None = ridge
        whose penalty is chosen for each landmark by folds that never cut a group
    n_neighbours : how many landmarks beside its own a regressor sees; None = all.  More of them gained
        nothing on 68-point faces, and lost with 65 pictures.
    guard : drop members whose absence costs no more than one standard error, and leave the best
        member's predictions alone where the correction gains no more than that

    Attributes
    ----------
    kept_ : positions of the members that the guard kept (M of them below)
    base_ : (M, K) weights of the base, from robust out-of-fold variances
    mean_ : (K, 2) mean shape in crop px; neighbours_ : (K, n)
    coefficients_ : (K, F, 2) and offset_ : (K, 2) of the ridge; empty with another regressor
    regressors_ : list of K regressors; empty with ridge
    """

    _corrects: ClassVar[bool] = True
    _learned: ClassVar[tuple[str, ...]] = (
        "base",
        "mean",
        "neighbours",
        "coefficients",
        "offset",
        "regressors",
        "calibration",
    )

    members: Members
    cv: int = 2
    regressor: Any = None
    n_neighbours: int | None = 0
    guard: bool = True

    def _check_parameters(self) -> None:
        if self.n_neighbours is not None and self.n_neighbours < 0:
            raise InputError(f"n_neighbours must be None or at least 0, got {self.n_neighbours}")

    def _learn(self, prediction: Array, score: Array, truth: Array, groups: Any, side: int) -> Rule:
        square = np.nanmedian(((prediction - truth) ** 2).sum(-1), axis=1)
        weights = 1 / np.maximum(square, 1e-4 * side)  # (M, K)
        mean = np.nanmean(truth, axis=0)
        apart = np.linalg.norm(mean[:, None] - mean, axis=-1)
        n = len(mean) if self.n_neighbours is None else min(self.n_neighbours + 1, len(mean))
        rule: Rule = {
            "base": weights / weights.sum(0),
            "mean": mean,
            "neighbours": np.argsort(apart, axis=1, kind="stable")[:, :n],
        }
        rows, base, linear = stacked_rows(prediction, score, rule["base"], mean, rule["neighbours"])
        target = np.einsum("bij,bkj->bki", linear, truth - base)
        found, moved = self._regress(rows, _clipped(target), groups)
        rule |= found
        error = np.linalg.norm(corrected(base, linear, moved) - truth, axis=-1)
        known = np.isfinite(error)
        raw = np.where(np.isfinite(prediction).all(-1), logit(score), np.nan)
        raw = np.where(np.isfinite(raw), raw, 0).sum(0) / np.maximum(np.isfinite(raw).sum(0), 1)
        rule["calibration"] = np.array(calibrate(raw[known], error[known] < NEAR * side))
        return rule

    def _regress(self, rows: Array, target: Array, groups: Any) -> tuple[Rule, Array]:
        """The regressors as part of a rule, and what they say of their own rows, (B, K, 2)."""
        known: Array = np.asarray(np.isfinite(target).all(-1))
        moved = np.zeros(target.shape)
        k, f = rows.shape[1:]
        coefficients, offset, regressors = np.zeros((k, f, 2)), np.zeros((k, 2)), []
        for j in range(k):
            x, y = rows[known[:, j], j], target[known[:, j], j]
            if self.regressor is None:
                coefficients[j], offset[j] = _ridge(x, y, np.asarray(groups)[known[:, j]])
                moved[:, j] = rows[:, j] @ coefficients[j] + offset[j]
            else:
                regressors.append(clone(self.regressor).fit(x, y))
                moved[:, j] = regressors[-1].predict(rows[:, j])
        return {"coefficients": coefficients, "offset": offset, "regressors": regressors}, moved

    def _combine(self, rule: Rule, xy: Array, score: Array) -> tuple[Array, Array]:
        if not rule["regressors"]:
            return stacked(xy, score, {**rule, "weights": rule["base"]})
        rows, base, linear = stacked_rows(xy, score, rule["base"], rule["mean"], rule["neighbours"])
        moved = np.stack([r.predict(rows[:, j]) for j, r in enumerate(rule["regressors"])], axis=1)
        return corrected(base, linear, moved), mean_confidence(xy, score, rule["calibration"])

    def _counts(self, xy: Array, score: Array) -> Array:
        """Of the base, which the regressors then correct."""
        weight = np.isfinite(xy).all(-1) * self.base_[:, None]
        return weight / np.maximum(weight.sum(0), 1e-12)

    def runtime_node(self) -> dict[str, Any]:
        if self.regressors_ and self.alone_ < 0:
            raise InputError("Stacking cannot be exported with another regressor: use regressor=None")
        learned = "mean", "neighbours", "coefficients", "offset", "calibration"
        return self._node("stacking", *learned, weights=self.base_)


def _clipped(target: Array) -> Array:
    """Offsets (B, K, 2) pulled in to three robust standard deviations of their landmark."""
    length = np.linalg.norm(target, axis=-1, keepdims=True)
    limit = 3 * np.nanmedian(length, axis=0) / np.sqrt(2 * np.log(2))
    return target * np.minimum(1, limit / np.maximum(length, 1e-9))


def _ridge(x: Array, y: Array, groups: Array) -> tuple[Array, Array]:
    """Coefficients (F, 2) and offset (2,) for standardised columns, in the columns' own units.

    The penalty is the one of :data:`ALPHAS` with the least mean distance on held-out groups.
    """
    centre, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 1e-6, spread, np.inf)  # a constant column says nothing
    z = (x - centre) / spread
    best = len(ALPHAS) - 1
    if len(np.unique(groups)) >= 3:
        loss = np.zeros(len(ALPHAS))
        for train, test in group_folds(groups, FOLDS):
            weights, offset = _solve(z[train], y[train])
            off = z[test] @ weights + offset - y[test]  # (alphas, N, 2)
            loss += np.linalg.norm(off, axis=-1).sum(1)
        best = int(loss.argmin())
    weights, offset = _solve(z, y)
    slope = weights[best] / spread[:, None]
    return slope, offset[best, 0] - centre @ slope


def _solve(z: Array, y: Array) -> tuple[Array, Array]:
    """Ridge for all of :data:`ALPHAS` from one decomposition: (A, F, 2) and (A, 1, 2)."""
    centre, middle = z.mean(0), y.mean(0)
    rows = z - centre
    values, vectors = np.linalg.eigh(rows.T @ rows)
    inside = vectors.T @ (rows.T @ (y - middle))
    shrunk = inside / (np.maximum(values, 0)[:, None] + len(z) * np.array(ALPHAS)[:, None, None])
    weights = vectors @ shrunk
    return weights, middle - (centre @ weights)[:, None]
