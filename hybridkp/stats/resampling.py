"""Resampling whole groups: the cluster bootstrap and the plumbing that paired tests share.

Here live intervals of one method's figure.  Never here: comparisons, metrics, files.  Values are
(B,) or (B, C) columns, groups (B,) labels of which G differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

from ..structures import InputError

Array = NDArray[Any]
CELLS = 1 << 22  #: how many weights are drawn at once (32 MiB of float64)


@dataclass(frozen=True)
class Interval:
    """A statistic with its bootstrap interval; ``low``/``high`` are NaN with fewer than 2 groups."""

    value: float
    low: float
    high: float
    n: int  #: objects used
    n_groups: int  #: groups used


def columns(values: ArrayLike, groups: ArrayLike | None) -> tuple[Array, Array, int]:
    """Finite rows of (B, C), the group number of each (0..G-1), and G."""
    values = np.asarray(values, np.float64)
    if np.isinf(values).any():
        raise InputError("values must be finite or NaN: charge a missing prediction a finite cost first")
    keep = ~np.isnan(values).any(axis=1)
    if groups is None:
        codes = np.arange(int(keep.sum()))
    else:
        groups = np.asarray(groups)
        if groups.shape != (len(values),):
            raise InputError(f"groups must have shape ({len(values)},), got {groups.shape}")
        codes = np.unique(groups[keep], return_inverse=True)[1].reshape(-1)
    return values[keep], codes, int(codes.max(initial=-1)) + 1


def group_sums(values: Array, codes: Array, n_groups: int) -> Array:
    """(G, C) sums of the rows of each group."""
    out = np.zeros((n_groups, values.shape[1]))
    np.add.at(out, codes, values)
    return out


def counts(rng: np.random.Generator, n_groups: int, n_resamples: int) -> Iterator[Array]:
    """Resamples of the groups as counts, (r, G) at a time."""
    step = max(1, CELLS // n_groups)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        # drawing and counting is 3 x faster than Generator.multinomial
        drawn = rng.integers(0, n_groups, (size, n_groups)) + n_groups * np.arange(size)[:, None]
        count = np.bincount(drawn.ravel(), minlength=size * n_groups)
        yield count.reshape(size, n_groups).astype(np.float64)


def tails(level: float, n_groups: int) -> tuple[float, float]:
    """The two percentiles (0..1), widened for few groups (Hesterberg 2015)."""
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}")
    t = stdtrit(n_groups - 1, 0.5 + level / 2)
    tail = float(ndtr(-t * np.sqrt(n_groups / (n_groups - 1))))
    return tail, 1.0 - tail


def bootstrap_means(
    values: Array, codes: Array, n_groups: int, n_resamples: int, rng: np.random.Generator
) -> Array:
    """(R, C) means over objects of resampled groups: two matrix products, no loop over resamples."""
    sums = group_sums(values, codes, n_groups)
    size = np.bincount(codes, minlength=n_groups).astype(np.float64)
    return np.concatenate([w @ sums / (w @ size)[:, None] for w in counts(rng, n_groups, n_resamples)])


def _bootstrap_statistic(
    values: Array,
    codes: Array,
    n_groups: int,
    n_resamples: int,
    rng: np.random.Generator,
    statistic: Callable[[Array], float],
) -> Array:
    rows = np.arange(len(values))
    return np.array(
        [
            float(statistic(values[np.repeat(rows, weight[codes].astype(np.int64))]))
            for block in counts(rng, n_groups, n_resamples)
            for weight in block
        ]
    )


def bootstrap_interval(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    statistic: Callable[[Array], float] | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    random_state: int | None = 0,
) -> Interval:
    """Cluster bootstrap [1]_: groups are drawn with replacement, all objects of a group together.

    Parameters
    ----------
    values : (B,), NaN rows are left out
    groups : (B,), any hashable labels; None = every object is its own group
    statistic : callable (n,) -> float, optional
        Default: the mean, for which all resamples are two matrix products.  Any other function is
        called once for each resample.
    level : float in 0..1
    n_resamples : int
    random_state : int

    Returns
    -------
    Interval
        ``low``/``high`` are NaN with fewer than two groups: nothing varies, so nothing is known.

    Raises
    ------
    InputError
        Infinite values, wrong shapes, a level outside 0..1.

    References
    ----------
    .. [1] Field, Welsh, "Bootstrapping clustered data", J. Royal Statistical Society B 2007.

    Examples
    --------
    >>> interval = bootstrap_interval([1.0, 2.0, 3.0, 4.0], groups=["a", "a", "b", "b"])
    >>> interval.value, interval.n, interval.n_groups
    (2.5, 4, 2)
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise InputError(f"values must have shape (B,), got {values.shape}")
    column, codes, n_groups = columns(values[:, None], groups)
    kept = column[:, 0]
    if not len(kept):
        return Interval(np.nan, np.nan, np.nan, 0, 0)
    value = float(kept.mean() if statistic is None else statistic(kept))
    if n_groups < 2:
        return Interval(value, np.nan, np.nan, len(kept), n_groups)
    percentiles = tails(level, n_groups)
    rng = np.random.default_rng(random_state)
    if statistic is None:
        drawn = bootstrap_means(column, codes, n_groups, n_resamples, rng)[:, 0]
    else:
        drawn = _bootstrap_statistic(kept, codes, n_groups, n_resamples, rng, statistic)
    low, high = np.quantile(drawn, percentiles).tolist()
    return Interval(value, low, high, len(kept), n_groups)
