"""Paired comparisons: which methods differ on the same objects, and which cannot be told apart.

Here live the sign-flip test, Holm's correction, all pairs at once, the sets and letters of
indistinguishable methods, and a rank test.  Never here: metrics, files, pictures.  Values are
(B,) per object, (M, B) for M methods or (M, S, B) with S seeds; groups (B,).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from ..structures import InputError
from .resampling import CELLS, Array, bootstrap_means, columns, group_sums, tails

ENOUGH_GROUPS = 6  #: for a test: fewer cannot give p < 0.05, and reports tell none


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the same objects, its interval, and the two-sided p of "no difference"."""

    difference: float
    low: float
    high: float
    p: float
    n: int
    n_groups: int


@dataclass(frozen=True)
class PairedComparison:
    """One pair out of many: ``difference`` is first - second, ``p_holm`` is corrected for all pairs."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    distinguishable: bool  #: p_holm < 1 - level
    n: int
    n_groups: int


@dataclass(frozen=True)
class RankTest:
    """Friedman's test over groups and Nemenyi's critical difference of mean ranks."""

    names: tuple[str, ...]
    mean_ranks: tuple[float, ...]  #: 1 = smallest value
    p: float
    critical_difference: float
    n_groups: int


def _flips(rng: np.random.Generator, n_groups: int, n_permutations: int) -> Iterator[Array]:
    """Signs of the groups, (r, G) at a time; every one of the 2^G when there are no more than asked."""
    step = max(1, CELLS // n_groups)
    exact = n_groups < 31 and 2**n_groups <= n_permutations
    total = 2**n_groups if exact else n_permutations
    for start in range(0, total, step):
        stop = min(total, start + step)
        if exact:
            bits = np.arange(start, stop)[:, None] >> np.arange(n_groups) & 1
        else:
            bits = rng.integers(0, 2, (stop - start, n_groups), np.int8)
        yield 1.0 - 2.0 * bits


def _sign_flip_p(
    difference: Array, codes: Array, n_groups: int, n_permutations: int, rng: np.random.Generator
) -> Array:
    """(C,) two-sided p of the means of (B, C) differences; see :func:`paired_difference`."""
    sums = group_sums(difference, codes, n_groups)
    # ties (e.g. equal rows) must count as extreme, whatever the order of summation
    seen = np.abs(sums.sum(axis=0)) - 1e-10 * np.abs(sums).sum(axis=0)
    extreme, total = np.zeros(difference.shape[1]), 0
    for signs in _flips(rng, n_groups, n_permutations):
        extreme += (np.abs(signs @ sums) >= seen).sum(axis=0)
        total += len(signs)
    exact = total == 2**n_groups if n_groups < 31 else False
    return extreme / total if exact else (extreme + 1) / (total + 1)


def _paired(
    difference: Array,
    groups: ArrayLike | None,
    level: float,
    n_resamples: int,
    n_permutations: int,
    random_state: int | None,
) -> list[PairedDifference]:
    """One result for each column of (B, C); all columns share resamples and flips."""
    difference, codes, n_groups = columns(difference, groups)
    n, c = difference.shape
    if n == 0:
        return [PairedDifference(np.nan, np.nan, np.nan, np.nan, 0, 0)] * c
    mean = difference.mean(axis=0)
    if n_groups < 2:
        return [PairedDifference(float(m), np.nan, np.nan, 1.0, n, n_groups) for m in mean]
    percentiles = tails(level, n_groups)
    boot, flip = (np.random.default_rng(s) for s in np.random.SeedSequence(random_state).spawn(2))
    low, high = np.quantile(
        bootstrap_means(difference, codes, n_groups, n_resamples, boot), percentiles, axis=0
    )
    p = _sign_flip_p(difference, codes, n_groups, n_permutations, flip)
    return [
        PairedDifference(float(mean[i]), float(low[i]), float(high[i]), float(p[i]), n, n_groups)
        for i in range(c)
    ]


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    n_permutations: int = 9999,
    random_state: int | None = 0,
) -> PairedDifference:
    """Mean of ``a - b`` over the same objects, with a bootstrap interval and a permutation p.

    The p-value is of the sign-flip test [1]_ with one sign for a whole group [2]_: if the two
    methods were exchangeable, swapping them in any photograph would change nothing.  It is taken
    over Wilcoxon's signed ranks because it tests the very figure that the table shows (the mean
    over objects), needs no continuity or tie rules, and respects groups.  With at most
    ``n_permutations`` sign patterns all are counted (exact); else p = (extreme + 1) / (drawn + 1),
    never 0 [3]_.

    Parameters
    ----------
    a, b : (B,), values of two methods on the same objects; a row that is NaN in one is left out
    groups : (B,) or None

    Returns
    -------
    PairedDifference
        With one group: p = 1 and no interval.

    References
    ----------
    .. [1] Good, "Permutation, parametric and bootstrap tests of hypotheses", Springer 2005.
    .. [2] Winkler, Ridgway, Webster, Smith, Nichols, "Permutation inference for the general linear
       model", NeuroImage 2014 (whole-block sign flips).
    .. [3] Phipson, Smyth, "Permutation p-values should never be zero", Statistical Applications in
       Genetics and Molecular Biology 2010.

    Examples
    --------
    >>> paired_difference([3.0, 4.0, 5.0], [1.0, 1.0, 1.0]).p  # 2 of the 8 sign patterns
    0.25
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"a {a.shape} and b {b.shape} must both be (B,)")
    if np.isinf(a).any() or np.isinf(b).any():
        raise InputError("values must be finite or NaN: charge a missing prediction a finite cost first")
    return _paired((a - b)[:, None], groups, level, n_resamples, n_permutations, random_state)[0]


def holm(p_values: ArrayLike) -> Array:
    """Holm's step-down correction [1]_: (P,) p-values -> (P,) adjusted, in the given order.

    The chance of one false "different" among *all* comparisons stays below the level, with no
    assumption on how the tests depend on each other.  NaN stays NaN and is not counted.

    References
    ----------
    .. [1] Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
       Statistics 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1:
        raise InputError(f"p_values must have shape (P,), got {p.shape}")
    if ((p < 0) | (p > 1)).any():
        raise InputError("p_values must lie in 0..1")
    rows = np.flatnonzero(~np.isnan(p))
    order = rows[np.argsort(p[rows], kind="stable")]
    out = np.full(p.shape, np.nan)
    factor = len(order) - np.arange(len(order))
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factor))
    return out


def average_over_seeds(values: ArrayLike) -> Array:
    """(S, B) -> (B,): each object's mean over the seeds; NaN in one seed makes the object NaN.

    An interval over the result speaks about new *pictures* for the average training run; how much
    runs differ is another figure: show ``np.nanmean(values, axis=1).std(ddof=1)`` beside it.
    (B,) passes through.
    """
    values = np.asarray(values, np.float64)
    if values.ndim == 1:
        return values
    if values.ndim != 2 or not len(values):
        raise InputError(f"values must have shape (S, B) or (B,), got {values.shape}")
    return values.mean(axis=0)


def _table(names: Sequence[str], values: Any) -> Array:
    """(M, B) from (M, B), (M, S, B) or a list of (B,) / (S_m, B)."""
    if len(names) != len(values) or len(set(names)) != len(names):
        raise InputError(f"{len(names)} names, each once, are needed for {len(values)} rows of values")
    rows = [average_over_seeds(v) for v in values]
    if len({len(row) for row in rows}) > 1:
        raise InputError("every method needs values of the same objects: the rows differ in length")
    return np.array(rows).reshape(len(rows), -1)


def compare_all(
    names: Sequence[str],
    values: ArrayLike | Sequence[ArrayLike],
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    n_permutations: int | None = None,
    random_state: int | None = 0,
) -> list[PairedComparison]:
    """Every pair of methods on the same objects, p corrected for the number of pairs.

    Parameters
    ----------
    names : M names, each once
    values : (M, B), (M, S, B), or a list of (B,) / (S_m, B)
        Seeds are averaged object by object first (:func:`average_over_seeds`).  An object that is
        NaN for one method is left out for all, so that all pairs speak of the same objects.
    groups : (B,) or None
    n_permutations : of the signs; None = 9999, or 100 for each pair where that is more: the smallest p that
        n draws can give is 1 / (n + 1), and the correction multiplies it by the number of pairs

    Returns
    -------
    list of M (M - 1) / 2 PairedComparison
        In the order of ``itertools.combinations(names, 2)``.  Intervals are for each pair alone;
        ``distinguishable`` goes by the corrected p only, so a pair may be indistinguishable though
        its own interval excludes 0.  The smallest p that G groups can give is 2 / 2^G: six groups
        can separate one pair at 5 %, and no more than one.
    """
    table = _table(names, values)
    pairs = list(combinations(range(len(names)), 2))
    if not pairs:
        return []
    if np.isinf(table).any():
        raise InputError("values must be finite or NaN: charge a missing prediction a finite cost first")
    table = np.where(np.isnan(table).any(axis=0), np.nan, table)
    first, second = np.array(pairs).T
    if n_permutations is None:
        n_permutations = max(9999, 100 * len(pairs))
    results = _paired(
        (table[first] - table[second]).T, groups, level, n_resamples, n_permutations, random_state
    )
    corrected = holm([r.p for r in results]).tolist()
    return [
        PairedComparison(
            names[i], names[j], r.difference, r.low, r.high, r.p, q, bool(q < 1 - level), r.n, r.n_groups
        )
        for (i, j), r, q in zip(pairs, results, corrected, strict=True)
    ]


def indistinguishable_sets(
    names: Sequence[str], comparisons: Sequence[PairedComparison]
) -> list[tuple[str, ...]]:
    """Maximal sets of methods of which no two are distinguishable.

    These are the maximal cliques of the graph "could not be told apart" (Bron and Kerbosch [1]_):
    a method may be in several sets, since not being told apart is not transitive.  A method
    that differs from all others is a set of its own.  Pairs not in ``comparisons`` count as told
    apart.  Names keep the order of ``names``; the sets come in that order too.

    References
    ----------
    .. [1] Bron, Kerbosch, "Algorithm 457: finding all cliques of an undirected graph", CACM 1973.
    """
    place = {name: i for i, name in enumerate(names)}
    near: list[set[int]] = [set() for _ in names]
    for c in comparisons:
        if c.first in place and c.second in place and not c.distinguishable:
            near[place[c.first]].add(place[c.second])
            near[place[c.second]].add(place[c.first])
    found: list[list[int]] = []

    def grow(clique: list[int], open_: set[int], closed: set[int]) -> None:
        if not open_ and not closed:
            found.append(sorted(clique))
            return
        pivot = max(open_ | closed, key=lambda v: len(near[v] & open_))
        for v in sorted(open_ - near[pivot]):
            grow([*clique, v], open_ & near[v], closed & near[v])
            open_, closed = open_ - {v}, closed | {v}

    if names:
        grow([], set(range(len(names))), set())
    return [tuple(names[i] for i in clique) for clique in sorted(found)]


def letter_display(names: Sequence[str], comparisons: Sequence[PairedComparison]) -> dict[str, str]:
    """Compact letter display [1]_: two methods share a letter exactly when they cannot be told apart.

    Sets beyond the 26th get a1, b1, ...

    References
    ----------
    .. [1] Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons",
       J. Computational and Graphical Statistics 2004.
    """
    out = dict.fromkeys(names, "")
    for i, members in enumerate(indistinguishable_sets(names, comparisons)):
        letter = chr(ord("a") + i % 26) + (str(i // 26) if i >= 26 else "")
        for name in members:
            out[name] += letter
    return out


def rank_test(
    names: Sequence[str],
    values: ArrayLike | Sequence[ArrayLike],
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> RankTest:
    """Friedman's test over M methods and Nemenyi's critical difference of their mean ranks [1]_.

    A group counts as one block with the mean over its objects, so blocks are independent.  Two
    methods differ when their mean ranks differ by more than ``critical_difference``.  Ties share
    ranks, and the statistic is corrected for them.  All equal: p = 1.

    References
    ----------
    .. [1] Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006.
    """
    from scipy.stats import rankdata, studentized_range

    table = _table(names, values)
    m = len(names)
    if m < 2:
        raise InputError("a rank test needs at least two methods")
    kept, codes, n = columns(table.T, groups)
    if n == 0:
        return RankTest(tuple(names), (np.nan,) * m, np.nan, np.nan, 0)
    size = np.bincount(codes, minlength=n)[:, None]
    ranks = rankdata(group_sums(kept, codes, n) / size, axis=1)
    mean = ranks.mean(axis=0)
    spread = ((ranks - (m + 1) / 2) ** 2).sum() / (n * (m - 1))
    chi2 = n * ((mean - (m + 1) / 2) ** 2).sum() / spread if spread > 0 else 0.0
    width = studentized_range.ppf(level, m, np.inf) / np.sqrt(2) * np.sqrt(m * (m + 1) / (6 * n))
    return RankTest(tuple(names), tuple(mean.tolist()), float(chdtrc(m - 1, chi2)), float(width), n)
