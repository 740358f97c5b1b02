"""Object keypoint similarity, and the average precision and recall that COCO makes of it.

Here lives our own NumPy evaluation for any K and any sigmas, equal to the official tool.  Never
here: files (JSON is parsed by the caller), pictures, models.  Per picture: truth (G, K, 2), predictions
(D, K, 2), scores (D,), areas (G,).

References
----------
.. [1] Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, and the keypoint
   evaluation page of the COCO project.
.. [2] Ronchi, Perona, "Benchmarking and error diagnosis in multi-instance pose estimation",
   ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..structures import InputError, short_repr

Array = NDArray[Any]

#: the ten figures, in the official order
OKS_FIGURES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_AREAS = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_TINY = np.spacing(1.0)


def _check_sigmas(sigmas: ArrayLike, k: int) -> Array:
    sigmas = np.asarray(sigmas, np.float64)
    if sigmas.shape != (k,) or not (sigmas > 0).all():
        raise InputError(f"sigmas must be {k} positive numbers, got {sigmas.shape}")
    return sigmas


def _labelled(truth: Array, visibility: ArrayLike | None) -> Array:
    """(G, K) bool."""
    known = np.isfinite(truth[:, :, 0]) & np.isfinite(truth[:, :, 1])
    return known if visibility is None else known & (np.asarray(visibility) > 0)


def _outside(predicted: Array, boxes_xywh: Array) -> Array:
    """(G, D, K, 2) distance of the predictions from boxes of doubled margin, 0 inside."""
    corner, size = boxes_xywh[:, None, None, :2], boxes_xywh[:, None, None, 2:]
    low, high = corner - size, corner + 2 * size
    return np.maximum(0.0, low - predicted) + np.maximum(0.0, predicted - high)


def oks_matrix(
    truth: ArrayLike,
    predicted: ArrayLike,
    area: ArrayLike,
    sigmas: ArrayLike,
    *,
    visibility: ArrayLike | None = None,
    boxes_xywh: ArrayLike | None = None,
) -> Array:
    """Object keypoint similarity of every true object with every prediction of one picture.

    ``mean_k exp(-d_k^2 / (2 area (2 sigma_k)^2))`` over the object's labelled landmarks [1]_.

    Parameters
    ----------
    truth : (G, K, 2), NaN = not labelled
    predicted : (D, K, 2), NaN = missing: adds 0 to the mean
    area : (G,) object area in px²
    sigmas : (K,)
    visibility : (G, K), optional
        0 = not labelled (whatever ``truth`` says), 1 and 2 count the same.
    boxes_xywh : (G, 4), optional
        For objects with no labelled landmark: all K predictions are measured from the box enlarged by its
        own width and height on every side, as the official tool does.  Without a box their row is 0.

    Returns
    -------
    (G, D) float64 in 0..1

    References
    ----------
    .. [1] Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
    """
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if truth.ndim != 3 or predicted.ndim != 3 or truth.shape[1:] != predicted.shape[1:]:
        raise InputError(f"truth {truth.shape} and predicted {predicted.shape} must be (G|D, K, 2)")
    g, k = truth.shape[:2]
    area = np.asarray(area, np.float64)
    if area.shape != (g,):
        raise InputError(f"area must have shape ({g},), got {area.shape}")
    variance = (2 * _check_sigmas(sigmas, k)) ** 2
    labelled = _labelled(truth, visibility)
    delta = predicted[None] - np.where(labelled[:, :, None], truth, 0.0)[:, None]  # (G, D, K, 2)
    bare: Array = labelled.sum(axis=1) == 0
    if boxes_xywh is not None and bare.any():
        boxes = np.asarray(boxes_xywh, np.float64)
        if boxes.shape != (g, 4):
            raise InputError(f"boxes_xywh must have shape ({g}, 4), got {boxes.shape}")
        delta[bare] = _outside(predicted, boxes[bare])
        labelled = labelled | bare[:, None]
    exponent = (delta**2).sum(axis=3) / variance / (area[:, None, None] + _TINY) / 2
    similar = np.where(np.isnan(exponent), 0.0, np.exp(-exponent)) * labelled[:, None]
    return similar.sum(axis=2) / np.maximum(labelled.sum(axis=1), 1)[:, None]


def object_oks(truth: ArrayLike, predicted: ArrayLike, area: ArrayLike, sigmas: ArrayLike) -> Array:
    """(B,) similarity of each object (B, K, 2) with its own prediction; NaN where nothing is labelled."""
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if truth.ndim != 3 or truth.shape != predicted.shape:
        raise InputError(f"truth {truth.shape} and predicted {predicted.shape} must both be (B, K, 2)")
    variance = (2 * _check_sigmas(sigmas, truth.shape[1])) ** 2
    labelled = ~np.isnan(truth).any(axis=2)
    square = ((predicted - truth) ** 2).sum(axis=2)
    exponent = square / variance / (np.asarray(area, np.float64)[:, None] + _TINY) / 2
    total = np.where(np.isnan(exponent), 0.0, np.exp(-exponent)).sum(axis=1)
    count = labelled.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def swapped_points(
    truth: ArrayLike, predicted: ArrayLike, area: ArrayLike, sigmas: ArrayLike, flip: ArrayLike | None = None
) -> Array:
    """(G, K) bool: points of objects that lie where another object of the picture has that landmark.

    A point is at a landmark from a similarity of one half; it is swapped when it is not at its own (Ronchi
    and Perona 2017).

    Parameters
    ----------
    truth : (G, K, 2), NaN = not labelled
    predicted : (G, K, 2), what was predicted for each of these objects; NaN = missing, never swapped
    area : (G,) px²
    sigmas : (K,)
    flip : (K,), optional: the landmark on the other side, which counts as well

    >>> two = [[[0.0, 0.0]], [[50.0, 0.0]]]
    >>> swapped_points(two, [[[50.0, 1.0]], [[50.0, 1.0]]], [400.0, 400.0], [0.05]).ravel().tolist()
    [True, False]
    """
    truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
    g, k = truth.shape[:2]
    variance = np.asarray(area, float)[:, None] * (2 * _check_sigmas(sigmas, k)) ** 2 + _TINY

    def there(xy: Array) -> Array:  # (G, G, K): of object g's points, at the landmarks of object h
        square = ((predicted[:, None] - xy[None]) ** 2).sum(3)
        return np.nan_to_num(square, nan=np.inf) <= 2 * np.log(2) * variance[None]

    at = there(truth)
    other = at if flip is None else at | there(truth[:, np.asarray(flip)])
    others = other & ~np.eye(g, dtype=bool)[:, :, None]
    return np.asarray(others.any(1) & ~at[np.arange(g), np.arange(g)])


@dataclass(frozen=True, eq=False)
class Picture:
    """What one picture adds to one category; predictions sorted by falling score."""

    similarity: Array  # (G, D)
    score: Array  # (D,)
    area: Array  # (G,)
    predicted_area: Array  # (D,)
    crowd: Array  # (G,) bool
    ignore: Array  # (G,) bool, crowds included

    __repr__ = short_repr


def _match(picture: Picture, ignore: Array) -> tuple[Array, Array]:
    """Greedy matching at all thresholds at once.

    Each prediction in turn takes the free object it is most like (crowds are always free), a
    counted one if any reaches the threshold, else an ignored one; of equals the last.

    Returns (T, D) bool matched, (T, D) bool matched to an ignored object.
    """
    t, (g, d) = len(_THRESHOLDS), picture.similarity.shape
    matched, to_ignored = np.zeros((2, t, d), bool)
    if g == 0:
        return matched, to_ignored
    need = np.minimum(_THRESHOLDS, 1 - 1e-10)[:, None]
    free = np.ones((t, g), bool)
    rows = np.arange(t)
    for j in range(d):
        similar = picture.similarity[:, j]
        open_ = (similar >= need) & (free | picture.crowd)
        counted = open_ & ~ignore
        # ignored objects only where no counted one will do
        choice = np.where(counted.any(axis=1, keepdims=True), counted, open_)
        best = g - 1 - np.argmax(np.where(choice, similar, -1.0)[:, ::-1], axis=1)
        hit = choice.any(axis=1)
        free[rows[hit], best[hit]] = False
        matched[:, j] = hit
        to_ignored[:, j] = hit & ignore[best]
    return matched, to_ignored


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one picture's predictions, best first, at T thresholds."""

    score: Array  # (D,)
    hit: Array  # (T, D) bool, matched
    skip: Array  # (T, D) bool, not counted
    n_objects: int  #: that count

    __repr__ = short_repr


def outcome(picture: Picture, low: float = 0.0, high: float = 1e10) -> Outcome:
    """One picture matched; objects and predictions whose area is outside low..high do not count."""
    ignore = picture.ignore | (picture.area < low) | (picture.area > high)
    hit, to_ignored = _match(picture, ignore)
    outside = (picture.predicted_area < low) | (picture.predicted_area > high)
    return Outcome(picture.score, hit, to_ignored | (~hit & outside), int((~ignore).sum()))


def pooled(outcomes: Sequence[Outcome]) -> tuple[Array, Array, Array]:
    """Scores (D,), hit and skip (T, D) of all pictures' predictions, best first."""
    score = np.concatenate([o.score for o in outcomes])
    order = np.argsort(-score, kind="stable")
    hit, skip = (np.concatenate([getattr(o, n) for o in outcomes], axis=1) for n in ("hit", "skip"))
    return score[order], hit[:, order], skip[:, order]


def curves_of(outcomes: Sequence[Outcome]) -> tuple[Array, Array] | None:
    """(T, 101) precision at the recall thresholds and (T,) final recall; None without objects."""
    n_objects = sum(o.n_objects for o in outcomes)
    if n_objects == 0:
        return None
    order, hit, skip = pooled(outcomes)
    true = np.cumsum(hit & ~skip, axis=1, dtype=np.float64)
    false = np.cumsum(~hit & ~skip, axis=1, dtype=np.float64)
    precision = np.zeros((len(_THRESHOLDS), len(_RECALLS)))
    if not len(order):
        return precision, np.zeros(len(_THRESHOLDS))
    recall = true / n_objects
    exact = true / (false + true + _TINY)
    envelope = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
    for row, (r, p) in enumerate(zip(recall, envelope, strict=True)):
        place = np.searchsorted(r, _RECALLS, side="left")
        reached = place < len(r)
        precision[row, reached] = p[place[reached]]
    return precision, recall[:, -1]


def figures(categories: Sequence[Sequence[Picture]]) -> dict[str, float]:
    """The ten figures, averaged over the categories that have objects in the area range."""
    precision, recall = {}, {}
    for name, (low, high) in _AREAS.items():
        curves = [c for pictures in categories if (c := curves_of([outcome(p, low, high) for p in pictures]))]
        if curves:
            precision[name] = np.mean([c[0] for c in curves], axis=(0, 2))
            recall[name] = np.mean([c[1] for c in curves], axis=0)
        else:
            precision[name] = recall[name] = np.full(len(_THRESHOLDS), np.nan)
    at = {"50": 0, "75": 5}
    out = {}
    for letter, found in (("AP", precision), ("AR", recall)):
        out[letter] = float(found["all"].mean())
        out |= {letter + t: float(found["all"][i]) for t, i in at.items()}
        out |= {letter + a[0]: float(found[a].mean()) for a in ("medium", "large")}
    return out


def point_box_area(predicted: Array) -> Array:
    """(D,) area of the box around each prediction's points; 0 where all are missing."""
    known = np.isfinite(predicted).all(axis=2, keepdims=True)
    low = np.where(known, predicted, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, predicted, -np.inf).max(axis=1, initial=-np.inf)
    return np.subtract(high, low, out=np.zeros_like(low), where=high >= low).prod(axis=1)


def picture_of(
    name: str, columns: Mapping[str, ArrayLike | None], sigmas: Array, max_detections: int
) -> Picture:
    """One picture from its entries in the lists of :func:`oks_ap`; None = the default."""
    k = len(sigmas)

    def get(key: str, dtype: Any = np.float64) -> Array | None:
        return None if columns[key] is None else np.asarray(columns[key], dtype)

    try:
        truth = np.asarray(columns["truth"], np.float64).reshape(-1, k, 2)
        predicted = np.asarray(columns["predicted"], np.float64).reshape(-1, k, 2)
    except ValueError as error:
        raise InputError(f"{name}: points do not fit {k} sigmas ({error})") from None
    score = np.asarray(columns["scores"], np.float64)
    area = np.asarray(columns["areas"], np.float64)
    visibility, crowd, ignore = get("visibility"), get("crowd", bool), get("ignore", bool)
    boxes = get("boxes_xywh")
    # an empty list has no columns of its own
    visibility = visibility if visibility is None else visibility.reshape(-1, k)
    boxes = boxes if boxes is None else boxes.reshape(-1, 4)
    predicted_area = get("predicted_areas")
    if score.shape != (len(predicted),) or np.isnan(score).any():
        raise InputError(f"{name}: scores must be {len(predicted)} numbers, got {score.shape}")
    if not (area >= 0).all():
        raise InputError(f"{name}: areas must be numbers of at least 0: estimate them from the boxes")
    if predicted_area is None:
        predicted_area = point_box_area(predicted)
    if crowd is None:
        crowd = np.zeros(len(truth), bool)
    if ignore is None:
        ignore = _labelled(truth, visibility).sum(axis=1) == 0
    order = np.argsort(-score, kind="stable")[:max_detections]
    similarity = oks_matrix(truth, predicted[order], area, sigmas, visibility=visibility, boxes_xywh=boxes)
    return Picture(similarity, score[order], area, predicted_area[order], crowd, crowd | ignore)


def oks_ap(
    truth: Sequence[ArrayLike],
    predicted: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    areas: Sequence[ArrayLike],
    sigmas: ArrayLike,
    *,
    visibility: Sequence[ArrayLike] | None = None,
    boxes_xywh: Sequence[ArrayLike] | None = None,
    crowd: Sequence[ArrayLike] | None = None,
    ignore: Sequence[ArrayLike] | None = None,
    predicted_areas: Sequence[ArrayLike] | None = None,
    max_detections: int = 20,
) -> dict[str, float]:
    """COCO's keypoint AP and AR [1]_ for one category, any K, any sigmas.

    Each list has one entry per picture, G objects and D predictions in that picture (both may be 0).

    Parameters
    ----------
    truth : P arrays (G, K, 2), NaN = not labelled
    predicted : P arrays (D, K, 2), NaN = missing
    scores : P arrays (D,)
        Of equal scores the earlier picture, then the earlier prediction, goes first.
    areas : P arrays (G,), object areas px²
    sigmas : (K,)
    visibility : P arrays (G, K), optional, see :func:`oks_matrix`
    boxes_xywh : P arrays (G, 4), optional, needed only by objects with no labelled landmark
    crowd : P arrays (G,) bool, optional
        ``iscrowd``: not counted, and may swallow any number of predictions.
    ignore : P arrays (G,) bool, optional
        Not counted, and may swallow one prediction; default: objects with no labelled landmark.
    predicted_areas : P arrays (D,), optional
        Decide which unmatched predictions count for medium and large; default: their points' box.
    max_detections : int
        The best-scored predictions of each picture that are looked at.

    Returns
    -------
    dict with the keys of ``OKS_FIGURES``
        NaN where no object lies in the area range (the official tool writes -1).
        Medium is 32²..96² px², large above; there is no "small" for keypoints.

    Raises
    ------
    InputError
        Lists of different length, arrays that do not fit each other, NaN scores.

    References
    ----------
    .. [1] Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.

    Examples
    --------
    >>> face = [[[10, 10], [60, 60]]]
    >>> oks_ap([face], [face], [[0.9]], [[2500.0]], sigmas=[0.05, 0.05])["AR"]
    1.0
    """
    lists = {
        "truth": truth,
        "predicted": predicted,
        "scores": scores,
        "areas": areas,
        "visibility": visibility,
        "boxes_xywh": boxes_xywh,
        "crowd": crowd,
        "ignore": ignore,
        "predicted_areas": predicted_areas,
    }
    for name, value in lists.items():
        if value is not None and len(value) != len(truth):
            raise InputError(f"{name} has {len(value)} pictures, truth has {len(truth)}")
    sigmas = np.asarray(sigmas, np.float64)
    pictures = [
        picture_of(
            f"picture {i}",
            {name: None if value is None else value[i] for name, value in lists.items()},
            sigmas,
            max_detections,
        )
        for i in range(len(truth))
    ]
    return figures([pictures])
