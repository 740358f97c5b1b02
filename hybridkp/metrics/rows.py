"""The rows of the landmark metrics: add one here, and every table, page and search has it.

Here lives :data:`LANDMARK_METRICS`; the rows of interest points are :data:`.points.POINT_METRICS`.  Never
here: a formula that a function of :mod:`.landmarks` or :mod:`.oks` could hold.  A row's function takes
:class:`.metric.Objects` (B objects).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..structures import Array, Dataset, Normalizer
from .contour import contour_errors, is_contour
from .landmarks import charged, nme, object_auc, object_failure, object_pck, pck, precision_recall_f1
from .metric import Metric, Objects
from .oks import oks_ap

_NORMALIZER = ("normalizer",)


def _nme(o: Objects) -> Array:
    return nme(o.truth, o.predicted, o.lengths)


def _points_sd(o: Objects) -> float:
    """Standard deviation of all labelled points' errors, as SD stands beside MRE."""
    error = charged(o.truth, o.predicted, o.lengths, None)
    error = error[np.isfinite(error)]
    return float(error.std(ddof=1)) if len(error) > 1 else float("nan")


def _contour(which: int) -> Callable[[Objects], Array]:
    return lambda o: contour_errors(o.truth, o.predicted, o.lengths, o.skeleton)[which]


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


def _like(row: Metric, key: str, title: str, words: str, **changes: Any) -> Metric:
    return replace(row, key=key, title=title, words=words, **changes)


_MEAN = "mean distance of an object's landmarks"
_OVER = "; mean over objects"
_NME = Metric("nme_percent", _nme, "NME", "%", scale=100.0, needs=("normalizer",), normalizers=("length",))
_NME = replace(_NME, words=f"{_MEAN}, divided by the normaliser{_OVER}")
_MEDIAN = _like(_NME, "median_percent", "median", "median NME of the objects", summary="median")
_PCK = replace(_NME, function=_within(0.2), digits=1, direction="higher", normalizers=("torso",))
_PX = replace(_NME, unit="px", scale=1.0, normalizers=("pixel",))
_NEAR = replace(_PCK, summary="set", normalizers=("pixel",))


def _near(px: int) -> Metric:
    words = f"points at most {px} px away"
    return _like(_NEAR, f"pck_{px}px_percent", f"within {px} px", words, function=_points_within(px))


def _success(mm: float) -> Metric:
    words = f"success detection rate: points at most {mm:g} mm away"
    changes: dict[str, Any] = {"function": _points_within(mm), "normalizers": ("mm",)}
    return _like(_NEAR, f"sdr_{mm:g}mm_percent", f"SDR {mm:g} mm", words, **changes)


def _presence(which: int, t: float) -> Callable[[Objects], float]:
    return lambda o: precision_recall_f1(o.truth, o.predicted, o.lengths, t)[which]


def _presence_rows(t: float, told: str, kind: str) -> list[Metric]:
    """Precision, recall and F1 of "given and within t", in CSV and JSON."""
    near = f"right = given, labelled and {told} away at most; a point not labelled counts as absent"
    whose = ("right ones among the points given", "right ones among the labelled points", "of these two")
    names = ("precision", "recall", "F1")
    return [
        Metric(
            *(f"{name.lower()}_percent", _presence(i, t), name, "%", 1, "higher"),
            words=f"{words}; {near}",
            scale=100.0,
            needs=("normalizer",),
            summary="set",
            normalizers=(kind,),
            place=0,
        )
        for i, (name, words) in enumerate(zip(names, whose, strict=True))
    ]


def _second(o: Objects) -> Array:
    both = np.isfinite(o.truth).all(axis=2, keepdims=True)
    return nme(np.where(both, o.second, np.nan), o.predicted, o.lengths)


_AGREES = "mean distance of an object's points from those of a second annotator"
_SIDES = {
    "along": "how far an object's landmarks slid along their contour",
    "across": "how far an object's landmarks lie off their contour",
}
_FAILED, _AUC = (lambda o: object_failure(_nme(o), 0.08)), (lambda o: object_auc(_nme(o), 0.08))
_TO_8 = "area under the CED up to 8 %, 100 = perfect"
_SHARE = f"share of an object's landmarks closer than 0.2 normalisers{_OVER}"
_ONCE = "PCK@0.2 with each point counted once"
_MM: dict[str, Any] = {"unit": "mm", "normalizers": ("mm",)}
_TORSO: dict[str, Any] = {"digits": 1, "normalizers": ("torso",)}

#: under each kind of normaliser the first row leads; append to it (:func:`hybridkp.checks.metric_checks`)
LANDMARK_METRICS: list[Metric] = [
    _NME,
    _MEDIAN,
    _like(_NME, "failure_8_percent", "failures", "objects with NME above 8 %", digits=1, function=_FAILED),
    _like(_NME, "auc_8_percent", "AUC", _TO_8, digits=1, function=_AUC, direction="higher"),
    _like(_PCK, "pck_0.2_percent", "PCK@0.2", _SHARE),
    _like(_NEAR, "pck_0.2_points_percent", "of all points", _ONCE, function=_points_within(0.2), **_TORSO),
    _like(_PCK, "pck_0.1_percent", "PCK@0.1", "the same within 0.1 normalisers", function=_within(0.1)),
    replace(_NME, words="mean error in torso lengths", **_TORSO),
    replace(_MEDIAN, **_TORSO),
    _like(_PX, "error_px", "mean error", _MEAN + _OVER),
    _like(_PX, "median_px", "median", "median of the objects' mean errors", summary="median"),
    *map(_near, (5, 10)),
    _like(_PX, "mre_mm", "MRE", f"mean radial error: {_MEAN}{_OVER}", **_MM),
    _like(
        *(_PX, "sd_mm", "SD", "standard deviation of the points' errors"),
        **(_MM | {"function": _points_sd, "summary": "set"}),
    ),
    *map(_success, (2, 2.5, 3, 4)),
    _like(
        _NME,
        "second_percent",
        "to second annotator",
        f"{_AGREES}, as NME{_OVER}",
        function=_second,
        needs=("normalizer", "second"),
        normalizers=("length", "torso"),
    ),
    _like(
        _PX,
        "second_px",
        "to second annotator",
        _AGREES + _OVER,
        function=_second,
        needs=("normalizer", "second"),
    ),
    *(
        _like(
            *(_NME, f"{side}_contour_percent", f"{side} contour", f"{words}, as NME{_OVER}"),
            function=_contour(i),
            needs=("normalizer", "contour"),
            place=2,
        )
        for i, (side, words) in enumerate(_SIDES.items())
    ),
    *_presence_rows(0.1, "a tenth of the normaliser", "length"),
    *_presence_rows(0.2, "0.2 normalisers", "torso"),
    *_presence_rows(5.0, "5 px", "pixel"),
    Metric(
        *("oks_ap_percent", _oks_ap, "OKS AP", "%", 1, "higher"),
        words="COCO's average precision at OKS 0.50 to 0.95, with the data set's sigmas; the boxes were"
        " given, so it judges the points and the confidence, not the finding of objects",
        scale=100.0,
        needs=("area",),
        summary="set",
    ),
]


def normalizer_kind(normalizer: Normalizer, landmarks: Sequence[str]) -> str:
    """What errors are divided by: a "torso" (shoulder to hip), nothing ("pixel", "mm"), or else a "length".

    >>> normalizer_kind(("points", 0, 1), ["left shoulder", "right hip"])
    'torso'
    """
    if tuple(normalizer) in (("pixel",), ("mm",)):
        return str(normalizer[0])
    if normalizer[0] == "points":
        ends = " ".join(landmarks[i].lower() for i in normalizer[1:])
        if "shoulder" in ends and "hip" in ends:
            return "torso"
    return "length"


def metrics_for(
    dataset: Dataset, normalizer: Normalizer | None = None, more: Sequence[Metric] = ()
) -> list[Metric]:
    """The rows that a report of ``dataset`` shows, the leading one first; ``more`` come behind.

    NME leads, PCK@0.2 where errors are divided by a torso, px or mm where they are not divided.  A search
    improves the leading one.  Rows about a second annotator or a contour come only where there is one.
    """
    kind = normalizer_kind(tuple(normalizer or dataset.normalizer), dataset.landmarks)
    alone = all(i.second_xy is None for sample in dataset for i in sample.instances)
    rows = [m for m in (*LANDMARK_METRICS, *more) if kind in m.normalizers]
    lacking = {"second"} if alone else set()
    lacking |= set() if is_contour(dataset.skeleton) else {"contour"}
    return [m for m in rows if not lacking & set(m.needs)]
