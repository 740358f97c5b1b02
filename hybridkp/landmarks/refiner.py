"""A classical refiner: given points moved to where the edges around them say, by linear regression.

Shapes that pass: crops (B, H, W[, 3]) uint8, points (B, K, 2) in crop px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..imaging.geometry import extract_patches
from ..imaging.images import check_crops, crops_to_grey
from ..memory.budget import affordable
from ..stats.calibration import NEAR, calibrate, probability
from ..structures import Array, check_start, check_xy

UNIT_SIDE = 128  #: the crop side for which ``spacing`` is in px; other sizes scale along


def _edge_maps(grey: Array, unit: float) -> Array:
    """(H, W, 4) float32: rectified derivatives (+x, -x, +y, -y) divided by the local contrast.

    Position in a linear function of these is smooth: that is what a linear regressor needs.
    """
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), unit)
    gx = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3)
    gy = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3)
    energy = cv2.GaussianBlur(gx * gx + gy * gy, (0, 0), 4 * unit)
    scale = 1 / np.sqrt(energy + 25.0)
    maps = np.stack([np.maximum(gx, 0), np.maximum(-gx, 0), np.maximum(gy, 0), np.maximum(-gy, 0)], -1)
    return cv2.GaussianBlur(maps * scale[..., None], (0, 0), unit)


@dataclass(eq=False, repr=False)
class SubpixelRefiner(BaseEstimator):
    """Linear regression from the edges around a point to its residual, in two stages.

    Each landmark has its own ridge regressor on a patch of contrast-normalised derivatives; the
    second stage learns from what the first left over, as in the supervised descent method (Xiong
    and De la Torre 2013).  Here each landmark moves alone and no SIFT is computed.  A landmark
    whose held-out error does not fall in a stage stays where it is in that stage.

    Parameters
    ----------
    patch : samples per side of the patch (odd)
    spacing : px between samples, for crops 128 px high; scales with the crop
    n_stages : regressors in a row
    n_draws : training starts per picture beside the given one: other pictures' residuals
    alpha : ridge, relative to the mean variance of a feature times the number of rows
    random_state : of the draws and of the held-out groups
    """

    patch: int = 11
    spacing: float = 2.0
    n_stages: int = 2
    n_draws: int = 2
    alpha: float = 0.3
    random_state: Any = 0

    def fit(
        self,
        images: Any,
        xy: ArrayLike,
        start: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        flip: ArrayLike | None = None,
    ) -> SubpixelRefiner:
        """Learn to move ``start`` to ``xy``, both (B, K, 2) in crop px; ``flip`` has no use here."""
        images = check_crops(images)
        truth = check_xy(xy, len(images))
        begin = check_start(start, truth.shape)
        rng = check_random_state(self.random_state)
        self.size_hw_ = (int(images.shape[1]), int(images.shape[2]))
        most = affordable(len(images), self._picture_bytes(images, truth), type(self).__name__)
        if most is not None:
            some = np.sort(rng.permutation(len(images))[:most])
            images, truth, begin = images[some], truth[some], begin[some]
            groups, self.learned_from_ = None if groups is None else np.asarray(groups)[some], most
        maps = self._maps(images)
        held = self._held_out(len(images), groups, rng)
        starts = self._draw(truth, begin, rng)
        self.weights_, self.means_, self.centre_ = [], [], np.nanmean(truth, 0)
        starts = [np.where(np.isfinite(s), s, self.centre_) for s in starts]
        raw = np.zeros(truth.shape[:2])
        for _ in range(self.n_stages):
            rows = [self._rows(maps, s) for s in starts]
            weights, means = self._stage(rows, [truth - s for s in starts], held)
            moves = [self._move(r, weights, means) for r in rows]
            raw = self._raw(moves[0])
            starts = [s + m for s, m in zip(starts, moves, strict=True)]
            self.weights_.append(weights)
            self.means_.append(means)
        off = np.linalg.norm(starts[0] - truth, axis=-1) / max(self.size_hw_)
        known = np.isfinite(off) & held[:, None]
        known = known if known.any() else np.isfinite(off)
        self.calibration_ = calibrate(raw[known], off[known] < NEAR)
        return self

    def refine(self, images: Any, start: ArrayLike) -> tuple[Array, Array]:
        """(B, K, 2) float32 moved points; (B, K) score, higher where the last move was small.

        A start that is NaN stays NaN, with score 0.
        """
        check_is_fitted(self)
        images = check_crops(images, self.size_hw_)
        xy = check_start(start, (len(images), *self.centre_.shape))
        given = np.all(np.isfinite(xy), axis=-1)
        xy = np.where(given[..., None], xy, self.centre_)
        maps, raw = self._maps(images), np.zeros(xy.shape[:2])
        for weights, means in zip(self.weights_, self.means_, strict=True):
            move = self._move(self._rows(maps, xy), weights, means)
            xy, raw = xy + move, self._raw(move)
        score = np.where(given, probability(raw, self.calibration_), 0)
        return np.where(given[..., None], xy, np.nan).astype(np.float32), score.astype(np.float32)

    # ---------------------------------------------------------------------------- inside

    def _picture_bytes(self, images: Any, truth: Array) -> float:
        """What a picture's maps and rows take while a stage is learned."""
        maps = self._maps(images[:1])
        row = self._rows(maps, np.nan_to_num(truth[:1])).nbytes
        return float(maps[0].nbytes + (1 + self.n_draws) * row)

    def _maps(self, images: Any) -> list[Array]:
        unit = max(images.shape[1:3]) / UNIT_SIDE
        return [_edge_maps(grey, unit) for grey in crops_to_grey(images)]

    def _rows(self, maps: list[Array], xy: Array) -> Array:
        """(B, K, D) float32 features at the points."""
        step = self.spacing * max(self.size_hw_) / UNIT_SIDE
        rows = [
            extract_patches(m, p, self.patch, step).reshape(len(p), -1) for m, p in zip(maps, xy, strict=True)
        ]
        return np.stack(rows)

    def _draw(self, truth: Array, begin: Array, rng: np.random.RandomState) -> list[Array]:
        """The given starts, and truths moved by the residuals of other pictures."""
        residual = np.where(np.isfinite(begin - truth), begin - truth, 0.0)
        return [begin] + [truth + residual[rng.permutation(len(truth))] for _ in range(self.n_draws)]

    @staticmethod
    def _held_out(n: int, groups: ArrayLike | None, rng: np.random.RandomState) -> Array:
        """(B,) mask of every fifth group; nothing when there are fewer than five."""
        names = (
            np.arange(n)
            if groups is None
            else np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
        )
        held = np.zeros(n, bool)
        if len(np.unique(names)) >= 5:
            split = GroupShuffleSplit(1, test_size=0.2, random_state=rng.randint(2**31 - 1))
            held[next(split.split(names, groups=names))[1]] = True
        return held

    def _stage(self, rows: list[Array], residuals: list[Array], held: Array) -> tuple[Array, Array]:
        """Weights (K, D + 1, 2), the last row the constant, and feature means (K, D)."""
        k, d = rows[0].shape[1:]
        weights, means = np.zeros((k, d + 1, 2), np.float32), np.zeros((k, d), np.float32)
        for i in range(k):
            x = np.concatenate([r[~held, i] for r in rows]).astype(float)
            y = np.concatenate([r[~held, i] for r in residuals])
            known = np.isfinite(y).all(1)
            if known.sum() < 2:
                continue
            x, y = x[known], y[known]
            mean, shift = x.mean(0), y.mean(0)
            x = x - mean
            gram = x.T @ x
            ridge = self.alpha * max(np.trace(gram) / d, 1e-6)
            solution = np.linalg.solve(gram + ridge * np.eye(d), x.T @ (y - shift))
            means[i], weights[i] = mean, np.concatenate([solution, shift[None]])
            test_x, test_y = rows[0][held, i] - mean, residuals[0][held, i]
            after = test_y - test_x @ solution - shift
            error, moved = np.linalg.norm(test_y, axis=1), np.linalg.norm(after, axis=1)
            seen = np.isfinite(error)
            if seen.any() and moved[seen].mean() >= error[seen].mean():
                weights[i] = 0
        return weights, means

    @staticmethod
    def _move(rows: Array, weights: Array, means: Array) -> Array:
        return np.einsum("bkd,kdo->bko", rows - means, weights[:, :-1]) + weights[:, -1]

    def _raw(self, move: Array) -> Array:
        return -np.log(np.linalg.norm(move, axis=-1) / max(self.size_hw_) + 0.002)
