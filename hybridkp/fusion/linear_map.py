"""Another's points of any number as a start: a ridge map from them to the user's landmarks.

The map is learned in the frame of the peer's own mean shape, so that size and turn of the object need not be
learned, and a landmark moves as the peer's nearest point does, but for what the ridge says.  Crops go in; the
peer's points (B, M, 2) become landmarks (B, K, 2), both in crop px.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from ..datasets.splits import group_folds
from ..imaging.geometry import apply_affine, invert_affine, similarity
from ..imaging.images import check_batch
from ..stats.calibration import NEAR
from ..structures import Array, DataWarning, DetectorMixin, InputError, Peer, Stage, check_xy, supports

ALPHAS = tuple(np.geomspace(1e-3, 30.0, 10).tolist())  #: ridge penalties that are tried
FOLDS = 5
_SAME = 0.03  #: of the crop's side; a peer's point and a landmark of nearer means may mark the same place
_TOLD = 0.1  #: px; smaller offsets are not worth a word
_LEAST = 3  #: points that say how sure an offset is

Learned = dict[str, Array]


@dataclass(eq=False, repr=False)
class LinearMap(DetectorMixin, BaseEstimator):
    """A linear map from a peer's M points to K landmarks: minutes adapt any model to any landmark scheme.

    Parameters
    ----------
    detector : Peer
        Gives its own points; it is asked once for each training picture.
    alpha : float or None
        Ridge penalty in units of the rows' mean squared singular value; None = the best of :data:`ALPHAS` by
        folds that never cut a group.

    Attributes
    ----------
    offset_px_ : (2,) float
        How far the peer's points lie from the labels, px of the crop, the median over ``n_shared_`` points
        that both mark; NaN where there is none.  (0.5, 0.5) is a peer that counts from a pixel's corner.
    offset_error_px_ : float, its standard error; NaN for fewer than three points
    weights_ : (2 M, 2 K); mean_ : (M, 2), the peer's mean shape; middle_ : (K, 2)
    share_ : (K,) of held-out landmarks that came within 2.5 % of the side: the score

    Notes
    -----
    An offset is measured against the labels, so a peer that marks other places of the same name seems to have
    one.  The map undoes it in any case.  Single points that the peer lacks are where its mean shape has them;
    an object of which it says nothing gets the mean of the training points, with a score of 0.

    References
    ----------
    A. Hoerl, R. Kennard, Ridge regression, Technometrics 12(1), 1970.
    """

    detector: Any
    alpha: float | None = None

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> LinearMap:
        """Learn from crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        images, truth, given = self._asked(images, xy)
        groups = np.arange(len(truth)) if groups is None else np.asarray(groups)
        self.fallback_ = np.nanmean(truth, axis=0)
        learned, held_out = _learned(given, truth, groups, self.alpha)
        for name, value in learned.items():
            setattr(self, f"{name}_", value)
        near = np.linalg.norm(held_out - truth, axis=2) <= NEAR * max(self.size_hw_)
        known = np.isfinite(truth).all(2) & np.isfinite(held_out).all(2)
        self.share_ = ((near & known).sum(0) + 1) / (known.sum(0) + 2)
        self.offset_px_, self.offset_error_px_, self.n_shared_ = offset_of(given, truth, max(self.size_hw_))
        self._tell()
        return self

    def predict_out_of_fold(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """(B, K, 2) and (B, K): each row by a map learned from other groups; the peer learns nothing."""
        images, truth, given = clone(self)._asked(images, xy)
        groups = np.arange(len(truth)) if groups is None else np.asarray(groups)
        _, held_out = _learned(given, truth, groups, self.alpha)
        lost = np.asarray(np.isnan(held_out).any(axis=2, keepdims=True))
        found = np.where(lost, np.nanmean(truth, axis=0), held_out).astype(np.float32)
        return found, np.where(lost[..., 0], 0, 0.5).astype(np.float32)

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32."""
        check_is_fitted(self)
        given, _ = self.detector_.points(check_batch(images, self.size_hw_))
        if given.shape[1] not in (0, len(self.mean_)):
            raise InputError(f"linear: the peer gave {given.shape[1]} points, in training {len(self.mean_)}")
        learned = {name: getattr(self, f"{name}_") for name in ("mean", "middle", "weights")}
        found = _mapped(given, learned)
        lost = np.asarray(np.isnan(found).any(axis=2, keepdims=True))
        score = np.where(lost[..., 0], 0, self.share_)
        return np.where(lost, self.fallback_, found).astype(np.float32), score.astype(np.float32)

    def held(self) -> list[tuple[str, Any]]:
        return [("before", self.detector_)]

    def stages(self, images: Any) -> list[Stage]:
        """The mapped points."""
        return [Stage("linear", self.predict(images))]

    def _asked(self, images: Any, xy: ArrayLike) -> tuple[Any, Array, Array]:
        """Checked crops, checked truth and the peer's points."""
        if not supports(self.detector, Peer):
            raise InputError("linear: stands behind a peer that gives points of its own, such as onnx")
        if self.alpha is not None and not self.alpha >= 0:
            raise InputError(f"linear: alpha must not be negative, got {self.alpha}")
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        self.size_hw_ = (int(images.shape[1]), int(images.shape[2]))
        self.detector_ = clone(self.detector).ready(images)
        given, _ = self.detector_.points(images)
        if not _spoken(given).any():
            raise InputError("linear: the peer found nothing in any training crop")
        return images, truth, np.asarray(given, float)

    def _tell(self) -> None:
        dx, dy = self.offset_px_.tolist()
        if np.hypot(dx, dy) > _TOLD and np.hypot(dx, dy) > 3 * self.offset_error_px_:  # never of NaN
            told = (
                f"the peer's points lie ({dx:+.2f}, {dy:+.2f}) px of the crop from the labels, ±"
                f" {self.offset_error_px_:.2f}, over {self.n_shared_} points that both mark; linear undoes it"
            )
            warnings.warn(told, DataWarning, stacklevel=3)


def offset_of(given: Array, truth: Array, side: float) -> tuple[Array, float, int]:
    """How far a peer's points (B, M, 2) lie from labels (B, K, 2) where both mark the same place.

    Pairs of a peer's point and a landmark count that are each other's nearest in the mean, and nearer than
    3 % of the side.

    Returns
    -------
    (2,) px, median over the pairs of their objects' median way, NaN without any; its standard error, NaN for
    fewer than three; the number of pairs
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point that nobody ever found
        apart = np.linalg.norm(np.nanmean(given, 0)[:, None] - np.nanmean(truth, 0), axis=2)  # (M, K)
        apart = np.where(np.isfinite(apart), apart, np.inf)
        m = np.flatnonzero(apart.min(1) < _SAME * side)
        k = apart[m].argmin(1)
        mutual = apart[:, k].argmin(0) == m
        off = np.nanmedian(given[:, m[mutual]] - truth[:, k[mutual]], axis=0)  # (pairs, 2)
    off = off[np.isfinite(off).all(1)]
    if not len(off):
        return np.full(2, np.nan), float("nan"), 0
    offset = np.median(off, axis=0)
    if len(off) < _LEAST:
        return offset, float("nan"), len(off)
    spread = 1.4826 * np.median(np.abs(off - offset))
    return offset, float(1.2533 * spread / np.sqrt(len(off))), len(off)


def _learned(given: Array, truth: Array, groups: Array, alpha: float | None) -> tuple[Learned, Array]:
    """A map of all rows, and (B, K, 2) what maps of other groups say, NaN where the peer said nothing."""
    found = _spoken(given)
    folds = []
    if len(np.unique(groups)) > 1:
        folds = group_folds(groups, min(FOLDS, len(np.unique(groups))))
    alphas = ALPHAS if alpha is None else (alpha,)
    held_out = np.full((len(alphas), *truth.shape), np.nan)
    for train, test in folds:
        rows = train[found[train]]
        if len(rows):
            fits = _fits(given[rows], truth[rows], alphas)
            held_out[:, test] = [_mapped(given[test], fit) for fit in fits]
    best = len(alphas) - 1
    if folds:
        error = np.linalg.norm(held_out - truth, axis=3)
        best = int(np.argmin([np.nanmean(e) if np.isfinite(e).any() else np.inf for e in error]))
    return _fits(given[found], truth[found], (alphas[best],))[0], held_out[best]


def _spoken(given: Array) -> Array:
    """(B,) bool: the objects of which the peer gave any point."""
    there: Array = np.asarray(np.isfinite(given).all(axis=2))
    return np.asarray(there.any(axis=1))


def _fits(given: Array, truth: Array, alphas: tuple[float, ...]) -> list[Learned]:
    """A map for each penalty, from one decomposition for each set of rows in which landmarks are labelled."""
    mean = _mean_shape(given)
    frame = similarity(given, np.broadcast_to(mean, given.shape))
    x = _filled(apply_affine(frame, given), mean)
    y = apply_affine(frame, truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a landmark that is labelled in no row
        apart = np.linalg.norm(np.nanmean(y, axis=0)[:, None] - mean, axis=2)
    nearest = np.where(np.isfinite(apart), apart, np.inf).argmin(1)
    y = y - x.reshape(len(x), -1, 2)[:, nearest]
    labelled = np.isfinite(y).all(2)
    k = truth.shape[1]
    weights, middle = np.zeros((len(alphas), x.shape[1], k, 2)), np.full((k, 2), np.nan)
    patterns, which = np.unique(labelled, axis=1, return_inverse=True)
    for p, rows in enumerate(patterns.T):
        its = np.flatnonzero(np.asarray(which).ravel() == p)
        if rows.any():
            middle[its] = y[rows][:, its].mean(0)
            target = (y[rows][:, its] - middle[its]).reshape(int(rows.sum()), -1)
            for a, solved in enumerate(_ridge(x[rows], target, alphas)):
                weights[a][:, its] = solved.reshape(-1, len(its), 2)
    middle = np.where(np.isnan(middle), mean.mean(0), middle)
    weights[:, 2 * nearest, np.arange(k), 0] += 1
    weights[:, 2 * nearest + 1, np.arange(k), 1] += 1
    return [{"mean": mean, "middle": middle, "weights": w.reshape(len(w), -1)} for w in weights]


def _ridge(x: Array, y: Array, alphas: tuple[float, ...]) -> list[Array]:
    left, values, right = np.linalg.svd(x, full_matrices=False)
    # a column's mean is what the middle of the landmarks already says
    inside = left.T @ y
    power = (values**2).mean() if len(values) else 1.0
    return [
        right.T @ (values[:, None] / (values[:, None] ** 2 + a * max(power, 1e-12)) * inside) for a in alphas
    ]


def _mean_shape(given: Array) -> Array:
    """(M, 2): the mean of the peer's shapes, turned and scaled onto it; one never found in its middle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(given, axis=0)
        mean = np.where(np.isnan(mean), np.nanmean(mean, axis=0), mean)
        for _ in range(2):
            moved = apply_affine(similarity(given, np.broadcast_to(mean, given.shape)), given)
            again = np.nanmean(moved, axis=0)
            mean = np.where(np.isnan(again), mean, again)
    return mean


def _filled(aligned: Array, mean: Array) -> Array:
    """Rows (B, 2 M) of what differs from the mean shape; a missing point does not."""
    off = aligned - mean
    off[np.isnan(off).any(axis=2)] = 0
    return off.reshape(len(off), -1)


def _mapped(given: Array, learned: Learned) -> Array:
    """(B, K, 2), NaN where the peer said nothing of an object."""
    given, mean, middle = np.asarray(given, float), learned["mean"], learned["middle"]
    if given.shape[1] == 0:  # a peer that has not found anything yet does not know how many points it gives
        given = np.full((len(given), *mean.shape), np.nan)
    frame = similarity(given, np.broadcast_to(mean, given.shape))
    rows = _filled(apply_affine(frame, given), mean)
    found = apply_affine(
        invert_affine(frame), middle + (rows @ learned["weights"]).reshape(-1, *middle.shape)
    )
    found[~_spoken(given)] = np.nan
    return found
