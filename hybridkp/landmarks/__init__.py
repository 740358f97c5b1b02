"""Semantic keypoints by classical means: floors, starts, local experts and cascades.

Crops (B, H, W[, 3]) go in, points (B, K, 2) and scores (B, K) come out; every class keeps the
promise of :class:`hybridkp.structures.Detector`.  Never here: networks, files, metrics.
Names load lazily: :mod:`.shape`, :mod:`.frames` and :mod:`.response` need no scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "CascadedRegressor": "cascade",
    "HolisticRegressor": "holistic",
    "MeanShape": "mean_shape",
    "PatchDetector": "patches",
    "PointDistribution": "shape",
}

__all__ = ["CascadedRegressor", "HolisticRegressor", "MeanShape", "PatchDetector", "PointDistribution"]


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        value = getattr(import_module(f".{_DOORS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
