"""A vote whose weights are chosen for the error itself: a gate over the members, learned discriminatively.

Inverse-variance weights are right for squared errors under one Gaussian; a member that is usually right
and sometimes lost is neither.  The gate sees the scores and how far the members lie apart, and is
fitted to a loss of the distance.  Shapes: M members, each (B, K, 2) points and (B, K) scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize

from ..stats.calibration import NEAR, calibrate, logit
from ..structures import Array, InputError
from .kernels import weighted_points
from .members import LearnedCombination, Members, Rule
from .nodes.gating import gate_features, gate_weights, gated_vote

ROUND = 0.002  #: parts of the side below which a distance counts quadratically, for the gradient's sake


@dataclass(eq=False, repr=False)
class GatedVote(LearnedCombination):
    """Members weighted per landmark and picture by a linear gate (Jacobs, Jordan, Nowlan, Hinton 1991).

    The weight of member m at landmark k is a softmax over the members of ``a_m . f + b_m + b_mk``,
    where f holds every member's log-odds there, their means over the picture's landmarks, and the
    logarithms of the distances between members.  Where two members agree the gate may average them;
    where they are far apart it can learn whom to believe.  The prediction always lies between the members'
    predictions.  Departures from the paper: the members are not trained with the gate, the gate is
    linear, and it minimises a loss of the weighted point's distance, not a likelihood.

    Parameters
    ----------
    members : sequence of (name, detector)
    cv : folds for the out-of-fold predictions that the gate learns from
    confidence, agreement : whether the gate sees the scores, the distances between members
    penalty : ridge on a_m, and ten times it on b_mk, against the summed loss over all points
    saturation : part of the crop's longer side beyond which an error hardly counts more (a Welsch
        loss: where many points are lost, pulling them a little nearer must not cost those that are
        found); None = the distance itself
    guard : drop members whose absence costs no more than one standard error

    Attributes
    ----------
    kept_ : positions of the members that the guard kept (M of them below)
    centre_ : (F,) the features' means; slope_ : (M, F); bias_ : (M, K)
    weights_ : (members, K) mean weights on the training predictions, for people to read; 0 where dropped
    calibration_ : (2,) from the weighted score's log-odds to those of an error below 2.5 % of the side
    """

    _learned: ClassVar[tuple[str, ...]] = ("centre", "slope", "bias", "calibration", "weights", "side")

    members: Members
    cv: int = 2
    confidence: bool = True
    agreement: bool = True
    penalty: float = 1.0
    saturation: float | None = 0.1
    guard: bool = True

    def _check_parameters(self) -> None:
        if not self.penalty > 0 or not (self.saturation is None or self.saturation > 0):
            raise InputError(
                f"penalty and saturation must be positive, got {self.penalty} and {self.saturation}"
            )

    def _learn(self, prediction: Array, score: Array, truth: Array, groups: Any, side: int) -> Rule:
        features = gate_features(prediction, score, side, self.confidence, self.agreement)
        given: Array = np.asarray(np.isfinite(prediction).all(-1))
        known = given.all(0) & np.isfinite(truth[..., 0])
        flat = features.reshape(-1, features.shape[-1])
        flat = np.where(np.isfinite(flat).any(0), flat, 0.0)  # a member that never predicts
        centre, spread = np.nanmean(flat, axis=0), np.nanstd(flat, axis=0) + 1e-3
        rows = ((features - centre) / spread)[known]
        off = ((prediction - truth)[:, known] / side).astype(float)
        landmark = np.broadcast_to(np.arange(truth.shape[1]), known.shape)[known]
        slope, bias = self._minimise(rows, off, landmark, truth.shape[1])
        slope = slope / spread
        weights = gate_weights(features, given, centre, slope, bias)
        fused, confidence = weighted_points(prediction, weights, score)
        error = np.linalg.norm(fused - truth, axis=-1)
        there = np.isfinite(error)
        calibration = calibrate(logit(confidence)[there], error[there] < NEAR * side)
        return {
            "centre": centre,
            "slope": slope,
            "bias": bias,
            "calibration": np.array(calibration),
            "weights": weights.mean(1),
            "side": side,
        }

    def _minimise(self, rows: Array, off: Array, landmark: Array, k: int) -> tuple[Array, Array]:
        """slope (M, F) and bias (M, K) for features (N, F), errors (M, N, 2) in sides, landmarks (N,)."""
        m, n, _ = off.shape
        f = rows.shape[1]
        if n == 0 or m == 1:
            return np.zeros((m, f)), np.zeros((m, k))
        off = np.moveaxis(off, 0, 1)  # (N, M, 2)
        order = np.argsort(landmark, kind="stable")
        rows, off, landmark = rows[order], off[order], landmark[order]
        starts = np.searchsorted(landmark, np.arange(k))

        def cost(p: Array) -> tuple[float, Array]:
            slope, common, own = p[: m * f].reshape(m, f), p[m * f : m * f + m], p[m * f + m :].reshape(k, m)
            z = rows @ slope.T + common + own[landmark]
            w = np.exp(z - z.max(1, keepdims=True))
            w /= w.sum(1, keepdims=True)
            fused = (w[..., None] * off).sum(1)
            value, pull = self._loss(fused)
            dw = (off @ (pull[:, None] * fused)[..., None])[..., 0]
            dz = w * (dw - (w * dw).sum(1, keepdims=True))
            # reduceat gives the next row's value for an empty landmark
            per = np.add.reduceat(np.append(dz, np.zeros((1, m)), 0), starts, axis=0)
            per[np.diff(np.append(starts, n)) == 0] = 0
            a, b = self.penalty, 10 * self.penalty
            total = value.sum() + 0.5 * a * (slope**2).sum() + 0.5 * b * (own**2).sum()
            grad = [(dz.T @ rows + a * slope).ravel(), dz.sum(0), (per + b * own).ravel()]
            return total / n, np.concatenate(grad) / n

        start = np.zeros(m * f + m + k * m)
        found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
        common, own = found[m * f : m * f + m], found[m * f + m :].reshape(k, m)
        return found[: m * f].reshape(m, f), common[:, None] + own.T

    def _loss(self, off: Array) -> tuple[Array, Array]:
        """(N,) loss of errors (N, 2) in sides, about 1 at 3 % of the side, and its derivative / error."""
        square = (off**2).sum(1)
        if self.saturation is None:
            length = np.sqrt(square + ROUND**2)
            return length / 0.03, 1 / (0.03 * length)
        c = self.saturation**2
        decay = np.exp(-0.5 * square / c)
        return 2 * (1 - decay), 2 * decay / c

    def _combine(self, rule: Rule, xy: Array, score: Array) -> tuple[Array, Array]:
        gate = rule["centre"], rule["slope"], rule["bias"]
        sees = self.confidence, self.agreement
        return gated_vote(xy, score, rule["side"], sees, gate, rule["calibration"])

    def _counts(self, xy: Array, score: Array) -> Array:
        features = gate_features(xy, score, self.side_, self.confidence, self.agreement)
        return gate_weights(
            features, np.asarray(np.isfinite(xy).all(-1)), self.centre_, self.slope_, self.bias_
        )

    def runtime_node(self) -> dict[str, Any]:
        sees = {"confidence": bool(self.confidence), "agreement": bool(self.agreement)}
        learned = "centre", "slope", "bias", "calibration"
        return self._node("gating", *learned, side=int(self.side_), **sees)
