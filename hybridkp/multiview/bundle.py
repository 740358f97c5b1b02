"""Bundle adjustment: cameras and what they see moved together until the pictures agree best.

What is seen is either free points, or points of a rigid board in several poses.  The Jacobian is exact and
sparse.  Letters: **V** cameras, **N** points, **M** observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..metrics import similarities
from ..structures import Array, InputError, short_repr
from ..structures.base import evenly
from .cameras import Camera, Cameras, known
from .triangulation import triangulate

#: what of a camera moves besides its pose: columns of :meth:`.cameras.Camera.see`, those of one bracket alike
LENSES: dict[str, tuple[tuple[int, ...], ...]] = {
    "pose": (),
    "focal": ((6, 7),),
    "radial": ((6, 7), (10,)),
    "full": ((6,), (7,), (8,), (9,), (10,), (11,), (12,), (13,)),
}
_POSE = tuple((i,) for i in range(6))
_FAR = 1e3  #: px, the residual of an observation that its camera cannot have made


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Cameras and points after bundle adjustment, in the world they were in."""

    cameras: Cameras
    xyz: Array  #: (N, 3)
    before_px: float  #: median residual
    after_px: float

    __repr__ = short_repr


class Structure(Protocol):
    """What is seen: parameters, the points that they make, and how these depend on them."""

    def start(self) -> Array: ...

    def points(self, parameters: Array) -> Array:
        """(N, 3)"""
        ...

    def slopes(self, parameters: Array, slope: Array, point: Array) -> tuple[Array, Array]:
        """Of (M, 2, 3) derivatives by the points (M,): (M, 2, P) by parameters, and their (M, P) columns."""
        ...


@dataclass(frozen=True, eq=False)
class FreePoints:
    """Every point has three parameters of its own."""

    xyz: Array  #: (N, 3)

    __repr__ = short_repr

    def start(self) -> Array:
        return self.xyz.ravel()

    def points(self, parameters: Array) -> Array:
        return parameters.reshape(-1, 3)

    def slopes(self, parameters: Array, slope: Array, point: Array) -> tuple[Array, Array]:
        return slope, 3 * point[:, None] + np.arange(3)


@dataclass(frozen=True, eq=False)
class RigidBoard:
    """One board in several poses; point b * C + c is corner c in pose b."""

    corners: Array  #: (C, 3) on the board
    poses: Array  #: (B, 6) Rodrigues vector and translation, board to world

    __repr__ = short_repr

    def start(self) -> Array:
        return self.poses.ravel()

    def points(self, parameters: Array) -> Array:
        turns = [cv2.Rodrigues(p[:3])[0] for p in parameters.reshape(-1, 6)]
        placed = [self.corners @ r.T + p[3:] for r, p in zip(turns, parameters.reshape(-1, 6), strict=True)]
        return np.concatenate(placed)

    def slopes(self, parameters: Array, slope: Array, point: Array) -> tuple[Array, Array]:
        board, corner = np.divmod(point, len(self.corners))
        turns = np.stack([cv2.Rodrigues(p[:3])[1].reshape(3, 3, 3) for p in parameters.reshape(-1, 6)])
        by_turn = np.einsum("mijk,mk->mji", turns[board], self.corners[corner])
        return np.concatenate([slope @ by_turn, slope], 2), 6 * board[:, None] + np.arange(6)


def adjust(
    cameras: Cameras,
    structure: Structure,
    camera: Array,
    point: Array,
    xy: Array,
    *,
    lens: str = "pose",
    loss: str = "soft_l1",
    scale_px: float = 1.0,
) -> tuple[Cameras, Array, Array]:
    """The least robust squares of M observations ``xy`` (M, 2): of ``point`` (M,) by ``camera`` (M,).

    The first camera's pose is held.

    Returns
    -------
    cameras, parameters of the structure, (M,) residuals in px
    """
    from scipy.optimize import least_squares
    from scipy.sparse import csr_matrix

    columns = _POSE + LENSES[lens]
    n_camera, first = len(columns), structure.start()
    start = np.concatenate([_read(c, columns) for c in cameras] + [first])
    offset = n_camera * len(cameras)

    def seen(parameters: Array) -> tuple[Any, Any, Any, Any]:
        inside = parameters[offset:]
        xyz = structure.points(inside)[point]
        out, by_point = np.full((len(xy), 2), np.nan), np.zeros((len(xy), 2, 3))
        by_camera = np.zeros((len(xy), 2, n_camera))
        for v, one in enumerate(_moved(cameras, parameters, columns)):
            rows = camera == v
            out[rows], slope = one.see(xyz[rows])
            by_point[rows] = slope[:, :, 3:6] @ one.turn
            by_camera[rows] = np.stack([slope[:, :, c].sum(2) for c in columns], 2)
        return out, by_camera, by_point, inside

    def residual(parameters: Array) -> Array:
        gap = seen(parameters)[0] - xy
        return np.asarray(np.where(np.isfinite(gap), gap, _FAR)).ravel()

    def jacobian(parameters: Array) -> Any:
        _, by_camera, by_point, inside = seen(parameters)
        by_inside, its = structure.slopes(inside, by_point, point)
        by_camera[camera == 0, :, :6] = 0.0
        mine = n_camera * camera[:, None] + np.arange(n_camera)
        where = np.concatenate([mine, offset + its], 1)
        values = np.concatenate([by_camera, by_inside], 2)
        rows = np.broadcast_to(np.arange(values.shape[0] * 2).reshape(-1, 2, 1), values.shape)
        across = np.broadcast_to(where[:, None], values.shape)
        return csr_matrix((values.ravel(), (rows.ravel(), across.ravel())), (2 * len(xy), len(parameters)))

    found = least_squares(
        residual, start, jacobian, loss=loss, f_scale=scale_px, x_scale="jac", tr_solver="lsmr", max_nfev=60
    )
    left = np.linalg.norm(residual(found.x).reshape(-1, 2), axis=1)
    return Cameras(tuple(_moved(cameras, found.x, columns)), cameras.unit), found.x[offset:], left


def _read(camera: Camera, columns: Sequence[tuple[int, ...]]) -> Array:
    k, lens = camera.matrix, np.zeros(5)
    lens[: min(5, camera.distortions.size)] = camera.distortions[:5]
    all_of = np.concatenate([camera.rotation, camera.translation, [k[0, 0], k[1, 1], k[0, 2], k[1, 2]], lens])
    return all_of[[c[0] for c in columns]]


def _moved(cameras: Cameras, parameters: Array, columns: Sequence[tuple[int, ...]]) -> list[Camera]:
    """The cameras with their parameters; what stands in one bracket moves by the same amount."""
    out, n = [], len(columns)
    for v, camera in enumerate(cameras):
        step = parameters[v * n : (v + 1) * n] - _read(camera, columns)
        all_of = _read(camera, [(i,) for i in range(15)])
        for c, by in zip(columns, step, strict=True):
            all_of[list(c)] += by
        matrix = camera.matrix.copy()
        matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = [
            *np.maximum(all_of[6:8], 1.0),
            *all_of[8:10],
        ]
        lens = camera.distortions.copy()
        if any(c[0] >= 10 for c in columns):
            lens = np.concatenate([all_of[10:], lens[5:]])
        out.append(
            replace(camera, matrix=matrix, distortions=lens, rotation=all_of[:3], translation=all_of[3:6])
        )
    return out


def bundle_adjust(
    xy: ArrayLike,
    cameras: Cameras,
    *,
    lens: str = "pose",
    loss: str = "soft_l1",
    scale_px: float = 1.0,
    most: int = 2000,
) -> Adjusted:
    """Move cameras so that the points in their pictures agree better.

    Parameters
    ----------
    xy : (V, N, 2) px, NaN = not seen; points that two views agree on take part
    lens : what moves besides the poses: "pose" nothing, "focal" the focal length too
    loss, scale_px : of scipy.optimize.least_squares; residuals beyond ``scale_px`` count less than squared
    most : points that take part, evenly chosen

    Returns
    -------
    Adjusted
        In the same world: the points before and after lie over each other in place, turn and size.

    Notes
    -----
    Points of one object in the middle of the pictures say nothing about a lens, which therefore never moves
    here; boards do (:func:`.calibration.calibrate`).

    Raises
    ------
    InputError
        For an unknown ``lens``, and when fewer than eight points are seen by two views that agree.
    """
    if lens not in ("pose", "focal"):
        raise InputError(f"lens {lens!r}: use pose or focal")
    points = np.asarray(xy, np.float64)
    found = triangulate(points, cameras, left_out=False)
    rows = np.flatnonzero(known(found.xyz))
    if len(rows) < 8:
        raise InputError(
            f"bundle adjustment needs at least 8 points that two cameras agree on, got {len(rows)}"
        )
    rows = rows[evenly(len(rows), most)]
    camera, point = np.nonzero(found.used[:, rows])
    structure = FreePoints(found.xyz[rows])
    moved, parameters, _ = adjust(
        *(cameras, structure, camera, point, points[:, rows][camera, point]),
        lens=lens,
        loss=loss,
        scale_px=scale_px,
    )
    size, turn, shift = similarities(structure.xyz[None], parameters.reshape(1, -1, 3))
    back = (float(size[0]), turn[0], shift[0])
    moved = Cameras(tuple(_placed(c, *back) for c in moved), cameras.unit)
    after = triangulate(points, moved, threshold_px=found.threshold_px, left_out=False)
    return Adjusted(moved, after.xyz, found.reprojection_px, after.reprojection_px)


def _placed(camera: Camera, size: float, turn: Array, shift: Array) -> Camera:
    """The camera in a world that was turned, resized and moved: X' = size turn X + shift."""
    rotation = camera.turn @ turn.T
    return replace(camera, rotation=rotation, translation=size * camera.translation - rotation @ shift)
