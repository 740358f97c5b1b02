"""The classical local features, one estimator each: OpenCV's, with row i for keypoint i, and our SURF.

Pictures go in, :class:`~hybridkp.structures.Keypoints` (best first, at most ``n_points``) and rows
(N, D) come out.  Estimators hold parameters only; OpenCV's objects are built when they are needed.
Never here: pairing one method's points with another's rows (``pairing.py``), matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import cv2
import numpy as np

from ..descriptors import sift as sift_rows
from ..descriptors.surf import SURF
from ..imaging.opencv import contrib, create_sift
from ..imaging.pyramid import gaussian_pyramid
from ..structures import Array, Keypoints
from .local import OpenCVFeature, TiledFeature, aligned_rows, best_first, within_reach

_SHARES = 2  # how many times more ORB is asked for when not all levels could fill their share


@dataclass(eq=False, repr=False)
class SIFTFeature(OpenCVFeature):
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

    n_points: int = 1024
    root: bool = False
    contrast_threshold: float = 0.04
    edge_threshold: float = 10.0

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
        sift = sift_rows.SIFT(size_px=None, angle="keypoint", root=self.root)
        rows = sift.describe(gaussian_pyramid(grey, 1), points)
        return rows, np.any(rows, axis=1)


@dataclass(eq=False, repr=False)
class ORBFeature(OpenCVFeature):
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

    It also takes a level's pixel x for ``x * scale_factor ** level`` of the picture.  Levels have
    whole sides and pixels have centres, so that is off by -0.1 to -1 px, the coarser the more;
    here positions are those that the pixels of the level really have.

    References
    ----------
    E. Rublee, V. Rabaud, K. Konolige, G. Bradski, ORB: an efficient alternative to SIFT or SURF,
    ICCV 2011.
    """

    norm = "HAMMING"
    patch_px = 31  #: ``Keypoints.size`` of a point of the finest level

    _least: ClassVar = {"n_levels": 1, "scale_factor": 1}

    n_points: int = 1024
    fast_threshold: int = 20
    n_levels: int = 8
    scale_factor: float = 1.2

    @property
    def n_features(self) -> int:
        return 32

    def _make(self, n_points: int) -> Any:
        return cv2.ORB.create(
            nfeatures=n_points,
            scaleFactor=self.scale_factor,
            nlevels=self.n_levels,
            fastThreshold=self.fast_threshold,
            patchSize=self.patch_px,
        )

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        points, rows = super()._find(grey, n_points, describe)
        ask, before = n_points + self.n_levels, -1
        while before < len(points) < n_points:  # a level could not fill its share: the others make up
            ask, before = _SHARES * ask, len(points)
            points, rows = super()._find(grey, ask, describe)
        points, rows = points[:n_points], None if rows is None else rows[:n_points]
        factor, ratio = self._scales(grey)
        xy = (points.xy / factor[points.octave, None] + 0.5) * ratio[points.octave] - 0.5
        return Keypoints(xy, points.score, points.size, points.angle, points.octave), rows

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        # OpenCV reads the level from the octave, whoever packed it: it is worked out from the size
        level = np.rint(np.log(points.size / self.patch_px) / np.log(self.scale_factor))
        level = np.clip(level, 0, self.n_levels - 1).astype(np.int64)
        angle = np.where(np.isnan(points.angle), np.float32(0), points.angle)
        factor, ratio = self._scales(grey)
        xy, size = within_reach(points, grey)
        xy = ((xy + 0.5) / ratio[level] - 0.5) * factor[level, None]
        given = sift_rows.cv2_points(xy, size, angle, level)
        return aligned_rows(self._make(1), self._filled(grey), given, self._no_rows(len(points)))

    def _scales(self, grey: Array) -> tuple[Array, Array]:
        """What OpenCV multiplies a level's x with, (L,), and the picture's sides over the level's, (L, 2)."""
        factor = (float(self.scale_factor) ** np.arange(self.n_levels)).astype(np.float32)
        sides = np.array(grey.shape[::-1], np.float32)
        level_sides = np.rint(sides * (np.float32(1) / factor[:, None]))
        return factor, sides / np.maximum(level_sides, 1)


@dataclass(eq=False, repr=False)
class SURFFeature(TiledFeature):
    """SURF (Bay et al. 2008): :class:`hybridkp.descriptors.SURF` with a budget.

    Parameters
    ----------
    n_points : int
        Budget.
    extended, upright, threshold : see :class:`hybridkp.descriptors.SURF`
    """

    n_points: int = 1024
    extended: bool = False
    upright: bool = False
    threshold: float = 38.4

    @property
    def n_features(self) -> int:
        return 128 if self.extended else 64

    def _surf(self) -> SURF:
        return SURF(extended=self.extended, upright=self.upright, threshold=self.threshold)

    def _find(self, grey: Array, n_points: int, describe: bool) -> tuple[Keypoints, Array | None]:
        points = self._surf().detect(grey)
        points = points[best_first(points, n_points)]
        return points, self._surf().describe(gaussian_pyramid(grey, 1), points) if describe else None

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        rows = self._surf().describe(gaussian_pyramid(grey, 1), points)
        return rows, np.any(rows, axis=1)


@dataclass(eq=False, repr=False)
class BRISKFeature(OpenCVFeature):
    """BRISK (Leutenegger, Chli & Siegwart 2011): AGAST corners in scale space, 512 binary tests.

    Parameters
    ----------
    n_points : int
        Budget: the strongest are kept.
    threshold : int
        Least AGAST score.
    n_octaves : int

    Notes
    -----
    OpenCV takes for granted that sides can be divided by 3 and by 2 in every octave; where they
    cannot, its points are off by up to 1 px.  Here the picture is filled up first.

    References
    ----------
    S. Leutenegger, M. Chli, R. Siegwart, BRISK: binary robust invariant scalable keypoints,
    ICCV 2011.
    """

    norm = "HAMMING"

    _least: ClassVar = {"n_octaves": 1}

    n_points: int = 1024
    threshold: int = 30
    n_octaves: int = 3

    @property
    def n_features(self) -> int:
        return 64

    def _multiple(self) -> int:
        return 3 << (self.n_octaves - 1)  # octaves, and between them two thirds of each

    def _make(self, n_points: int) -> Any:
        return _brisk(self.threshold, self.n_octaves)

    def _rows(self, grey: Array, points: Keypoints) -> tuple[Array, Array]:
        angle = np.where(np.isnan(points.angle), np.float32(0), points.angle)
        given = sift_rows.cv2_points(points.xy, points.size, angle, 0)
        return aligned_rows(self._make(1), self._filled(grey), given, self._no_rows(len(points)))


@lru_cache(maxsize=4)
def _brisk(threshold: int, n_octaves: int) -> Any:
    """Kept per process: building its pattern takes longer than describing a small picture."""
    return contrib("BRISK").create(thresh=threshold, octaves=n_octaves)
