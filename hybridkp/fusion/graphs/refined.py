"""A refiner behind a detector."""

from __future__ import annotations

from typing import Any

from ...runtime.builder import Crop, Points
from ...runtime.builder import emit as emitted


def emit(node: dict[str, Any], crop: Crop) -> Points:
    return emitted(node["refiner"], crop, emitted(node["detector"], crop)[0])
