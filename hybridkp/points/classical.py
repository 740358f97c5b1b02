"""The classical local features, one estimator each: OpenCV's, with row i for keypoint i, and our SURF.

Pictures go in, :class:`~hybridkp.structures.Keypoints` (best first, at most ``n_points``) and rows
(N, D) come out.  Estimators hold parameters only; OpenCV's objects are built when they are needed.
Never here: pairing one method's points with another's rows (``pairing.py``), matching.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import descriptors
from ..opencv import create_sift
from ..pyramid import gaussian_pyramid
from ..structures import Array, Keypoints
from .local import TiledFeature, best_first, from_cv2


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
        return points, descriptors.sift.root_sift(rows) if self.root and rows is not None else rows

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
        given = descriptors.sift.cv2_points(points.xy, points.size, angle, level)
        return _aligned(self._make(1), grey, given, self._no_rows(len(points)))


def _aligned(method: Any, grey: Array, given: tuple[Any, ...], out: Array) -> tuple[Array, Array]:
    """``method.compute`` with its rows put back by ``class_id``; which of ``out`` (zeros) were filled."""
    kept, rows = method.compute(grey, given)
    order = [p.class_id for p in kept]
    real = np.zeros(len(out), bool)
    if rows is not None and order:
        out[order], real[order] = rows, True
    return out, real
