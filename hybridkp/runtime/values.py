"""What a value of a runtime file may be: a file from elsewhere must not make us ask for a terabyte.

Plain values and arrays in, the same or a ValueError out; what they mean is said by the nodes of each room.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..structures import Array

FORMAT = 1  #: the runtime file's own format number
WHOLE = "detection.top_down"  #: the kind of node that takes whole pictures: a finder and a detector
PICTURES = "detection.whole_picture"  #: and that of a method which begins with them


def whole(node: dict[str, Any], name: str, low: int, high: int) -> int:
    """The integer ``name`` of a node."""
    value = node[name]
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must lie in {low}..{high}")
    return int(value)


def number(value: Any, low: float, high: float) -> float:
    """A finite number."""
    if not low <= float(value) <= high:
        raise ValueError(f"{value} must lie in {low}..{high}")
    return float(value)


def array(value: Any, *shape: int) -> Array:
    """A finite array; -1 in ``shape`` is any length."""
    if not isinstance(value, np.ndarray) or value.ndim != len(shape):
        raise ValueError(f"an array of {len(shape)} axes is missing")
    if any(want not in (-1, have) for want, have in zip(shape, value.shape, strict=True)):
        raise ValueError(f"array {value.shape}, expected {shape}")
    if not np.isfinite(value).all():
        raise ValueError("an array has NaN or infinite values")
    return value
