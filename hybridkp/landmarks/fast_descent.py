"""The steps of a fast cascade: gradient channels of a frame, read at all points at once, small products.

What :class:`.FastCascade` learns is applied here, and what it learns from is made here, one grey crop
(H, W) and one shape (K,) at a time.  NumPy and OpenCV only: an exported model runs from here.  Points are
complex numbers x + iy, so that a similarity is one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from ..imaging.geometry import grid_offsets, rescale, resize_points, sample_bilinear, sample_rows
from ..structures import Array
from .descent import step_scores
from .frames import MAX_ZOOM, frame_size

LOBE = 0.6  #: cosine of the angle to its direction at which a channel fades to 0
CONTRAST_PX = 21  #: side of the window whose mean gradient normalises the channels
NOISE = 4.0  #: grey levels per px of the 2 px central difference; weaker gradients fade to 0

HALVE_FROM = 3.0  #: px; maps smoothed so much are kept at half the resolution

CELL_PX = 5  #: px of the resized crop per cell of :func:`grid_channels`; odd, so that a cell has a centre


# --------------------------------------------------------------------------------------------
# gradient channels
# --------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def directions(n: int) -> Array:
    """(3, n) float32: what (gx, gy, magnitude) are multiplied with."""
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle), np.full(n, -LOBE)]).astype(np.float32)


@lru_cache(maxsize=64)
def gaussian_taps(sigma: float) -> Array:
    """(n, 1) float32 weights of sum 1."""
    return cv2.getGaussianKernel(2 * int(np.ceil(2 * sigma)) + 1, sigma, cv2.CV_32F)


def channel_maps(frame: Array, n_orientations: int, sigmas: Sequence[float]) -> list[tuple[Array, int]]:
    """Smoothed maps of how much gradient points in each of ``n_orientations`` directions.

    Parameters
    ----------
    frame : (h, w) uint8 or float32, grey levels
    n_orientations : int
        Directions over the full turn (light-to-dark is told from dark-to-light).
    sigmas : rising, px
        Of the Gaussians that take the place of a histogram's cell; each is made from the one before.

    Returns
    -------
    for each sigma, (h // shrink, w // shrink, n_orientations) float32, not negative, and ``shrink``:
    2 from :data:`HALVE_FROM` px on (each pixel the mean of 2 x 2), else 1

    Notes
    -----
    The gradient is divided by its mean magnitude in a window of :data:`CONTRAST_PX`; a channel is
    the half-wave rectified product with its direction, narrowed by :data:`LOBE`, and smoothed, as in
    DAISY (Tola, Lepetit & Fua, TPAMI 2010).  Departure: that local contrast takes the place of
    normalising the finished descriptor.
    """
    border = cv2.BORDER_REPLICATE
    planes = np.empty((3, *frame.shape), np.float32)
    gx, gy, magnitude = planes
    cv2.Sobel(frame, cv2.CV_32F, 1, 0, gx, ksize=1, borderType=border)
    cv2.Sobel(frame, cv2.CV_32F, 0, 1, gy, ksize=1, borderType=border)
    np.sqrt(gx * gx + gy * gy, out=magnitude)  # cv2.magnitude's last bit depends on where the arrays lie
    planes /= cv2.blur(magnitude, (CONTRAST_PX, CONTRAST_PX), borderType=border) + np.float32(NOISE)
    channels = planes.reshape(3, -1).T @ directions(n_orientations)
    cv2.threshold(channels, 0, 0, cv2.THRESH_TOZERO, dst=channels)  # ten times as quick as np.maximum
    current, shrink, variance, out = channels.reshape(*frame.shape, n_orientations), 1, 0.0, []
    for sigma in sigmas:
        if shrink == 1 and sigma >= HALVE_FROM:
            h, w = (side // 2 for side in frame.shape)
            current = cv2.resize(current[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
            shrink, variance = 2, variance + 0.25
        if sigma**2 > variance:
            kernel = gaussian_taps(float(np.sqrt(sigma**2 - variance)) / shrink)
            current = cv2.sepFilter2D(current, -1, kernel, kernel, borderType=border)
        variance = max(variance, sigma**2)
        out.append((current, shrink))
    return out


def grid_channels(grey: Array, grid: int, n_orientations: int) -> Array:
    """(gh * gw * n_orientations,) float32 of a crop (H, W): its channels on a grid that covers it.

    ``grid`` cells lie along the shorter side, which is resized to 5 px per cell first.
    """
    gh, gw = (max(1, round(grid * side / min(grey.shape))) for side in grey.shape)
    size = gw * CELL_PX, gh * CELL_PX
    shrinks = min(grey.shape) > grid * CELL_PX
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    ((channels, _),) = channel_maps(small, n_orientations, (CELL_PX / 2,))
    return np.sqrt(channels[CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX]).ravel()


# --------------------------------------------------------------------------------------------
# frames
# --------------------------------------------------------------------------------------------


def as_complex(xy: Array) -> Array:
    """(..., 2) as (...) complex128."""
    return np.ascontiguousarray(xy, np.float64).view(np.complex128)[..., 0]


def as_points(z: Array) -> Array:
    """(...) complex128 as (..., 2) float64."""
    return np.ascontiguousarray(z)[..., None].view(np.float64)


class ShapeFrame(NamedTuple):
    """A mean shape, ready to be laid over others."""

    centre: complex
    offset: Array  #: (K,) complex, from the centre
    power: float

    @classmethod
    def of(cls, xy: Array) -> ShapeFrame:
        z = as_complex(xy)
        offset = z - z.mean()
        return cls(complex(z.mean()), offset, float(np.vdot(offset, offset).real))

    def turn(self, z: Array) -> complex:
        """Scale and turn that lay the mean shape over ``z`` (K,); see :data:`.frames.MAX_ZOOM`."""
        ratio = complex(np.vdot(self.offset, z)) / self.power if self.power > 1e-9 else 1.0 + 0.0j
        size = abs(ratio)
        return ratio * (min(max(size, 1 / MAX_ZOOM), MAX_ZOOM) / size) if size > 1e-9 else 1.0 + 0.0j

    def frame_pose(self, z: Array, scale: float) -> tuple[complex, complex]:
        """(a, b) so that ``a z + b`` lies in the frame: the mean shape's crop, resized by ``scale``."""
        a = scale / self.turn(z)
        landed = complex(rescale(self.centre.real, scale), rescale(self.centre.imag, scale))
        return a, landed - a * complex(z.sum() / len(z))


def warp_frame(grey: Array, a: complex, b: complex, scale: float) -> Array:
    """The crop (H, W) seen in its frame, (h, w) float32; blurred first where the map shrinks."""
    size = abs(a)
    grey = grey.astype(np.float32)  # no grey level is rounded: what is found moves with the pose, never jumps
    if size < 0.9:
        sigma = 0.5 * np.sqrt(1 / size**2 - 1)
        grey = cv2.GaussianBlur(grey, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    h, w = frame_size(grey.shape, scale)
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    return cv2.warpAffine(grey, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class Ring(NamedTuple):
    """Part of the pattern that all points read in the same way."""

    offsets: Array  #: (P,) complex, px of the frame
    sigma: float


def rings_pattern(rings: Sequence[tuple[float, int, float]]) -> list[Ring]:
    """Rings of (radius px, number of places, sigma px), those of one sigma together, sigmas rising.

    Every second ring is turned by half a step, so that neighbours do not lie behind each other.
    """
    return _rings_pattern(tuple((float(r), int(n), float(sigma)) for r, n, sigma in rings))


@lru_cache(maxsize=16)
def _rings_pattern(rings: tuple[tuple[float, int, float], ...]) -> list[Ring]:
    places: dict[float, list[Array]] = {s: [] for s in sorted({sigma for _, _, sigma in rings})}
    for i, (radius, n, sigma) in enumerate(rings):
        places[sigma].append(radius * np.exp(2j * np.pi * (np.arange(n) + i % 2 / 2) / n))
    return [Ring(np.concatenate(parts), sigma) for sigma, parts in places.items()]


def read_pattern(
    maps: Sequence[tuple[Array, int]], at: Array, turn: complex, pattern: Sequence[Ring]
) -> Array:
    """(D,) float32, roots of the channels around ``at`` (K,) complex, bilinear.

    The root is RootSIFT's (Arandjelović & Zisserman, CVPR 2012); outside, the border repeats.
    """
    parts = []
    for (channels, shrink), ring in zip(maps, pattern, strict=True):
        places = (at[:, None] + turn * ring.offsets).ravel()
        x, y = rescale(places.real, 1 / shrink), rescale(places.imag, 1 / shrink)
        parts.append(sample_rows(channels, x, y).ravel())
    row = np.concatenate(parts)
    return np.sqrt(row, out=row)


def read_maps(maps: Array, stride: float, z: Array, cells: int) -> Array:
    """(K * cells² * C,) float32 of feature maps (h, w, C) whose pixels lie ``stride`` crop px apart."""
    offsets = as_complex(grid_offsets(cells, stride).reshape(-1, 2))
    places = resize_points(as_points(z[:, None] + offsets), 1 / stride)
    return sample_bilinear(maps, places).astype(np.float32, copy=False).ravel()


# --------------------------------------------------------------------------------------------
# the cascade
# --------------------------------------------------------------------------------------------


class Stage(NamedTuple):
    """What one stage learned."""

    scale: float  #: of the frame, relative to the crop; a new frame where it differs from the last
    weights: Array  #: (D, R) float32
    directions: Array  #: (R, 2K) float32
    shift: Array  #: (2K,) float32
    uses_maps: bool = False

    @property
    def stays(self) -> bool:
        """Whether it moves no point: nothing has to be read for it."""
        return not len(self.directions) and not self.shift.any()


class Reader(NamedTuple):
    """How all stages of a cascade look at a picture."""

    mean: ShapeFrame
    pattern: list[Ring]
    n_orientations: int
    map_cells: int = 1
    map_unit: Array | None = None  #: (C,) float32, factor of each of the further maps

    def frame(self, grey: Array, a: complex, b: complex, scale: float) -> list[tuple[Array, int]]:
        """The channels of the frame that a pose leads to; of planes (H, W, P) those of all, side by side."""
        sigmas = [ring.sigma for ring in self.pattern]
        if grey.ndim == 2:
            return channel_maps(warp_frame(grey, a, b, scale), self.n_orientations, sigmas)
        parts = [
            channel_maps(warp_frame(np.ascontiguousarray(plane), a, b, scale), self.n_orientations, sigmas)
            for plane in np.moveaxis(grey, -1, 0)
        ]
        return [
            (np.concatenate([m for m, _ in level], -1), level[0][1]) for level in zip(*parts, strict=True)
        ]

    def row(self, channels: list[tuple[Array, int]], at: Array, scale: float) -> tuple[Array, complex]:
        """What the points ``at`` (K,) of the frame read, and what of their pose is left over there."""
        turn = self.mean.turn(at / scale)
        return read_pattern(channels, at, turn, self.pattern), turn

    def maps_row(self, maps: Array, stride: float, z: Array) -> Array:
        """What the points ``z`` (K,) of the crop read of further maps (h, w, C)."""
        row = read_maps(maps, stride, z, self.map_cells).reshape(-1, maps.shape[2])
        return row.ravel() if self.map_unit is None else (row * self.map_unit).ravel()


def descend(
    grey: Array,
    start: Array,
    stages: Sequence[Stage],
    reader: Reader,
    curve: Array,
    maps: tuple[Array, float] | None = None,
) -> tuple[Array, Array]:
    """Every stage in turn, for one crop.

    Parameters
    ----------
    grey : (H, W) uint8
    start : (K, 2) finite, crop px
    curve : (4,) intercept and slopes of the score over :func:`.descent.score_rows`
    maps : (h, w, C) float32 and their stride, where stages use them

    Returns
    -------
    (K, 2) float32 in crop px, (K,) float32
    """
    z, scale, lengths = as_complex(start), 0.0, []
    for stage in stages:
        if stage.scale != scale:
            scale, channels = stage.scale, None
            a, b = reader.mean.frame_pose(z, scale)
        if stage.stays:
            lengths.append(np.zeros((1, len(z))))
            continue
        if channels is None:
            channels = reader.frame(grey, a, b, scale)
        row, turn = reader.row(channels, a * z + b, scale)
        if stage.uses_maps and maps is not None:
            row = np.concatenate([row, reader.maps_row(*maps, z)])
        step = (row @ stage.weights) @ stage.directions
        step += stage.shift
        moved = step.view(np.complex64) * (turn / a)
        z = z + moved
        lengths.append(np.abs(moved)[None])
    return as_points(z).astype(np.float32), step_scores(lengths, curve)[0]
