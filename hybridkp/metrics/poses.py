"""How good a relative pose is: angles in degrees between estimated and true rotation and translation.

Pure functions of (3, 4) poses ``[R | t]`` with x_b = R x_a + t; a pose of NaN means that none was found.
Never here: points, matches, pictures, estimation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def rotation_error(estimated: ArrayLike, truth: ArrayLike) -> float:
    """Angle in degrees of the rotation between both; inf when the estimate is NaN.

    >>> round(rotation_error(np.eye(3, 4), np.eye(3, 4)), 6)
    0.0
    """
    found, true = (np.asarray(pose, float)[:, :3] for pose in (estimated, truth))
    if not np.isfinite(found).all():
        return float("inf")
    between = found.T @ true
    sine = np.linalg.norm((between - between.T)[[2, 0, 1], [1, 2, 0]])
    return float(np.rad2deg(np.arctan2(sine / 2, (np.trace(between) - 1) / 2)))


def translation_error(estimated: ArrayLike, truth: ArrayLike) -> float:
    """Angle in degrees, 0..90, between both directions of translation; inf when the estimate is NaN.

    As in SuperGlue's evaluation (Sarlin et al., CVPR 2020) the sign, which an essential matrix leaves
    open, does not count.  0 where the camera did not move: it has no direction.
    """
    found, true = (np.asarray(pose, float)[:, 3] for pose in (estimated, truth))
    if not np.isfinite(found).all():
        return float("inf")
    if not np.linalg.norm(true) > 0:
        return 0.0
    sine, cosine = np.linalg.norm(np.cross(found, true)), abs(float(found @ true))
    return float(np.rad2deg(np.arctan2(sine, cosine)))


def pose_error(estimated: ArrayLike, truth: ArrayLike) -> float:
    """The larger of both angles, degrees."""
    return max(rotation_error(estimated, truth), translation_error(estimated, truth))
