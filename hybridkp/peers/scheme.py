"""What peers share: points of any number, of which each landmark takes one.

Here lives the mixin that makes a peer a detector.  Never here: files, programs, learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..structures import Array, DetectorMixin, InputError, check_xy

_FIRST = 16  #: training crops that are asked about to learn how many points a peer gives


class PeerMixin(DetectorMixin, BaseEstimator):
    """A detector from ``ready`` and ``points``: landmark k is the peer's point ``take[k]``, or its k-th."""

    take: Sequence[int] | None

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Any:
        """See that the peer answers for K landmarks; the points themselves are not looked at."""
        self.ready(images)  # type: ignore[attr-defined]
        truth = check_xy(xy, len(images))
        self.n_landmarks_ = int(truth.shape[1])
        for row in range(min(len(images), _FIRST)):
            given, _ = self.points(images[row : row + 1])  # type: ignore[attr-defined]
            if given.shape[1]:
                self._taken(given)
                break
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px, NaN = gave none, and (B, K) float32, its own confidence."""
        check_is_fitted(self)
        given, score = self.points(images)  # type: ignore[attr-defined]
        if not given.shape[1]:
            k = self.n_landmarks_
            return np.full((len(given), k, 2), np.nan, np.float32), np.zeros((len(given), k), np.float32)
        take = self._taken(given)
        return given[:, take].astype(np.float32), np.clip(score[:, take], 0, 1).astype(np.float32)

    def _taken(self, given: Array) -> Array:
        m, k = given.shape[1], self.n_landmarks_
        take = np.arange(m) if self.take is None else np.asarray(self.take, int)
        if take.shape != (k,) or (take < 0).any() or take.max(initial=-1) >= m:
            raise InputError(
                f"the peer gives {m} points, the data have {k} landmarks: say with take= which of them each"
                " one is, or put :linear behind it"
            )
        return take


def as_table(answers: Sequence[Any], who: str) -> tuple[Array, Array]:
    """Points as (B, M, 2) and confidences as (B, M), NaN and 0 where there are none.

    ``answers`` : None, or M points: None, [x, y] or [x, y, confidence] each

    Raises
    ------
    InputError
        For what are no points, and for a number M that changes.
    """
    found = [None if a is None else _points(a, who) for a in answers]
    counts = sorted({len(f) for f in found if f is not None})
    if len(counts) > 1:
        raise InputError(
            f"{who}: gives {counts[0]} points here and {counts[-1]} there: it must always give as many"
        )
    m = counts[0] if counts else 0
    out = np.full((len(answers), m, 3), np.nan)
    for row, points in zip(out, found, strict=True):
        if points is not None:
            row[:] = points
    lost = ~np.isfinite(out[..., :2]).all(axis=2)
    out[lost] = np.nan, np.nan, 0
    return out[..., :2].astype(np.float32), np.nan_to_num(out[..., 2]).astype(np.float32)


def _points(answer: Any, who: str) -> Array:
    """(M, 3) x, y and confidence, 1 where none is said."""
    try:
        rows = [[np.nan] * 3 if p is None else [*p, 1.0][:3] for p in answer]
        table = np.array([[np.nan if v is None else v for v in row] for row in rows], float).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{who}: gave what are no points [[x, y], ...]") from None
    if len(table) != len(answer):
        raise InputError(f"{who}: gave what are no points [[x, y], ...]")
    return table
