"""Relative pose of two calibrated cameras from matches with outliers: essential matrix by MAGSAC.

Matched points (M, 2) px and both cameras go in, a :class:`PoseEstimate` comes out; what cannot be estimated
is NaN with no inlier.  Never here: matching, truth, metrics.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array
from ..structures.pairs import Cameras
from .robust import Estimate, finite_pairs, usac_params

THRESHOLD_PX = 1.0  #: distance from the epipolar line of an inlier
_LEAST = 8  # matches, and inliers; five of them fit any matches


class PoseEstimate(NamedTuple):
    """``pose`` (3, 4) ``[R | t]`` with |t| = 1, NaN where none was found; (M,) bool; why there is none."""

    pose: Array
    inlier: Array
    reason: str = ""


def estimate_pose(
    xy_a: ArrayLike,
    xy_b: ArrayLike,
    cameras: Cameras,
    threshold_px: float = THRESHOLD_PX,
    random_state: int = 0,
) -> PoseEstimate:
    """Pose of camera b seen from camera a, x_b = R x_a + t with |t| = 1, by OpenCV's USAC with MAGSAC.

    Parameters
    ----------
    xy_a, xy_b : (M, 2) px
    cameras : intrinsic matrices and distortions; the true pose in it is not looked at
    threshold_px : largest distance of an inlier from its epipolar line
    random_state : the same seed gives the same result

    References
    ----------
    D. Nister, An efficient solution to the five-point relative pose problem, PAMI 26(6), 2004.
    D. Barath et al., MAGSAC++, a fast, reliable and accurate robust estimator, CVPR 2020.
    """
    a, b, usable = finite_pairs(xy_a, xy_b)
    none = PoseEstimate(np.full((3, 4), np.nan), np.zeros(len(usable), bool))
    if len(a) < _LEAST:
        return none._replace(reason=f"{len(a)} matches confirm no pose")
    a = _undistorted(a, cameras.matrix_a, cameras.distortion_a)
    b = _undistorted(b, cameras.matrix_b, cameras.distortion_b)
    found = _essential(a, b, cameras, threshold_px, random_state)
    if found.inlier.sum() < _LEAST:
        return none._replace(reason=found.reason or "no essential matrix fits the matches")
    unit_a, unit_b = _unit(a, cameras.matrix_a)[found.inlier], _unit(b, cameras.matrix_b)[found.inlier]
    _, rotation, direction, _ = cv2.recoverPose(found.matrix, unit_a, unit_b, np.eye(3))
    inlier = np.zeros(len(usable), bool)
    inlier[usable] = found.inlier
    return PoseEstimate(np.column_stack([rotation, direction.ravel() / np.linalg.norm(direction)]), inlier)


def _essential(a: Array, b: Array, cameras: Cameras, threshold_px: float, random_state: int) -> Estimate:
    nothing = Estimate(np.full((3, 3), np.nan), np.zeros(len(a), bool))
    try:
        matrix, mask = cv2.findEssentialMat(
            a,
            b,
            cameras.matrix_a,
            cameras.matrix_b,
            None,
            None,
            usac_params(threshold_px, random_state, False),
        )
    except cv2.error:
        return nothing
    if matrix is None or mask is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return nothing
    return Estimate(matrix, mask.ravel().astype(bool))


def _undistorted(xy: Array, matrix: Array, distortion: tuple[float, ...]) -> Array:
    if not any(distortion):
        return xy
    return np.asarray(cv2.undistortPoints(xy[:, None], matrix, np.array(distortion), P=matrix))[:, 0]


def _unit(xy: Array, matrix: Array) -> Array:
    rays = np.column_stack([xy, np.ones(len(xy))]) @ np.linalg.inv(matrix).T
    return np.ascontiguousarray(rays[:, :2] / rays[:, 2:])
