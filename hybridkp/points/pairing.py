"""Any detector's points with any descriptor's rows.

A detector's ``size`` says how wide its own method looks; the descriptor takes it for its own.  So
sizes are rescaled: :data:`WINDOW` says, for every method, how wide a square its rows see per px of
size, and after rescaling the new rows see what the detector's own would have seen.  Never here: a
method's detection or description, matching.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..imaging.geometry import rescale
from ..imaging.pyramid import gaussian_pyramid
from ..structures import (
    Array,
    Descriptor,
    InputError,
    Keypoints,
    Parameters,
    PointDescriptor,
    check_whole,
    clone,
    supports,
)
from .local import grey_picture, moved, tiles

#: side of the square that a method's rows see, in units of its own ``Keypoints.size``
WINDOW: Mapping[str, float] = {
    # size = 2 sigma; 4 x 4 histograms of 3 sigma each: 12 sigma (Lowe 2004, section 6.1)
    "SIFTFeature": 6.0,
    "SIFT": 6.0,
    # size = 9 px filter at s = 1.2; a window of 20 s (Bay et al. 2008, section 4.2)
    "SURFFeature": 20 * 1.2 / 9,
    "SURF": 20 * 1.2 / 9,
    # size = the patch, 31 px on its level (Rublee et al. 2011)
    "ORBFeature": 1.0,
    # boxes learned on patches of 32 px, laid over the whole of ORB's patch
    "BEBLID": 1.0,
    "TEBLID": 1.0,
    # size = 3 sigma; M-LDB grid of 20 x 20 samples, half a size apart
    "AKAZEFeature": 10.0,
    # size = 2 sigma; M-SURF grid of 24 x 24 samples, half a size apart
    "KAZEFeature": 12.0,
    # outer ring of radius 0.85 * 10.8 px at size 7.2 (= 0.6 * 12 px)
    "BRISKFeature": 2 * 0.85 * 10.8 / 7.2,
    # outer ring of radius 2/3 * 22 px at size 7
    "FREAK": 2 * (2 / 3) * 22 / 7,
    # one size for all points and no rows of their own: taken for ORB's finest level, 31 px
    "FAST": 31 / 7,
    "Corners": 31 / 3,
}

#: the same in px of the pyramid level, for descriptors that know no size
FIXED_WINDOW_PX: Mapping[str, float] = {"BRIEF": 48.0, "ORB": 31.0}

_LEVEL_STEP = 2**-0.5  # between the levels that fixed windows are laid on
_DISC = 15  # px, radius of ORB's disc of moments, in a patch of 31 px
_CHUNK = 256  # points at a time
_SPARE = 2  # how many times more points are asked for when some could not be described


@dataclass(eq=False, repr=False)
class Paired(Parameters):
    """A local feature from a detector and a descriptor.

    Parameters
    ----------
    detector : any object with ``detect(image) -> Keypoints``
        The features of ``points.classical``, :class:`FAST`, :class:`Corners`, a net.  A parameter
        ``n_points`` of its own is overruled.
    descriptor : any object with ``compute(image, keypoints) -> (N, D)``, or a :class:`Descriptor`
        The features of ``points.classical``, :class:`BEBLID`, ...; or ``hybridkp.descriptors``:
        those that take a size from the keypoints need ``size_px=None``, others (HOG, ORB) read the
        pyramid level on which their window covers what it should.
    n_points : int
        Budget, after points without a row have been left out.
    scale : "window" or float
        Factor on the keypoints' sizes before description: so that the window is the one of the
        detector's own rows, see :data:`WINDOW`; or any number, 1 to leave sizes alone.
    angle : "detector" or "upright"
        The detector's angles, and where it gives none the intensity centroid's (Rosin 1999, as in
        ORB); or 0.

    Notes
    -----
    The keypoints come out as the detector gave them, but for the angles that were missing.

    MMA at 3 px on eight warped bundled pictures with sizes left alone, and rescaled: ORB + SIFT 0.37
    and 0.65, ORB + RootSIFT 0.36 and 0.70, SIFT + BEBLID 0.17 and 0.62 (``benchmarks/points_pairs.py``).
    Rescaling by the sigma that both methods see is as good on average: better with AKAZE's rows.
    """

    detector: Any
    descriptor: Any
    n_points: int = 1024
    scale: str | float = "window"
    angle: str = "detector"

    @property
    def norm(self) -> str:
        """The descriptor's; "L2" where it does not say."""
        bits = getattr(self.descriptor, "bits", "unpacked") == "hamming"
        return str(getattr(self.descriptor, "norm", "HAMMING" if bits else "L2"))

    @property
    def n_features(self) -> int:
        return int(self.descriptor.n_features)

    def detect(self, image: Array) -> Keypoints:
        """The detector's ``n_points`` best, with angles; points at the border may yet lack a row."""
        grey = grey_picture(image)
        return self._with_angles(grey, self._detector(self.n_points).detect(grey)[: self.n_points])

    def compute(self, image: Array, keypoints: Keypoints) -> Array:
        """Rows (N, D) at points of *this* detector: their sizes are rescaled; row i for keypoint i.

        Rows that the descriptor cannot give are zero.

        Raises
        ------
        InputError
            As :func:`window_of`; by the descriptor; for an unknown ``scale`` or ``angle``.
        """
        grey = grey_picture(image)
        points = self._with_angles(grey, keypoints)
        if (
            supports(self.descriptor, PointDescriptor)
            and type(self.descriptor).__name__ not in FIXED_WINDOW_PX
        ):
            return np.asarray(self.descriptor.compute(grey, _resized(points, self._factor())))
        return self._from_levels(grey, points)

    def detect_and_describe(self, image: Array) -> tuple[Keypoints, Array]:
        """The ``n_points`` best points that have a row, best first, and the rows."""
        n = check_whole(self.n_points, "Paired: n_points", 1)
        grey, ask, before = grey_picture(image), n, -1
        while True:
            points = self._detector(ask).detect(grey)
            points = self._with_angles(grey, points)
            rows = self.compute(grey, points)
            real = np.flatnonzero(rows.any(axis=1))
            if len(real) >= n or len(real) == len(points) or len(points) == before:
                return points[real[:n]], rows[real[:n]]
            before, ask = len(points), _SPARE * ask

    def _detector(self, n_points: int) -> Any:
        detector = clone(self.detector)
        if "n_points" in detector.get_params(deep=False):
            detector.set_params(n_points=n_points)
        return detector

    def _factor(self) -> float:
        if self.scale == "window":
            return window_of(self.detector) / window_of(self.descriptor)
        if isinstance(self.scale, str) or not 0 < self.scale < float("inf"):
            raise InputError(f'Paired: scale must be "window" or a positive number, got {self.scale!r}')
        return float(self.scale)

    def _with_angles(self, grey: Array, points: Keypoints) -> Keypoints:
        if self.angle not in ("detector", "upright"):
            raise InputError(f'Paired: angle must be "detector" or "upright", got {self.angle!r}')
        if self.angle == "upright":
            angle = np.zeros(len(points), np.float32)
        else:
            lost = np.isnan(points.angle)
            if not lost.any():
                return points
            angle = points.angle.copy()
            angle[lost] = centroid_angles(grey, points.xy[lost], self._disc(points[lost]))
        return Keypoints(points.xy, points.score, points.size, angle, points.octave, points.label)

    def _disc(self, points: Keypoints) -> Array:
        """(N,) radius in px of the disc whose centroid gives the angle."""
        known = type(self.detector).__name__ in WINDOW or hasattr(self.detector, "window")
        window = points.size * window_of(self.detector) if known else np.full(len(points), 31.0)
        return np.asarray(window * (_DISC / 31))

    def _from_levels(self, grey: Array, points: Keypoints) -> Array:
        """Rows of a descriptor that looks at pyramid levels, or at a fixed window."""
        out = np.zeros((len(points), self.n_features), np.float32 if self.norm == "L2" else np.uint8)
        px = fixed_window_px(self.descriptor)
        if px is None:
            points, wanted = _resized(points, self._factor()), np.ones(len(points))
        elif self.scale == "window":
            wanted = points.size * window_of(self.detector) / px
        else:
            wanted = points.size * self._factor() / px
        for tile in tiles(grey.shape):
            mine = np.flatnonzero(tile.owns(points.xy))
            if len(mine):
                part = np.ascontiguousarray(grey[tile.window])
                out[mine] = self._on_levels(part, moved(points[mine], -tile.origin_xy), wanted[mine], out)
        return out

    def _on_levels(self, grey: Array, points: Keypoints, wanted: Array, like: Array) -> Array:
        """Each point on the level whose px are nearest to ``wanted`` (N,) px of the picture."""
        out = np.zeros((len(points), like.shape[1]), like.dtype)
        level = np.rint(np.log(np.maximum(wanted, 1e-6)) / -np.log(_LEVEL_STEP)).clip(0, 63).astype(int)
        pyramid = gaussian_pyramid(grey, int(level.max(initial=0)) + 1, _LEVEL_STEP)
        level = np.minimum(level, len(pyramid) - 1)
        for one in np.unique(level).tolist():
            mine = np.flatnonzero(level == one)
            out[mine] = self._on_level(pyramid, points[mine], one)
        return out

    def _on_level(self, pyramid: Any, points: Keypoints, level: int) -> Array:
        if not hasattr(self.descriptor, "describe"):
            image = np.rint(pyramid.levels[level]).astype(np.uint8)
            xy = rescale(points.xy, float(pyramid.scale[level]))
            on_level = Keypoints(xy, points.score, points.size, points.angle, points.octave)
            return np.asarray(self.descriptor.compute(image, on_level))
        descriptor = clone(self.descriptor)
        if fixed_window_px(descriptor) is not None:
            descriptor.set_params(level=level)
        return np.asarray(descriptor.describe(pyramid, points))


def window_of(method: Any) -> float:
    """A method's entry in :data:`WINDOW`, or its own attribute ``window``.

    Raises
    ------
    InputError
        For a method that has neither.
    """
    name = type(method).__name__
    window = getattr(method, "window", WINDOW.get(name))
    if window is None:
        raise InputError(
            f"Paired: nobody says how wide {name} looks per px of size: give it an attribute"
            " `window`, or Paired a number as scale"
        )
    return float(window)


def fixed_window_px(method: Any) -> float | None:
    """Side of the window in px of the level, of a descriptor that knows no sizes; else None."""
    if hasattr(method, "cells") and hasattr(method, "cell_px"):
        return float(method.cells * method.cell_px)
    size_px = getattr(method, "size_px", None)
    if size_px is not None and isinstance(method, Descriptor):
        return float(size_px) * WINDOW.get(type(method).__name__, 1.0)
    return FIXED_WINDOW_PX.get(type(method).__name__)


def centroid_angles(grey: Array, xy: Array, radius_px: Array) -> Array:
    """Direction (N,) float32, degrees in [0, 360), from each point to its disc's intensity centroid.

    ``grey`` (H, W) uint8; the disc has about 700 samples whatever its radius (N,) px; beyond the
    border its pixels repeat.  A blank disc gives 0.
    """
    y, x = np.mgrid[-_DISC : _DISC + 1, -_DISC : _DISC + 1]
    inside = x * x + y * y <= (_DISC + 0.5) ** 2
    x, y = x[inside].astype(np.float32), y[inside].astype(np.float32)
    h, w = grey.shape
    flat, out = grey.ravel(), np.empty(len(xy), np.float32)
    at, step = np.clip(xy, -w - h, 2 * (w + h)), np.minimum(radius_px, max(h, w)) / _DISC
    for i in range(0, len(xy), _CHUNK):
        part = slice(i, i + _CHUNK)
        column = np.rint(at[part, 0, None] + step[part, None] * x).clip(0, w - 1).astype(np.intp)
        row = np.rint(at[part, 1, None] + step[part, None] * y).clip(0, h - 1).astype(np.intp)
        value = flat.take(row * w + column).astype(np.float32)
        out[part] = np.degrees(np.arctan2(value @ y, value @ x)) % 360
    return np.where(out >= 360, np.float32(0), out)


def _resized(points: Keypoints, factor: float) -> Keypoints:
    return Keypoints(points.xy, points.score, points.size * factor, points.angle, points.octave, points.label)
