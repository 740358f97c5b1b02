"""How well boxes were found: COCO's average precision, and recall at few false boxes per picture.

Pure functions of arrays; matching and averaging are those of :mod:`.oks`, with another similarity.  Boxes
are (N, 4) x, y, width, height; G objects and D predictions in a picture.

References
----------
.. [1] Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..structures import InputError
from .oks import Outcome, Picture, curves_of, outcome, pooled

Array = NDArray[Any]

MAX_DETECTIONS = 100  #: boxes of a picture that are looked at, the best ones, as COCO does
FALSE_PER_PICTURE = 0.1  #: at which recall is given

#: figure -> how it is called
BOX_FIGURES = {
    "ap": "AP50:95",
    "ap50": "AP50",
    "recall": f"recall at {FALSE_PER_PICTURE:g} false per picture",
}


def box_overlap(a: ArrayLike, b: ArrayLike, part: bool = False) -> Array:
    """Intersection over union of boxes (N, 4) with boxes (M, 4): (N, M); NaN boxes overlap nothing.

    ``part``: over the area of ``a`` instead, as for a crowd ``b``.

    >>> box_overlap([[0, 0, 2, 2]], [[1, 0, 2, 2], [5, 5, 1, 1]]).round(3).tolist()
    [[0.333, 0.0]]
    """
    a, b = (np.asarray(boxes, float).reshape(-1, 4) for boxes in (a, b))
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    shared = np.clip(high - low, 0, None).prod(2)
    own = np.broadcast_to(a[:, 2:].prod(1)[:, None], shared.shape)
    whole = own if part else own + b[:, 2:].prod(1) - shared
    return np.nan_to_num(shared / np.maximum(whole, 1e-12))


def matched(similarity: ArrayLike, least: float = 0.5) -> Array:
    """(G,) which of D finds, best first, is each object's; -1 = none is like it enough.

    Each find in turn takes the free object that it is most like, as in COCO's evaluation.

    Parameters
    ----------
    similarity : (D, G), such as :func:`box_overlap`

    >>> matched(box_overlap([[0, 0, 9, 9], [1, 0, 9, 9]], [[1, 0, 9, 9], [30, 0, 9, 9]])).tolist()
    [0, -1]
    """
    similarity = np.asarray(similarity, float)
    taken = np.full(similarity.shape[1], -1)
    for d, row in enumerate(similarity):
        free = np.where(taken < 0, row, -np.inf)
        if free.size and free.max() >= least:
            taken[int(free.argmax())] = d
    return taken


def box_outcome(
    truth: ArrayLike, boxes: ArrayLike, score: ArrayLike, crowd: ArrayLike | None = None
) -> Outcome:
    """One picture's predictions held against its objects, at overlaps of 0.50 to 0.95.

    Parameters
    ----------
    truth : (G, 4)
    boxes : (D, 4)
    score : (D,)
    crowd : (G,) bool, optional: regions that count for nothing and swallow any number of predictions
    """
    truth, boxes = (np.asarray(b, float).reshape(-1, 4) for b in (truth, boxes))
    score = np.asarray(score, float).reshape(-1)
    crowd = np.zeros(len(truth), bool) if crowd is None else np.asarray(crowd, bool).reshape(-1)
    if len(score) != len(boxes) or len(crowd) != len(truth) or np.isnan(score).any():
        raise InputError(f"{len(boxes)} boxes need as many scores, and {len(truth)} objects as many flags")
    order = np.argsort(-score, kind="stable")[:MAX_DETECTIONS]
    similarity = np.where(
        crowd[:, None], box_overlap(boxes[order], truth, part=True).T, box_overlap(truth, boxes[order])
    )
    area, found = truth[:, 2:].prod(1), boxes[order, 2:].prod(1)
    return outcome(Picture(similarity, score[order], area, found, crowd, crowd))


def box_figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """:data:`BOX_FIGURES` of pictures: in 0..1, NaN where there is no object at all.

    AP is COCO's over all sizes.  Recall is that of the largest set of predictions, by score, with at
    most :data:`FALSE_PER_PICTURE` false ones a picture, at an overlap of 0.5 (a point of the FROC curve).

    >>> box_figures([box_outcome([[0, 0, 9, 9]], [[0, 0, 9, 9]], [0.9])])["recall"]
    1.0
    """
    curves = curves_of(outcomes)
    if curves is None:
        return dict.fromkeys(BOX_FIGURES, float("nan"))
    precision = curves[0].mean(axis=1)
    false, recall = froc(outcomes)
    reached = recall[false <= FALSE_PER_PICTURE].max(initial=0)
    return {"ap": float(precision.mean()), "ap50": float(precision[0]), "recall": float(reached)}


def froc(outcomes: Sequence[Outcome]) -> tuple[Array, Array]:
    """False boxes per picture (T,) and the share of the objects that is found, as the least score falls.

    The free-response operating characteristic, at an overlap of 0.5.  It begins at no box at all; equal
    scores stand or fall together; without objects the shares are NaN.

    References
    ----------
    D. P. Chakraborty, Maximum likelihood analysis of free-response receiver operating characteristic
    (FROC) data, Medical Physics 16(4), 1989.

    >>> false, recall = froc([box_outcome([[0, 0, 9, 9]], [[20, 0, 9, 9], [0, 0, 9, 9]], [0.9, 0.8])])
    >>> false.tolist(), recall.tolist()
    ([0.0, 1.0, 1.0], [0.0, 0.0, 1.0])
    """
    score, hit, skip = pooled(outcomes)
    last = np.append(score[:-1] != score[1:], True)[: len(score)]
    false, true = np.cumsum(~hit[0] & ~skip[0])[last], np.cumsum(hit[0] & ~skip[0])[last]
    n = sum(o.n_objects for o in outcomes)
    return np.append(0, false) / max(len(outcomes), 1), np.append(0, true) / (n or np.nan)
