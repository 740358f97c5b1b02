"""A camera, several of them, and what they see: projection, lens distortion, depth.

Letters: **V** views, **N** points.  World points (N, 3) in the cameras' unit, picture points (..., 2) in px.
No file is read and nothing is estimated here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..imaging.geometry import rescale
from ..structures import Array, InputError, short_repr

DISTORTIONS = (0, 4, 5, 8, 12, 14)  #: how many numbers OpenCV's lens model may have
_STEPS = 12  #: of Newton's method, in removing the lens's distortion
_FAR_PX = 1e6  #: of the cameras that see drawn faces
_WIDEST = 4.0  #: tangent of the widest angle from the axis that is looked at


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with OpenCV's lens model: ``x_camera = R X + t``, then the lens, then the matrix.

    Parameters
    ----------
    name : of the view
    matrix : (3, 3), focal lengths and principal point in px; integer px = pixel centre
    distortions : 0, 4, 5, 8, 12 or 14 numbers, in OpenCV's order (k1, k2, p1, p2, k3, ...)
    rotation : (3,) Rodrigues vector or (3, 3) matrix, world to camera; kept as a vector
    translation : (3,), in the world's unit
    size_hw : of the pictures, px; None when unknown

    Raises
    ------
    InputError
        For wrong shapes, numbers that are not finite, focal lengths that are not positive, a rotation that is
        none.

    Examples
    --------
    >>> camera = Camera("front", [[500, 0, 320], [0, 500, 240], [0, 0, 1]], translation=[0, 0, 10])
    >>> camera.project([[1.0, 0.0, 0.0]])
    array([[370., 240.]])
    """

    name: str
    matrix: Array
    distortions: Array = None  # type: ignore[assignment]
    rotation: Array = None  # type: ignore[assignment]
    translation: Array = None  # type: ignore[assignment]
    size_hw: tuple[int, int] | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        sizes = {"matrix": (9,), "distortions": DISTORTIONS, "rotation": (3, 9), "translation": (3,)}
        absent = {"distortions": np.zeros(0), "rotation": np.zeros(3), "translation": np.zeros(3)}
        for what, allowed in sizes.items():
            given = getattr(self, what)
            value = _numbers(absent[what] if given is None else given, self.name, what)
            if value.size not in allowed:
                raise InputError(f"camera {self.name!r}: {what} has {value.size} numbers, not {allowed[0]}")
            value = value.reshape(3, 3) if what == "matrix" or value.size == 9 else value.ravel()
            value = _vector(value, self.name) if what == "rotation" and value.size == 9 else value
            object.__setattr__(self, what, value)
        k = self.matrix
        if not (k[0, 0] > 0 and k[1, 1] > 0) or abs(k[2] - [0, 0, 1]).max() > 1e-6 or k[1, 0] != 0:
            raise InputError(
                f"camera {self.name!r}: the matrix must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]], fx, fy > 0"
            )

    @cached_property
    def turn(self) -> Array:
        """(3, 3) rotation, world to camera."""
        return np.asarray(cv2.Rodrigues(self.rotation)[0])

    @property
    def centre(self) -> Array:
        """(3,) where the camera stands in the world."""
        return -self.turn.T @ self.translation

    @cached_property
    def reach(self) -> float:
        """The largest distance from the axis, at depth 1, up to which the lens maps further out further out.

        Past it a polynomial turns back and would put points of elsewhere into the picture.
        """
        if not np.any(self.distortions):
            return float("inf")
        r = np.linspace(0, _WIDEST, 2001)
        points = np.column_stack([r, np.zeros_like(r), np.ones_like(r)])
        seen = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), self.distortions)[0][:, 0, 0]
        falls = np.flatnonzero(np.diff(seen) <= 0)
        return float(r[falls[0]]) if len(falls) else float("inf")

    def to_camera(self, points: ArrayLike) -> Array:
        """(N, 3) world points in the camera's axes: x right, y down, z = depth."""
        return np.asarray(points, float) @ self.turn.T + self.translation

    def project(self, points: ArrayLike) -> Array:
        """(N, 2) px of (N, 3) world points; NaN for what is not finite, behind, or past the lens's reach."""
        points = np.asarray(points, float).reshape(-1, 3)
        return self.see(points)[0]

    def see(self, points: Array) -> tuple[Array, Array]:
        """:meth:`project`, and its (N, 2, 15) derivatives by pose, focal lengths, centre and lens.

        The order is cv2.projectPoints's: 3 + 3 + 2 + 2 + 5; of a lens of fewer numbers the rest is 0.
        """
        seen = np.full((len(points), 2), np.nan)
        slope = np.zeros((len(points), 2, 15))
        inside = self.to_camera(points)
        with np.errstate(divide="ignore", invalid="ignore"):
            good = np.hypot(inside[:, 0], inside[:, 1]) < self.reach * inside[:, 2]
            good &= (inside[:, 2] > 0) & np.isfinite(inside).all(1)
        if good.any():
            lens = self.distortions if self.distortions.size else np.zeros(5)
            out, jacobian = cv2.projectPoints(
                points[good], self.rotation, self.translation, self.matrix, lens
            )
            seen[good] = out[:, 0]
            n = min(15, jacobian.shape[1])
            slope[good, :, :n] = np.asarray(jacobian).reshape(-1, 2, jacobian.shape[1])[:, :, :n]
        return seen, slope

    def undistort(self, xy: ArrayLike) -> Array:
        """(N, 2) px -> (N, 2) at depth 1 without lens; NaN stays, and is where no ray leads to the pixel.

        Newton's method on OpenCV's own lens, to 1e-9 of the focal length (cv2.undistortPoints stops at 1e-3
        where the lens is strong).
        """
        xy = np.asarray(xy, float).reshape(-1, 2)
        k = self.matrix
        wanted = np.empty_like(xy)
        wanted[:, 1] = (xy[:, 1] - k[1, 2]) / k[1, 1]
        wanted[:, 0] = (xy[:, 0] - k[0, 2] - k[0, 1] * wanted[:, 1]) / k[0, 0]
        rows = np.flatnonzero(np.isfinite(wanted).all(1))
        if not np.any(self.distortions) or not len(rows):
            return wanted
        target, out = wanted[rows], wanted[rows].copy()
        for _ in range(_STEPS):
            gap, slope = _through_lens(out, self.distortions)
            step = np.linalg.solve(slope, (gap - target)[..., None])[..., 0]
            length = np.linalg.norm(step, axis=1, keepdims=True)
            out -= step * np.minimum(1, 0.3 / np.maximum(length, 1e-300))
        left = np.abs(_through_lens(out, self.distortions)[0] - target).max(1)
        bad = ~(left < 1e-8) | (np.hypot(*out.T) > self.reach)
        wanted[rows] = np.where(bad[:, None], np.nan, out)
        return wanted

    def scaled(self, factor: float) -> Camera:
        """The same camera for pictures resized by ``factor``."""
        matrix = self.matrix.copy()
        matrix[:2, :2] *= factor
        matrix[:2, 2] = rescale(self.matrix[:2, 2], factor)
        size = (
            None
            if self.size_hw is None
            else (round(self.size_hw[0] * factor), round(self.size_hw[1] * factor))
        )
        return replace(self, matrix=matrix, size_hw=size)


def known(points: ArrayLike) -> Array:
    """(...,) bool: which of the points (..., 2 or 3) have all their coordinates."""
    return np.asarray(np.isfinite(np.asarray(points, float)).all(-1))


def _numbers(value: Any, name: str, what: str) -> Array:
    try:
        out = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"camera {str(name)[:60]!r}: {what} must hold numbers") from None
    if not np.isfinite(out).all():
        raise InputError(f"camera {str(name)[:60]!r}: {what} has numbers that are not finite")
    if np.abs(out).max(initial=0) > 1e12:
        raise InputError(f"camera {str(name)[:60]!r}: {what} has numbers beyond 1e12")
    return out


def _vector(turn: Array, name: str) -> Array:
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
        raise InputError(f"camera {name!r}: the rotation is no rotation (its rows must be orthonormal)")
    return np.asarray(cv2.Rodrigues(turn)[0]).ravel()


def _through_lens(xy: Array, distortions: Array) -> tuple[Array, Array]:
    """Where the lens puts (N, 2) at depth 1, and the (N, 2, 2) derivatives."""
    points = np.column_stack([xy, np.ones(len(xy))])
    out, slope = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), distortions)
    return out[:, 0], np.asarray(slope).reshape(len(xy), 2, -1)[:, :, 3:5]


@dataclass(frozen=True, eq=False)
class Cameras:
    """V cameras with names that differ, in one world; ``unit`` is the world's ("mm"), "" = unknown.

    Raises
    ------
    InputError
        For no camera, or a name that comes twice.
    """

    cameras: tuple[Camera, ...]
    unit: str = ""

    __repr__ = short_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", tuple(self.cameras))
        if not self.cameras:
            raise InputError("no camera: at least one is needed")
        twice = next((n for i, n in enumerate(self.names) if n in self.names[:i]), None)
        if twice is not None:
            raise InputError(f"two cameras are called {twice!r}: their names must differ")

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __getitem__(self, which: int | str) -> Camera:
        if isinstance(which, str):
            if which not in self.names:
                raise InputError(f"no camera {which!r}: there are {', '.join(self.names)}")
            return self.cameras[self.names.index(which)]
        return self.cameras[which]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.cameras)

    def subset(self, names: Sequence[str]) -> Cameras:
        """The cameras of these names, in this order."""
        return Cameras(tuple(self[name] for name in names), self.unit)

    def project(self, points: ArrayLike) -> Array:
        """(V, N, 2) px of (N, 3) world points; NaN as in :meth:`Camera.project`."""
        return np.stack([camera.project(points) for camera in self])

    def undistort(self, xy: ArrayLike) -> Array:
        """(V, N, 2) px -> (V, N, 2) at depth 1, as :meth:`Camera.undistort`."""
        return np.stack(
            [camera.undistort(one) for camera, one in zip(self, np.asarray(xy, float), strict=True)]
        )

    def depths(self, points: ArrayLike) -> Array:
        """(V, N) depth of (N, 3) world points before each camera; negative = behind."""
        return np.stack([camera.to_camera(points)[:, 2] for camera in self])

    @property
    def centres(self) -> Array:
        """(V, 3) where they stand."""
        return np.stack([camera.centre for camera in self])


def face_cameras(degrees: Sequence[float] = (0.0, 25.0), size_hw: tuple[int, int] = (192, 192)) -> Cameras:
    """The cameras of :func:`~hybridkp.datasets.make_faces` with several ``cameras``, in px of the first.

    Faces are drawn in parallel projection: cameras very far away, with lenses as long.
    """
    middle = np.array(size_hw[::-1]) / 2 - 0.5
    lens = np.array([[_FAR_PX, 0, middle[0]], [0, _FAR_PX, middle[1]], [0, 0, 1]])
    turns = [np.deg2rad([0, -angle, 0]) for angle in degrees]
    return Cameras(
        tuple(
            Camera(f"camera{v}", lens, np.zeros(0), turn, np.array([0, 0, _FAR_PX]), (size_hw[0], size_hw[1]))
            for v, turn in enumerate(turns)
        ),
        "px",
    )
