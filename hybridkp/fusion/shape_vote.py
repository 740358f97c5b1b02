"""A vote in which the training shapes have a say: the most probable shape given all predictions.

What a detector says of one landmark tells something about the others, since shapes vary in few ways;
with two views of one animal nearly everything is said twice.  No pixels are looked at here; the
arithmetic is in :mod:`.nodes.shape_vote`.
Shapes: M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma

from ..datasets.splits import group_folds
from ..imaging.images import check_batch
from ..stats.calibration import NEAR, calibrate, logit
from ..structures import Array, InputError, check_xy
from .members import GUARD_FOLDS, LearnedCombination, Members, Rule
from .nodes.shape_vote import DEGREES_OF_FREEDOM, confidence, most_probable, noise, shaped

#: E log F of Fisher's distribution with 2 and DEGREES_OF_FREEDOM degrees of freedom: F is half the squared
#: error of a two-dimensional Student's distribution, in squared scales
_LOG_F = float(np.log(DEGREES_OF_FREEDOM / 2) + digamma(1) - digamma(DEGREES_OF_FREEDOM / 2))
_POSE = 0.1  #: parts of the side: deviation of place, size and angle that is allowed on top of the training's
_LANDMARK = 10.0  #: pictures that a landmark's own level of noise must outweigh


@dataclass(eq=False, repr=False)
class ShapeVote(LearnedCombination):
    """Predictions weighed by their scores, and against a Gaussian model of shapes.

    Shapes are Gaussian with the training shapes' mean and covariance, in the crop's own frame; each
    prediction is the shape's point plus noise of Student's distribution, whose scale depends on the score, so
    that a wild prediction counts little.  The result is the most probable shape
    (expectation maximisation, a few rounds of linear algebra).  One member is enough: a network's confident
    points then correct its doubtful ones.

    Departures: shape-constrained models (Cootes et al. 1995; Saragih, Lucey, Cohn 2011, whose
    regularised mean shifts are the same equations) cut shapes down to their main modes and give every
    landmark the same noise; here what the modes leave over keeps its variance, and the noise is the
    prediction's own, learned on predictions held out.  Place, size and angle may vary more than in
    training, at no cost for upright objects.

    Parameters
    ----------
    members : sequence of (name, detector)
    cv : folds for the out-of-fold predictions
    spread : parts of the crop's longer side; deviation that every coordinate has by itself, beyond what
        few training shapes show
    guard : drop members whose absence costs no more than one standard error, and leave the best
        member's predictions alone where the rule gains no more than that

    Attributes
    ----------
    kept_ : positions of the members that the guard kept (M of them below); alone_ : see the base class
    mean_ : (2K,), modes_ : (R, 2K), crop px, and residual_ : px²: a shape is the mean, plus modes times
        standard normal numbers, plus noise of variance residual_ in every coordinate
    slope_ : (M,), level_ : (M, K): logarithm of the squared scale, px², over the score's log-odds
    calibration_ : (2,) from the deviation left to the score
    """

    _corrects: ClassVar[bool] = True
    _step: ClassVar[str] = "model of shapes"
    _learned: ClassVar[tuple[str, ...]] = ("mean", "modes", "residual", "slope", "level", "calibration")

    members: Members
    cv: int = 2
    spread: float = 0.0075
    guard: bool = True

    def _check_parameters(self) -> None:
        if not self.spread > 0:
            raise InputError(f"spread must be positive, got {self.spread}")

    def predict_out_of_fold(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """Points (B, K, 2) and scores (B, K) from members and rules that did not see the picture."""
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        prediction, score = self._out_of_fold(images, truth, groups, flip)
        rows = np.arange(len(images)) if groups is None else np.asarray(groups)
        kept, alone = self._judged(prediction, score, truth, rows, max(images.shape[1:3]))
        if alone >= 0:
            return prediction[kept[0]], score[kept[0]]
        found, scores = np.empty(truth.shape, np.float32), np.empty(truth.shape[:2], np.float32)
        for train, test in group_folds(rows, GUARD_FOLDS):
            parts = prediction[kept][:, train], score[kept][:, train], truth[train], rows[train]
            rule = self._learn(*parts, max(images.shape[1:3]))
            found[test], scores[test] = self._combine(rule, prediction[kept][:, test], score[kept][:, test])
        return found, scores

    def _learn(self, prediction: Array, score: Array, truth: Array, groups: Any, side: int) -> Rule:
        residual = (self.spread * side) ** 2
        mean, covariance = gaussian_shapes(truth, residual)
        rule: Rule = {"mean": mean, "residual": residual}
        rule["modes"] = _modes(covariance + _free_pose(mean, _POSE * side), residual)
        rule["slope"], rule["level"] = _noise(prediction, score, truth, side)
        found, left = most_probable(prediction, noise(score, rule), rule)
        error = np.linalg.norm(found - truth, axis=-1)
        known = np.isfinite(error)
        rule["calibration"] = np.array(calibrate(confidence(left)[known], error[known] < NEAR * side))
        return rule

    def _combine(self, rule: Rule, xy: Array, score: Array) -> tuple[Array, Array]:
        return shaped(xy, score, rule)

    def _counts(self, xy: Array, score: Array) -> Array:
        """By noise and distance from the shape, against each other; not what the shape itself counts."""
        rule = {name: getattr(self, f"{name}_") for name in self._learned}
        variance = noise(score, rule)
        square = ((xy - most_probable(xy, variance, rule)[0]) ** 2).sum(-1)
        weight = 1 / (variance * (DEGREES_OF_FREEDOM + np.nan_to_num(square) / variance))
        weight = weight * np.isfinite(xy).all(-1)
        return weight / np.maximum(weight.sum(0), 1e-12)

    def runtime_node(self) -> dict[str, Any]:
        return self._node("shape_vote", *self._learned)


def gaussian_shapes(xy: Array, residual: float, rounds: int = 10) -> tuple[Array, Array]:
    """Mean (2K,) and covariance (2K, 2K) of shapes (B, K, 2), px, NaN = not labelled.

    What is not labelled is expected from the rest (expectation maximisation, Dempster et al. 1977), where
    every coordinate has a variance of its own, ``residual`` px², which is not part of the covariance.
    """
    rows = xy.reshape(len(xy), -1)
    seen = np.isfinite(rows)
    total, count = np.where(seen, rows, 0).sum(0), seen.sum(0)
    mean = total / np.maximum(count, 1)
    filled = np.where(seen, rows, mean)
    covariance = np.atleast_2d(np.cov(filled.T, bias=True))
    identity = np.eye(len(mean))
    for _ in range(0 if seen.all() else rounds):
        whole, unsure = covariance + residual * identity, np.zeros_like(covariance)
        filled = filled.copy()
        for pattern in np.unique(seen, axis=0):  # landmarks that are missing together
            like, hidden = (seen == pattern).all(1), ~pattern
            if not hidden.any() or not pattern.any():
                filled[like] = rows[like] if pattern.any() else mean
                continue
            gain = np.linalg.solve(whole[np.ix_(pattern, pattern)], whole[np.ix_(pattern, hidden)]).T
            expected = mean[hidden] + (rows[like][:, pattern] - mean[pattern]) @ gain.T
            filled[np.ix_(like, hidden)] = expected
            spread = whole[np.ix_(hidden, hidden)] - gain @ whole[np.ix_(pattern, hidden)]
            unsure[np.ix_(hidden, hidden)] += like.sum() / len(rows) * spread
        mean = filled.mean(0)
        covariance = np.cov(filled.T, bias=True) + unsure
    return mean, covariance


def _modes(covariance: Array, least: float) -> Array:
    """(R, 2K) rows whose outer products sum to the covariance, less what varies below ``least`` px²."""
    variance, axes = np.linalg.eigh(covariance)
    kept = variance > least
    return np.ascontiguousarray((axes[:, kept] * np.sqrt(variance[kept])).T)


def _free_pose(mean: Array, deviation: float) -> Array:
    """(2K, 2K) covariance of shifts, turns and changes of size of the mean shape, ``deviation`` px each.

    Similarity maps of a shape are linear in four numbers, so that this is exact for large turns too.
    """
    shape = mean.reshape(-1, 2) - mean.reshape(-1, 2).mean(0)
    shape = shape / max(float(np.sqrt((shape**2).sum(1).mean())), 1e-9)
    turned = np.stack([-shape[:, 1], shape[:, 0]], axis=1)
    basis = np.stack([np.ones_like(shape) * [1, 0], np.ones_like(shape) * [0, 1], shape, turned])
    flat = basis.reshape(4, -1)
    return deviation**2 * flat.T @ flat


def _noise(prediction: Array, score: Array, truth: Array, side: int) -> tuple[Array, Array]:
    """slope (M,) and level (M, K) of the logarithm of a prediction's squared scale over its log-odds."""
    m, _, k, _ = prediction.shape
    slope, level = np.zeros(m), np.full((m, k), np.log(side**2))
    least = 1e-6 * side**2  # px²: labels are no better than that
    for i in range(m):
        square = ((prediction[i] - truth) ** 2).sum(-1) / 2
        known, odds = np.isfinite(square), logit(score[i])
        if not known.any():
            continue
        size = np.log(np.where(known, square, 0) + least) - _LOG_F
        x, y = odds[known], size[known]
        spread = float(((x - x.mean()) ** 2).mean())
        slope[i] = min(float(((x - x.mean()) * y).mean()) / (spread + 1e-3), 0.0)  # never worse
        common = float((y - slope[i] * x).mean())
        offset = np.where(known, size - slope[i] * odds - common, 0).sum(0) / (known.sum(0) + _LANDMARK)
        level[i] = common + offset
    return slope, level
