"""Is a probability of being visible any good?  Proper scores and the ranking of what is hidden.

Pure functions of labels and probabilities; compare them with those of ``visible.mean(axis=0)`` of the
training part, the shares that need no picture.  Never here: files, models, points.  Shapes: any two
arrays of one shape, usually (B, K); what is NaN in either is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..structures import InputError

Array = NDArray[Any]


def brier_score(visible: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared difference between probability and label (Brier 1950): 0 is perfect.

    Parameters
    ----------
    visible : bool or float, any shape
        1 where the landmark is visible, 0 where not, NaN where nobody knows.
    probability : same shape, 0..1, NaN = no prediction

    Returns
    -------
    float, NaN when nothing is left

    Raises
    ------
    InputError
        Shapes differ, a label is neither 0 nor 1, or a probability lies outside 0..1.

    Examples
    --------
    >>> brier_score([1, 0], [0.5, 0.5])
    0.25
    """
    seen, p = _pairs(visible, probability)
    return float(np.mean((p - seen) ** 2)) if len(p) else float("nan")


def log_loss(visible: ArrayLike, probability: ArrayLike, floor: float = 1e-6) -> float:
    """Mean negative log-likelihood of the labels in nats; arguments as in :func:`brier_score`.

    Probabilities are kept ``floor`` away from 0 and 1, so that one certain mistake costs 13.8.
    """
    seen, p = _pairs(visible, probability)
    p = np.clip(p, floor, 1 - floor)
    return float(-np.mean(np.where(seen == 1, np.log(p), np.log1p(-p)))) if len(p) else float("nan")


def hidden_average_precision(visible: ArrayLike, probability: ArrayLike) -> float:
    """Average precision of finding what is *not* visible, least probable first.

    The area under the steps of precision over recall, without interpolation; equal probabilities
    come in together.  Chance is the share of hidden points.  NaN when nothing is hidden; arguments
    as in :func:`brier_score`.

    Examples
    --------
    >>> hidden_average_precision([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.9])  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    seen, p = _pairs(visible, probability)
    hidden = 1 - seen
    if not hidden.any():
        return float("nan")
    order = np.argsort(p, kind="stable")
    last = np.flatnonzero(np.append(np.diff(p[order]) > 0, True))  # of each run of equals
    found = np.cumsum(hidden[order])[last]
    return float(np.sum(np.diff(found, prepend=0) * found / (last + 1)) / hidden.sum())


def _pairs(visible: ArrayLike, probability: ArrayLike) -> tuple[Array, Array]:
    """Labels and probabilities in a row, NaN left out."""
    seen, p = np.asarray(visible, np.float64), np.asarray(probability, np.float64)
    if seen.shape != p.shape:
        raise InputError(f"visible {seen.shape} and probability {p.shape} must have one shape")
    there = ~(np.isnan(seen) | np.isnan(p))
    seen, p = seen[there], p[there]
    if not np.isin(seen, (0, 1)).all():
        raise InputError("visible must be 0 or 1, NaN where unknown")
    if len(p) and not (p.min() >= 0 and p.max() <= 1):
        raise InputError("probabilities must lie in 0..1")
    return seen, p
