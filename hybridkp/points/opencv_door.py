"""Local features for OpenCV's users and OpenCV's for ours, in either side's own types.

:func:`as_feature2d` gives an object with the methods of ``cv2.Feature2D`` that speaks ``cv2.KeyPoint``
and descriptor arrays, for ``BFMatcher``, FLANN and ``drawMatches``; :class:`FromFeature2D` goes the
other way.  By duck typing: a Python subclass of ``cv2.Feature2D`` has a null native pointer and
crashes the process where C++ takes it.  Never here: methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..descriptors.sift import cv2_points
from ..structures import (
    Array,
    InputError,
    Keypoints,
    LocalFeature,
    PointDescriptor,
    PointDetector,
    clone,
    supports,
)
from .local import OpenCVFeature, aligned_rows, picture


def as_feature2d(feature: LocalFeature) -> Feature2DLike:
    """A local feature with the methods of ``cv2.Feature2D``.

    Parameters
    ----------
    feature : LocalFeature
        With ``detect`` and ``compute`` where it can be split; without, ``compute`` and
        ``useProvidedKeypoints`` are refused.
    """
    return Feature2DLike(feature)


class Feature2DLike:
    """What :func:`as_feature2d` gives: ``cv2.Feature2D``'s methods in Python, not a subclass of it."""

    def __init__(self, feature: Any):
        self.feature = feature

    def detect(self, image: Array, mask: Array | None = None) -> tuple[Any, ...]:
        """``cv2.KeyPoint`` objects, best first; only where ``mask`` (H, W) uint8 is not zero."""
        return self._found(image, mask, False)[0].to_cv2()

    def compute(self, image: Array, keypoints: Sequence[Any]) -> tuple[tuple[Any, ...], Array]:
        """The given points that have a row, in their order, and the rows; as OpenCV drops the others.

        Raises
        ------
        InputError
            For a feature that cannot describe given points.
        """
        if not supports(self.feature, PointDescriptor):
            raise InputError(f"{self._name()} cannot describe given points: use detectAndCompute")
        rows = self.feature.compute(image, Keypoints.from_cv2(keypoints))
        real = np.flatnonzero(rows.any(axis=1))
        return tuple(keypoints[i] for i in real.tolist()), rows[real]

    def detectAndCompute(
        self,
        image: Array,
        mask: Array | None = None,
        keypoints: Sequence[Any] | None = None,
        useProvidedKeypoints: bool = False,
    ) -> tuple[tuple[Any, ...], Array]:
        """Points and rows (N, D): those of ``keypoints``, or where ``mask`` is not zero.

        Without points the rows are (0, D), where OpenCV gives None: matchers take them.
        """
        if useProvidedKeypoints:
            if keypoints is None:
                raise InputError("useProvidedKeypoints=True needs keypoints")
            return self.compute(image, keypoints)
        points, rows = self._found(image, mask, True)
        return points.to_cv2(), rows

    def descriptorSize(self) -> int:
        """Columns of a row: floats, or bytes."""
        return int(self.feature.n_features)

    def descriptorType(self) -> int:
        """``cv2.CV_32F`` or ``cv2.CV_8U``."""
        return int(cv2.CV_32F if self.feature.norm == "L2" else cv2.CV_8U)

    def defaultNorm(self) -> int:
        """``cv2.NORM_L2`` or ``cv2.NORM_HAMMING``, for ``cv2.BFMatcher``."""
        return int(cv2.NORM_L2 if self.feature.norm == "L2" else cv2.NORM_HAMMING)

    def getDefaultName(self) -> str:
        """As OpenCV's: "Feature2D." and the class."""
        return f"Feature2D.{self._name()}"

    def empty(self) -> bool:
        """False: it can always run."""
        return False

    def _name(self) -> str:
        return type(self.feature).__name__

    def _found(self, image: Array, mask: Array | None, describe: bool) -> tuple[Keypoints, Array]:
        if mask is None:
            return _ask(self.feature, image, describe)
        allowed = np.asarray(mask)
        size_hw = picture(image).shape[:2]
        if allowed.shape != size_hw or allowed.dtype not in (np.uint8, bool):
            raise InputError(f"mask must be {size_hw} uint8, got {allowed.shape} {allowed.dtype}")
        budget = getattr(self.feature, "n_points", None)
        if budget is None:
            return _inside(*_ask(self.feature, image, describe), allowed)
        # the budget counts after the mask: ask for more until it is full or there are no more
        ask, before = int(budget), -1
        while True:
            found, table = _ask(clone(self.feature).set_params(n_points=ask), image, describe)
            points, rows = _inside(found, table, allowed)
            if len(points) >= budget or len(found) in (0, before) or len(found) < ask // 2:
                return points[:budget], rows[:budget]
            before, ask = len(found), 4 * ask


def _ask(feature: Any, image: Array, describe: bool) -> tuple[Keypoints, Array]:
    if describe or not supports(feature, PointDetector):
        points, rows = feature.detect_and_describe(image)
        return points, rows
    points = feature.detect(image)
    return points, np.zeros((len(points), 0), np.uint8)


def _inside(points: Keypoints, rows: Array, allowed: Array) -> tuple[Keypoints, Array]:
    """The points whose nearest pixel is allowed."""
    h, w = allowed.shape
    x, y = np.floor(points.xy.T + 0.5).astype(np.intp)
    keep = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    keep[keep] = allowed[y[keep], x[keep]] != 0
    return points[keep], rows[keep]


@dataclass(eq=False, repr=False)
class FromFeature2D(OpenCVFeature):
    """A local feature from any ``cv2.Feature2D``.

    Parameters
    ----------
    factory : function of no arguments that gives one
        ``cv2.SIFT.create``, or a function of your own that sets options.  OpenCV's objects can be
        neither copied nor pickled, so one is built for each picture.
    n_points : int
        Budget, over what the object itself finds.

    Notes
    -----
    ``compute`` numbers the points by ``class_id``, which AKAZE and KAZE use otherwise: for them
    there are :class:`AKAZEFeature` and :class:`KAZEFeature`.
    """

    factory: Callable[[], Any]
    n_points: int = 1024

    @property
    def norm(self) -> str:  # type: ignore[override]
        """ "HAMMING" where the object's default norm is a Hamming norm."""
        return "HAMMING" if self._make().defaultNorm() in (cv2.NORM_HAMMING, cv2.NORM_HAMMING2) else "L2"

    @property
    def n_features(self) -> int:
        return int(self._make().descriptorSize())

    def _make(self, n_points: int = 0) -> Any:
        made = self.factory()
        if not isinstance(made, cv2.Feature2D):
            raise InputError(f"FromFeature2D: the factory gave {type(made).__name__}, not a cv2.Feature2D")
        return made

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        angle = np.where(np.isnan(points.angle), np.float32(0), points.angle)
        given = cv2_points(points.xy, points.size, angle, points.octave)
        try:
            return aligned_rows(self._make(), grey, given, self._no_rows(len(points)))
        except cv2.error:
            name = self._make().getDefaultName()
            raise InputError(f"{name} does not describe these points: use our own class for it") from None
