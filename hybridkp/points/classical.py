"""The classical local features, one estimator each: OpenCV's, with row i for keypoint i, and our SURF.

Pictures go in, :class:`~hybridkp.structures.Keypoints` (best first, at most ``n_points``) and rows
(N, D) come out.  Estimators hold parameters only; OpenCV's objects are built when they are needed.
Never here: pairing one method's points with another's rows (``pairing.py``), matching.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import descriptors
from ..descriptors import sift as sift_rows
from ..opencv import contrib, create_sift
from ..pyramid import gaussian_pyramid
from ..structures import Array, InputError, Keypoints
from .local import TiledFeature, aligned_rows, best_first, from_cv2, within_reach

_SUBLEVELS = 4  # per octave, of AKAZE and KAZE


class _OpenCVFeature(TiledFeature):
    """Detection and rows of one ``cv2.Feature2D`` that finds both in one pass."""

    def _make(self, n_points: int) -> Any:
        raise NotImplementedError

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        method = self._make(n_points)
        if describe:
            found, rows = method.detectAndCompute(grey, None)
        else:
            found, rows = method.detect(grey), None
        points = from_cv2(found)
        order = best_first(points, n_points)
        if describe:
            rows = self._no_rows(0) if rows is None else rows[order]
        return points[order], rows


class SIFTFeature(_OpenCVFeature):
    """SIFT (Lowe 2004), without OpenCV's quarter-pixel offset.

    Parameters
    ----------
    n_points : int
        Budget; a place with two orientations counts twice.
    root : bool
        RootSIFT (Arandjelovic & Zisserman 2012): rows of unit length whose Euclidean distance is
        the Hellinger distance of the histograms.
    contrast_threshold : float
        Least contrast of a blob, as in OpenCV: Lowe's 0.03 for one layer per octave.  0.01 finds
        more points in dim and blurred pictures; only the strongest ``n_points`` are kept.
    edge_threshold : float
        Largest ratio of the principal curvatures, squared-sum form of the paper's section 4.1.

    References
    ----------
    D. G. Lowe, Distinctive image features from scale-invariant keypoints, IJCV 60(2), 2004.
    R. Arandjelovic, A. Zisserman, Three things everyone should know to improve object retrieval,
    CVPR 2012.
    """

    def __init__(
        self,
        n_points: int = 1024,
        root: bool = False,
        contrast_threshold: float = 0.04,
        edge_threshold: float = 10.0,
    ):
        self.n_points = n_points
        self.root = root
        self.contrast_threshold = contrast_threshold
        self.edge_threshold = edge_threshold

    @property
    def n_features(self) -> int:
        return 128

    def _make(self, n_points: int) -> Any:
        return create_sift(
            n_points, contrastThreshold=self.contrast_threshold, edgeThreshold=self.edge_threshold
        )

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        points, rows = super()._find(grey, n_points, describe)
        return points, sift_rows.root_sift(rows) if self.root and rows is not None else rows

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        sift = descriptors.SIFT(size_px=None, angle="keypoint", root=self.root)
        rows = sift.describe(gaussian_pyramid(grey, 1), points)
        return rows, rows.any(axis=1)


class ORBFeature(_OpenCVFeature):
    """ORB (Rublee et al. 2011): FAST corners over a pyramid, 256 turned comparisons of two pixels.

    Parameters
    ----------
    n_points : int
        Budget.
    fast_threshold : int
        Least grey-level difference of a FAST corner.
    n_levels, scale_factor : int, float
        Levels of the pyramid and the size of each relative to the next.

    Notes
    -----
    OpenCV shares the budget among the levels before it looks at the responses (Harris), and keeps
    31 px from every level's border free.

    References
    ----------
    E. Rublee, V. Rabaud, K. Konolige, G. Bradski, ORB: an efficient alternative to SIFT or SURF,
    ICCV 2011.
    """

    norm = "HAMMING"
    patch_px = 31  #: ``Keypoints.size`` of a point of the finest level

    def __init__(
        self, n_points: int = 1024, fast_threshold: int = 20, n_levels: int = 8, scale_factor: float = 1.2
    ):
        self.n_points = n_points
        self.fast_threshold = fast_threshold
        self.n_levels = n_levels
        self.scale_factor = scale_factor

    @property
    def n_features(self) -> int:
        return 32

    def _make(self, n_points: int) -> Any:
        import cv2

        return cv2.ORB.create(
            nfeatures=n_points,
            scaleFactor=self.scale_factor,
            nlevels=self.n_levels,
            fastThreshold=self.fast_threshold,
            patchSize=self.patch_px,
        )

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        # OpenCV reads the level from the octave, whoever packed it: it is worked out from the size
        level = np.rint(np.log(points.size / self.patch_px) / np.log(self.scale_factor))
        level = np.clip(level, 0, self.n_levels - 1).astype(np.int64)
        angle = np.where(np.isnan(points.angle), np.float32(0), points.angle)
        given = sift_rows.cv2_points(points.xy, points.size, angle, level)
        return aligned_rows(self._make(1), grey, given, self._no_rows(len(points)))


class SURFFeature(TiledFeature):
    """SURF (Bay et al. 2008): :class:`hybridkp.descriptors.SURF` with a budget.

    Parameters
    ----------
    n_points : int
        Budget.
    extended, upright, threshold : see :class:`hybridkp.descriptors.SURF`
    """

    def __init__(
        self, n_points: int = 1024, extended: bool = False, upright: bool = False, threshold: float = 38.4
    ):
        self.n_points = n_points
        self.extended = extended
        self.upright = upright
        self.threshold = threshold

    @property
    def n_features(self) -> int:
        return 128 if self.extended else 64

    def _surf(self) -> descriptors.SURF:
        return descriptors.SURF(extended=self.extended, upright=self.upright, threshold=self.threshold)

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        points = self._surf().detect(grey)
        points = points[best_first(points, n_points)]
        return points, self._surf().describe(gaussian_pyramid(grey, 1), points) if describe else None

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        rows = self._surf().describe(gaussian_pyramid(grey, 1), points)
        return rows, rows.any(axis=1)


class _Diffusion(_OpenCVFeature):
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
        kept, rows = self._make(len(points)).compute(grey, given)
        if rows is None or len(kept) != len(points):
            raise InputError(f"{type(self).__name__}: this OpenCV dropped points that it was given")
        rows = np.nan_to_num(rows) if rows.dtype == np.float32 else rows
        return rows, rows.any(axis=1)


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

    References
    ----------
    P. F. Alcantarilla, J. Nuevo, A. Bartoli, Fast explicit diffusion for accelerated features in
    nonlinear scale spaces, BMVC 2013.
    """

    norm = "HAMMING"
    first_size = 4.8  # 2 * 1.6 (first blur) * 1.5 (factor of the derivatives)

    def __init__(
        self, n_points: int = 1024, threshold: float = 0.001, upright: bool = False, n_octaves: int = 4
    ):
        self.n_points = n_points
        self.threshold = threshold
        self.upright = upright
        self.n_octaves = n_octaves

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

    def _levels(self, grey: Array) -> tuple[int, int]:
        h, w = grey.shape
        octaves = [o for o in range(self.n_octaves) if o == 0 or (w >> o >= 80 and h >> o >= 40)]
        return 0, _SUBLEVELS * len(octaves) - 1


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

    def __init__(
        self, n_points: int = 1024, threshold: float = 0.001, extended: bool = False, upright: bool = False
    ):
        self.n_points = n_points
        self.threshold = threshold
        self.extended = extended
        self.upright = upright

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


class BRISKFeature(_OpenCVFeature):
    """BRISK (Leutenegger, Chli & Siegwart 2011): AGAST corners in scale space, 512 binary tests.

    Parameters
    ----------
    n_points : int
        Budget: the strongest are kept.
    threshold : int
        Least AGAST score.
    n_octaves : int

    References
    ----------
    S. Leutenegger, M. Chli, R. Siegwart, BRISK: binary robust invariant scalable keypoints,
    ICCV 2011.
    """

    norm = "HAMMING"

    def __init__(self, n_points: int = 1024, threshold: int = 30, n_octaves: int = 3):
        self.n_points = n_points
        self.threshold = threshold
        self.n_octaves = n_octaves

    @property
    def n_features(self) -> int:
        return 64

    def _make(self, n_points: int) -> Any:
        return contrib("BRISK").create(thresh=self.threshold, octaves=self.n_octaves)

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        angle = np.where(np.isnan(points.angle), np.float32(0), points.angle)
        given = sift_rows.cv2_points(points.xy, points.size, angle, 0)
        return aligned_rows(self._make(1), grey, given, self._no_rows(len(points)))
