"""Detectors without rows of their own: FAST, and the corners of Harris and of Shi and Tomasi.

They are halves of a pair (``pairing.py``): pictures in, :class:`~hybridkp.structures.Keypoints` out,
best first.  Their points have one scale and no angle.  Never here: rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..structures import Array, InputError, Keypoints
from .dense import parabola_offsets
from .local import TiledFeature, from_cv2


class _Detector(TiledFeature):
    """The half of a local feature that finds points."""

    @property
    def n_features(self) -> int:
        return 0

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """A detector has no rows: always an :class:`InputError`."""
        raise InputError(f"{type(self).__name__} only detects: pair it, Paired({type(self).__name__}(), ...)")

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        """A detector has no rows: always an :class:`InputError`."""
        self.detect_and_describe(image)
        raise AssertionError  # pragma: no cover


@dataclass(eq=False, repr=False)
class FAST(_Detector):
    """Corners by the segment test, 9 of 16 pixels (Rosten & Drummond 2006), at full pixels.

    Parameters
    ----------
    n_points : int
        Budget: the highest scores are kept.
    threshold : int
        Least difference in grey levels between the centre and the arc.

    References
    ----------
    E. Rosten, T. Drummond, Machine learning for high-speed corner detection, ECCV 2006.
    """

    n_points: int = 1024
    threshold: int = 20

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        return from_cv2(cv2.FastFeatureDetector.create(self.threshold).detect(grey)), None


@dataclass(eq=False, repr=False)
class Corners(_Detector):
    """Corners of the structure tensor: its smaller eigenvalue (Shi & Tomasi 1994) or Harris' measure.

    Parameters
    ----------
    n_points : int
        Budget.
    harris : bool
        Harris & Stephens (1988) with k = 0.04 in place of the smaller eigenvalue.
    quality : float
        Least response, relative to the picture's largest.
    distance_px : float
        Least distance between two corners.

    Notes
    -----
    Positions are refined to sub-pixels by parabolas through the response, which OpenCV's
    ``GFTTDetector`` does not do; as there, responses are averaged over 3 x 3 px.

    References
    ----------
    J. Shi, C. Tomasi, Good features to track, CVPR 1994.  C. Harris, M. Stephens, A combined corner
    and edge detector, Alvey Vision Conference 1988.
    """

    n_points: int = 1024
    harris: bool = False
    quality: float = 0.001
    distance_px: float = 3.0

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        if not self.quality > 0:
            raise InputError(f"Corners: quality must be positive, got {self.quality}")
        found = cv2.goodFeaturesToTrack(
            grey, n_points, self.quality, self.distance_px, blockSize=3, useHarrisDetector=self.harris, k=0.04
        )
        if found is None:
            return Keypoints(np.zeros((0, 2))), None
        response = (
            cv2.cornerHarris(grey, 3, 3, 0.04) if self.harris else cv2.cornerMinEigenVal(grey, 3, ksize=3)
        )
        at = np.rint(found.reshape(-1, 2)).astype(np.intp)
        score = response[at[:, 1], at[:, 0]]
        return Keypoints(at + parabola_offsets(response, at), score, np.full(len(at), 3.0)), None
