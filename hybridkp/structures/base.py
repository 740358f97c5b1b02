"""What even the shared types stand on: the errors, the array type, and what detectors inherit.

Import these names from :mod:`hybridkp.structures`; they live apart to keep that file short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
FARTHEST_PX = 2.0**31  #: beyond it nothing is a coordinate of a picture
#: what work tells while it goes on, called as progress(what, done, total) after each step
Progress = Callable[[str, int, int], None]


class InputError(ValueError):
    """Input that the user can mend.  The message is one line and names the thing and the cure.

    The command line prints it without a traceback.
    """


class InputErrors(InputError):
    """Several mistakes of one input: what follows from them, and a line for each in ``lines``."""

    def __init__(self, message: str, lines: Iterable[str]):
        self.lines = (message, *lines)
        super().__init__("; ".join(self.lines))


class DataWarning(UserWarning):
    """Something in the data was repaired or skipped; the message says what and by which rule."""


class DetectorMixin:
    """``predict`` and ``score`` in terms of ``predict_with_score``, as scikit-learn's mixins do."""

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn may expect: pictures and not rows, several numbers to predict."""
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def predict(self, images: Any) -> Array:
        """Landmarks, (B, K, 2) float32 in crop px."""
        return self.predict_with_score(images)[0]  # type: ignore[attr-defined]

    def score(self, images: Any, xy: ArrayLike) -> float:
        """Minus the mean point error in units of the crop's height (higher is better).

        Points that are not labelled in ``xy`` are left out; one that is labelled and that the
        detector gave as NaN costs the crop's diagonal, so that silence never pays.
        """
        truth = np.asarray(xy, float)
        height, width = np.asarray(images[0]).shape[:2]
        error = np.linalg.norm(self.predict(images) - truth, axis=-1)
        labelled = np.isfinite(truth).all(axis=-1)
        error[labelled & np.isnan(error)] = np.hypot(height, width)
        return -float(error[labelled].mean()) / height


def evenly(n: int, most: int) -> Array:
    """At most so many of 0..n-1, evenly spread, both ends among them.

    >>> evenly(10, 4), evenly(2, 4)
    (array([0, 3, 6, 9]), array([0, 1]))
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def check_xy(xy: ArrayLike, n_images: int) -> Array:
    """Training truth as (B, K, 2) float64; NaN in one coordinate makes the point NaN.

    Raises :class:`InputError` for wrong shapes, infinities and landmarks never labelled.
    """
    out = np.array(xy, np.float64)
    if out.ndim != 3 or out.shape[2] != 2 or out.shape[0] != n_images or out.shape[1] == 0:
        raise InputError(f"xy must have shape ({n_images}, K, 2) with K >= 1, got {out.shape}")
    if np.isinf(out).any():
        raise InputError("xy has infinite values: use NaN for a point that is not labelled")
    out[np.isnan(out).any(axis=2)] = np.nan
    never = np.flatnonzero(np.isnan(out[:, :, 0]).all(axis=0))
    if len(never):
        raise InputError(f"landmark {never[0]} is labelled in no training picture: drop it")
    return out


def check_start(start: ArrayLike, shape: tuple[int, ...]) -> Array:
    """A refiner's starting points as float64; any NaN stays.  :class:`InputError` if not of ``shape``."""
    out = np.asarray(start, np.float64)
    if out.shape != shape:
        raise InputError(f"start must have shape {shape}, got {out.shape}")
    return out


def as_boxes(boxes_xywh: ArrayLike) -> Array:
    """A box or many as float64, of whatever shape; :class:`InputError` for what are no numbers."""
    try:
        return np.atleast_1d(np.asarray(boxes_xywh, float))
    except (TypeError, ValueError):
        told = str(boxes_xywh)[:60]
        raise InputError(f"a box is four numbers, x, y, width, height; got {told!r}") from None


def check_box(box_xywh: ArrayLike) -> Array:
    """A box as (4,) float64; :class:`InputError` for what is none, and for one that shows nothing."""
    box = as_boxes(box_xywh)
    if box.shape != (4,):
        raise InputError(f"a box is (4,): x, y, width, height, and many are (N, 4); got {box.shape}")
    if not (np.abs(box).max() <= FARTHEST_PX and box[2:].min() >= 1 / FARTHEST_PX):  # NaN is neither
        told = "finite x, y and positive width and height, in px of the picture"
        raise InputError(f"a box needs {told}; got {box.tolist()}")
    return box


def check_whole(value: Any, name: str, low: int, high: int | None = None) -> int:
    """A whole number from ``low`` on, at most ``high``; :class:`InputError` that says ``name`` otherwise."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        span = f"from {low} on" if high is None else f"from {low} to {high}"
        raise InputError(f"{name} must be a whole number {span}, got {value!r}")
    return int(value)


def check_number(value: Any, name: str, low: float = -np.inf) -> float:
    """A number from ``low`` on, not NaN; :class:`InputError` that says ``name`` otherwise."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not value >= low:
        span = "" if low == -np.inf else f" from {low:g} on"
        raise InputError(f"{name} must be a number{span}, got {value!r:.60}")
    return float(value)


def column(values: ArrayLike | None, n: int, default: float, dtype: Any, name: str) -> Array:
    """A column of Keypoints, (n,) of one dtype, or the default repeated."""
    if values is None:
        return np.full(n, default, dtype)
    out = np.ascontiguousarray(values, dtype)
    if out.shape != (n,):
        raise InputError(f"Keypoints.{name} must have shape ({n},), got {out.shape}")
    return out


def short_repr(self: Any) -> str:
    """A dataclass in one line; what is long shows its size or shape, ``<60>``, what is not given nothing.

    ``__repr__ = short_repr`` in the class is all that it takes.
    """
    shown = []
    for f in fields(self):
        value = getattr(self, f.name)
        default = f.default if f.default_factory is MISSING else f.default_factory()
        absent = value is None or callable(value) or (isinstance(value, float) and np.isnan(value))
        if not absent and (isinstance(value, np.ndarray) or value != default):
            shown.append(f"{f.name}={_short(value)}")
    return f"{type(self).__name__}({', '.join(shown)})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.size <= 4 and value.dtype != object:
            return f"[{', '.join(f'{v:.6g}' for v in value.tolist())}]"
        return f"<{', '.join(map(str, value.shape))}>"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    if len(text) <= 40:
        return text
    if isinstance(value, str):
        return f"{text[:36]}...'"
    return f"<{len(value) if isinstance(value, Sized) else type(value).__name__}>"
