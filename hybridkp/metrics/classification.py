"""Is a point's confidence to be believed?  Reliability of scores against hits.

Here lives what scikit-learn lacks for us: the expected calibration error.  Never here: average
precision and ROC curves (``sklearn.metrics`` has them), files, models.  Shapes: any two arrays of
one shape, usually (B, K); a point that is NaN in either is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..structures import InputError

Array = NDArray[Any]


def calibration_curve(
    error_ok: ArrayLike, score: ArrayLike, n_bins: int = 10
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Reliability diagram: in bins of equal width over 0..1, confidence against hit rate.

    Parameters
    ----------
    error_ok : bool or float, any shape
        1 where the point was right (error below a threshold of your choice), 0 where not, NaN where
        the truth is not labelled.
    score : same shape, 0..1, NaN = no prediction, left out
    n_bins : int

    Returns
    -------
    mean_score, hit_rate : (n_bins,) float64, NaN in an empty bin
    count : (n_bins,) int64

    Raises
    ------
    InputError
        Shapes differ, a score lies outside 0..1, or ``n_bins`` < 1.

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.
    """
    ok, p = np.asarray(error_ok, np.float64), np.asarray(score, np.float64)
    if ok.shape != p.shape:
        raise InputError(f"error_ok {ok.shape} and score {p.shape} must have one shape")
    if n_bins < 1:
        raise InputError(f"n_bins must be at least 1, got {n_bins}")
    there = ~(np.isnan(ok) | np.isnan(p))
    ok, p = ok[there], p[there]
    if len(p) and not (p.min() >= 0 and p.max() <= 1):
        raise InputError("scores must lie in 0..1")
    row = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    count = np.bincount(row, minlength=n_bins)
    safe = np.where(count > 0, count, np.nan)
    return (
        np.bincount(row, weights=p, minlength=n_bins) / safe,
        np.bincount(row, weights=ok, minlength=n_bins) / safe,
        count,
    )


def error_by_score(error: ArrayLike, score: ArrayLike, n_bins: int = 10) -> tuple[Array, NDArray[np.int64]]:
    """Expected against observed error: the median error in each of the bins of :func:`calibration_curve`.

    Parameters
    ----------
    error : any shape, in any unit; ``inf`` = missing, NaN where the truth is not labelled
    score : same shape, 0..1, NaN = no prediction, left out

    Returns
    -------
    median : (n_bins,) float64, NaN in an empty bin, ``inf`` where most are missing
    count : (n_bins,) int64

    Examples
    --------
    >>> error_by_score([9, 3, 5, 1], [0.1, 0.2, 0.3, 0.9], n_bins=2)
    (array([5., 1.]), array([3, 1]))
    """
    off, p = np.asarray(error, np.float64), np.asarray(score, np.float64)
    _, _, count = calibration_curve(np.where(np.isnan(off), np.nan, 1.0), p, n_bins)
    there = ~(np.isnan(off) | np.isnan(p))
    off = off[there]
    row = np.minimum((p[there] * n_bins).astype(np.int64), n_bins - 1)
    parts = np.split(off[np.argsort(row, kind="stable")], np.cumsum(count)[:-1])
    # the higher of the two middle ones, so that a missing prediction is never averaged
    middle = [np.sort(part)[len(part) // 2] if len(part) else np.nan for part in parts]
    return np.array(middle), count


def expected_calibration_error(error_ok: ArrayLike, score: ArrayLike, n_bins: int = 10) -> float:
    """Mean gap between confidence and hit rate over the bins, weighted by their counts [1]_.

    0 is perfectly calibrated; NaN when no point is left.  Arguments as in :func:`calibration_curve`.

    References
    ----------
    .. [1] Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
       binning", AAAI 2015.

    Examples
    --------
    >>> round(expected_calibration_error([1, 1, 0, 0], [0.9, 0.9, 0.1, 0.1]), 6)
    0.1
    """
    mean_score, hit_rate, count = calibration_curve(error_ok, score, n_bins)
    if not count.sum():
        return float("nan")
    filled = count > 0
    gap = np.abs(mean_score[filled] - hit_rate[filled])
    return float((gap * count[filled]).sum() / count.sum())
