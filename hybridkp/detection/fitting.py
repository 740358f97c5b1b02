"""Fits of finders, each done once where several finders share a member.

Inside ``with each_fit_once():`` a finder that was fitted on the same samples before is taken as it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sklearn.base import clone

from ..structures import Finder, Sample


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
