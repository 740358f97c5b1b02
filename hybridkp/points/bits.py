"""Binary rows at given points: BEBLID, TEBLID, BRIEF and FREAK, for points of any detector.

Pictures and :class:`~hybridkp.structures.Keypoints` in, (N, bytes) uint8 out, row i for keypoint i;
a row that OpenCV cannot give is zero.  Never here: detection, and the question which size a
descriptor wants (``pairing.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..descriptors.sift import cv2_points
from ..imaging.opencv import contrib
from ..structures import Array, InputError, Keypoints
from .local import TiledFeature, aligned_rows, within_reach


class _Bits(TiledFeature):
    """The half of a local feature that describes."""

    norm = "HAMMING"

    def _make(self) -> Any:
        raise NotImplementedError

    def detect(self, image: Array) -> Keypoints:
        """A descriptor finds no points: always an :class:`InputError`."""
        raise InputError(
            f"{type(self).__name__} only describes: pair it, Paired(..., {type(self).__name__}())"
        )

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """A descriptor finds no points: always an :class:`InputError`."""
        return self.detect(image), self._no_rows(0)

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        xy, size = within_reach(points, grey)
        angle = np.where(np.isnan(points.angle), np.float32(0), points.angle)
        given = cv2_points(xy, size, angle, 0)
        return aligned_rows(self._make(), grey, given, self._no_rows(len(points)))


class _Boosted(_Bits):
    def __init__(self, n_bits: int = 512):
        self.n_bits = n_bits

    @property
    def n_features(self) -> int:
        if self.n_bits not in (256, 512):
            raise InputError(f"{type(self).__name__}: n_bits must be 256 or 512, got {self.n_bits}")
        return self.n_bits // 8

    def _make(self) -> Any:
        name = type(self).__name__
        sizes = {n: contrib(f"{name}_SIZE_{n}_BITS") for n in (256, 512)}
        return contrib(name).create(1.0, sizes[self.n_bits])


class BEBLID(_Boosted):
    """Boosted efficient binary descriptor (Suarez et al. 2020): differences of box means.

    Parameters
    ----------
    n_bits : 256 or 512

    Notes
    -----
    ``Keypoints.size`` is the side of the patch, as for ORB's points (OpenCV's ``scale_factor`` 1).

    References
    ----------
    I. Suarez, G. Sfeir, J. M. Buenaposada, L. Baumela, BEBLID: boosted efficient binary local image
    descriptor, Pattern Recognition Letters 133, 2020.
    """


class TEBLID(_Boosted):
    """BEBLID's boxes, chosen with a triplet loss and hard negatives (Suarez et al. 2021).

    Parameters
    ----------
    n_bits : 256 or 512

    References
    ----------
    I. Suarez, J. M. Buenaposada, L. Baumela, Revisiting binary local image description for resource
    limited devices, IEEE RA-L 6(4), 2021.
    """


@dataclass(eq=False, repr=False)
class BRIEF(_Bits):
    """Comparisons of pixel pairs in 48 x 48 px (Calonder et al. 2010), at one scale whatever the size.

    Parameters
    ----------
    n_bits : 128, 256 or 512
    turned : bool
        Turn the pairs by each keypoint's angle.

    References
    ----------
    M. Calonder, V. Lepetit, C. Strecha, P. Fua, BRIEF: binary robust independent elementary
    features, ECCV 2010.
    """

    n_bits: int = 256
    turned: bool = True

    @property
    def n_features(self) -> int:
        if self.n_bits not in (128, 256, 512):
            raise InputError(f"BRIEF: n_bits must be 128, 256 or 512, got {self.n_bits}")
        return self.n_bits // 8

    def _make(self) -> Any:
        return contrib("BriefDescriptorExtractor").create(self.n_features, self.turned)


class FREAK(_Bits):
    """Comparisons of blurred pixels on a retina's pattern (Alahi, Ortiz & Vandergheynst 2012).

    OpenCV finds the orientation anew, from the pattern.

    References
    ----------
    A. Alahi, R. Ortiz, P. Vandergheynst, FREAK: fast retina keypoint, CVPR 2012.
    """

    @property
    def n_features(self) -> int:
        return 64

    def _make(self) -> Any:
        return contrib("FREAK").create()
