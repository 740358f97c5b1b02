"""Which of several classes: accuracy, precision, recall, F1 and the confusion matrix.

Pure functions of labels and predictions, both (N,) names.  Never here: classifiers, files, intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError, short_repr
from .metric import Metric


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """What :func:`class_figures` found, C classes and N objects; shares lie in 0..1."""

    classes: tuple[str, ...]
    accuracy: float  #: share of the objects whose class is right; NaN without objects
    precision: Array  #: (C,) right ones among those given this class; 0 where none was
    recall: Array  #: (C,) right ones among those of this class; NaN where there is none
    f1: Array  #: (C,) the harmonic mean of these two; NaN where the class does not occur
    macro_f1: float  #: mean over the classes that occur, each counting the same
    support: Array  #: (C,) int, objects of the class
    confusion: Array  #: (C, C) int; row: the true class, column: the predicted one
    right: Array  #: (N,) bool

    __repr__ = short_repr


def class_figures(
    labels: ArrayLike, predicted: ArrayLike, classes: Sequence[Any] | None = None
) -> ClassFigures:
    """Judge predicted classes.

    Parameters
    ----------
    labels, predicted : (N,) names or numbers, compared as text
    classes : their order in tables; default: all that occur, sorted

    Raises
    ------
    InputError
        Other shapes, or a label that ``classes`` does not name.

    Examples
    --------
    >>> found = class_figures(["go", "go", "stop", "stop"], ["go", "stop", "stop", "stop"])
    >>> found.accuracy, found.recall, found.confusion.tolist()
    (0.75, array([0.5, 1. ]), [[1, 1], [0, 2]])
    """
    truth, said = np.asarray(labels).astype(str), np.asarray(predicted).astype(str)
    if truth.ndim != 1 or truth.shape != said.shape:
        raise InputError(f"labels {truth.shape} and predicted {said.shape} must both be (N,)")
    both = np.concatenate([truth, said])
    names = np.unique(both) if classes is None else np.array([str(c) for c in classes], str)
    unknown = sorted(set(both.tolist()) - set(names.tolist()))
    if unknown or len(set(names.tolist())) != len(names):
        raise InputError(f"classes must be named once each, and {unknown[:1] or 'one'} is not")
    order = np.argsort(names, kind="stable")
    true, given = (order[np.searchsorted(names, each, sorter=order)] for each in (truth, said))
    c = len(names)
    confusion = np.bincount(true * c + given, minlength=c * c).reshape(c, c)
    support = confusion.sum(1)
    precision, recall, f1 = _by_class(confusion)
    overall = overall_figures(confusion)
    return ClassFigures(
        classes=tuple(names.tolist()),
        accuracy=float(overall["accuracy"]),
        precision=precision,
        recall=recall,
        f1=f1,
        macro_f1=float(overall["macro_f1"]),
        support=support,
        confusion=confusion,
        right=true == given,
    )


def overall_figures(confusion: ArrayLike) -> dict[str, Array]:
    """Accuracy, macro F1, precision and recall of confusion matrices (..., C, C); NaN of empty ones.

    Macro: the mean over the classes that occur, each counting the same.

    >>> float(overall_figures([[1, 1], [0, 2]])["accuracy"])
    0.75
    """
    table = np.asarray(confusion, float)
    total, hits = table.sum((-2, -1)), np.trace(table, axis1=-2, axis2=-1)
    there = table.sum(-1) > 0
    n = np.where(there.any(-1), there.sum(-1), np.nan)
    parts = dict(zip(("macro_precision", "macro_recall", "macro_f1"), _by_class(table), strict=True))
    macro = {name: np.where(there, part, 0).sum(-1) / n for name, part in parts.items()}
    return {"accuracy": hits / np.where(total > 0, total, np.nan), **macro}


def _by_class(confusion: Array) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 (..., C) of confusion matrices (..., C, C)."""
    support, named = confusion.sum(-1), confusion.sum(-2)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    there = np.where(support > 0, 1.0, np.nan)
    f1 = 2 * hits / np.maximum(support + named, 1) * there
    return hits / np.maximum(named, 1), hits / np.maximum(support, 1) * there, f1


def _share(name: str, title: str, words: str) -> Metric:
    return Metric(
        *(f"{name}_percent", lambda table: overall_figures(table)[name], title, "%", 1, "higher", words),
        scale=100.0,
        summary="set",
    )


_MACRO = "mean over the classes that occur, each counting the same, however rare"
#: functions of confusion matrices (..., C, C); the first leads
CLASS_METRICS = (
    _share("accuracy", "accuracy", "share of the objects whose class is right"),
    _share("macro_f1", "macro F1", f"harmonic mean of precision and recall; {_MACRO}"),
    _share("macro_precision", "precision", f"right ones among those that were given a class; {_MACRO}"),
    _share("macro_recall", "recall", f"right ones among those that are of a class; {_MACRO}"),
)
