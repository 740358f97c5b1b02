"""What every trainable detector of this room does before it learns.

Checks of pictures and points, mirrored copies, and out-of-fold starting shapes.  No learning.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import flip_points, similarity
from ..imaging.images import check_crops, crops_to_grey, with_mirrored
from ..memory import TooFewLabels, fitted, out_of_fold
from ..memory.budget import rows_in
from ..stats.calibration import NEAR
from ..structures import Array, Detector, InputError, check_whole, check_xy, clone
from .descent import score_rows
from .shape import PointDistribution

_CURVE_BYTES = 200  #: that scikit-learn takes for a row of the score's curve


def prepare(images: Any, xy: ArrayLike) -> tuple[Array, Array]:
    """Grey crops (B, H, W) uint8 and checked truth (B, K, 2) float64."""
    images = check_crops(images)
    return crops_to_grey(images), check_xy(xy, len(images))


def fitted_shape(shape: PointDistribution | None, truth: Array) -> PointDistribution:
    """A shape model like ``shape`` (None: the default), learned from points (B, K, 2)."""
    return clone(PointDistribution() if shape is None else shape).fit(truth)  # type: ignore[no-any-return]


def mirrored(
    grey: Array, xy: Array, groups: ArrayLike | None, flip: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """Pictures, points and groups with the mirrored copies after the originals; none without ``flip``.

    A picture and its mirror image share a group, also where the caller gave no groups.
    """
    _, rows = np.unique(checked_groups(groups, len(grey)).astype(str), return_inverse=True)
    if flip is None:
        return grey, xy, rows
    both = np.concatenate([xy, flip_points(xy, grey.shape[2], checked_flip(flip, xy.shape[1]))])
    return with_mirrored(grey), both, np.concatenate([rows, rows])


def checked_groups(groups: ArrayLike | None, n: int) -> Array:
    """(n,) the name of each picture's group; without groups each has its own."""
    names = np.arange(n) if groups is None else np.asarray(groups)
    if names.shape != (n,):
        raise InputError(f"groups must have shape ({n},), got {names.shape}")
    return names


def checked_flip(flip: ArrayLike, k: int) -> Array:
    """(k,) which landmark of the mirror image each one is."""
    out = np.asarray(flip, int)
    if not np.array_equal(np.sort(out), np.arange(k)):
        raise InputError(f"flip must be a permutation of 0..{k - 1}")
    return out


class Prepared(NamedTuple):
    """What a search learns from: N pictures, the mirrored copies after the originals."""

    grey: Array  #: (N, H, W) uint8
    truth: Array  #: (N, K, 2), NaN = not labelled
    groups: Array  #: (N,) int
    shape: PointDistribution  #: learned from the truth
    start: Any  #: the fitted start
    current: Array  #: (N, K, 2) its predictions out of fold, without NaN


def prepared(
    images: Any, xy: ArrayLike, groups: Any, flip: Any, shape: PointDistribution | None, start: Detector
) -> Prepared:
    """Checked pictures and points, and what a search starts from."""
    grey, truth, rows = mirrored(*prepare(images, xy), groups, flip)
    model = fitted_shape(shape, truth)
    first = fitted(start, grey, truth, groups=rows)
    return Prepared(grey, truth, rows, model, first, start_shapes(start, model, grey, truth, rows))


def start_shapes(
    start: Detector, shape: PointDistribution, grey: Array, xy: Array, groups: Array, cv: int = 3
) -> Array:
    """Starting shapes (B, K, 2) from models that did not see the picture.

    With too few groups to leave some out (or landmarks labelled in one fold only) the mean
    shape is given to all instead: an honest, if modest, start.  A point that ``start`` does not
    give is filled in by :func:`given_starts`.
    """
    n_groups = len(np.unique(groups))
    if n_groups >= 2:
        try:
            found, _ = out_of_fold(start, grey, xy, groups=groups, cv=min(cv, n_groups))
            return given_starts(found, shape)
        except TooFewLabels:
            pass
    return np.tile(np.nanmean(xy, axis=0), (len(grey), 1, 1))


def given_starts(found: ArrayLike, shape: PointDistribution) -> Array:
    """Starting shapes (B, K, 2) float64 without NaN: what a start left out, the shape model fills in."""
    start = np.array(found, float)
    start[~np.isfinite(start).all(-1)] = np.nan
    return shape.complete(start)


def some_rows(truth: Array, most: int | None, rng: np.random.Generator) -> Array:
    """Indices of at most about ``most`` of truth (N, K, 2), in order.

    A landmark that a small draw would miss keeps the first picture that has it.
    """
    n = len(truth)
    if most is None or most >= n:
        return np.arange(n)
    needed = np.isfinite(truth[..., 0]).argmax(axis=0)
    return np.unique(np.concatenate([rng.choice(n, most, replace=False), needed]))


def group_parts(names: Array, n: int, rng: np.random.Generator) -> Array:
    """(N,) the fold 0 .. n - 1 of each row, no group cut; fewer folds where there are fewer groups."""
    unique, inverse = np.unique(names, return_inverse=True)
    return (rng.permutation(len(unique)) % n)[inverse]


def mean_error(xy: Array, truth: Array) -> float:
    """Mean distance in px over the labelled points."""
    return float(np.nanmean(np.linalg.norm(xy - truth, axis=-1)))


def perturbed(
    xy: Array, truth: Array, n_copies: int, rng: np.random.Generator, strength: float = 0.5
) -> tuple[Array, Array]:
    """Starting shapes with ``n_copies`` disturbed copies of all appended: (N,) rows, (N, K, 2).

    A copy is shifted, turned and scaled about its centre, each by ``strength`` times the spread
    of the error that the starts themselves have in that respect.
    """
    rows = np.tile(np.arange(len(xy)), 1 + n_copies)
    out = np.array(xy[rows])
    pose = similarity(np.where(np.isnan(truth), np.nan, xy), truth)
    turn = np.log((pose[:, 0, 0] + 1j * pose[:, 1, 0]) + 0j)
    shift = np.nan_to_num(truth - xy).mean(axis=1)
    for first in range(len(xy), len(out), len(xy)):
        n = len(xy)
        zoom = np.exp(
            strength * (turn.real.std() * rng.normal(size=n) + 1j * turn.imag.std() * rng.normal(size=n))
        )
        centre = xy.mean(axis=1, keepdims=True)
        offset = (xy - centre)[..., 0] + 1j * (xy - centre)[..., 1]
        offset = offset * zoom[:, None]
        jitter = strength * shift.std(axis=0) * rng.normal(size=(n, 1, 2))
        out[first : first + n] = centre + jitter + np.stack([offset.real, offset.imag], axis=-1)
    return rows, out


def step_curve(lengths: list[Array], error: Array, size_hw: tuple[int, int]) -> Array:
    """(4,) a logistic curve over :func:`.descent.score_rows`: is the point found?

    Parameters
    ----------
    lengths : per stage (N, K), how far each point went, px
    error : (N, K) px, of predictions that did not see the picture; NaN = not labelled
    """
    from sklearn.linear_model import LogisticRegression

    seen = np.isfinite(error)
    good = error[seen] < NEAR * max(size_hw)
    rows = score_rows(lengths)[:, seen].T
    curve = np.zeros(1 + rows.shape[1])
    share = np.clip(good.mean(), 1e-3, 1 - 1e-3)
    curve[0] = np.log(share / (1 - share))
    if 0 < good.sum() < len(good):
        step = -(-len(rows) // rows_in(1, _CURVE_BYTES))  # four numbers are learned: evenly chosen rows do
        model = LogisticRegression(C=1.0, max_iter=1000).fit(rows[::step], good[::step])
        curve = np.concatenate([model.intercept_, model.coef_[0]])
    return curve


def hit_rates(found: Array, truth: Array, size_hw: tuple[int, int]) -> Array:
    """(K,) float32: how often each landmark of (N, K, 2) came within 2.5 % of the crop's longer side."""
    error = np.linalg.norm(found.reshape(truth.shape) - truth, axis=-1)
    near = np.where(np.isnan(error), np.nan, error < NEAR * max(size_hw))
    return np.nanmean(near, axis=0).astype(np.float32)


def clipped(way: Array, clip: float) -> Array:
    """Ways (N, K) complex, shortened to ``clip`` times the median length of each landmark's."""
    length = np.abs(way)
    limit = clip * np.median(length, axis=0)
    return way * np.minimum(1, limit / np.maximum(length, 1e-9))


def map_unit(rows: Array, extra: Array, places: int) -> Array:
    """(C,) factors that give the columns ``extra`` of C maps at ``places`` the mean variance of ``rows``."""
    wanted = rows.var(axis=0).mean()
    variance = extra.reshape(len(extra), places, -1).var(axis=0).mean(axis=0)
    return np.sqrt(wanted / np.maximum(variance, 1e-12 + 1e-6 * variance.max())).astype(np.float32)


def check_cascade(cascade: Any) -> None:
    """:class:`InputError` for parameters of a fast cascade that cannot be."""
    if len(cascade.scales) < 1 or min(cascade.scales) <= 0:
        raise InputError(f"FastCascade: scales must be positive, got {cascade.scales}")
    for name, least in (("n_orientations", 2), ("n_perturbations", 0), ("cv", 2), ("map_cells", 1)):
        check_whole(getattr(cascade, name), f"FastCascade: {name}", least)
    if cascade.rank is not None:
        check_whole(cascade.rank, "FastCascade: rank, where it is not None,", 1)
    if cascade.clip is not None and not cascade.clip > 0:
        raise InputError(f"FastCascade: clip must be positive or None, got {cascade.clip}")
    if cascade.alpha < 0:
        raise InputError(f"FastCascade: alpha must not be negative, got {cascade.alpha}")
    if len(cascade.rings) < 1 or any(r < 0 or n < 1 or sigma <= 0 for r, n, sigma in cascade.rings):
        raise InputError(
            f"FastCascade: rings must be (radius >= 0, number >= 1, sigma > 0) each, got {cascade.rings}"
        )
    n = len(cascade.scales)
    if any(not -n <= i < n for i in cascade.map_stages or ()):
        raise InputError(f"FastCascade: map_stages must lie in {-n}..{n - 1}, got {cascade.map_stages}")
