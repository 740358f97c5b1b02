"""The rows of the landmark metrics: add one here, and every table, page and search has it.

Here lives :data:`LANDMARK_METRICS`; the rows of interest points are :data:`.points.POINT_METRICS`.  Never
here: a formula that a function of :mod:`.landmarks` or :mod:`.oks` could hold.  A row's function takes
:class:`.metric.Objects` (B objects).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..structures import Array, Dataset, Normalizer
from .landmarks import nme, object_auc, object_failure, object_pck, pck
from .metric import Metric, Objects
from .oks import oks_ap

_NORMALIZER = ("normalizer",)


def _nme(o: Objects) -> Array:
    return nme(o.truth, o.predicted, o.lengths)


def _within(t: float) -> Callable[[Objects], Array]:
    return lambda o: object_pck(o.truth, o.predicted, o.lengths, t)


def _points_within(t: float) -> Callable[[Objects], float]:
    return lambda o: pck(o.truth, o.predicted, o.lengths, t)[0]


def _oks_ap(o: Objects) -> float:
    """COCO's AP; an object without a predicted point is one without a prediction."""
    parts = [np.flatnonzero(o.picture == p) for p in dict.fromkeys(o.picture.tolist())]
    given = np.any(np.isfinite(o.predicted).all(axis=2), axis=1)
    found = [part[given[part]] for part in parts]
    if not (o.labelled & ~o.crowd).any():
        return float("nan")
    return oks_ap(
        [o.truth[part] for part in parts],
        [o.predicted[part] for part in found],
        [o.score[part] for part in found],
        [o.areas[part] for part in parts],
        o.sigmas,
        visibility=[o.visibility[part] for part in parts],
        boxes_xywh=[o.boxes_xywh[part] for part in parts],
        crowd=[o.crowd[part] for part in parts],
    )["AP"]


_NME = Metric(
    *("nme_percent", _nme, "NME", "%"),
    words="mean distance of an object's landmarks, divided by the normaliser; mean over objects",
    scale=100.0,
    needs=_NORMALIZER,
    normalizers=("length",),
)
_MEDIAN = replace(
    _NME, key="median_percent", title="median", summary="median", words="median NME of the objects"
)
_PCK = Metric(
    *("pck_0.2_percent", _within(0.2), "PCK@0.2", "%", 1, "higher"),
    words="share of an object's landmarks closer than 0.2 normalisers; mean over objects",
    scale=100.0,
    needs=_NORMALIZER,
    normalizers=("torso",),
)
_ERROR = replace(
    _NME,
    key="error_px",
    title="mean error",
    unit="px",
    scale=1.0,
    words="mean distance of an object's landmarks; mean over objects",
    normalizers=("pixel",),
)
_NEAR = replace(
    _PCK,
    key="pck_5px_percent",
    title="within 5 px",
    function=_points_within(5),
    summary="set",
    words="points at most 5 px away",
    normalizers=("pixel",),
)

#: under each kind of normaliser the first row leads; append to it (:func:`hybridkp.checks.metric_checks`)
LANDMARK_METRICS: list[Metric] = [
    _NME,
    _MEDIAN,
    replace(
        _NME,
        key="failure_8_percent",
        title="failures",
        digits=1,
        function=lambda o: object_failure(_nme(o), 0.08),
        words="objects with NME above 8 %",
    ),
    replace(
        _NME,
        key="auc_8_percent",
        title="AUC",
        digits=1,
        direction="higher",
        function=lambda o: object_auc(_nme(o), 0.08),
        words="area under the CED up to 8 %, 100 = perfect",
    ),
    _PCK,
    replace(
        _PCK,
        key="pck_0.2_points_percent",
        title="of all points",
        function=_points_within(0.2),
        summary="set",
        words="PCK@0.2 with each point counted once",
    ),
    replace(_PCK, key="pck_0.1_percent", title="PCK@0.1", function=_within(0.1), words="mean over objects"),
    replace(_NME, digits=1, words="mean error in torso lengths", normalizers=("torso",)),
    replace(_MEDIAN, digits=1, normalizers=("torso",)),
    _ERROR,
    replace(
        _ERROR,
        key="median_px",
        title="median",
        summary="median",
        words="median of the objects' mean errors",
    ),
    _NEAR,
    replace(
        _NEAR,
        key="pck_10px_percent",
        title="within 10 px",
        function=_points_within(10),
        words="points at most 10 px away",
    ),
    Metric(
        *("oks_ap_percent", _oks_ap, "OKS AP", "%", 1, "higher"),
        words="COCO's average precision at OKS 0.50 to 0.95",
        scale=100.0,
        needs=("area",),
        summary="set",
    ),
]


def normalizer_kind(normalizer: Normalizer, landmarks: Sequence[str]) -> str:
    """ "torso" (shoulder to hip, as the field has it for bodies), "pixel" for ("pixel",), else "length".

    >>> normalizer_kind(("points", 0, 1), ["left shoulder", "right hip"])
    'torso'
    """
    if tuple(normalizer) == ("pixel",):
        return "pixel"
    if normalizer[0] == "points":
        ends = " ".join(landmarks[i].lower() for i in normalizer[1:])
        if "shoulder" in ends and "hip" in ends:
            return "torso"
    return "length"


def metrics_for(
    dataset: Dataset, normalizer: Normalizer | None = None, more: Sequence[Metric] = ()
) -> list[Metric]:
    """The rows that a report of ``dataset`` shows, the leading one first; ``more`` come behind.

    NME leads, PCK@0.2 where errors are divided by a torso, px where they are not divided.  A search
    improves the leading one.
    """
    kind = normalizer_kind(tuple(normalizer or dataset.normalizer), dataset.landmarks)
    return [m for m in (*LANDMARK_METRICS, *more) if kind in m.normalizers]
