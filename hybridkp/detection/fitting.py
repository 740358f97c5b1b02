"""Fits of finders, each done once where several finders share a member, and what their scores mean.

Inside ``with each_fit_once():`` a finder that was fitted on the same samples before is taken as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from sklearn.base import clone

from ..imaging.images import as_uint8
from ..metrics.boxes import box_overlap
from ..stats.calibration import calibrate
from ..structures import Array, Finder, Sample
from .boxes_math import objects_of

HIT = 0.5  #: overlap from which on a box is an object's
Judge = Callable[[Array, str], tuple[Array, Array]]  #: picture and its name -> boxes (N, 4), raw values (N,)


class Kept:
    """Fitted finders, and the seconds that each took."""

    def __init__(self) -> None:
        self.fitted: dict[Any, tuple[Finder, float]] = {}
        self.spared = 0.0  #: seconds of fits that were taken from here

    def put(self, finder: Finder, samples: Sequence[Sample], fitted: Finder, seconds: float) -> None:
        """What ``finder`` has become on these samples, fitted elsewhere."""
        self.fitted[_key(finder, samples)] = fitted, seconds


_KEPT: ContextVar[Kept | None] = ContextVar("hybridkp_fitted_finders", default=None)


@contextmanager
def each_fit_once() -> Iterator[Kept]:
    """Keep what :func:`fit_finder` fits while the body runs."""
    kept = Kept()
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def fit_finder(finder: Finder, samples: Sequence[Sample]) -> Finder:
    """A fitted clone of a finder."""
    kept = _KEPT.get()
    if kept is None:
        return clone(finder).fit(samples)
    key = _key(finder, samples)
    if key in kept.fitted:
        found, seconds = kept.fitted[key]
        kept.spared += seconds
        return found
    start, before = time.perf_counter(), kept.spared
    found = clone(finder).fit(samples)
    kept.fitted[key] = found, time.perf_counter() - start + kept.spared - before
    return found


def _key(finder: Any, samples: Sequence[Sample]) -> Any:
    """The class, every parameter, nested ones too, in words, and the pictures' names."""
    params = finder.get_params(deep=True)
    inner = {k: type(v).__name__ if hasattr(v, "get_params") else repr(v) for k, v in params.items()}
    inner.pop("members", None)  # each stands there by its name
    return type(finder), str(sorted(inner.items())), tuple(s.name for s in samples)


def calibrated(judge: Judge, samples: Sequence[Sample]) -> tuple[float, float]:
    """What turns the raw values of boxes, best first, into probabilities that a box is an object's.

    Of several boxes of an object the first counts; boxes in regions that teach nothing do not.
    """
    raw, hit = [], []
    for sample in samples:
        true, ignored = objects_of(sample)
        boxes, values = judge(as_uint8(sample.image, sample.name), sample.name)
        near = box_overlap(boxes, true) >= HIT
        first = near.argmax(0)[near.any(0)] if len(boxes) else []
        counts = box_overlap(boxes, ignored, part=True).max(1, initial=0) <= 0.5
        raw.append(values[counts])
        hit.append(np.isin(np.arange(len(boxes)), first)[counts])
    return calibrate(np.concatenate(raw), np.concatenate(hit))
