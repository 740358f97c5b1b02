"""How a whole crop looks on rings about its middle, where turning it only shifts what is seen.

NumPy and OpenCV alone: an exported model runs from here.  Grey crops (H, W) come in, rows (A, C) go out:
A directions from the middle, C gradient channels of all rings there.  Only the disc inside the crop is read,
since what lies outside it is turned out of sight.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..imaging.geometry import rescale
from ..structures import Array
from .fast_descent import channel_maps

N_TURNS = 48
N_RINGS = 8
N_ORIENTATIONS = 8
ACROSS = 2  #: px of the polar picture per direction
ALONG = 3  #: and per ring
N_CHANNELS = (2 * N_RINGS - 1) * N_ORIENTATIONS
SIGMA = 1.5  #: px of the polar picture
FAINT = 0.1  #: root of a channel; a cell whose channels are all fainter fades to 0
PAIRS = 0.25  #: weight of the products of neighbouring rings
WRAP = 12  #: px of it, a whole number of directions, repeated at both ends


@lru_cache(maxsize=8)
def places(size_hw: tuple[int, int]) -> tuple[Array, Array]:
    """Where the polar picture reads a crop of that size: x, y, (N_TURNS * ACROSS + 2 WRAP, radii) float32."""
    n = N_TURNS * ACROSS
    # its pixels lie evenly about the direction that they are summed up in
    angle = 2 * np.pi * rescale(np.arange(-WRAP, n + WRAP), 1 / ACROSS) / N_TURNS
    radius = (np.arange(N_RINGS * ALONG) + 0.5) * min(size_hw) / (2 * N_RINGS * ALONG)
    centre_y, centre_x = (np.array(size_hw) - 1) / 2
    x = centre_x + np.cos(angle)[:, None] * radius
    y = centre_y + np.sin(angle)[:, None] * radius
    return x.astype(np.float32), y.astype(np.float32)


def polar_row(grey: Array) -> Array:
    """(N_TURNS, N_CHANNELS) float32: gradient channels along and across the rings, and those of neighbours.

    The roots of a cell's channels are divided by their root mean square; products of each ring's with those
    of the next stand beside them.  A crop turned clockwise by a step of ``N_TURNS`` has its rows one further.
    """
    factor = min(grey.shape) // (2 * N_RINGS * ALONG)
    if factor > 1:  # whole numbers of pixels: a tenth of the time of any other mean
        h, w = (round(length / factor) for length in grey.shape)
        grey = cv2.resize(grey, (w, h), interpolation=cv2.INTER_AREA)
    picture = cv2.remap(grey, *places(grey.shape[:2]), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ((channels, _),) = channel_maps(picture, N_ORIENTATIONS, (SIGMA,))
    ours = cv2.resize(channels[WRAP:-WRAP], (N_RINGS, N_TURNS), interpolation=cv2.INTER_AREA)
    size = np.sqrt(ours @ np.full((N_ORIENTATIONS, 1), 1 / N_ORIENTATIONS, np.float32)) + np.float32(FAINT)
    row = np.empty((N_TURNS, 2 * N_RINGS - 1, N_ORIENTATIONS), np.float32)
    cells = np.divide(np.sqrt(ours), size, out=row[:, :N_RINGS])
    np.multiply(cells[:, :-1] * np.float32(PAIRS), cells[:, 1:], out=row[:, N_RINGS:])
    return row.reshape(N_TURNS, -1)


def answers_to(rows: Array, rule: Array) -> Array:
    """(..., A): what a filter (A, C) answers to each turn of rows (..., A, C).

    The answer at a turn s is the sum over a of row[a] * filter[a - s].
    """
    products = rows @ rule.T
    return products.reshape(*products.shape[:-2], -1).take(_shifted(len(rule)), axis=-1).sum(axis=-1)


@lru_cache(maxsize=2)
def _shifted(n: int) -> Array:
    """(n, n): for each turn, where the products of each row's direction with the filter's lie."""
    turn, a = np.ogrid[:n, :n]
    return a * n + (a - turn) % n


def correlation_filter(rows: Array, degrees: Array, width: float, penalty: float) -> Array:
    """The filter (A, C) whose answer to rows (B, A, C) is a bump about each one's turn (B,).

    Ridge regression to a Gaussian of ``width`` directions; all shifts of a row count as rows of their own,
    so that each frequency has a solution by itself (Bolme et al., CVPR 2010, with several channels as in
    Kiani Galoogahi et al., ICCV 2013).
    """
    n, a, c = rows.shape
    away = (np.arange(a) - degrees[:, None] / 360 * a + a / 2) % a - a / 2
    wanted = np.fft.rfft(np.exp(-(away**2) / (2 * width**2)), axis=1)
    seen = np.fft.rfft(rows, axis=1)
    ridge = penalty * float((np.abs(seen) ** 2).mean()) * n
    learned = np.empty((a // 2 + 1, c), complex)
    for k in range(len(learned)):
        of = seen[:, k]
        learned[k] = np.linalg.solve(of.conj().T @ of + ridge * np.eye(c), of.conj().T @ wanted[:, k])
    # the answer at a turn s is the sum over a of row[a] * filter[a - s]
    return np.fft.irfft(learned, n=a, axis=0)[-np.arange(a) % a].astype(np.float32)
