"""Any detector of pictures, shown another sense as if it were the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .. import memory
from ..structures import Array, DetectorMixin, InputError
from .planes import ReadsPlanes


class Seeing(ReadsPlanes, DetectorMixin, BaseEstimator):
    """A detector that reads the planes of its inputs in place of the picture (:class:`.Planes`).

    One plane is shown as a grey picture; two or three as the channels of a colour one, which most
    classical detectors turn to grey: ``hog+ridge``, ``sdm`` and the networks have ``inputs`` of their own.

    Parameters
    ----------
    detector : of pictures
    inputs : one of :data:`.INPUTS`, or several of three planes together
    """

    def __init__(self, detector: Any, inputs: tuple[str, ...] = ("depth",)):
        self.detector = detector
        self.inputs = inputs

    def fit(
        self, images: Any, xy: ArrayLike, *, groups: ArrayLike | None = None, flip: ArrayLike | None = None
    ) -> Seeing:
        """Learn from a batch of the inputs and points (B, K, 2) in crop px, NaN = not labelled."""
        shown = self._shown(self.learn_planes(images))
        self.size_hw_ = tuple(shown.shape[1:3])
        self.detector_ = memory.fitted(self.detector, shown, xy, groups=groups, flip=flip)
        return self

    def predict_with_score(self, images: Any) -> tuple[Array, Array]:
        """(B, K, 2) points in crop px and (B, K) scores of the detector."""
        check_is_fitted(self, "detector_")
        found: tuple[Array, Array] = self.detector_.predict_with_score(self._shown(self.read_planes(images)))
        return found

    def _shown(self, planes: Any) -> Array:
        if planes.ndim == 4 and planes.shape[3] == 2:
            planes = np.concatenate([planes, planes[..., :1]], axis=-1)
        if planes.ndim == 4 and planes.shape[3] != 3:
            names = ":".join(self.input_names)
            raise InputError(
                f"inputs={names} are {planes.shape[3]} planes, and a picture has up to three;"
                " hog+ridge, sdm and heatmap read any number"
            )
        return np.asarray(planes)

    def held(self) -> list[tuple[str, Any]]:
        """The detector that is shown the planes."""
        return [("detector", self.detector_)]

    def runtime_node(self) -> dict[str, Any]:
        self.check_export()
        node: dict[str, Any] = self.detector_.runtime_node()
        return node
