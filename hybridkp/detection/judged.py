"""A two-stage finder the other way round: others' boxes, judged and corrected by a learned window.

Knows no finder by name; what judges is in :mod:`.windows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..imaging.images import as_uint8
from ..structures import Array, Finder, InputError, NamedMembers, Sample
from .fitting import calibrated, fit_finder
from .proposals import JudgedReader, proposed
from .window_finder import WindowFinder


@dataclass(eq=False, repr=False)
class JudgedFinder(NamedMembers, BaseEstimator):
    """Boxes of other finders, such as a network, each judged and re-boxed by gradient cells and an SVM.

    Parameters
    ----------
    members : (name, finder) pairs: the last one, a :class:`.WindowFinder`, judges the boxes of all others
    overlap : of two boxes, above which the better one stays
    min_score : boxes below are not given

    Notes
    -----
    The judge looks at each box twice, the second time where its regression has put it; its log-odds there and
    those of the box's score are added: two witnesses, as in :class:`hybridkp.deep.VerifiedFinder`.
    """

    members: Sequence[tuple[str, Finder]]
    overlap: float = 0.4
    min_score: float = 0.05

    def fit(self, samples: Iterable[Sample]) -> JudgedFinder:
        """Fit all members on the same samples, and learn what the sum of two log-odds means.

        Raises
        ------
        InputError
            When nobody proposes, or the last member has no window; and what members say.
        """
        if len(self.members) < 2 or not isinstance(self.members[-1][1], WindowFinder):
            raise InputError(
                "the last member judges the others' boxes and must slide a window: judged(centernet,hog+svm)"
            )
        samples = list(samples)
        self.finders_ = [fit_finder(member, samples) for _, member in self.members]
        self.calibration_ = (1.0, 0.0)
        self.calibration_ = calibrated(self._judged, samples)
        return self

    @property
    def _reader(self) -> JudgedReader:
        return JudgedReader(self.finders_[-1].model_, float(self.overlap), self.calibration_)  # type: ignore[attr-defined]

    def _judged(self, image: Array, name: str) -> tuple[Array, Array]:
        return self._reader.judged(image, *proposed(self.finders_[:-1], image, name))

    def find(self, image: Array, *, name: str = "") -> tuple[Array, Array]:
        """Boxes (N, 4) and scores (N,), best first, of a picture (h, w[, 3])."""
        check_is_fitted(self)
        image = as_uint8(image, name or "picture")
        return self._reader.find(image, *proposed(self.finders_[:-1], image, name), float(self.min_score))

    def runtime_node(self) -> dict[str, Any]:
        check_is_fitted(self)
        *members, judge = [finder.runtime_node() for finder in self.finders_]  # type: ignore[attr-defined]
        return {
            "kind": "detection.judged",
            "members": members,
            "judge": judge,
            "overlap": float(self.overlap),
            "calibration": np.array(self.calibration_),
            "min_score": float(self.min_score),
        }
