"""Points of one object through time: a Kalman filter for each, or the lighter one-euro filter.

State is (K, 2, 2): position and speed, each x and y; time is in frames.  Arithmetic only, no picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..stats.calibration import NEAR
from ..structures import Array

AGILITY = 0.012  #: how far an object's points change their speed in a frame, as a part of its size
CALM = 0.01  #: the same where later frames have their say
#: squared distance, in standard deviations, that one point in a hundred exceeds (2 degrees of freedom)
GATE = 9.2
STUBBORN = 3  #: frames in a row beyond the gate after which the detector is believed
_SURE = 0.02  # scores are kept so far from 0 and 1 when they become variances


def variance_of(score: Array, side: float) -> Array:
    """(K,) px², per axis, of points whose calibrated score is the probability of an error under 2.5 % of
    ``side``: that of a round Gaussian, ``(0.025 side)² / (-2 ln(1 - score))``.

    >>> float(variance_of(np.array([1 - np.exp(-0.5)]), 40.0)[0].round(6))
    1.0
    """
    sure = np.clip(np.nan_to_num(np.asarray(score, float)), _SURE, 1 - _SURE)
    return (NEAR * side) ** 2 / (-2 * np.log1p(-sure))


class KalmanPoints:
    """A constant-velocity Kalman filter for every point, with optical flow as a measurement of speed.

    Position and speed of an axis share a (2, 2) covariance; x and y are independent and alike.  A
    measurement beyond the gate is believed less, the more the farther (as under Student's t); one that
    stays there for :data:`STUBBORN` frames is taken for true.

    Parameters
    ----------
    xy : (K, 2) where the points are now, px; NaN = not known yet
    variance : (K,) px², per axis
    size : of the object, px
    agility : how far points change their speed in a frame, as a part of the size
    """

    def __init__(self, xy: Array, variance: Array, size: float, agility: float = AGILITY) -> None:
        k = len(xy)
        self.agility = agility
        self.state = np.zeros((k, 2, 2))
        self.state[:, 0] = xy
        self.cov = np.zeros((k, 2, 2))
        self.cov[:, 0, 0] = variance
        self.cov[:, 1, 1] = (3 * agility * size) ** 2
        self.apart = np.zeros(k, int)

    @property
    def xy(self) -> Array:
        """(K, 2) px."""
        out: Array = self.state[:, 0].copy()
        return out

    @property
    def variance(self) -> Array:
        """(K,) px², per axis."""
        out: Array = self.cov[:, 0, 0].copy()
        return out

    def predict(self, frames: float, size: float, moved: Array, moved_variance: Array) -> None:
        """On by ``frames``; ``moved`` (K, 2) px is what optical flow says, NaN where it says nothing."""
        self.cov[:, 1, 1] += (self.agility * size) ** 2 * frames
        self._measured(1, moved / frames, moved_variance / frames**2)
        step = np.array([[1.0, frames], [0.0, 1.0]])
        self.state = step @ self.state
        self.cov = step @ self.cov @ step.T

    def correct(self, xy: Array, variance: Array, size: float) -> None:
        """What the detector sees, (K, 2) px with (K,) px²; NaN where it sees nothing."""
        new = np.isnan(self.state[:, 0, 0]) & np.isfinite(xy).all(1)
        if new.any():
            fresh = KalmanPoints(xy[new], variance[new], size, self.agility)
            self.state[new], self.cov[new] = fresh.state, fresh.cov
        total = self.cov[:, 0, 0] + variance
        far = np.nan_to_num(((xy - self.state[:, 0]) ** 2).sum(1) / total)
        self.apart = np.where(far > GATE, self.apart + 1, 0)
        believed = self.apart > STUBBORN
        self.cov[believed, 0, 0] += ((xy - self.state[:, 0]) ** 2).sum(1)[believed]
        self._measured(0, xy, variance * np.where(believed, 1.0, np.maximum(1.0, far / GATE)))

    def _measured(self, row: int, values: Array, variance: Array) -> None:
        known = np.isfinite(values).all(1) & np.isfinite(self.state[:, 0, 0])
        gain = self.cov[:, :, row] / (self.cov[:, row, row] + np.where(known, variance, 1.0))[:, None]
        gain = np.where(known[:, None], gain, 0.0)
        change = np.where(known[:, None], values - self.state[:, row], 0.0)
        self.state += gain[:, :, None] * change[:, None]
        self.cov -= gain[:, :, None] * self.cov[:, row][:, None]


class OneEuroPoints:
    """The one-euro filter (Casiez, Roussel, Vogel, CHI 2012): a low pass that opens with speed.

    Cheaper than :class:`KalmanPoints`, blind to scores and to optical flow; same use.
    """

    cutoff, slope, speed_cutoff = 0.2, 5.0, 0.15  #: cycles a frame; per object size a frame

    def __init__(self, xy: Array, variance: Array, size: float) -> None:
        self.state = np.zeros((len(xy), 2, 2))
        self.state[:, 0] = xy
        self.variance = np.array(variance, float)
        self.frames = 1.0

    @property
    def xy(self) -> Array:
        """(K, 2) px."""
        out: Array = self.state[:, 0].copy()
        return out

    def predict(self, frames: float, size: float, moved: Array, moved_variance: Array) -> None:
        """Time goes on; the filter does not look ahead."""
        self.frames = frames

    def correct(self, xy: Array, variance: Array, size: float) -> None:
        """What the detector sees; NaN keeps the last place."""
        old = self.state[:, 0]
        known = np.asarray(np.isfinite(xy).all(1))[:, None]
        first = known & np.isnan(old)
        speed = np.where(known & ~first, (xy - old) / self.frames, self.state[:, 1])
        slow = self.state[:, 1] + _share(self.speed_cutoff, self.frames) * (speed - self.state[:, 1])
        fast = np.linalg.norm(slow, axis=1, keepdims=True) / size
        share = _share(self.cutoff + self.slope * fast, self.frames)
        self.state[:, 1] = slow
        self.state[:, 0] = np.where(first, xy, old + np.where(known, share * (xy - old), 0.0))
        self.variance = np.where(known[:, 0], variance, self.variance)


def _share(cutoff: float | Array, frames: float) -> float | Array:
    return 1 / (1 + 1 / (2 * np.pi * cutoff * frames))


class RawPoints(OneEuroPoints):
    """No filter: the detector's points as they are, the last ones where it sees nothing."""

    def correct(self, xy: Array, variance: Array, size: float) -> None:
        known = np.isfinite(xy).all(1)
        self.state[known, 0], self.variance = xy[known], np.where(known, variance, self.variance)


FILTERS: dict[str, Any] = {"kalman": KalmanPoints, "one-euro": OneEuroPoints, "none": RawPoints}
