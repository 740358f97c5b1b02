"""Tracks made smooth after the fact, or a few frames late: both directions of time, gaps filled.

Points (T, K, 2) with NaN for what was not seen, and their variances (T, K), come in; the same come out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError
from .filters import CALM, KalmanPoints


def smooth_points(
    xy: ArrayLike, variance: ArrayLike, size: float, *, max_gap: int = 10, frames: ArrayLike | None = None
) -> tuple[Array, Array]:
    """One object's points through a film, each smoothed with what came before and after.

    Rauch, Tung and Striebel's smoother (1965) over :class:`~hybridkp.tracking.filters.KalmanPoints`.

    Parameters
    ----------
    xy : (T, K, 2) px, NaN = not seen
    variance : (T, K) px², per axis, of what was seen
    size : of the object, px: the longer side of its usual box
    max_gap : frames; a longer gap stays one
    frames : (T,) increasing times, in frames; None: one after the other

    Returns
    -------
    xy : (T, K, 2) px, NaN before the first, after the last and in long gaps
    variance : (T, K) px², what is left of it

    >>> zigzag = np.array([0.0, 1.2, 1.8, np.nan, 4.2, 4.8])[:, None, None] * np.ones(2)
    >>> float(smooth_points(zigzag, np.full((6, 1), 0.1), 20.0)[0][3, 0, 0].round(1))
    3.0
    """
    xy, variance = np.array(xy, float), np.asarray(variance, float)
    if xy.ndim != 3 or xy.shape[2] != 2 or variance.shape != xy.shape[:2] or not size > 0:
        raise InputError(
            f"smooth_points: needs (T, K, 2), (T, K), size > 0; got {xy.shape}, {variance.shape}"
        )
    time = np.arange(len(xy), dtype=float) if frames is None else np.asarray(frames, float)
    if time.shape != (len(xy),) or (np.diff(time) <= 0).any():
        raise InputError("smooth_points: frames must be (T,) and increase")
    if len(xy) == 0:
        return xy, variance.copy()
    seen = np.isfinite(xy).all(2)
    states, covs, ahead, ahead_covs = _forward(xy, variance, size, time)
    _backward(states, covs, ahead, ahead_covs, time)
    kept = _near(seen, time, max_gap)
    out = np.where(kept[..., None], states[:, :, 0], np.nan)
    return out, np.where(kept, covs[:, :, 0, 0], np.nan)


class Delayed:
    """One object's points of a few frames ago, smoothed by what has been seen since (fixed-lag smoothing).

    Parameters
    ----------
    xy, variance, size : as of :class:`~hybridkp.tracking.filters.KalmanPoints`, in the first frame
    lag : frames that may be waited for
    """

    def __init__(self, xy: Array, variance: Array, size: float, lag: int) -> None:
        self.lag = lag
        self.filter = KalmanPoints(xy, variance, size, CALM)
        own = self.filter.state.copy(), self.filter.cov.copy()
        self.rows = [(*own, *own, 1.0)]

    def add(self, frames: float, size: float, xy: Array, variance: Array) -> None:
        """The next sighting (K, 2), ``frames`` after the last one; NaN where nothing was seen."""
        k = len(xy)
        self.filter.predict(frames, size, np.full((k, 2), np.nan), np.ones(k))
        ahead = self.filter.state.copy(), self.filter.cov.copy()
        self.filter.correct(xy, np.nan_to_num(variance, nan=1.0), size)
        self.rows.append((self.filter.state.copy(), self.filter.cov.copy(), *ahead, frames))
        del self.rows[: -self.lag - 1]

    def ago(self, n: int) -> Array | None:
        """(K, 2) px of ``n`` sightings ago; None where there were fewer."""
        if n >= len(self.rows):
            return None
        *columns, steps = zip(*self.rows[-n - 1 :], strict=True)
        states, covs, ahead, ahead_covs = (np.stack(column) for column in columns)
        _backward(states, covs, ahead, ahead_covs, np.cumsum(steps))
        out: Array = states[0, :, 0]
        return out


def _forward(xy: Array, variance: Array, size: float, time: Array) -> tuple[Array, ...]:
    """Filtered states (T, K, 2, 2) and covariances (T, K, 2, 2), and both as predicted."""
    k = xy.shape[1]
    nothing, ones = np.full((k, 2), np.nan), np.ones(k)
    filter_ = KalmanPoints(xy[0], np.nan_to_num(variance[0], nan=1.0), size, CALM)
    rows = [(filter_.state.copy(), filter_.cov.copy(), filter_.state.copy(), filter_.cov.copy())]
    for t in range(1, len(xy)):
        filter_.predict(float(time[t] - time[t - 1]), size, nothing, ones)
        state, cov = filter_.state.copy(), filter_.cov.copy()
        filter_.correct(xy[t], np.nan_to_num(variance[t], nan=1.0), size)
        rows.append((filter_.state.copy(), filter_.cov.copy(), state, cov))
    states, covs, ahead, ahead_covs = (np.stack(column) for column in zip(*rows, strict=True))
    return states, covs, ahead, ahead_covs


def _backward(states: Array, covs: Array, ahead: Array, ahead_covs: Array, time: Array) -> None:
    """In place: what the later frames say of the earlier ones."""
    for t in range(len(states) - 2, -1, -1):
        step = np.array([[1.0, time[t + 1] - time[t]], [0.0, 1.0]])
        known = np.isfinite(states[t, :, 0, 0])
        gain = covs[t, known] @ step.T @ np.linalg.inv(ahead_covs[t + 1, known])
        states[t, known] += gain @ (states[t + 1, known] - ahead[t + 1, known])
        change = covs[t + 1, known] - ahead_covs[t + 1, known]
        covs[t, known] += gain @ change @ gain.transpose(0, 2, 1)


def _near(seen: Array, time: Array, max_gap: int) -> Array:
    """(T, K) bool: seen, or in a gap of at most ``max_gap`` frames between two that are."""
    place = np.arange(len(seen))[:, None]
    before = np.maximum.accumulate(np.where(seen, place, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, place, len(seen))[::-1], axis=0)[::-1]
    between = (before >= 0) & (after < len(seen))
    last, following = np.clip(before, 0, None), np.clip(after, None, len(seen) - 1)
    return between & (time[following] - time[last] <= max_gap + 1)
