"""How exactly people place each landmark: OKS constants of one's own scheme.

Two routes.  Objects labelled twice: half of the squared difference.  Objects labelled once: what is left of
two unlike detectors' held-out residuals when the detectors' own error is taken off, by what the two do not
share and by how residuals shrink with more training data.  Lengths are in units of the object's scale, the
square root of its area, as everywhere in OKS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..evaluate.processes import Progress
from ..imaging.geometry import scale_of
from ..structures import MARGIN, Array, Dataset, InputError, short_repr
from .opinions import FEW, Opinions, ask
from .shapes import medians

SLIP = 3.0  #: times the robust standard deviation, from which a difference is a slip and no spread
DRAWS = 200  #: resamples of whole groups
LEVEL = 0.95
CUTS = (2, 5)  #: folds: learned from half of the groups, and from four fifths
MOST = 0.9  #: share of the residuals that may be put down to the detectors, at most
_RAYLEIGH = np.log(2)  #: median / mean of the squared length of Gaussian differences in the plane


@dataclass(frozen=True, eq=False)
class Sigmas:
    """OKS constants (K,) with their intervals, NaN where there was nothing to learn from.

    Parameters
    ----------
    value, low, high : (K,)
    count : (K,) differences or residuals that each stands on, slips left out
    route : "double labels" or "residuals"
    """

    value: Array
    low: Array
    high: Array
    count: Array
    route: str

    __repr__ = short_repr


def sigmas_from_pairs(
    first: ArrayLike, second: ArrayLike, area: ArrayLike, groups: ArrayLike | None = None
) -> Sigmas:
    """OKS constants from objects that were labelled twice.

    ``sigma_k² = mean |a_k - b_k|² / (2 area)``: both labels scatter, so the difference does twice as much.

    Parameters
    ----------
    first, second : (B, K, 2), NaN = not labelled
    area : (B,) px²
    groups : (B,), which intervals resample

    Raises
    ------
    InputError
        Shapes that differ, areas that are not positive, fewer than :data:`.FEW` pairs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> place = np.zeros((400, 1, 2))
    >>> once, again = (place + rng.normal(0, 5 / np.sqrt(2), place.shape) for _ in range(2))
    >>> found = sigmas_from_pairs(once, again, np.full(400, 100.0**2))
    >>> round(float(found.value[0]), 2)
    0.05
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.ndim != 3 or a.shape != b.shape or a.shape[2] != 2:
        raise InputError(f"labels {a.shape} and second labels {b.shape} must both be (B, K, 2)")
    scale = _scale(area, len(a))
    squared = ((a - b) ** 2).sum(2) / scale[:, None] ** 2 / 2
    names = np.arange(len(a)) if groups is None else np.asarray(groups)
    if len(names) != len(a):
        raise InputError(f"groups must be one for each of {len(a)} objects, got {len(names)}")
    return _with_intervals(lambda rows: _spread(squared[rows]), _counted(squared), names, "double labels")


def sigmas_from_residuals(
    dataset: Dataset,
    detectors: Mapping[str, Any],
    *,
    size_hw: tuple[int, int] = (256, 256),
    margin: float = MARGIN,
    random_state: int = 0,
    progress: Progress | None = None,
) -> Sigmas:
    """OKS constants from labels that were made once, by two unlike detectors' residuals.

    Parameters
    ----------
    detectors : name -> unfitted detector, exactly two, as unlike as can be
    size_hw, margin : of the crops; the finer, the smaller the detectors' own error

    Notes
    -----
    With residuals r and s of two detectors, ``|(r + s) / 2|² - |(r - s) / 2|²`` has the expectation
    ``sigma² + c``, where c is the error that both share.  It is measured twice, learning from half of the
    groups and from four fifths, and what falls as one over the number of objects is extrapolated to none.
    How much falls is shrunk from each landmark's own towards the middle, by how noisy it is.  Errors that no
    amount of data removes stay in: the result is rather too large than too small.
    """
    if len(detectors) != 2:
        raise InputError(f"residuals need two unlike detectors, got {len(detectors)}: give --model A,B")
    found: list[Opinions] = []
    for number, cv in enumerate(CUTS):

        def tell(what: str, done: int, _: int, number: int = number) -> None:
            if progress:
                progress(f"{what}, {CUTS[number]} folds", 2 * number + done, 2 * len(CUTS))

        found.append(
            ask(
                dataset,
                detectors,
                size_hw=size_hw,
                margin=margin,
                cv=cv,
                random_state=random_state,
                progress=tell,
                crops=found[0].crops if found else None,
            )
        )
    crops = found[0].crops
    instances = [dataset.samples[s].instances[i] for s, i in zip(crops.sample, crops.instance, strict=True)]
    scale = _scale([i.area for i in instances], len(instances)) * scale_of(crops.matrix)
    pieces = []
    for opinion in found:
        one, other = (crops.xy - opinion.xy) / scale[:, None, None]
        pieces.append((((one + other) ** 2).sum(2) / 4, ((one - other) ** 2).sum(2) / 4))
    n_groups = len(set(crops.groups.tolist()))
    learned = [1 - 1 / min(cv, n_groups) for cv in CUTS]
    if learned[0] == learned[1]:
        raise InputError(
            f"{dataset.name}: {n_groups} groups are too few to tell people's error from detectors'"
        )
    noise = _share_noise(pieces, learned, crops.groups, random_state)

    def estimate(rows: Array) -> Array:
        shared, share = _shares([(a[rows], b[rows]) for a, b in pieces], learned)
        return shared * (1 - np.clip(_shrunk(share, noise), 0, MOST))

    return _with_intervals(estimate, _counted(pieces[-1][0]), crops.groups, "residuals")


def _shares(pieces: list[tuple[Array, Array]], learned: list[float]) -> tuple[Array, Array]:
    """(K,) what both detectors' residuals share at the larger training part, and the part of it that more
    data would remove."""
    less, more = (np.maximum(_spread(a) - _spread(b), 1e-12) for a, b in pieces)
    falls = (less - more) / (1 / learned[0] - 1 / learned[1]) / learned[1]
    return more, falls / more


def _share_noise(pieces: list[tuple[Array, Array]], learned: list[float], groups: Array, seed: int) -> Array:
    """(K,) standard error of the shares."""
    drawn = [
        _shares([(a[rows], b[rows]) for a, b in pieces], learned)[1]
        for rows in _resampled(groups, DRAWS // 4, seed)
    ]
    return np.asarray(np.std(np.clip(drawn, -3, 3), axis=0))


def _shrunk(share: Array, noise: Array) -> Array:
    """Each landmark's share, drawn towards the middle one by as much as it is noisy (James & Stein 1961)."""
    known = np.isfinite(share) & np.isfinite(noise)
    if not known.any():
        return share
    middle = float(np.median(share[known]))
    between = max(float(np.var(share[known]) - np.mean(noise[known] ** 2)), 0.0)
    weight = between / np.maximum(between + noise**2, 1e-12)
    return np.asarray(middle + weight * (np.clip(share, -3, 3) - middle))


def _scale(area: ArrayLike, n: int) -> Array:
    """(B,) square roots of areas that are there and positive."""
    values = np.asarray(area, float)
    if values.shape != (n,) or n < FEW:
        raise InputError(f"OKS constants need the areas of at least {FEW} objects, got {values.shape}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError("an object has no area: OKS measures in its square root; write the objects' areas")
    return np.sqrt(values)


def _counted(squared: Array) -> Array:
    return np.asarray(_kept(squared).sum(0))


def _kept(squared: Array) -> Array:
    """(B, K) bool: labelled, and no slip."""
    known = np.isfinite(squared)
    return known & (np.where(known, squared, 0) <= SLIP**2 * np.nan_to_num(medians(squared)) / _RAYLEIGH)


def _spread(squared: Array) -> Array:
    """(K,) mean of squared lengths (B, K) without slips; NaN where there are none."""
    kept = _kept(squared)
    count = kept.sum(0)
    return np.where(count > 0, np.where(kept, squared, 0).sum(0) / np.maximum(count, 1), np.nan)


def _resampled(groups: Array, draws: int, seed: int = 0) -> list[Array]:
    """Rows of so many resamples of whole groups."""
    rng, codes = np.random.default_rng(seed), np.unique(groups, return_inverse=True)[1]
    members = [np.flatnonzero(codes == g) for g in range(int(codes.max(initial=-1)) + 1)]
    return [
        np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        for _ in range(draws)
    ]


def _with_intervals(estimate: Any, count: Array, groups: Array, route: str) -> Sigmas:
    """Square roots of ``estimate(rows)``, with quantiles over resampled groups."""
    drawn = np.sqrt(np.maximum([estimate(rows) for rows in _resampled(groups, DRAWS)], 0))
    value = np.sqrt(np.maximum(estimate(np.arange(len(groups))), 0))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    bare = count < FEW
    value, low, high = (np.where(bare, np.nan, v) for v in (value, low, high))
    return Sigmas(value, low, high, count, route)
