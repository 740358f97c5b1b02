"""Whether cameras and pictures belong together, and if not, which exchange would mend it.

A calibration that is wrong gives points all the same, only wrong ones.  Letters: **V** views, **N** points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from ..report.cells import median
from ..structures import Array, InputError, short_repr
from ..structures.base import evenly
from .cameras import Camera, Cameras, known
from .triangulation import triangulate

MOST = 200  #: points that are looked at
WRONG_SHARE = 0.02  #: of the picture's diagonal: a median reprojection error beyond it is a contradiction
MENDS = 3.0  #: an exchange must divide the error by so much
_UNKNOWN_DIAGONAL = 800.0  #: px, where no camera says its pictures' size


@dataclass(frozen=True, eq=False)
class CameraCheck:
    """How well V cameras agree with the points in their pictures; those that share no point are left out."""

    names: tuple[str, ...]
    error_px: float  #: median reprojection error of the worst camera, of points made from all views
    by_camera_px: Array  #: (V,) median error of each camera against the others, NaN = there are no two others
    remedy: str  #: what would mend it, "" = nothing that was tried
    mended_px: float  #: the median error with the remedy
    limit_px: float  #: above which cameras and pictures contradict each other

    __repr__ = short_repr

    @property
    def contradicts(self) -> bool:
        return self.error_px > self.limit_px or bool(self.remedy)

    def words(self) -> str:
        """One line for people."""
        pairs = zip(self.names, self.by_camera_px, strict=True)
        each = ", ".join(f"{name} {error:.1f}" for name, error in pairs if np.isfinite(error))
        told = f"median reprojection error up to {self.error_px:.1f} px"
        told += f" (against the other cameras: {each})" if each else ""
        if not self.contradicts:
            return told
        cure = self.remedy or "none of the exchanges that were tried mends it: calibrate again"
        after = f" (then {self.mended_px:.1f} px)" if self.remedy else ""
        return f"the cameras contradict the pictures: {told}; {cure}{after}"


def check_cameras(xy: ArrayLike, cameras: Cameras) -> CameraCheck:
    """Hold cameras against the points of their pictures.

    Parameters
    ----------
    xy : (V, N, 2) px, NaN = not seen

    Returns
    -------
    CameraCheck
        Tried as a remedy, where the error is large: two cameras exchanged (each pair), and for each camera a
        picture mirrored, its x and y exchanged, and its pose written the other way round (camera to world).

    Raises
    ------
    InputError
        When fewer than two views share a point: nothing can be checked.
    """
    points = np.asarray(xy, np.float64)
    shared = np.flatnonzero(known(points).sum(0) >= 2)
    if not len(shared):
        raise InputError("no point is seen by two cameras: nothing holds the cameras against the pictures")
    points = points[:, shared[evenly(len(shared), MOST)]]
    able = np.flatnonzero(known(points).any(1))
    points, cameras = points[able], cameras.subset([cameras.names[v] for v in able])
    found = triangulate(points, cameras, method="dlt")
    error, by_camera = _worst(found.residual), np.array([median(r) for r in found.left_out])
    limit = WRONG_SHARE * _diagonal(cameras)
    remedy, after = "", error
    if not error < limit / 4:
        for words, other, moved in _remedies(cameras, points):
            left = _worst(triangulate(moved, other, method="dlt", left_out=False).residual)
            if left * MENDS < error and left < after:
                remedy, after = words, left
    return CameraCheck(cameras.names, error, by_camera, remedy, after, limit)


def _worst(residual: Array) -> float:
    """The largest of the cameras' medians: one wrong pair of many does not show in the median of all.

    inf where nothing projects into a camera's pictures.
    """
    return float(np.nan_to_num([median(one) for one in residual], nan=np.inf).max())


def _diagonal(cameras: Cameras) -> float:
    sizes = [np.hypot(*c.size_hw) for c in cameras if c.size_hw]
    return float(np.mean(sizes)) if sizes else _UNKNOWN_DIAGONAL


def _remedies(cameras: Cameras, points: Array) -> Sequence[tuple[str, Cameras, Array]]:
    """(words, cameras, points) of what may have gone wrong."""
    out = []
    rows = list(cameras)
    for i, j in combinations(range(len(rows)), 2):
        swapped = list(rows)
        swapped[i], swapped[j] = replace(rows[j], name=rows[i].name), replace(rows[i], name=rows[j].name)
        words = f"exchange the cameras {rows[i].name!r} and {rows[j].name!r}"
        out.append((words, Cameras(tuple(swapped), cameras.unit), points))
    turned = tuple(_inverse(c) for c in rows)
    out.append(
        ("turn the poses round: they lead from camera to world", Cameras(turned, cameras.unit), points)
    )
    out.append(("exchange x and y of the points", cameras, points[..., ::-1]))
    for v, camera in enumerate(rows):
        if camera.size_hw:
            mirrored = points.copy()
            mirrored[v, :, 0] = camera.size_hw[1] - 1 - mirrored[v, :, 0]
            out.append((f"mirror the pictures of {camera.name!r}", cameras, mirrored))
    return out


def _inverse(camera: Camera) -> Camera:
    return replace(camera, rotation=-camera.rotation, translation=camera.centre)
