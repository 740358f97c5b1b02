"""Features of a nonlinear scale space, AKAZE and KAZE: OpenCV's, at points of any detector.

As in ``classical.py``: pictures in, keypoints and rows out, row i for keypoint i.  Never here: the
scale space itself, matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..imaging.opencv import contrib
from ..structures import Array, InputError, Keypoints
from .local import OpenCVFeature, within_reach

_SUBLEVELS = 4  # per octave


class _Diffusion(OpenCVFeature):
    """What AKAZE and KAZE share: levels of a nonlinear scale space, of which a row asks for one.

    OpenCV takes the level from ``class_id`` and asserts on anything else there: it is worked out
    from the size, for the method's own points too.
    """

    first_size: float  #: ``Keypoints.size`` of a point of the finest level, px
    n_octaves: int

    def _levels(self, grey: Array) -> tuple[int, int]:
        """First and last level that a row may ask for."""
        raise NotImplementedError

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        level = np.rint(_SUBLEVELS * np.log2(points.size / self.first_size))
        level = np.clip(level, *self._levels(grey)).astype(np.int32)
        angle = np.where(np.isnan(points.angle), np.float32(0), points.angle)
        xy, size = within_reach(points, grey)
        given = Keypoints(xy, points.score, size, angle, level // _SUBLEVELS, level).to_cv2()
        kept, rows = self._make(len(points)).compute(self._filled(grey), given)
        if rows is None or len(kept) != len(points):
            raise InputError(f"{type(self).__name__}: this OpenCV dropped points that it was given")
        rows = np.nan_to_num(rows) if rows.dtype == np.float32 else rows
        return rows, rows.any(axis=1)


@dataclass(eq=False, repr=False)
class AKAZEFeature(_Diffusion):
    """Accelerated KAZE (Alcantarilla, Nuevo & Bartoli 2013): nonlinear scale space, 486 binary tests.

    Parameters
    ----------
    n_points : int
        Budget: the strongest are kept.
    threshold : float
        Least determinant of the Hessian, pictures in 0..1.
    upright : bool
        No orientation.
    n_octaves : int

    Notes
    -----
    Sides that cannot be halved in every octave are filled up first: OpenCV's points of the coarser
    octaves would be up to 1/2 px off.

    References
    ----------
    P. F. Alcantarilla, J. Nuevo, A. Bartoli, Fast explicit diffusion for accelerated features in
    nonlinear scale spaces, BMVC 2013.
    """

    norm = "HAMMING"
    first_size = 4.8  # 2 * 1.6 (first blur) * 1.5 (factor of the derivatives)

    _least: ClassVar = {"n_octaves": 1}

    n_points: int = 1024
    threshold: float = 0.001
    upright: bool = False
    n_octaves: int = 4

    @property
    def n_features(self) -> int:
        return 61

    def _make(self, n_points: int) -> Any:
        kind = "AKAZE_DESCRIPTOR_MLDB_UPRIGHT" if self.upright else "AKAZE_DESCRIPTOR_MLDB"
        return contrib("AKAZE").create(
            descriptor_type=contrib(kind),
            threshold=self.threshold,
            nOctaves=self.n_octaves,
            max_points=n_points,
        )

    def _multiple(self) -> int:
        return 1 << (self.n_octaves - 1)

    def _levels(self, grey: Array) -> tuple[int, int]:
        h, w = self._filled(grey).shape
        octaves = [o for o in range(self.n_octaves) if o == 0 or (w >> o >= 80 and h >> o >= 40)]
        return 0, _SUBLEVELS * len(octaves) - 1


@dataclass(eq=False, repr=False)
class KAZEFeature(_Diffusion):
    """KAZE (Alcantarilla, Bartoli & Davison 2012): nonlinear scale space at full size, gradient sums.

    Parameters
    ----------
    n_points : int
        Budget: the strongest are kept.
    threshold : float
        Least determinant of the Hessian, pictures in 0..1.
    extended : bool
        128 features in place of 64.
    upright : bool
        No orientation.

    Notes
    -----
    OpenCV's rows at given points are read from other derivatives (one pixel wide at every scale)
    than those it finds together with the points: close (median cosine 0.99), not equal.  Unless
    upright, it finds every angle anew.

    References
    ----------
    P. F. Alcantarilla, A. Bartoli, A. J. Davison, KAZE features, ECCV 2012.
    """

    first_size = 3.2  # 2 * 1.6 (first blur)
    n_octaves = 4

    n_points: int = 1024
    threshold: float = 0.001
    extended: bool = False
    upright: bool = False

    @property
    def n_features(self) -> int:
        return 128 if self.extended else 64

    def _make(self, n_points: int) -> Any:
        return contrib("KAZE").create(
            extended=self.extended, upright=self.upright, threshold=self.threshold, nOctaves=self.n_octaves
        )

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        # OpenCV finds the angles together with the rows only
        points, rows = super()._find(grey, n_points, True)
        return points, None if rows is None else np.nan_to_num(rows)

    def _levels(self, grey: Array) -> tuple[int, int]:
        return 1, _SUBLEVELS * self.n_octaves - 2
