"""What the sliders do to a picture: size, turn, place, something in front, blur, noise, in this order.

A *plate* (2 S, 2 S, 3) uint8 holds an object with its surroundings; its middle (S, S) is the crop that
detectors were trained on.  An altered crop (S, S, 3) and its points (K, 2) come out.  The arithmetic is plain
float64, since ``core.js`` repeats it digit for digit where no server is: a change here is a change there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..imaging import crop_matrix, cut
from ..imaging.geometry import middle_of
from ..structures import Array, InputError

COVER = 112  #: grey level of what stands in front
NOISE_UNIT = 1000  #: the table of noise is whole thousandths of a standard deviation


class Slider(NamedTuple):
    """One of the page: its range, where it begins, and what it says."""

    key: str
    label: str
    low: float
    high: float
    step: float
    start: float
    unit: str
    words: str


SLIDERS = (
    Slider("scale", "Scale", 0.6, 1.6, 0.02, 1.0, "×", "of the object"),
    Slider("rotation", "Rotation", -60, 60, 1, 0, "°", "clockwise"),
    Slider("right", "Shift to the right", -25, 25, 1, 0, "%", "of the side"),
    Slider("down", "Shift down", -25, 25, 1, 0, "%", "of the side"),
    Slider("occlusion", "Occlusion", 0, 60, 1, 0, "%", "of the landmark"),
    Slider("blur", "Blur", 0, 5, 0.1, 0, "px", "Gaussian, sigma"),
    Slider("noise", "Noise", 0, 80, 1, 0, "levels", "grey levels, sigma"),
)


def checked_knobs(given: Mapping[str, Any]) -> dict[str, float]:
    """The value of every slider by its key, those that were not given at their start.

    Raises :class:`InputError` for one that is not there, and for what is no number in its range.

    >>> checked_knobs({"blur": 2})["blur"], checked_knobs({})["scale"]
    (2.0, 1.0)
    """
    known = {slider.key: slider for slider in SLIDERS}
    for key in given:
        if key not in known:
            raise InputError(f"no slider {key!r:.40}: there are {', '.join(known)}")
    out = {}
    for key, slider in known.items():
        value = given.get(key, slider.start)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{key}: {value!r:.40} is no number")
        if not slider.low <= value <= slider.high:
            raise InputError(f"{key}: {value!r:.40} is not between {slider.low:g} and {slider.high:g}")
        out[key] = float(value)
    return out


def cut_plate(image: Array, box_xywh: ArrayLike, side: int, margin: float) -> tuple[Array, Array]:
    """The plate (2 S, 2 S, 3) around a box, S = ``side``, and the map (2, 3) of points onto it."""
    matrix = np.array(crop_matrix(box_xywh, (side, side), margin))
    matrix[:, 2] += side // 2  # whole px: the middle of the plate is the crop, pixel for pixel
    return cut(image, matrix, (2 * side, 2 * side)), matrix


def noise_table(side: int) -> Array:
    """(S, S, 3) int16, the same for every picture: draws of a normal distribution in :data:`NOISE_UNIT`."""
    draws = np.random.default_rng(0).standard_normal((side, side, 3))
    return np.rint(NOISE_UNIT * draws).astype(np.int16)


def placed(xy: ArrayLike, plate_side: int, knobs: Mapping[str, float]) -> Array:
    """Points (..., 2) of the plate in the altered crop."""
    side, (cos, sin) = plate_side // 2, _turn(knobs)
    x, y = np.moveaxis(np.asarray(xy, float) - middle_of((plate_side, plate_side)), -1, 0)
    turned = knobs["scale"] * np.stack([cos * x - sin * y, sin * x + cos * y], -1)
    return turned + _middle(side, knobs)


def altered(plate: Array, knobs: Mapping[str, float], cover_xy: ArrayLike | None = None) -> Array:
    """The crop (S, S, 3) uint8 that the sliders make of a plate (2 S, 2 S, 3).

    Parameters
    ----------
    knobs : see :func:`checked_knobs`
    cover_xy : (2,) in px of the altered crop, where the square of occlusion has its middle; None, or NaN: the
        crop's middle

    Examples
    --------
    >>> plate = np.arange(32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    >>> bool((altered(plate, checked_knobs({})) == plate[8:24, 8:24]).all())
    True
    """
    side = len(plate) // 2
    out = _sampled(plate, knobs)
    if knobs["occlusion"] > 0:
        (x0, x1), (y0, y1) = covered(side, knobs["occlusion"], cover_xy)
        out[y0:y1, x0:x1] = COVER
    if knobs["blur"] > 0:
        out = _blurred(_blurred(out, knobs["blur"], 1), knobs["blur"], 0)
    if knobs["noise"] > 0:
        out = out + knobs["noise"] * (noise_table(side) / NOISE_UNIT)
    return np.floor(out + 0.5).clip(0, 255).astype(np.uint8)


def covered(side: int, percent: float, cover_xy: ArrayLike | None = None) -> Array:
    """(2, 2) int: of the square's columns the first and the one after the last, and the same of its rows."""
    middle = middle_of((side, side))
    if cover_xy is not None and np.isfinite(cover_xy).all():
        middle = np.asarray(cover_xy, float)
    half = percent / 100 * side / 2
    ends = np.floor(np.stack([middle - half, middle + half], 1) + 1)  # pixels whose centres lie inside
    return ends.clip(0, side).astype(int)


def _turn(knobs: Mapping[str, float]) -> tuple[float, float]:
    angle = knobs["rotation"] * np.pi / 180
    return float(np.cos(angle)), float(np.sin(angle))


def _middle(side: int, knobs: Mapping[str, float]) -> Array:
    """(2,) where the middle of the plate comes to lie in the crop."""
    return middle_of((side, side)) + np.array([knobs["right"], knobs["down"]]) / 100 * side


def _sampled(plate: Array, knobs: Mapping[str, float]) -> Array:
    """(S, S, 3) float64: the plate, bilinear, at where each pixel of the crop comes from."""
    size = len(plate)
    side, (cos, sin) = size // 2, _turn(knobs)
    row, column = np.mgrid[:side, :side].astype(float)
    (centre_x, centre_y), (middle_x, middle_y) = _middle(side, knobs), middle_of((size, size))
    right, down = (column - centre_x) / knobs["scale"], (row - centre_y) / knobs["scale"]
    x = (cos * right + sin * down + middle_x).clip(0, size - 1)
    y = (cos * down - sin * right + middle_y).clip(0, size - 1)
    x0, y0 = np.minimum(np.floor(x), size - 2).astype(int), np.minimum(np.floor(y), size - 2).astype(int)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = plate[y0, x0] * (1 - fx) + plate[y0, x0 + 1] * fx
    bottom = plate[y0 + 1, x0] * (1 - fx) + plate[y0 + 1, x0 + 1] * fx
    out: Array = top * (1 - fy) + bottom * fy
    return out


def _blurred(image: Array, sigma: float, axis: int) -> Array:
    """Gaussian along one axis, out to 3 sigma, the border repeated."""
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * sigma * sigma))
    weights = weights / float(sum(weights))
    at, out = np.arange(image.shape[axis]), np.zeros(image.shape)
    for offset, weight in enumerate(weights, -reach):
        out = out + weight * np.take(image, (at + offset).clip(0, image.shape[axis] - 1), axis)
    return out
