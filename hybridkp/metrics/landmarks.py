"""Errors of landmarks: NME, PCK, CED with its area and failure rate, per object and per landmark.

Here live pure functions of truth (B, K, 2), predictions (B, K, 2) and normaliser lengths (B,).
Never here: files, pictures, the choice of a normaliser for a data set, random choices.
Three rules hold in every function:

* NaN in the truth = not labelled: the point is left out, and so is an object without any point;
* a length that is NaN or not positive leaves the whole object out (its values are NaN);
* NaN in the prediction where the truth is labelled = **missing**: its error is infinite, so it fails
  every threshold; where a finite mean is needed it costs the diagonal of the object's labelled
  points and at least the normaliser (100 %), see :func:`nme`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..structures import InputError, Normalizer

Array = NDArray[Any]


def check_points(truth: ArrayLike, predicted: ArrayLike) -> tuple[Array, Array]:
    """Both as (B, K, 2) float64; float32 predictions are compared without further rounding."""
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if truth.ndim != 3 or truth.shape[2] != 2 or truth.shape != predicted.shape:
        raise InputError(f"truth {truth.shape} and predicted {predicted.shape} must both be (B, K, 2)")
    return truth, predicted


def _lengths(lengths: ArrayLike, n: int) -> Array:
    """(B,) float64, NaN where no error can be divided by it."""
    out = np.asarray(lengths, np.float64)
    if out.shape != (n,):
        raise InputError(f"lengths must have shape ({n},), got {out.shape}")
    return np.where(np.isfinite(out) & (out > 0), out, np.nan)


def mean_of_known(values: Array, axis: int | None = None) -> Array:
    """Mean of what is not NaN; NaN without a warning where nothing is left."""
    there = ~np.isnan(values)
    total = np.where(there, values, 0.0).sum(axis=axis)
    count = there.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def point_errors(truth: ArrayLike, predicted: ArrayLike) -> Array:
    """Euclidean distance of each prediction from its truth, px.

    Parameters
    ----------
    truth, predicted : (B, K, 2)
        NaN in one coordinate makes the point NaN.

    Returns
    -------
    (B, K) float64
        NaN where the truth is not labelled; ``inf`` where it is and the prediction is missing.

    Examples
    --------
    >>> point_errors([[[0, 0], [1, 1]]], [[[3, 4], [1, 1.5]]])
    array([[5. , 0.5]])
    """
    truth, predicted = check_points(truth, predicted)
    error = np.hypot(*np.moveaxis(predicted - truth, -1, 0))
    error = np.where(np.isnan(error), np.inf, error)
    return np.where(np.isnan(truth).any(axis=2), np.nan, error)


def normalizer_lengths(
    truth: ArrayLike,
    normalizer: Normalizer,
    boxes_xywh: ArrayLike | None = None,
    mm_per_px: ArrayLike | None = None,
) -> Array:
    """The length, px, that each object's errors are divided by.

    Parameters
    ----------
    truth : (B, K, 2)
    normalizer : tuple
        ``("points", i, j)``: distance of the true landmarks i and j (outer eye corners: the
        inter-ocular distance of [1]_; two ends of the torso for PCK [2]_); ``("box",)``: square
        root of the box's width times height; ``("pixel",)``: 1; ``("mm",)``: the px of one mm, so that
        errors come out in mm.
    boxes_xywh : (B, 4), needed by ``("box",)`` only
    mm_per_px : (B,), needed by ``("mm",)`` only

    Returns
    -------
    (B,) float64
        NaN where landmark i or j is not labelled, or the length is not positive: those objects
        are left out of every normalised metric, so count them: ``np.isnan(lengths).sum()``.

    Raises
    ------
    InputError
        Unknown normaliser, a landmark outside 0..K-1, no boxes for ``("box",)``, or no object with a scale
        for ``("mm",)``.

    References
    ----------
    .. [1] Sagonas, Tzimiropoulos, Zafeiriou, Pantic, "300 Faces in-the-Wild Challenge: the first
       facial landmark localization challenge", ICCV workshops 2013.
    .. [2] Yang, Ramanan, "Articulated human detection with flexible mixtures of parts", TPAMI 2013.
    """
    truth = np.asarray(truth, np.float64)
    if truth.ndim != 3 or truth.shape[2] != 2:
        raise InputError(f"truth must have shape (B, K, 2), got {truth.shape}")
    n, k = truth.shape[:2]
    match tuple(normalizer):
        case ("points", i, j):
            if not (0 <= i < k and 0 <= j < k and i != j):
                raise InputError(f"normalizer ('points', {i}, {j}): need two landmarks of 0..{k - 1}")
            length = np.hypot(*(truth[:, i] - truth[:, j]).T)
        case ("box",):
            if boxes_xywh is None:
                raise InputError("normalizer ('box',) needs boxes_xywh (B, 4)")
            box = np.asarray(boxes_xywh, np.float64)
            if box.shape != (n, 4):
                raise InputError(f"boxes_xywh must have shape ({n}, 4), got {box.shape}")
            length = np.sqrt(np.maximum(box[:, 2], 0) * np.maximum(box[:, 3], 0))
        case ("pixel",):
            length = np.ones(n)
        case ("mm",):
            scale = _lengths(np.full(n, np.nan) if mm_per_px is None else mm_per_px, n)
            if n and np.isnan(scale).all():
                raise InputError(
                    'normalizer ("mm",): no picture says its scale; a COCO file has it as mm_per_px'
                    " of its images"
                )
            length = 1 / scale
        case _:
            raise InputError(
                f"unknown normalizer {normalizer!r}: use ('points', i, j), ('box',), ('pixel',) or ('mm',)"
            )
    return _lengths(length, n)


def _extent(truth: Array) -> Array:
    """(B,) diagonal of the box around each object's labelled points, px; 0 where none is."""
    labelled = ~np.isnan(truth).any(axis=2, keepdims=True)
    low = np.where(labelled, truth, np.inf).min(axis=1, initial=np.inf)
    high = np.where(labelled, truth, -np.inf).max(axis=1, initial=-np.inf)
    side = np.where(high >= low, high, 0.0) - np.where(high >= low, low, 0.0)
    return np.hypot(side[:, 0], side[:, 1])


def charged(truth: ArrayLike, predicted: ArrayLike, lengths: ArrayLike, missing: ArrayLike | None) -> Array:
    """(B, K) normalised errors, finite: a missing prediction costs ``missing`` px."""
    error = point_errors(truth, predicted)
    length = _lengths(lengths, len(error))
    if missing is None:
        cost = np.maximum(_extent(np.asarray(truth, np.float64)), length)
    else:
        cost = np.broadcast_to(np.asarray(missing, np.float64), length.shape)
    return np.where(np.isinf(error), cost[:, None], error) / length[:, None]


def nme(
    truth: ArrayLike, predicted: ArrayLike, lengths: ArrayLike, *, missing: ArrayLike | None = None
) -> Array:
    """Normalised mean error of each object, as a fraction (0.05 = 5 %).

    The mean over the object's labelled landmarks of distance / length [1]_.

    Parameters
    ----------
    truth, predicted : (B, K, 2)
    lengths : (B,), see :func:`normalizer_lengths`
    missing : float or (B,), px, optional
        What a missing prediction costs.  Default: the diagonal of the object's labelled points and at
        least the normaliser, so that silence is never cheaper than a guess inside the object,
        whichever the normaliser (with ``("pixel",)`` the normaliser alone would be 1 px).

    Returns
    -------
    (B,) float64, NaN where the length is NaN or nothing is labelled.

    References
    ----------
    .. [1] Sagonas et al., "300 Faces in-the-Wild Challenge", ICCV workshops 2013.

    Examples
    --------
    >>> nme([[[0, 0], [10, 0]]], [[[0, 1], [10, 0]]], [10.0])
    array([0.05])
    """
    return mean_of_known(charged(truth, predicted, lengths, missing), axis=1)


def per_landmark_error(
    truth: ArrayLike, predicted: ArrayLike, lengths: ArrayLike, *, missing: ArrayLike | None = None
) -> Array:
    """(K,) mean normalised error of each landmark over the objects that have it; see :func:`nme`."""
    return mean_of_known(charged(truth, predicted, lengths, missing), axis=0)


def _correct(truth: ArrayLike, predicted: ArrayLike, lengths: ArrayLike, t: float) -> Array:
    """(B, K) 1.0 within t normalisers, 0.0 outside or missing, NaN left out."""
    error = point_errors(truth, predicted)
    error = error / _lengths(lengths, len(error))[:, None]
    return np.where(np.isnan(error), np.nan, error <= t)


def pck(truth: ArrayLike, predicted: ArrayLike, lengths: ArrayLike, t: float) -> tuple[float, Array]:
    """Percentage (here: fraction) of correct keypoints: error at most ``t`` normalisers [1]_.

    Returns
    -------
    overall : float
        Over all labelled points of all objects with a length: each *point* counts the same.
    per_landmark : (K,) float64

    References
    ----------
    .. [1] Yang, Ramanan, "Articulated human detection with flexible mixtures of parts", TPAMI 2013.

    Examples
    --------
    >>> pck([[[0, 0], [10, 0]]], [[[0, 3], [10, 1]]], [10.0], 0.2)
    (0.5, array([0., 1.]))
    """
    correct = _correct(truth, predicted, lengths, t)
    return float(mean_of_known(correct)), mean_of_known(correct, axis=0)


def precision_recall_f1(
    truth: ArrayLike,
    predicted: ArrayLike,
    lengths: ArrayLike,
    t: float,
    asserted: ArrayLike | None = None,
) -> tuple[float, float, float]:
    """How far points that are said to be there are there, within ``t`` normalisers.

    A point that is asserted, labelled and near enough is right.  Precision: right ones among the asserted;
    recall: right ones among the labelled; F1: their harmonic mean.  A landmark that is not labelled counts as
    absent, so that this says something only where annotators label all that is there.

    Parameters
    ----------
    asserted : (B, K) bool, such as a confidence over a threshold; default every point that is given.  A point
        that is not given is never asserted.

    Returns
    -------
    precision, recall, F1 : float over the points of all objects with a length; NaN where nothing is labelled,
        precision also where nothing is asserted

    Examples
    --------
    >>> truth = [[[0, 0], [10, 0], [np.nan, np.nan]]]
    >>> precision_recall_f1(truth, [[[0, 1], [10, 9], [5, 5]]], [10.0], 0.2)  # 1 of 3, 1 of 2
    (0.3333333333333333, 0.5, 0.4)
    """
    correct = _correct(truth, predicted, lengths, t)  # NaN where not labelled
    _, points = check_points(truth, predicted)
    known = np.isfinite(_lengths(lengths, len(points)))[:, None]
    said = np.isfinite(points).all(axis=2) & known
    if asserted is not None:
        said &= np.asarray(asserted, bool)
    labelled, right = int(np.isfinite(correct).sum()), int((said & (correct == 1)).sum())
    if not labelled:
        return float("nan"), float("nan"), float("nan")
    precision = right / int(said.sum()) if said.any() else float("nan")
    return precision, right / labelled, 2 * right / (labelled + int(said.sum()))


def object_pck(truth: ArrayLike, predicted: ArrayLike, lengths: ArrayLike, t: float) -> Array:
    """(B,) fraction of each object's labelled points within ``t`` normalisers: each *object* counts
    the same in its mean, and it can go through :mod:`hybridkp.stats`."""
    return mean_of_known(_correct(truth, predicted, lengths, t), axis=1)


def ced(values: ArrayLike, thresholds: ArrayLike) -> Array:
    """Cumulative error distribution: the fraction of objects with a value at most each threshold.

    Parameters
    ----------
    values : (B,), usually :func:`nme`; NaN is left out
    thresholds : (T,)

    Returns
    -------
    (T,) float64 in 0..1, NaN when no value is left
    """
    values = _kept(values)
    thresholds = np.asarray(thresholds, np.float64)
    if not len(values):
        return np.full(thresholds.shape, np.nan)
    return np.searchsorted(np.sort(values), thresholds, side="right") / len(values)


def _kept(values: ArrayLike) -> Array:
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise InputError(f"values must have shape (B,), got {values.shape}")
    return values[~np.isnan(values)]


def object_auc(values: ArrayLike, cutoff: float) -> Array:
    """(B,) what each object adds to the area: 1 for no error, falling to 0 at ``cutoff``."""
    if not cutoff > 0:
        raise InputError(f"cutoff must be positive, got {cutoff}")
    return np.maximum(0.0, 1.0 - np.asarray(values, np.float64) / cutoff)


def auc(values: ArrayLike, cutoff: float = 0.08) -> float:
    """Area under the CED from 0 to ``cutoff``, divided by ``cutoff``: 1 is perfect.

    A step curve's area needs no grid: each object adds ``max(0, 1 - value / cutoff)``.  Departure:
    toolboxes sum trapezia over a grid of thresholds, which converges to this value.
    """
    return float(mean_of_known(object_auc(_kept(values), cutoff)))


def failure_rate(values: ArrayLike, cutoff: float = 0.08) -> float:
    """Fraction of objects with a value above ``cutoff`` (8 % inter-ocular is customary)."""
    values = _kept(values)
    return float((values > cutoff).mean()) if len(values) else float("nan")


def object_failure(values: ArrayLike, cutoff: float) -> Array:
    """(B,) 1.0 above ``cutoff``, 0.0 below, NaN left out."""
    values = np.asarray(values, np.float64)
    return np.where(np.isnan(values), np.nan, values > cutoff)
