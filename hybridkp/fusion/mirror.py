"""Test-time mirroring: a detector's predictions on the picture and on its mirror image, averaged.

Any detector can be inside; it is fitted once, whoever else needs it.  Crops in, points out.
A detector with ``with_mirror(flip)``, as the heat-map network, averages its maps instead of its points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..imaging.images import check_batch, flip_batch
from ..structures import Array, DetectorMixin, HeldOutMaps, Mirrored, Stage, check_xy, stages_of, supports
from .nodes.mirror import mirror_mean


class MirrorAverage(DetectorMixin, BaseEstimator):
    """Test-time mirroring, the "flip test" of the pose literature (Newell et al. 2016), for any detector.

    The detector sees every picture and its mirror image; the mirrored prediction is mirrored back,
    relabelled by the landmarks' ``flip`` and averaged with the plain one: maps where the detector
    has them, since points between two different guesses are right for neither; else points.  It
    costs twice the time.  Without ``flip`` (unknown, or nothing symmetric) the detector's own prediction
    stands.

    Parameters
    ----------
    detector : Detector

    Attributes
    ----------
    detector_ : the fitted detector
    flip_ : (K,) int or None
    """

    def __init__(self, detector: Any):
        self.detector = detector

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> MirrorAverage:
        """Fit the detector on crops (B, H, W[, 3]) and points (B, K, 2), NaN = not labelled."""
        images = check_batch(images)
        truth = check_xy(xy, len(images))
        self.detector_ = memory.fitted(self.detector, images, truth, groups=groups, flip=flip)
        self.flip_ = None if flip is None else np.array(flip, np.int64)
        self.size_hw_ = images.shape[1:3]
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) float32 in crop px and (B, K) float32: means of the two predictions and scores."""
        check_is_fitted(self, "detector_")
        images, asked = check_batch(images, self.size_hw_), self._asked()
        xy, score = asked.predict_with_score(images)
        if self.flip_ is None or asked is not self.detector_:
            return xy, score
        other, confidence = self.detector_.predict_with_score(flip_batch(images))
        return mirror_mean(xy, score, other, confidence, self.flip_, images.shape[2])

    def held(self) -> list[tuple[str, Any]]:
        return [("without the mirror" if self._asked() is self.detector_ else "both", self._asked())]

    def stages(self, images: Any) -> list[Stage]:
        """The detector's, and the mean with the mirror image, where there is one."""
        before = stages_of(self.detector_, images, "the picture alone")
        return [
            *before,
            *([] if self.flip_ is None else [Stage("with its mirror image", self.predict(images))]),
        ]

    @available_if(lambda self: supports(self.detector, HeldOutMaps))
    def held_out(self, n: int, groups: ArrayLike | None = None) -> Array:
        """Which of ``n`` rows the detector learned nothing from."""
        rows: Array = self.detector.held_out(n, groups)
        return rows

    @available_if(lambda self: supports(self.detector, Mirrored))
    def score_maps(self, images: Any, stride: int = 4) -> Array:
        """(B, K, H/stride, W/stride) float32, each summing to 1: means of the detector's maps."""
        check_is_fitted(self, "detector_")
        return self._asked().score_maps(images, stride=stride)

    def maps_node(self, stride: int) -> dict[str, Any]:
        maps: dict[str, Any] = self._asked().maps_node(stride)
        return maps

    def _asked(self) -> Any:
        """Who is asked: the detector, or the one that mirrors by itself."""
        if self.flip_ is None or not supports(self.detector_, Mirrored):
            return self.detector_
        return self.detector_.with_mirror(self.flip_.tolist())

    def runtime_node(self) -> dict[str, Any]:
        asked = self._asked()
        inside = asked.runtime_node()
        if self.flip_ is None or asked is not self.detector_:
            return inside
        return {"kind": "fusion.mirror", "detector": inside, "flip": self.flip_}
