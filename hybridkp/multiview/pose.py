"""The pose of a known object from its points in one picture: turn, place, errors, and whether it is sure.

Points (B, K, 2) px and a model (K, 3) come in; the model's axes before the camera go out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..structures import Array, InputError, short_repr
from .cameras import Camera, known

LEAST = 4  #: points of a pose
_FLAT = 1e-3  #: a model thinner than this share of its width is a plane
AMBIGUOUS = 1.5  #: a second pose whose error is under so many times the first's


@dataclass(frozen=True, eq=False)
class Pose:
    """Poses of B objects, ``x_camera = rotation X + translation``; NaN = too few points."""

    rotation: Array  #: (B, 3, 3)
    translation: Array  #: (B, 3), in the model's unit
    error_px: Array  #: (B,) root mean square reprojection error
    rotation_error: Array  #: (B,) degrees, standard deviation that this error means, over all axes
    translation_error: Array  #: (B,) the same, in the model's unit
    second: Array  #: (B, 3, 3) the turn of another pose that fits, NaN = none was found
    second_error_px: Array  #: (B,)

    __repr__ = short_repr

    @property
    def ambiguous(self) -> Array:
        """(B,) bool: another pose fits nearly as well (:data:`AMBIGUOUS`)."""
        return np.asarray(self.second_error_px < AMBIGUOUS * np.maximum(self.error_px, 0.1))

    @property
    def angles(self) -> Array:
        """(B, 3) degrees about x, y and z, applied in this order: a head's nod, turn and tilt."""
        r = self.rotation
        x = np.arctan2(r[:, 2, 1], r[:, 2, 2])
        y = np.arctan2(-r[:, 2, 0], np.hypot(r[:, 0, 0], r[:, 1, 0]))
        z = np.arctan2(r[:, 1, 0], r[:, 0, 0])
        return np.rad2deg(np.stack([x, y, z], 1))


def solve_pose(xy: ArrayLike, model: ArrayLike, camera: Camera) -> Pose:
    """Where an object of known shape is and how it is turned.

    Parameters
    ----------
    xy : (B, K, 2) px, NaN = not known; a pose needs four points, of a flat model too
    model : (K, 3) the points on the object, in any unit
    camera : its lens; where it stands in the world counts as nothing, poses are before it

    Returns
    -------
    Pose
        SQPnP, for a flat model IPPE with its two poses, then Levenberg and Marquardt.  The errors are those
        of least squares, so they take the model and the lens as exact.

    Raises
    ------
    InputError
        For shapes that do not fit, a model on a line, and fewer than four points in it.

    References
    ----------
    Terzakis, Lourakis, "A consistently fast and globally optimal solution to the perspective-n-point
    problem", ECCV 2020; Collins, Bartoli, "Infinitesimal plane-based pose estimation", IJCV 2014.

    Examples
    --------
    >>> cube = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    >>> camera = Camera("front", [[500, 0, 320], [0, 500, 240], [0, 0, 1]])
    >>> found = solve_pose(camera.project(cube + [0, 0, 8])[None], cube, camera)
    >>> np.allclose(found.translation, [[0, 0, 8]], atol=1e-6), bool(found.ambiguous[0])
    (True, False)
    """
    points, shape = np.asarray(xy, np.float64), np.asarray(model, np.float64)
    if shape.ndim != 2 or shape.shape[1] != 3 or not np.isfinite(shape).all() or len(shape) < LEAST:
        raise InputError(
            f"model must have shape (K, 3) with K >= {LEAST} and finite numbers, got {shape.shape}"
        )
    if points.ndim != 3 or points.shape[1:] != (len(shape), 2) or np.isinf(points).any():
        raise InputError(f"xy must have shape (B, {len(shape)}, 2), NaN = not known, got {points.shape}")
    if _width(shape)[1] < _FLAT:
        raise InputError("the model's points lie on a line: no pose follows from them")
    b = len(points)
    parts = {"rotation": (b, 3, 3), "translation": (b, 3), "second": (b, 3, 3)}
    parts |= dict.fromkeys(("error_px", "rotation_error", "translation_error", "second_error_px"), (b,))
    out = {name: np.full(size, np.nan) for name, size in parts.items()}
    for i in range(b):
        rows = np.flatnonzero(known(points[i]))
        if len(rows) < LEAST or _width(shape[rows])[1] < _FLAT:
            continue
        found = _poses(points[i][rows], shape[rows], camera)
        for name, value in _read(found, points[i][rows], shape[rows], camera).items():
            out[name][i] = value
    return Pose(**out)


def _width(shape: Array) -> Array:
    """(3,) the extents of a shape along its own axes, as shares of the first."""
    strength = np.linalg.svd(shape - shape.mean(0), compute_uv=False)
    return np.asarray(strength / max(strength[0], 1e-300))


def _poses(xy: Array, shape: Array, camera: Camera) -> list[tuple[float, Array, Array]]:
    """(error px, rotation vector, translation) of every pose that fits, the best first."""
    flat = _width(shape)[2] < _FLAT
    methods = [cv2.SOLVEPNP_IPPE] if flat else [cv2.SOLVEPNP_SQPNP, cv2.SOLVEPNP_EPNP]
    out = []
    for method in methods:
        try:
            _, turns, shifts, _ = cv2.solvePnPGeneric(
                shape, xy, camera.matrix, camera.distortions, flags=method
            )
        except cv2.error:  # what a method says of points that it cannot use
            continue
        for turn, shift in zip(turns, shifts, strict=True):
            r, t = cv2.solvePnPRefineLM(shape, xy, camera.matrix, camera.distortions, turn, shift)
            again = cv2.projectPoints(shape, r, t, camera.matrix, camera.distortions)[0][:, 0]
            depth = (shape @ cv2.Rodrigues(r)[0].T + np.ravel(t))[:, 2]
            if np.isfinite(again).all() and (depth > 0).all():
                out.append((float(np.sqrt(((again - xy) ** 2).sum(1).mean())), np.ravel(r), np.ravel(t)))
    return sorted(out, key=lambda pose: pose[0])


def _read(
    found: list[tuple[float, Array, Array]], xy: Array, shape: Array, camera: Camera
) -> dict[str, Array]:
    if not found:
        return {}
    error, turn, shift = found[0]
    slope = cv2.projectPoints(shape, turn, shift, camera.matrix, camera.distortions)[1][:, :6]
    freedom = max(2 * len(xy) - 6, 1)
    noise = error**2 * len(xy) / freedom
    # by a turn in the camera's axes, not by the numbers of the vector
    rotation = np.asarray(cv2.Rodrigues(turn)[0])
    away = shape @ rotation.T
    cross = np.zeros((len(shape), 3, 3))
    cross[:, [2, 0, 1], [1, 2, 0]], cross[:, [1, 2, 0], [2, 0, 1]] = -away, away
    by_shift = slope[:, 3:].reshape(-1, 2, 3)
    rows = np.concatenate([by_shift @ cross, by_shift], 2).reshape(-1, 6)
    spread = noise * np.linalg.pinv(rows.T @ rows)
    out: dict[str, Array] = {"rotation": rotation, "translation": shift, "error_px": np.array(error)}
    out["rotation_error"] = np.rad2deg(np.sqrt(np.trace(spread[:3, :3])))
    out["translation_error"] = np.sqrt(np.trace(spread[3:, 3:]))
    for other, r, _ in found[1:]:
        second = np.asarray(cv2.Rodrigues(r)[0])
        if np.trace(rotation.T @ second) < 1 + 2 * np.cos(np.deg2rad(5)):
            out["second"], out["second_error_px"] = second, np.array(other)
            break
    return out
