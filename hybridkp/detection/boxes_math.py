"""Arithmetic of boxes that finders share: suppression, fusion, corrections.

Boxes are (N, 4): x, y of the top-left corner, width and height in px along pixel edges.  NumPy and OpenCV
only; no picture, no learning.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..metrics.boxes import box_overlap
from ..structures import Array, Instance, Sample

CALIBRATED = 20  #: objects that a calibration needs; of fewer it would be a guess
VOTES = 0.5  #: overlap with a box that stays, from which on others have a say in where it lies
MOST = 2000  #: boxes that suppression looks at, the best ones


def suppress(boxes: Array, score: Array, overlap: float) -> Array:
    """Rows (n,) that stay, best first: none overlaps a better one by more than ``overlap`` (OpenCV's NMS).

    >>> suppress(np.array([[0.0, 0, 9, 9], [1, 0, 9, 9], [40, 0, 9, 9]]), np.array([0.5, 0.9, 0.2]), 0.4)
    array([1, 2])
    """
    if not len(boxes):
        return np.zeros(0, int)
    rank = np.empty(len(score))  # OpenCV takes positive values, and as float32: these differ there too
    rank[np.argsort(-score, kind="stable")] = np.arange(len(score), 0, -1)
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), rank.tolist(), 0.0, overlap, top_k=MOST)
    return np.array(kept, int).ravel()


def voted(boxes: Array, weight: Array, kept: Array) -> Array:
    """The boxes of rows ``kept`` (n,), each as the mean of all (N, 4) that overlap it by :data:`VOTES`.

    The mean is by ``weight`` (N,), which are positive: box voting (Gidaris, Komodakis, Object detection via a
    multi-region and semantic segmentation-aware CNN model, ICCV 2015).

    >>> boxes = np.array([[0.0, 0, 8, 8], [2, 0, 8, 8], [40, 0, 9, 9]])
    >>> voted(boxes, np.array([0.6, 0.2, 0.2]), np.array([0, 2]))
    array([[ 0.5,  0. ,  8. ,  8. ],
           [40. ,  0. ,  9. ,  9. ]])
    """
    share = np.where(box_overlap(boxes[kept], boxes) >= VOTES, weight, 0.0)
    return np.asarray(share @ boxes / np.maximum(share.sum(1, keepdims=True), 1e-12))


def corrections(found: Array, true: Array) -> Array:
    """What takes boxes (N, 4) to others: shift of the centre in sides, logarithm of the sides' ratio."""
    shift = (true[:, :2] + true[:, 2:] / 2 - found[:, :2] - found[:, 2:] / 2) / found[:, 2:]
    return np.concatenate([shift, np.log(true[:, 2:] / found[:, 2:])], 1)


def corrected(boxes: Array, change: Array) -> Array:
    """The inverse of :func:`corrections`; at most half a side and a factor of two.

    >>> a, b = np.array([[0.0, 0, 10, 20]]), np.array([[2.0, 1, 12, 18]])
    >>> corrected(a, corrections(a, b)).round(9).tolist()
    [[2.0, 1.0, 12.0, 18.0]]
    """
    centre = boxes[:, :2] + boxes[:, 2:] / 2 + boxes[:, 2:] * np.clip(change[:, :2], -0.5, 0.5)
    size = boxes[:, 2:] * np.exp(np.clip(change[:, 2:], -np.log(2), np.log(2)))
    return np.concatenate([centre - size / 2, size], 1)


def fuse_boxes(
    boxes: Sequence[Array], scores: Sequence[Array], weights: ArrayLike, overlap: float
) -> tuple[Array, Array]:
    """Weighted box fusion of M finders' boxes (N_m, 4) and scores (N_m,): clusters become their mean.

    Boxes that overlap the best one of a cluster by more than ``overlap`` join it, one of each finder; the
    fused box is their mean by score and weight, its score the weighted mean over *all* finders, with 0 for
    those that did not see it (Solovyev, Wang, Gabruseva, Weighted boxes fusion, Image and Vision Computing
    107, 2021; departure: a cluster is gathered around its best box, not around its running mean).

    >>> fuse_boxes([np.array([[0.0, 0, 8, 8]])] * 2, [np.array([1.0]), np.array([0.5])], [1, 1], 0.5)
    (array([[0., 0., 8., 8.]]), array([0.75]))
    """
    member = np.concatenate([np.full(len(b), m) for m, b in enumerate(boxes)]).astype(int)
    share = np.asarray(weights, float) / np.sum(weights)
    box, score = np.concatenate([np.reshape(b, (-1, 4)) for b in boxes]), np.concatenate(scores)
    worth, free = score * share[member], np.ones(len(box), bool)
    near, out, total = box_overlap(box, box) > overlap, [], []
    for best in np.argsort(-worth, kind="stable"):
        if not free[best]:
            continue
        rows = np.flatnonzero(free & near[best])
        rows = rows[np.argsort(-worth[rows], kind="stable")]
        free[rows] = False
        rows = rows[np.unique(member[rows], return_index=True)[1]]  # the best of each finder
        part = worth[rows] / max(worth[rows].sum(), 1e-12)
        out.append(part @ box[rows])
        total.append(worth[rows].sum())
    order = np.argsort(-np.array(total), kind="stable")
    return np.reshape(out, (-1, 4))[order], np.array(total, float)[order]


def objects_of(sample: Sample) -> tuple[Array, Array]:
    """Boxes (N, 4) of a sample's objects to be found, and (M, 4) of regions that teach nothing.

    Crowds (``ignore``) teach nothing; nor does a box without area.
    """
    objects, ignored = ([i.box_xywh for i in part] for part in boxed(sample))
    return np.array(objects, float).reshape(-1, 4), np.array(ignored, float).reshape(-1, 4)


def boxed(sample: Sample) -> tuple[list[Instance], list[Instance]]:
    """The instances that :func:`objects_of` gives the boxes of, in its order."""
    usable = [i for i in sample.instances if np.isfinite(i.box_xywh).all() and (i.box_xywh[2:] > 0).all()]
    return [i for i in usable if not i.ignore], [i for i in usable if i.ignore]


def calibrating(held_out: Sequence[Sample], everything: Sequence[Sample]) -> Sequence[Sample]:
    """What scores are calibrated on: what was held out, or everything where that shows too few objects."""
    enough = sum(len(objects_of(s)[0]) for s in held_out) >= CALIBRATED
    return held_out if enough else everything
