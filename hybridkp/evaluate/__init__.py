"""Splits, seeds, crops and the clock: methods in, predictions out.

Names no method and computes no metric.  Names are fetched when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "Crops": "crops",
    "bench": "runs",
    "make_crops": "crops",
    "predict": "apply",
    "predictions_to_coco": "apply",
    "stored_predictions": "runs",
    "train": "apply",
}

__all__ = sorted(_DOORS)


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'hybridkp.evaluate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
