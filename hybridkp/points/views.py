"""Random views of a flat picture: homography, light, blur, noise; what matchability learns from.

A grey picture goes in, a grey picture of the same size and the homography to it come out.  Never
here: pictures' names, learning.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..structures import Array

_TURN = 45.0  # degrees, the standard deviation of the rotation of half the views; the others: 8
_ZOOM = 0.35  # log scale, likewise; the others: 0.08
_TILT = 0.18  # how far a corner moves, as a share of the sides, at most


def random_view(grey: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A random view (H, W) uint8 of a grey uint8 picture, and the (3, 3) map to it.

    Outside the picture, its border is mirrored.
    """
    h, w = grey.shape
    homography = random_homography((h, w), rng)
    warped = _warped(grey, homography)
    values: Array = warped.astype(np.float32)
    if rng.random() < 0.4:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.5, 3.0))))
    values = 255 * (np.clip(values, 0, 255) / 255) ** np.float32(np.exp(rng.normal(0, 0.3)))
    values = values * np.float32(np.exp(rng.normal(-0.1, 0.35))) + np.float32(rng.normal(0, 8))
    values += np.float32(rng.uniform(0, 8)) * rng.standard_normal(values.shape, dtype=np.float32)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8), homography


def random_homography(size_hw: tuple[int, int], rng: np.random.Generator) -> Array:
    """A (3, 3) map: tilt, then zoom and turn about the centre, then shift; half are nearly upright."""
    h, w = size_hw
    corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], float)
    centre = np.array([w - 1, h - 1]) / 2
    wild = rng.random() < 0.5
    angle = np.deg2rad(rng.normal(0, _TURN if wild else 8.0))
    scale = np.exp(np.clip(rng.normal(0, _ZOOM if wild else 0.08), -0.9, 0.9))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    tilt = rng.uniform(0, _TILT)
    moved = corners + rng.uniform(-1, 1, (4, 2)) * tilt * [w, h]
    moved = (moved - centre) @ np.array([[c, s], [-s, c]]) + centre + rng.normal(0, 0.04, 2) * [w, h]
    return cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))


def _warped(grey: Array, homography: Array) -> Array:
    """Twice as fine, then averaged: little aliasing down to half the size."""
    h, w = grey.shape
    fine = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]) @ homography
    large = cv2.warpPerspective(grey, fine, (2 * w, 2 * h), borderMode=cv2.BORDER_REFLECT_101)
    small: Array = cv2.resize(large, (w, h), interpolation=cv2.INTER_AREA)
    return small
